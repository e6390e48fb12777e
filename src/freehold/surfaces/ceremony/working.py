"""Where ceremonies and their files meet: a complete ceremony gets a file, an expired one loses it.

Both are jobs that may come twice or be interrupted anywhere. A round every minute keeps a ceremony's state in step with
its file, whichever of the two ended first.
"""

import asyncio
from contextlib import suppress
from typing import Any

from freehold.domain import audit, ceremonies
from freehold.domain.audit import AuditActor
from freehold.domain.ceremonies import Ceremony, Incomplete, rollbacks
from freehold.kernel import log
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Conflict, Unavailable
from freehold.kernel.jobs import Job
from freehold.kernel.store import Store, Transaction
from freehold.surfaces.ceremony.build.builder import Recipient
from freehold.surfaces.ceremony.build.preparing import Plan, prepare_export
from freehold.surfaces.ceremony.build.sealing import BuildFailed
from freehold.surfaces.ceremony.delivery.artefacts import (
    DESTROYED,
    Artefact,
    NewArtefact,
    all_artefacts,
    artefact_of,
    insert_artefact,
)
from freehold.surfaces.ceremony.delivery.destruction import clear_traces, destroy
from freehold.surfaces.ceremony.delivery.stores import StoreUnavailable, store_named

TOPIC_STEP = "ceremony.in_step"
EVERY_S = 60
DAY_S = 86_400
MOST_ATTEMPTS = 3
ROLLED_BACK = "an older copy of the database was put back"
_MAY_PASS = frozenset({"worker_died", "not_written", "disk_full", "interrupted"})
"""Reasons of a failed build that may be gone at the next attempt."""

_log = log.get_logger("ceremony")


async def build(job: Job) -> None:
    """Make the file of a ceremony that is being prepared, from scratch each time."""
    services = job.services
    store: Store = services.store
    tenant: TenantScope = await services.tenants.by_id(job.tenant_id)
    ceremony = await ceremonies.find_ceremony(store, tenant, job.payload.decode())
    if ceremony is None or ceremony.state != "preparing":
        async with store.transaction() as tx:
            await job.finish(tx)
        return
    try:
        plan = await plan_of(services, tenant, ceremony)
        new = await prepare_export(services, tenant, plan)
        try:
            async with store.transaction() as tx:
                current = await ceremonies.get_ceremony(tx, tenant, ceremony.id)
                artefact = await insert_artefact(tx, tenant, new)
                await ceremonies.finish_build(tx, tenant, current, artefact=remembered(current, new, artefact, plan))
                await job.finish(tx)
            store_named(services.settings, new.place).settle(new.id)
        except BaseException:
            # Without its row the file is noise; it goes at once rather than with a later round.
            with suppress(StoreUnavailable):
                await store_named(services.settings, new.place).destroy(new.id)
            raise
    except (BuildFailed, Incomplete) as error:
        if isinstance(error, BuildFailed) and error.reason in _MAY_PASS and job.attempt < MOST_ATTEMPTS:
            raise
        _log.error("export_not_prepared", tenant_id=tenant.id, ceremony_id=ceremony.id, reason=error.code)
        async with store.transaction() as tx:
            current = await ceremonies.get_ceremony(tx, tenant, ceremony.id)
            if current.state == "preparing":
                await ceremonies.fail_build(tx, tenant, current, reason=error.message)
            await job.finish(tx)


async def plan_of(services: Any, tenant: TenantScope, ceremony: Ceremony) -> Plan:
    """What is to be built, once everything has been checked again. Raises Incomplete."""
    store, settings = services.store, services.settings
    policy = ceremonies.policy_in_force(settings, tenant, ceremony.request.policy)
    evidence = await ceremonies.check_complete(store, tenant, ceremony, tenant.clock.now(), policy=policy)
    await ceremonies.check_keys_again(evidence, tenant.clock.now(), policy)
    request = evidence.request
    signed_by = await ceremonies.ensure_export_key(store, tenant) if policy.sign_exports else ""
    return Plan(
        ceremony_id=ceremony.id,
        digest=ceremony.digest,
        requester_id=request.requester.id,
        kinds=request.kinds,
        connections=request.connections,
        recipients=tuple(
            Recipient(certificate=evidence.certificates[recipient.fingerprint], subkeys=recipient.subkeys)
            for recipient in request.recipients
        ),
        signed_by=signed_by,
        evidence=evidence.files,
        retention_s=policy.retention_days * DAY_S,
        download_limit=policy.download_limit,
        ends_with_download=policy.remove_after_download,
    )


def remembered(ceremony: Ceremony, new: NewArtefact, artefact: Artefact, plan: Plan) -> ceremonies.Artefact:
    """What the ceremony remembers of a file. That it is encrypted to exactly these keys was read from it."""
    subkeys = sorted(subkey for recipient in ceremony.request.recipients for subkey in recipient.subkeys)
    return ceremonies.Artefact(
        id=new.id, size=new.size, sha256=new.sha256, store_key=new.id, counts=new.counts,
        recipients=tuple(subkeys), created_at_ms=artefact.created_at_ms,
        expires_at_ms=artefact.expires_at_ms, signed_by=plan.signed_by,
    )  # fmt: skip


