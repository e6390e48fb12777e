"""The work of `users_export`: one consistent view of the users, written as a gzip file, in a child process.

Memory stays flat: users come in chunks and the compressed file goes into the database in pieces. An attempt that was
cut off is started anew, from an empty file.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

from isal import isal_zlib

from freehold.domain.jobs.child import Errand, on_errand
from freehold.domain.jobs.export_format import DEFAULT_FIELDS, ExportField, csv_header, csv_line, json_line
from freehold.domain.jobs.jobs import CHUNK_BYTES, RESULT, ApiJob, drop_file, load_job, save_job, write_chunk
from freehold.domain.users import shown
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Row, Store

GZIP_WINDOW = 31
_COUNT = "select count(*) from users where tenant_id = :tenant_id"
_SCAN = f"select {shown.COLUMNS} from users where tenant_id = :tenant_id"  # noqa: S608 - constant columns
_OF_CONNECTION = " and ix_connection = :connection"


class _Gzip:
    """A gzip stream cut into pieces of one size. The header has no time in it, so that equal users give equal bytes."""

    def __init__(self) -> None:
        self._stream = isal_zlib.compressobj(level=2, wbits=GZIP_WINDOW)
        self._pending = bytearray()

    def write(self, text: bytes) -> Iterator[bytes]:
        self._pending += self._stream.compress(text)
        while len(self._pending) >= CHUNK_BYTES:
            yield bytes(self._pending[:CHUNK_BYTES])
            del self._pending[:CHUNK_BYTES]

    def end(self) -> bytes:
        return bytes(self._pending) + bytes(self._stream.flush())


def run(argument: bytes) -> bytes:
    """The child's function; the outcome stands in the job's row."""
    asyncio.run(on_errand(argument, _export))
    return b""


async def _export(errand: Errand, store: Store, tenant: TenantScope) -> None:
    job = await load_job(store, tenant, errand.job_id)
    if job is None or job.status not in {"pending", "processing"}:
        return
    await drop_file(store, tenant, job.id, RESULT)
    job = await save_job(store, tenant, job, status="processing", details={"percentage_done": 0})
    await write_result(store, tenant, job)
    await save_job(store, tenant, job, status="completed", details={"percentage_done": None})


async def write_result(store: Store, tenant: TenantScope, job: ApiJob) -> None:
    """Write the file of an export job."""
    fields = [ExportField.of(**field) for field in job.inner["fields"]]
    table = job.inner["format"] == "csv"
    write = csv_line(fields) if table else json_line(fields)
    stream, number = _Gzip(), 0
    where: dict[str, Any] = {"tenant_id": tenant.id}
    condition = ""
    if job.inner.get("connection"):
        condition, where["connection"] = _OF_CONNECTION, job.inner["connection"]
    limit = job.inner.get("limit") or 1 << 60
    async with store.snapshot() as snapshot:
        counted = await snapshot.one(_COUNT + condition, **where)  # SQL: one of two conditions above
        total = min(limit, counted[0] if counted else 0)
        done = 0
        scan = _SCAN + condition + " order by id limit :limit"
        head = csv_header(fields) if table else b""
        async for rows in snapshot.scan(scan, **where, limit=limit):
            for piece in stream.write(head + _lines(rows, write)):
                await write_chunk(store, tenant, job.id, RESULT, number, piece)
                number += 1
                percentage = done * 100 // max(1, total)
                await save_job(store, tenant, job, status="processing", details={"percentage_done": percentage})
            head = b""
            done += len(rows)
        if head:
            for piece in stream.write(head):
                await write_chunk(store, tenant, job.id, RESULT, number, piece)
                number += 1
    await write_chunk(store, tenant, job.id, RESULT, number, stream.end())


def _lines(rows: list[Row], write: Any) -> bytes:
    return b"".join([write(row) for row in rows])


def default_fields() -> list[dict[str, str]]:
    """The members of an export that names none."""
    return [{"name": name} for name in DEFAULT_FIELDS]
