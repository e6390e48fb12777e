"""Forgetting: entries older than the retention go, a batch at a time, so that nobody waits behind the deletion."""

from datetime import timedelta

from freehold.kernel.clock import to_ms
from freehold.kernel.declare import TenantScope
from freehold.kernel.jobs import Job
from freehold.kernel.store import Store

BATCH = 2000


async def forget(job: Job) -> None:
    """Forget what is older than the installation's retention, in every tenant."""
    days: int = job.services.settings.event_retention_days
    if days:
        for tenant in await job.services.tenants.all():
            await forget_old(job.services.store, tenant, retention=timedelta(days=days))


async def forget_old(store: Store, tenant: TenantScope, *, retention: timedelta) -> int:
    """Delete the tenant's entries that are older than the retention; answers how many there were."""
    before_ms = to_ms(tenant.clock.now() - retention)
    forgotten = 0
    while True:
        rows = await store.all(
            "select log_id, date_ms from logs where tenant_id = :tenant_id order by log_id limit :batch",
            tenant_id=tenant.id,
            batch=BATCH,
        )
        # Ids sort by time, so the old ones are a run at the start.
        last = max((log_id for log_id, date_ms in rows if date_ms < before_ms), default=None)
        if last is None:
            return forgotten
        forgotten += await store.run(
            "delete from logs where tenant_id = :tenant_id and log_id <= :last", tenant_id=tenant.id, last=last
        )
