"""Clearing away what is over, in all tenants: sessions, tokens, codes, tickets, counts."""

from freehold.kernel.declare.expiry import remove_expired
from freehold.kernel.jobs import Job

TOPIC = "tenants.expiry"
EVERY_S = 3600


async def clear_away(job: Job) -> None:
    """Remove expired rows, tenant by tenant."""
    for tenant in await job.services.tenants.all():
        await remove_expired(job.services.store, tenant)