async def remove(job: Job) -> None:
    """Destroy the file of an expired ceremony, and its key."""
    services = job.services
    tenant: TenantScope = await services.tenants.by_id(job.tenant_id)
    ceremony = await ceremonies.find_ceremony(services.store, tenant, job.payload.decode())
    if ceremony is not None and ceremony.state == "expired" and ceremony.is_active:
        await _remove(services, tenant, ceremony)
    async with services.store.transaction() as tx:
        await job.finish(tx)


async def follow_download(
    tx: Transaction, tenant: TenantScope, artefact: Artefact, actor: AuditActor, *, sent: int
) -> bool:
    """Tell the ceremony that somebody has the whole file; false when the ceremony has ended meanwhile."""
    ceremony = await ceremonies.find_ceremony(tx, tenant, artefact.ceremony_id)
    if ceremony is None:
        return False
    try:
        ceremonies.check_available(tenant, ceremony)
    except ceremonies.Gone:
        return False
    details = {"artefact": artefact.id, "sha256": artefact.sha256, "sent": sent}
    await ceremonies.record_download(tx, tenant, ceremony, actor=actor, details=details)
    return True


async def notice_rollbacks(services: Any) -> None:
    """Before the first answer: end whatever an older copy of the database brought back."""
    file = services.settings.audit_file or services.settings.data.audit_file
    if not file.exists():
        return
    heads = await asyncio.to_thread(audit.last_heads, file)
    for tenant in await services.tenants.all():
        head = heads.get(tenant.id)
        if head is None:
            continue
        async with services.store.transaction() as tx:
            same = await rollbacks.look(tx, tenant, head)
        if not same:
            await _end_all(services, tenant)


async def _end_all(services: Any, tenant: TenantScope) -> None:
    """Destroy files and end ceremonies; what cannot be done now is done when the server starts again."""
    store: Store = services.store
    for artefact in await all_artefacts(store, tenant):
        if artefact.state != DESTROYED:
            await destroy(store, services.settings, tenant, artefact.id, because=ROLLED_BACK)
    for ceremony in await ceremonies.list_ceremonies(store, tenant):
        if ceremony.is_active or ceremony.state == "draft":
            with suppress(Conflict, Unavailable):
                await ceremonies.end_by_operator(store, tenant, ceremony.id, reason=ROLLED_BACK)


async def go_round(job: Job) -> None:
    """Keep ceremonies in step with their files."""
    await keep_all_in_step(job.services)


async def keep_all_in_step(services: Any) -> None:
    """The same over all tenants; a server that starts does it before its first answer."""
    for tenant in await services.tenants.all():
        await keep_in_step(services, tenant)


async def keep_in_step(services: Any, tenant: TenantScope) -> None:
    """Expire ceremonies whose file is gone already, and end those whose file was to go."""
    for seen in await ceremonies.list_ceremonies(services.store, tenant):
        if seen.state not in {"ready", "downloaded", "expired"} or not seen.is_active:
            continue
        with suppress(Conflict, Unavailable):  # somebody else was quicker, or it is tried again in a minute
            ceremony = await _expire_without_file(services, tenant, seen)
            if ceremony.state == "expired":
                # Not left to the job alone: that of a killed server comes back only when its lease ends.
                await _remove(services, tenant, ceremony)


async def _expire_without_file(services: Any, tenant: TenantScope, ceremony: Ceremony) -> Ceremony:
    artefact = await artefact_of(services.store, tenant, ceremony.id)
    if ceremony.state == "expired" or (artefact is not None and artefact.state != DESTROYED):
        return ceremony
    async with services.store.transaction() as tx:
        current = await ceremonies.get_ceremony(tx, tenant, ceremony.id)
        reason = artefact.destroyed_because if artefact else "the file is not here"
        return await ceremonies.expire(tx, tenant, current, reason=reason)


async def _remove(services: Any, tenant: TenantScope, ceremony: Ceremony) -> None:
    artefact = await artefact_of(services.store, tenant, ceremony.id)
    if artefact is not None:
        await destroy(
            services.store, services.settings, tenant, artefact.id, because=ceremony.reason or "its time is over"
        )  # fmt: skip
        if not await clear_traces(services.store, services.settings, tenant, artefact.id):
            raise Unavailable("The export's file, or traces of its key, could not be removed yet.")
    async with services.store.transaction() as tx:
        current = await ceremonies.get_ceremony(tx, tenant, ceremony.id)
        if current.state == "expired":
            details = {"artefact": artefact.id, "sha256": artefact.sha256} if artefact else {}
            await ceremonies.finish_removal(tx, tenant, current, details=details)
