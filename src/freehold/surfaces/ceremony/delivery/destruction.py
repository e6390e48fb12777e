"""The end of a sealed export: its key first, which makes the file noise, then the file, then what may remember the key.

The key goes in one transaction with the audit entry. When no audit entry can be written the key goes all the same,
because keeping it would be worse, and the entry follows. A crash in between leaves work that the next round does.
"""

from typing import Any

from freehold.domain import audit
from freehold.domain.audit import SYSTEM_ACTOR, AuditActor
from freehold.kernel import log
from freehold.kernel.config import Settings
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Unavailable
from freehold.kernel.store import Store, Transaction
from freehold.kernel.store.scrub import scrub
from freehold.surfaces.ceremony.delivery.artefacts import Artefact, find_artefact
from freehold.surfaces.ceremony.delivery.stores import StoreUnavailable, store_named
from freehold.surfaces.ceremony.delivery.tables import ARTEFACT_KEYS

_KEY = "from ceremony_artefact_keys where tenant_id = :tenant_id and artefact_id = :id"
_log = log.get_logger("ceremony")


async def destroy(
    store: Store,
    settings: Settings,
    tenant: TenantScope,
    artefact_id: str,
    *,
    because: str,
    actor: AuditActor = SYSTEM_ACTOR,
) -> bool:
    """Destroy an export for good; false when there is none that lives. Afterwards nobody can release it any more."""
    try:
        async with store.transaction() as tx:
            done = await destroy_in(tx, tenant, artefact_id, because=because, actor=actor)
    except Unavailable as error:
        if error.code != "audit_unavailable":
            raise
        async with store.transaction() as tx:
            done = await _end(tx, tenant, artefact_id, because=because, unrecorded=True)
    await clear_traces(store, settings, tenant, artefact_id)
    return done


async def destroy_in(
    tx: Transaction, tenant: TenantScope, artefact_id: str, *, because: str, actor: AuditActor = SYSTEM_ACTOR
) -> bool:
    """The part of `destroy` that belongs to a transaction; `clear_traces` must follow, and does in the next round."""
    if not await _end(tx, tenant, artefact_id, because=because, unrecorded=False):
        return False
    artefact = await find_artefact(tx, tenant, artefact_id)
    assert artefact is not None
    await _record(tx, tenant, artefact, actor)
    return True


async def clear_traces(store: Store, settings: Settings, tenant: TenantScope, artefact_id: str) -> bool:
    """Remove a destroyed export's file and whatever still remembers its key; false when that must be tried again."""
    artefact = await find_artefact(store, tenant, artefact_id)
    if artefact is None or not artefact.has_traces:
        return True
    try:
        await store_named(settings, artefact.place).destroy(artefact_id)
    except (StoreUnavailable, OSError) as error:
        _log.error("export_not_removed", artefact_id=artefact_id, reason=type(error).__name__)
        return False
    if not await scrub(store, ARTEFACT_KEYS.table):
        _log.warning("export_traces_remain", artefact_id=artefact_id)
        return False
    await store.run(
        "update ceremony_artefacts set traces = 0 where tenant_id = :tenant_id and id = :id",
        tenant_id=tenant.id,
        id=artefact_id,
    )
    return True


async def record_late(store: Store, tenant: TenantScope, artefact: Artefact) -> None:
    """Write the audit entry of a destruction that had to do without. Raises Unavailable."""
    async with store.transaction() as tx:
        if await tx.run(
            """update ceremony_artefacts set unrecorded = 0
            where tenant_id = :tenant_id and id = :id and unrecorded = 1""",
            tenant_id=tenant.id,
            id=artefact.id,
        ):
            await _record(tx, tenant, artefact, SYSTEM_ACTOR)


async def _end(tx: Transaction, tenant: TenantScope, artefact_id: str, *, because: str, unrecorded: bool) -> bool:
    names: dict[str, Any] = {"tenant_id": tenant.id, "id": artefact_id}
    ended = await tx.run(
        """update ceremony_artefacts set state = 'destroyed', destroyed_at_ms = :now_ms, destroyed_because = :because,
        traces = 1, unrecorded = :unrecorded where tenant_id = :tenant_id and id = :id and state <> 'destroyed'""",
        **names,
        now_ms=tenant.clock.now_ms(),
        because=because,
        unrecorded=int(unrecorded),
    )
    if not ended:
        return False
    row = await tx.one(f"select wrapped {_KEY}", **names)
    if row is not None:
        # Written over in its place before the row goes: what is left of a deleted row is then zeros.
        await tx.run(
            "update ceremony_artefact_keys set wrapped = :zeros where tenant_id = :tenant_id and artefact_id = :id",
            **names,
            zeros=bytes(len(row[0])),
        )
        await tx.run(f"delete {_KEY}", **names)
    await tx.run("delete from download_tickets where tenant_id = :tenant_id and artefact_id = :id", **names)
    return True


async def _record(tx: Transaction, tenant: TenantScope, artefact: Artefact, actor: AuditActor) -> None:
    await audit.record(
        tx,
        tenant,
        action="artefact.destroyed",
        actor=actor,
        ceremony_id=artefact.ceremony_id,
        digest=artefact.digest,
        details={
            "artefact": artefact.id,
            "because": artefact.destroyed_because,
            "sha256": artefact.sha256,
            "size": artefact.size,
            "downloads": artefact.downloads,
        },
    )
