"""The work of `users_import`: rows of an upload become users, a batch at a time, in a child process.

How far the job has come is written with each batch, so that a crash repeats nothing: the next attempt goes on behind
the last batch that is durable. A bad row does not fail the job, a bad file does.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from freehold.domain.authenticators.tables import AUTHENTICATORS, REMEMBERED_BROWSERS
from freehold.domain.jobs.child import Errand, on_errand
from freehold.domain.jobs.jobs import ERRORS, UPLOAD, ApiJob, load_job, read_file
from freehold.domain.users import PASSWORD_HASHES, Database
from freehold.domain.users.arrivals import Arrival, prepare
from freehold.domain.users.credentials import CURRENT, IMPORTED
from freehold.domain.users.documents import MFA_SECRETS
from freehold.domain.users.identifiers import canonical_email
from freehold.domain.users.import_schema import (
    PROFILE,
    BadRow,
    ImportRow,
    arrival_of,
    factors_of,
    masked,
    read_hash,
    read_row,
)
from freehold.domain.users.importing import Outcome, place_users
from freehold.kernel import vault
from freehold.kernel.clock import iso
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store, UniqueViolation
from freehold.kernel.store.bulk import BulkWriter, open_bulk

BATCH_ROWS = 4000
SMALL_BYTES = 16 * 1024
_SAVE_JOB = "update jobs set status = :status, document = :document where tenant_id = :tenant_id and id = :id"
_INSERT_ERRORS = """
insert into job_files (tenant_id, job_id, name, number, content)
values (:tenant_id, :job_id, :name, :number, :content)
"""
_FIND = "select version, document from users where tenant_id = :tenant_id and id = :id"
_UPDATE = """
update users set document = :document, version = version + 1, updated_at = :updated_at
where tenant_id = :tenant_id and id = :id
"""
_SEALED_NAMES = "select name from vault where tenant_id = :tenant_id and kind = :kind and owner = :owner"
_DROP_SEALED = "delete from vault where tenant_id = :tenant_id and kind = :kind and owner = :owner"
_DROP_ONE = _DROP_SEALED + " and name = :name"
_PUT_SEALED = """
insert into vault (tenant_id, kind, owner, name, sealed) values (:tenant_id, :kind, :owner, :name, :sealed)
"""
DUPLICATE = "The user already exist and upsert parameter is false"
HAS_PASSWORD = "A custom_password_hash was provided, but the user already has password hash defined"  # noqa: S105


class BadUpload(Exception):
    """The file is not what it should be; the job fails."""


@dataclass(slots=True)
class Progress:
    """How far the job has come."""

    done: int = 0
    inserted: int = 0
    updated: int = 0
    failed: int = 0
    batches: int = 0

    def summary(self) -> dict[str, int]:
        """The job's `summary`."""
        total = self.inserted + self.updated + self.failed
        return {"failed": self.failed, "updated": self.updated, "inserted": self.inserted, "total": total}


def run(argument: bytes) -> bytes:
    """The child's function; the outcome stands in the job's row."""
    # The bulk writer brings an event loop of its own, so that ours ends before it begins.
    upload = asyncio.run(on_errand(argument, _read))
    if upload is not None:
        import_upload(*upload)
    return b""


async def import_here(store: Store, tenant: TenantScope, job_id: str) -> None:
    """Import a small upload in this process, in a thread: a child would take a hundred times as long to start."""
    upload = await _read(
        Errand(database_url=store.url, master_key="", tenant_id=tenant.id, job_id=job_id), store, tenant
    )
    if upload is not None:
        await asyncio.to_thread(import_upload, *upload)


def is_small(job: ApiJob) -> bool:
    """Whether the upload is done in a few milliseconds."""
    return int(job.inner["size"]) <= SMALL_BYTES


def summary_of(job: ApiJob) -> dict[str, int]:
    """How many rows have been dealt with so far."""
    return Progress(**job.inner.get("progress", {})).summary()


async def _read(errand: Errand, store: Store, tenant: TenantScope) -> tuple[str, TenantScope, ApiJob, bytes] | None:
    """What `import_upload` takes, or None for a job that is done."""
    job = await load_job(store, tenant, errand.job_id)
    if job is None or job.status not in {"pending", "processing"}:
        return None
    sealed = b"".join([chunk async for chunk in read_file(store, tenant, job.id, UPLOAD)])
    return errand.database_url, tenant, job, sealed


