"""The server's side of a build: a child process makes the file, and the file goes to its place.

Nothing of it counts until the row with the key is written. Whatever an interrupted attempt leaves is noise that the
next round removes, and the next attempt begins anew.
"""

import asyncio
from typing import Any

import msgspec

from freehold.domain.ceremonies.export_keys import owner as export_key_owner
from freehold.kernel.crypto.ids import new_id
from freehold.kernel.declare import TenantScope
from freehold.kernel.jobs import ChildFailed, run_in_child
from freehold.surfaces.ceremony.build.builder import Order, Outcome, Recipient, run, target_name
from freehold.surfaces.ceremony.build.sealing import BuildFailed
from freehold.surfaces.ceremony.delivery.artefacts import NewArtefact
from freehold.surfaces.ceremony.delivery.stores import folder_of, prepare_folder, remove_file, store_of

NICENESS = 5


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a ceremony that is complete wants built."""

    ceremony_id: str
    digest: str
    requester_id: str
    kinds: tuple[str, ...]
    connections: tuple[str, ...] = ()
    recipients: tuple[Recipient, ...]
    signed_by: str = ""
    """The fingerprint of the tenant's OpenPGP key that signs; empty when none does."""
    evidence: dict[str, bytes] = {}
    retention_s: int
    download_limit: int = 3
    ends_with_download: bool = False


async def prepare_export(services: Any, tenant: TenantScope, plan: Plan) -> NewArtefact:
    """Build the file and put it in its place; `insert_artefact` in the ceremony's transaction makes it an export.

    Raises BuildFailed, StoreUnavailable; then nothing is left, or nothing that anybody could read.
    """
    settings = services.settings
    artefact_id = new_id("art_", 20)
    folder = folder_of(settings)
    await asyncio.to_thread(prepare_folder, folder)
    target = folder / target_name(artefact_id)
    order = Order(
        database_url=services.store.url,
        master_key=str(settings.data.master_key),
        tenant_id=tenant.id,
        ceremony_id=plan.ceremony_id,
        artefact_id=artefact_id,
        digest=plan.digest,
        kinds=plan.kinds,
        connections=plan.connections,
        recipients=plan.recipients,
        signer=export_key_owner(plan.signed_by) if plan.signed_by else "",
        evidence=plan.evidence,
        target=str(target),
    )
    place = store_of(settings)
    try:
        outcome = await _in_child(order)
        if outcome.built is None:
            raise BuildFailed(outcome.reason, outcome.message)
        built = outcome.built
        await place.put(artefact_id, target)
    finally:
        await asyncio.to_thread(remove_file, target)
    return NewArtefact(
        id=artefact_id,
        ceremony_id=plan.ceremony_id,
        digest=plan.digest,
        requester_id=plan.requester_id,
        place=place.name,
        size=built.sealed.size,
        sealed_size=built.sealed.sealed_size,
        sha256=built.sealed.sha256,
        recipients=built.sealed.recipients,
        counts={**built.counts, "snapshot_at": built.snapshot_at},
        wrapped_key=built.wrapped_key,
        retention_s=plan.retention_s,
        download_limit=plan.download_limit,
        ends_with_download=plan.ends_with_download,
    )


async def _in_child(order: Order) -> Outcome:
    try:
        answer = await run_in_child(run, msgspec.json.encode(order), niceness=NICENESS)
    except ChildFailed as error:
        message = f"The process that prepares the export ended with {error.returncode}."
        raise BuildFailed("worker_died", message) from None
    return msgspec.json.decode(answer, type=Outcome)
