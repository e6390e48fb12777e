"""Every minute: sign what was written since the last head, and give the other places what they lack."""

from freehold.domain.audit.log import checkpoint, hand_over, hand_over_head
from freehold.kernel import log
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Unavailable
from freehold.kernel.jobs import Job
from freehold.kernel.store import Store

EVERY_S = 60

_log = log.get_logger("audit")


async def go_round(job: Job) -> None:
    """The periodic job, over all tenants."""
    for tenant in await job.services.tenants.all():
        await catch_up(job.services.store, tenant)


async def catch_up(store: Store, tenant: TenantScope) -> None:
    """Bring one tenant's signed head and the other places up to date; a place that is away is met again next time."""
    async with store.transaction() as tx:
        head = await checkpoint(tx, tenant)
    if tenant.witness is None:
        return
    try:
        async with store.transaction() as tx:
            await hand_over(tx, tenant, up_to=head.size)
            await hand_over_head(tx, tenant)
    except Unavailable:
        _log.warning("audit_not_handed_over", tenant_id=tenant.id)