def import_upload(database_url: str, tenant: TenantScope, job: ApiJob, sealed: bytes) -> None:
    """Import what was uploaded, from where an earlier attempt stopped."""
    writer = open_bulk(database_url)
    try:
        try:
            rows = read_upload(tenant.sealer.open(sealed, context=upload_context(tenant, job.id)))
        except BadUpload as error:
            _fail(writer, tenant, job, str(error))
            return
        import_rows(writer, tenant, job, rows)
    finally:
        writer.close()


def upload_context(tenant: TenantScope, job_id: str) -> str:
    """What an upload is sealed for."""
    return f"jobs/{tenant.id}/{job_id}/upload"


def read_upload(content: bytes) -> list[msgspec.Raw]:
    """The rows of a file, each still undecoded. Raises BadUpload."""
    try:
        return msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"), type=list[msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError):
        raise BadUpload(
            "Failed to parse users file JSON when importing users. Make sure it is valid JSON."
        ) from None  # fmt: skip


def import_rows(writer: BulkWriter, tenant: TenantScope, job: ApiJob, rows: Sequence[msgspec.Raw]) -> Progress:
    """Import the rows that are not done yet, and finish the job."""
    progress = Progress(**job.inner.get("progress", {}))
    database = Database(**job.inner["database"])
    upsert = bool(job.inner["upsert"])
    seen = _addresses(rows[: progress.done])
    while progress.done < len(rows):
        batch = rows[progress.done : progress.done + BATCH_ROWS]
        known = set(seen)
        try:
            _import_batch(writer, tenant, job, batch, database=database, upsert=upsert, seen=seen, progress=progress)
        except UniqueViolation:
            # On PostgreSQL somebody else can take an identifier between the look and the insert: look again.
            seen.clear()
            seen.update(known)
            _import_batch(writer, tenant, job, batch, database=database, upsert=upsert, seen=seen, progress=progress)
    writer.begin()
    _save(writer, tenant, job, progress, status="completed")
    writer.run(
        "delete from job_files where tenant_id = :tenant_id and job_id = :job_id and name = :name",
        tenant_id=tenant.id, job_id=job.id, name=UPLOAD,
    )  # fmt: skip
    writer.commit()
    return progress


def _import_batch(
    writer: BulkWriter,
    tenant: TenantScope,
    job: ApiJob,
    batch: Sequence[msgspec.Raw],
    *,
    database: Database,
    upsert: bool,
    seen: set[str],
    progress: Progress,
) -> None:
    now = tenant.clock.now_ms()
    created_at = iso(now)
    errors: dict[int, BadRow] = {}
    read: dict[int, ImportRow] = {}
    arrivals: list[Arrival] = []
    for place, raw in enumerate(batch):
        try:
            row = read_row(raw)
            address = canonical_email(row.email) if row.email is not UNSET else ""
            if address and address in seen:
                raise BadRow("DUPLICATED_USER", "The user is in the file more than once", "email")
            arrivals.append(arrival_of(row, database, place=place, now=created_at))
        except BadRow as error:
            errors[place] = error
            continue
        read[place] = row
        if address:
            seen.add(address)
    users = prepare(tenant, arrivals)
    step = Progress(done=progress.done + len(batch), batches=progress.batches + 1)
    writer.begin()
    try:
        known = place_users(writer, tenant, users, complete=False)
        step.inserted = len(users) - len(known)
        for outcome in known:
            place = users.places[outcome.number]
            try:
                _settle(writer, tenant, read[place], outcome, upsert=upsert, now=now)
                step.updated += 1
            except BadRow as error:
                errors[place] = error
        step.failed = len(errors)
        step.inserted += progress.inserted
        step.updated += progress.updated
        step.failed += progress.failed
        _store_errors(writer, tenant, job, batch, errors, number=progress.batches)
        _save(writer, tenant, job, step, status="processing", rows=len(batch))
        writer.commit()
    except BaseException:
        writer.rollback()
        raise
    progress.done, progress.batches = step.done, step.batches
    progress.inserted, progress.updated, progress.failed = step.inserted, step.updated, step.failed


# --- who is there already ------------------------------------------------------------------------------------------


def _settle(
    writer: BulkWriter, tenant: TenantScope, row: ImportRow, outcome: Outcome, *, upsert: bool, now: int
) -> None:
    """Update the user whom a row matches by address, or say why not. Raises BadRow."""
    if not upsert:
        raise BadRow("DUPLICATED_USER", DUPLICATE)
    found = writer.one(_FIND, tenant_id=tenant.id, id=outcome.other)
    user: dict[str, Any] = msgspec.json.decode(found[1]) if found else {}
    if row.email is UNSET or canonical_email(user.get("email", "")) != canonical_email(row.email):
        code = {"username": "CONFLICT_USERNAME", "email": "CONFLICT_EMAIL"}.get(outcome.kind, "CONFLICT")
        raise BadRow(code, "Another user has this identifier", outcome.kind)
    stored = read_hash(row)
    _upsert_hash(writer, tenant, outcome.other, stored)
    for name in PROFILE:
        value = getattr(row, name)
        if value is not UNSET:
            user[name] = value
    user["updated_at"] = iso(now)
    writer.run(
        _UPDATE, document=msgspec.json.encode(user).decode(), updated_at=now, tenant_id=tenant.id, id=outcome.other
    )
    if row.mfa_factors is not UNSET:
        _replace_factors(writer, tenant, outcome.other, row)


