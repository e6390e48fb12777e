"""Every minute and at the start: what is due happens, and what a crash interrupted goes on.

Everything here may run at the same time in several processes, and any number of times.
"""

from freehold.domain.audit import OPERATOR, SYSTEM_ACTOR
from freehold.domain.ceremonies import clocks
from freehold.domain.ceremonies.completeness import Incomplete, check_complete
from freehold.domain.ceremonies.notices import announce
from freehold.domain.ceremonies.policy import Policy, policy_in_force
from freehold.domain.ceremonies.progress import (
    REMINDER_MS,
    TOPIC_BUILD,
    TOPIC_DESTROY,
    advance,
    expire,
    fail_build,
    prepare_when_due,
)
from freehold.domain.ceremonies.records import Ceremony, began_here, find_ceremony, in_states, move, note
from freehold.domain.ceremonies.states import ACTIVE, WITH_FILE
from freehold.kernel import log
from freehold.kernel.config import Settings
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Conflict, Unavailable
from freehold.kernel.jobs import Job
from freehold.kernel.store import Store, Transaction

EVERY_S = 60
LAPSED = "nobody took the next step in time"
RESTORED = "it came with an archive and cannot go on here"

_log = log.get_logger("ceremonies")


async def go_round(job: Job) -> None:
    """The periodic job, over all tenants."""
    for tenant in await job.services.tenants.all():
        await reconcile(job.services.store, tenant, job.services.settings)


async def reconcile(store: Store, tenant: TenantScope, settings: Settings) -> None:
    """Bring one tenant's ceremonies to where they should be by now."""
    found = await in_states(store, tenant, ACTIVE | {"draft", "expired"})
    waiting = [ceremony for ceremony in found if ceremony.is_active or ceremony.state == "draft"]
    if not waiting:
        return
    try:
        async with store.transaction() as tx:
            await clocks.look(tx, tenant)
    except Unavailable:
        _log.warning("clock_not_looked_at", tenant_id=tenant.id)
    for seen in waiting:
        try:
            async with store.transaction() as tx:
                ceremony = await find_ceremony(tx, tenant, seen.id)
                if ceremony is not None:
                    await _reconcile_one(tx, tenant, ceremony, settings)
        except (Conflict, Unavailable) as error:
            # Somebody else was quicker, or no place takes the audit entry now: it is looked at again in a minute.
            _log.warning("ceremony_not_reconciled", tenant_id=tenant.id, ceremony_id=seen.id, code=error.code)


async def _reconcile_one(tx: Transaction, tenant: TenantScope, ceremony: Ceremony, settings: Settings) -> None:
    now = tenant.clock.now_ms()
    over = ceremony.deadline_ms is not None and now >= ceremony.deadline_ms
    policy = policy_in_force(settings, tenant, ceremony.request.policy)
    if not await began_here(tx, tenant, ceremony):
        await _end_restored(tx, tenant, ceremony)
    elif ceremony.state in WITH_FILE:
        if over:
            await expire(tx, tenant, ceremony, reason="retention")
    elif ceremony.state == "expired":
        await _order_once(tx, tenant, ceremony, TOPIC_DESTROY)
    elif ceremony.state == "preparing":
        if over:
            await fail_build(tx, tenant, ceremony, reason="it took too long")
        else:
            await _order_once(tx, tenant, ceremony, TOPIC_BUILD)
    elif ceremony.state in {"requirements_complete", "waiting"}:
        await _go_on(tx, tenant, ceremony, policy, remind=over)
    elif over:
        if ceremony.state == "draft":
            await move(tx, tenant, ceremony, "lapse", actor=SYSTEM_ACTOR, reason=LAPSED)
        else:
            await advance(tx, tenant, ceremony, "lapse", reason=LAPSED)


async def _go_on(tx: Transaction, tenant: TenantScope, ceremony: Ceremony, policy: Policy, *, remind: bool) -> None:
    try:
        await check_complete(tx, tenant, ceremony, tenant.clock.now(), policy=policy)
        moved = await prepare_when_due(tx, tenant, ceremony, policy)
    except Incomplete as error:
        # What was complete is not any more, and it would not become so again without a new request.
        await advance(tx, tenant, ceremony, "fail", reason=error.message, details={"code": error.code})
        return
    if moved is ceremony and remind:
        noted = await note(
            tx, tenant, ceremony, "reminder", actor=SYSTEM_ACTOR, details={},
            deadline_ms=tenant.clock.now_ms() + REMINDER_MS,
        )  # fmt: skip
        await announce(tx, tenant, noted, "waiting", by=SYSTEM_ACTOR)


async def _end_restored(tx: Transaction, tenant: TenantScope, ceremony: Ceremony) -> None:
    """A ceremony that came with an archive: its file, if there was one, is not here and must not be anywhere."""
    if ceremony.state in WITH_FILE:
        ceremony = await move(tx, tenant, ceremony, "expire", actor=SYSTEM_ACTOR, reason=RESTORED)
    if ceremony.state == "expired" and ceremony.is_active:
        await advance(tx, tenant, ceremony, "destroy", reason=RESTORED, details={"restored": True})
    elif ceremony.is_active or ceremony.state == "draft":
        await advance(tx, tenant, ceremony, "cancel", actor=OPERATOR, reason=RESTORED)


async def _order_once(tx: Transaction, tenant: TenantScope, ceremony: Ceremony, topic: str) -> None:
    """Order the work again when its job is gone; a dead one stays to be seen beside the new one."""
    waiting = await tx.one(
        """select 1 from work_queue
        where tenant_id = :tenant_id and topic = :topic and payload = :payload and state = 'queued'""",
        tenant_id=tenant.id,
        topic=topic,
        payload=ceremony.id.encode(),
    )
    if waiting is None and (topic == TOPIC_BUILD or ceremony.is_active):
        await tx.enqueue(topic, tenant.id, ceremony.id.encode())
