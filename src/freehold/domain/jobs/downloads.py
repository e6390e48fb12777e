"""The file of a finished export, behind a link that needs no token and lives for a minute.

The link is signed with the tenant's key and names the job and its end; asking for the job again gives a new one.
"""

import hmac
from collections.abc import AsyncIterator
from datetime import timedelta

from freehold.domain.jobs.jobs import RESULT, ApiJob, find_job, read_file
from freehold.kernel.crypto.jose import b64u_encode
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Forbidden, NotFound
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, stream
from freehold.kernel.http.router import Router

LINK_LIFETIME = timedelta(seconds=60)
ROUTE = "/user-exports/{id}/{file}"


def link(tenant: TenantScope, job: ApiJob) -> str:
    """A fresh link to the job's file."""
    expires = tenant.clock.now_ms() // 1000 + int(LINK_LIFETIME.total_seconds())
    signature = _signature(tenant, job.id, expires)
    return f"{tenant.issuer}user-exports/{job.id}/{file_name(tenant, job)}?Expires={expires}&Signature={signature}"


def file_name(tenant: TenantScope, job: ApiJob) -> str:
    """The file's name: the tenant's, the format's, and gzip's."""
    return f"{tenant.name}.{job.inner['format']}.gz"


def add_routes(router: Router) -> None:
    """Put the download into the router."""
    router.add("GET", ROUTE, download, name="jobs.download", family="page")


async def download(request: Request) -> Response:
    """The file. Raises Forbidden for a link that is not ours or no longer valid, NotFound when the file has gone."""
    tenant: TenantScope = request.tenant
    job_id = request.params["id"]
    expires, signature = request.query.get("Expires"), request.query.get("Signature")
    if not (expires.isascii() and expires.isdigit() and len(expires) < 16):
        raise Forbidden("This link is not valid.")
    if not hmac.compare_digest(_signature(tenant, job_id, int(expires)), signature):
        raise Forbidden("This link is not valid.")
    if tenant.clock.now_ms() // 1000 >= int(expires):
        raise Forbidden("This link has expired. Ask for the job again to get a new one.")
    job = await find_job(request.services.store, tenant, job_id)
    if job is None or job.status != "completed":
        raise NotFound("This file does not exist any more.")

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in read_file(request.services.store, tenant, job_id, RESULT):
            yield piece

    name = file_name(tenant, job)
    headers = [("content-disposition", f'attachment; filename="{name}"')]
    return stream(pieces(), headers=headers, content_type="application/gzip")


def _signature(tenant: TenantScope, job_id: str, expires: int) -> str:
    return b64u_encode(tenant.sealer.lookup_hash(f"{job_id}/{expires}", context="link to a users export")).decode()