def _upsert_hash(writer: BulkWriter, tenant: TenantScope, user_id: str, stored: tuple[str, bool] | None) -> None:
    """A foreign hash may be replaced until it was signed in with; one of the other kind counts only where none is."""
    if stored is None:
        return
    text, foreign = stored
    names = {
        name for (name,) in writer.all(_SEALED_NAMES, tenant_id=tenant.id, kind=PASSWORD_HASHES.name, owner=user_id)
    }
    if CURRENT in names:
        if foreign:
            raise BadRow("CONFLICT", HAS_PASSWORD, "custom_password_hash")
        return
    if IMPORTED in names:
        if not foreign:
            return
        writer.run(_DROP_ONE, tenant_id=tenant.id, kind=PASSWORD_HASHES.name, owner=user_id, name=IMPORTED)
    _seal(writer, tenant, PASSWORD_HASHES.name, user_id, name=IMPORTED if foreign else CURRENT, content=text.encode())


def _replace_factors(writer: BulkWriter, tenant: TenantScope, user_id: str, row: ImportRow) -> None:
    writer.run(_DROP_SEALED, tenant_id=tenant.id, kind=MFA_SECRETS.name, owner=user_id)
    for table in (AUTHENTICATORS.table.name, REMEMBERED_BROWSERS.table.name):  # what is known of those that go
        writer.run(
            f"delete from {table} where tenant_id = :tenant_id and user_id = :user_id",  # noqa: S608 - our tables
            tenant_id=tenant.id,
            user_id=user_id,
        )
    for name, content in factors_of(row):
        _seal(writer, tenant, MFA_SECRETS.name, user_id, name=name, content=content)


def _seal(writer: BulkWriter, tenant: TenantScope, kind: str, owner: str, *, name: str, content: bytes) -> None:
    sealed = tenant.sealer.seal(content, context=vault.context(tenant.id, kind, owner, name))
    writer.run(_PUT_SEALED, tenant_id=tenant.id, kind=kind, owner=owner, name=name, sealed=sealed)


# --- what is written about it --------------------------------------------------------------------------------------


def _addresses(rows: Sequence[msgspec.Raw]) -> set[str]:
    """The addresses of rows that an earlier attempt dealt with."""
    found = set()
    for raw in rows:
        try:
            row = read_row(raw)
        except BadRow:
            continue
        if row.email is not UNSET:
            found.add(canonical_email(row.email))
    return found


def _store_errors(
    writer: BulkWriter,
    tenant: TenantScope,
    job: ApiJob,
    batch: Sequence[msgspec.Raw],
    errors: dict[int, BadRow],
    *,
    number: int,
) -> None:
    """Keep the failed rows of a batch as JSON objects joined by commas; an empty piece where there are none."""
    entries = [
        msgspec.json.encode({"user": masked(_as_sent(batch[place])), "errors": [errors[place].shown()]})
        for place in sorted(errors)
    ]
    writer.run(
        _INSERT_ERRORS, tenant_id=tenant.id, job_id=job.id, name=ERRORS, number=number, content=b",".join(entries)
    )


def _as_sent(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _save(
    writer: BulkWriter, tenant: TenantScope, job: ApiJob, progress: Progress, *, status: str, rows: int = 0
) -> None:
    details = dict(job.details)
    inner = {**job.inner, "progress": msgspec.to_builtins(progress)}
    if status == "completed":
        details.pop("percentage_done", None)
        details["summary"] = progress.summary()
    writer.run(
        _SAVE_JOB, status=status, tenant_id=tenant.id, id=job.id,
        document=msgspec.json.encode({"details": details, "inner": inner}).decode(),
    )  # fmt: skip


def _fail(writer: BulkWriter, tenant: TenantScope, job: ApiJob, reason: str) -> None:
    writer.begin()
    details = {**job.details, "status_details": reason}
    writer.run(
        _SAVE_JOB, status="failed", tenant_id=tenant.id, id=job.id,
        document=msgspec.json.encode({"details": details, "inner": job.inner}).decode(),
    )  # fmt: skip
    writer.commit()
