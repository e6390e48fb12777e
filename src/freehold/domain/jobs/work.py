"""Handlers of the API's jobs: heavy ones go on to a child process, and every one ends as completed or failed."""

from collections.abc import Callable

from freehold.domain.jobs import users_export, users_import
from freehold.domain.jobs.child import errand_for
from freehold.domain.jobs.jobs import forget_jobs, load_job, save_job
from freehold.kernel.declare import TenantScope
from freehold.kernel.jobs import ChildFailed, Job, run_in_child

MOST_ATTEMPTS = 3


async def import_users(job: Job) -> None:
    """Import an upload, and note in the log how it went."""
    tenant: TenantScope = await job.services.tenants.by_id(job.tenant_id)
    api_job = await load_job(job.services.store, tenant, job.payload.decode())
    if api_job is not None and users_import.is_small(api_job):
        await users_import.import_here(job.services.store, tenant, api_job.id)
    elif api_job is not None:
        await _in_child(job, tenant, users_import.run)
    api_job = await load_job(job.services.store, tenant, job.payload.decode())
    if api_job is None:
        return
    done = api_job.status == "completed"
    async with job.services.store.transaction() as tx:
        await tenant.events.record(
            tx, tenant, "sui" if done else "fui", description=api_job.details.get("status_details"),
            connection=api_job.details["connection"], connection_id=api_job.details["connection_id"],
            details={"job_id": api_job.id, "summary": api_job.details.get("summary")},
        )  # fmt: skip
        await job.finish(tx)


async def export_users(job: Job) -> None:
    """Write an export's file."""
    await _in_child(job, await job.services.tenants.by_id(job.tenant_id), users_export.run)


async def send_verification_email(job: Job) -> None:
    """Enqueue the mail and call the job done, in one transaction."""
    tenant: TenantScope = await job.services.tenants.by_id(job.tenant_id)
    api_job = await load_job(job.services.store, tenant, job.payload.decode())
    if api_job is None:
        return
    async with job.services.store.transaction() as tx:
        await job.services.mail.send_verification_email(
            tx, tenant, api_job.inner["user_id"], client_id=api_job.inner.get("client_id"),
            identity=api_job.inner["identity"],
        )  # fmt: skip
        await save_job(tx, tenant, api_job, status="completed")
        await job.finish(tx)


async def forget(job: Job) -> None:
    """Remove what is older than a day, in every tenant."""
    for tenant in await job.services.tenants.all():
        await forget_jobs(job.services.store, tenant)


async def _in_child(job: Job, tenant: TenantScope, function: Callable[[bytes], bytes]) -> None:
    """Run a job's work in a child; the last attempt that ends without a result fails the job for the API too."""
    store, job_id = job.services.store, job.payload.decode()
    try:
        await run_in_child(function, errand_for(job, job_id))
    except ChildFailed:
        if job.attempt < MOST_ATTEMPTS:
            raise
        found = await load_job(store, tenant, job_id)
        if found is not None:
            await save_job(store, tenant, found, status="failed", details={"status_details": "Internal error."})
