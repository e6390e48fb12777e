"""The round that makes true what crashes and downtime left untrue: called before requests are served, and by a job.

Exports whose time is over are destroyed; of those that are destroyed everything is removed; files that belong to
nothing are removed. Each step is safe to repeat and to interrupt.
"""

import asyncio
from collections.abc import Iterable

from freehold.kernel import log
from freehold.kernel.config import Settings
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import FreeholdError, Unavailable
from freehold.kernel.store import Store
from freehold.surfaces.ceremony.delivery.artefacts import DESTROYED, READY, all_artefacts, save_measured
from freehold.surfaces.ceremony.delivery.deadlines import UptimeReader, read_uptime
from freehold.surfaces.ceremony.delivery.destruction import clear_traces, destroy, record_late
from freehold.surfaces.ceremony.delivery.stores import (
    ArtefactStore,
    StoreUnavailable,
    abandoned_drafts,
    folder_of,
    remove_file,
    store_named,
)

EXPIRED = "its time is over"

_log = log.get_logger("ceremony")


async def reconcile(
    store: Store,
    settings: Settings,
    tenants: Iterable[TenantScope],
    *,
    uptime: UptimeReader = read_uptime,
    grace_ms: int = 0,
) -> None:
    """One round over all tenants. What cannot be done now is logged, and done in a later round."""
    # Listed before the rows are read: whatever gets its row in between is known.
    held = []
    for name in ("folder", "s3") if settings.ceremony_s3_url else ("folder",):
        try:
            place = store_named(settings, name)
            held.append((place, await place.held()))
        except StoreUnavailable as error:
            _log.error("exports_not_listed", store=name, reason=error.message)
    known: set[str] = set()
    for tenant in tenants:
        known |= await _go_through(store, settings, tenant, uptime)
    await asyncio.to_thread(_remove_drafts, settings)
    for place, files in held:
        await _remove_orphans(place, files, known, now_ms=store.clock.now_ms() - grace_ms)


async def _go_through(store: Store, settings: Settings, tenant: TenantScope, uptime: UptimeReader) -> set[str]:
    """Destroy what is over, finish what was begun; the ids of exports that live."""
    living = set()
    for artefact in await all_artefacts(store, tenant):
        try:
            if artefact.state == READY:
                now_ms, running = tenant.clock.now_ms(), uptime()
                if artefact.is_over(now_ms, running):
                    await destroy(store, settings, tenant, artefact.id, because=EXPIRED)
                    continue
                living.add(artefact.id)
                async with store.transaction() as tx:
                    await save_measured(tx, tenant, artefact, artefact.measured.looked(now_ms, running))
            elif artefact.state == DESTROYED:
                if artefact.has_traces:
                    await clear_traces(store, settings, tenant, artefact.id)
                if artefact.is_unrecorded:
                    await record_late(store, tenant, artefact)
        except Unavailable as error:
            _log.error("export_not_looked_after", artefact_id=artefact.id, reason=error.code)
    return living


def _remove_drafts(settings: Settings) -> None:
    """Files that were being written when their writer died; nobody has a key to them."""
    for path in abandoned_drafts(folder_of(settings)):
        _log.warning("abandoned_export_removed", file=path.name)
        remove_file(path)


async def _remove_orphans(place: ArtefactStore, held: dict[str, int], known: set[str], *, now_ms: int) -> None:
    for artefact_id, until_ms in held.items():
        if artefact_id not in known and until_ms <= now_ms:
            _log.warning("orphaned_export_removed", artefact_id=artefact_id, store=place.name)
            try:
                await place.destroy(artefact_id)
            except FreeholdError as error:
                _log.error("export_not_removed", artefact_id=artefact_id, reason=error.code)
