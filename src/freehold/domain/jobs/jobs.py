"""Jobs as rows: made, moved on, shown, and forgotten after a day."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any, Literal, Protocol

import msgspec
from msgspec.structs import replace

from freehold.kernel.clock import iso
from freehold.kernel.crypto.ids import new_id
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Store

Type = Literal["users_export", "users_import", "verification_email"]
Status = Literal["pending", "processing", "completed", "failed"]
KEPT = timedelta(hours=24)
TIME_LIMIT = timedelta(hours=2)
"""A job that is still not done by then has failed, and no longer counts as active."""
CHUNK_BYTES = 256 * 1024

UPLOAD, RESULT, ERRORS = "upload", "result", "errors"


class Writer(Protocol):
    """A transaction, or a store for a change of one statement."""

    async def run(self, sql: str, /, **params: Any) -> int:
        """Execute a change; the number of rows it affected."""
        ...


class ApiJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the API shows it; `details` are further members of the answer, `inner` what only we need."""

    id: str
    type: Type
    status: Status
    created_at_ms: int
    details: Mapping[str, Any] = msgspec.field(default_factory=dict)
    inner: Mapping[str, Any] = msgspec.field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        """The job object."""
        return {
            "type": self.type,
            "status": self.status,
            **self.details,
            "created_at": iso(self.created_at_ms),
            "id": self.id,
        }

    def document(self) -> str:
        """What the row keeps beside its columns."""
        return msgspec.json.encode({"details": self.details, "inner": self.inner}).decode()


async def create_job(
    writer: Writer,
    tenant: TenantScope,
    type_: Type,
    *,
    details: Mapping[str, Any],
    inner: Mapping[str, Any] | None = None,
) -> ApiJob:
    """Store a new pending job."""
    job = ApiJob(
        id=new_id("job_"), type=type_, status="pending", created_at_ms=tenant.clock.now_ms(), details=details,
        inner=inner or {},
    )  # fmt: skip
    await writer.run(
        """insert into jobs (tenant_id, id, type, status, created_at_ms, document)
        values (:tenant_id, :id, :type, :status, :created_at_ms, :document)""",
        tenant_id=tenant.id,
        id=job.id,
        type=job.type,
        status=job.status,
        created_at_ms=job.created_at_ms,
        document=job.document(),
    )
    return job


async def find_job(reader: Reader, tenant: TenantScope, job_id: str) -> ApiJob | None:
    """A job of the last day, or None; one that takes too long counts as failed."""
    job = await load_job(reader, tenant, job_id)
    if job is None:
        return None
    age_s = (tenant.clock.now_ms() - job.created_at_ms) / 1000
    if age_s >= KEPT.total_seconds():
        return None
    if job.status in {"pending", "processing"} and age_s >= TIME_LIMIT.total_seconds():
        return replace(job, status="failed", details={**job.details, "status_details": "The job timed out."})
    return job


async def load_job(reader: Reader, tenant: TenantScope, job_id: str) -> ApiJob | None:
    """A job, however old; for whoever works on it."""
    row = await reader.one(
        "select id, type, status, created_at_ms, document from jobs where tenant_id = :tenant_id and id = :id",
        tenant_id=tenant.id,
        id=job_id,
    )
    return None if row is None else read_job(row)


def read_job(row: Any) -> ApiJob:
    """A job from its row."""
    document = msgspec.json.decode(row[4])
    return ApiJob(
        id=row[0], type=row[1], status=row[2], created_at_ms=row[3], details=document["details"],
        inner=document["inner"],
    )  # fmt: skip


async def save_job(
    writer: Writer, tenant: TenantScope, job: ApiJob, *, status: Status, details: Mapping[str, Any] | None = None
) -> ApiJob:
    """Store a job's next state; `details` join those it has, None removing one."""
    merged = {k: v for k, v in {**job.details, **(details or {})}.items() if v is not None}
    moved = replace(job, status=status, details=merged)
    await writer.run(
        "update jobs set status = :status, document = :document where tenant_id = :tenant_id and id = :id",
        status=status,
        document=moved.document(),
        tenant_id=tenant.id,
        id=job.id,
    )
    return moved


async def count_active(reader: Reader, tenant: TenantScope, type_: Type) -> int:
    """How many jobs of a kind are waiting or running."""
    row = await reader.one(
        """select count(*) from jobs where tenant_id = :tenant_id and type = :type
        and status in ('pending', 'processing') and created_at_ms > :since""",
        tenant_id=tenant.id,
        type=type_,
        since=tenant.clock.now_ms() - int(TIME_LIMIT.total_seconds() * 1000),
    )
    return int(row[0]) if row else 0


async def forget_jobs(store: Store, tenant: TenantScope) -> None:
    """Remove jobs and files that are older than a day."""
    before = tenant.clock.now_ms() - int(KEPT.total_seconds() * 1000)
    rows = await store.all(
        "select id from jobs where tenant_id = :tenant_id and created_at_ms <= :before",
        tenant_id=tenant.id,
        before=before,
    )
    for (job_id,) in rows:
        async with store.transaction() as tx:
            await drop_file(tx, tenant, job_id)
            await tx.run(
                "delete from jobs where tenant_id = :tenant_id and id = :id", tenant_id=tenant.id, id=job_id
            )  # fmt: skip


# --- files ---------------------------------------------------------------------------------------------------------


async def write_chunk(writer: Writer, tenant: TenantScope, job_id: str, name: str, number: int, content: bytes) -> None:
    """Store one piece of a file."""
    await writer.run(
        """insert into job_files (tenant_id, job_id, name, number, content)
        values (:tenant_id, :job_id, :name, :number, :content)""",
        tenant_id=tenant.id,
        job_id=job_id,
        name=name,
        number=number,
        content=content,
    )


async def write_file(writer: Writer, tenant: TenantScope, job_id: str, name: str, content: bytes) -> None:
    """Store a file that is in memory."""
    for number, start in enumerate(range(0, len(content), CHUNK_BYTES)):
        await write_chunk(writer, tenant, job_id, name, number, content[start : start + CHUNK_BYTES])


async def read_file(reader: Reader, tenant: TenantScope, job_id: str, name: str) -> AsyncIterator[bytes]:
    """The pieces of a file, in order."""
    number = 0
    while True:
        row = await reader.one(
            """select content from job_files
            where tenant_id = :tenant_id and job_id = :job_id and name = :name and number = :number""",
            tenant_id=tenant.id,
            job_id=job_id,
            name=name,
            number=number,
        )
        if row is None:
            return
        yield bytes(row[0])
        number += 1


async def drop_file(writer: Writer, tenant: TenantScope, job_id: str, name: str = "") -> None:
    """Remove a file, or all of a job."""
    await writer.run(
        """delete from job_files where tenant_id = :tenant_id and job_id = :job_id
        and (:name = '' or name = :name)""",
        tenant_id=tenant.id,
        job_id=job_id,
        name=name,
    )
