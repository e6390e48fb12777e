"""When the round is made: before a server answers its first request, and every minute."""

from typing import Any

from freehold.kernel.jobs import Job
from freehold.surfaces.ceremony.delivery.reconciling import reconcile

TOPIC_ROUND = "ceremony.exports"
EVERY_S = 60


async def go_round(job: Job) -> None:
    """Destroy what is over, and clear away what nobody owns."""
    await look_after_exports(job.services)


async def look_after_exports(services: Any) -> None:
    """One round over all tenants."""
    await reconcile(services.store, services.settings, await services.tenants.all())
