"""`/jobs` of the Management API."""

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from freehold.domain.jobs import users_import
from freehold.domain.jobs.downloads import link
from freehold.domain.jobs.export_format import ExportField, check_csv
from freehold.domain.jobs.jobs import ERRORS, UPLOAD, count_active, create_job, find_job, read_file, write_file
from freehold.domain.jobs.users_export import default_fields
from freehold.domain.users import USERS, Database, find_database, find_database_by_id
from freehold.domain.users.databases import is_enabled
from freehold.domain.users.documents import DATABASE
from freehold.kernel.declare import Length, Operation, Pattern, Range, documents
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import BadRequest, NotFound, TooManyRequests
from freehold.kernel.http.response import empty, json

MOST_UPLOAD_BYTES = 512_000
MOST_IMPORTS = 2
PATIENCE_S, LOOK_EVERY_S = 2.0, 0.05
TOPIC_IMPORT = "jobs.users_import"
TOPIC_EXPORT = "jobs.users_export"
TOPIC_VERIFY = "jobs.verification_email"

ConnectionId = Annotated[str, Pattern("^con_[A-Za-z0-9]{16}$")]


class FieldChoice(msgspec.Struct, forbid_unknown_fields=True):
    """One member to export."""

    name: Annotated[str, Length(1, 100)]
    export_as: Annotated[str, Length(1, 100)] | UnsetType = UNSET


class UsersExport(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body that begins an export."""

    connection_id: ConnectionId | UnsetType = UNSET
    format: Literal["json", "csv"] | UnsetType = UNSET
    limit: Annotated[int, Range(1, 1 << 53)] | UnsetType = UNSET
    fields: list[FieldChoice] | UnsetType = UNSET


class IdentityChoice(msgspec.Struct, forbid_unknown_fields=True):
    """The identity whose address is to be verified."""

    user_id: str
    provider: str
    connection_id: ConnectionId | UnsetType = UNSET


class VerificationEmail(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body that sends a verification mail."""

    user_id: Annotated[str, Length(1, 255)]
    client_id: Annotated[str, Length(1, 64)] | UnsetType = UNSET
    identity: IdentityChoice | UnsetType = UNSET
    organization_id: str | UnsetType = UNSET


class Upload(msgspec.Struct, frozen=True):
    """An import that was looked over before the transaction."""

    database: Database
    content: bytes
    upsert: bool
    external_id: str
    send_completion_email: bool


# --- reading -------------------------------------------------------------------------------------------------------


async def get_job(call: Call) -> dict[str, Any]:
    """One job; a finished export with a fresh link. Raises NotFound."""
    job = await find_job(call.store, call.tenant, call.params["id"])
    if job is None:
        raise NotFound("Job not found.", code="inexistent_job")
    body = job.shown()
    if job.type == "users_import":
        body.setdefault("summary", users_import.summary_of(job))
    if job.type == "users_export" and job.status == "completed":
        body["location"] = link(call.tenant, job)
    return body


async def get_errors(call: Call) -> Any:
    """The rows of an import that failed; 204 when there are none. Raises NotFound.

    An import that is under way is waited for a little: "no errors" would be the wrong answer a moment too early.
    """
    job = await find_job(call.store, call.tenant, call.params["id"])
    waits = int(PATIENCE_S / LOOK_EVERY_S)
    while job is not None and job.type == "users_import" and job.status in {"pending", "processing"} and waits:
        await asyncio.sleep(LOOK_EVERY_S)
        waits -= 1
        job = await find_job(call.store, call.tenant, job.id)
    if job is None:
        raise NotFound("The job does not exist", code="inexistent_job")
    if job.status == "failed":
        return job.shown()
    pieces = [piece async for piece in read_file(call.store, call.tenant, job.id, ERRORS) if piece]
    return json(b"[" + b",".join(pieces) + b"]") if pieces else empty(204)


# --- exports -------------------------------------------------------------------------------------------------------


async def post_export(call: Call) -> dict[str, Any]:
    """Begin an export of users."""
    body: UsersExport = call.body
    details: dict[str, Any] = {}
    inner: dict[str, Any] = {"format": body.format if body.format is not UNSET else "json"}
    if body.connection_id is not UNSET:
        database = await find_database_by_id(call.store, call.tenant, body.connection_id)
        if database is None:
            raise BadRequest("The connection does not exist.", code="inexistent_connection")
        details["connection_id"] = database.id
        details["connection"] = inner["connection"] = database.name
    details["format"] = inner["format"]
    if body.limit is not UNSET:
        details["limit"] = inner["limit"] = body.limit
    fields = default_fields()
    if body.fields is not UNSET:
        fields = msgspec.to_builtins(body.fields)
        details["fields"] = fields
    chosen = [ExportField.of(**field) for field in fields]
    if inner["format"] == "csv":
        check_csv(chosen)
    inner["fields"] = fields
    job = await create_job(call.tx, call.tenant, "users_export", details=details, inner=inner)
    await call.tx.enqueue(TOPIC_EXPORT, call.tenant.id, job.id.encode())
    call.describe("Create job to export users", job_id=job.id)
    return job.shown()


# --- imports -------------------------------------------------------------------------------------------------------


async def prepare_import(call: Call) -> Upload:
    """Read the upload and look it over. Raises BadRequest in Auth0's words, PayloadTooLarge."""
    request = call.request
    if request.media_type != "multipart/form-data":
        raise InvalidBody("Payload validation error: 'Invalid multipart payload format'.")
    try:
        form = await request.multipart(MOST_UPLOAD_BYTES)
    except BadRequest as error:
        if error.status != BadRequest.status or "multipart" not in error.message:
            raise
        raise InvalidBody("Payload validation error: 'Invalid multipart payload format'.") from None
    fields = form.fields.single()
    upload = form.files.get("users")
    if upload is None and "users" not in fields:
        raise InvalidBody("Must provide 'users' file as multipart part.")
    content = upload.file.read() if upload is not None else fields["users"].encode()
    if not content.strip():
        raise InvalidBody("Users file must not be empty.")
    connection_id = fields.get("connection_id")
    if not connection_id:
        raise InvalidBody("Must provide 'connection_id' as multipart part.")
    return Upload(
        database=await _import_target(call, connection_id),
        content=content,
        upsert=_flag(fields, "upsert", default=False),
        external_id=fields.get("external_id", ""),
        send_completion_email=_flag(fields, "send_completion_email", default=True),
    )


async def post_import(call: Call) -> dict[str, Any]:
    """Begin an import of users. Raises TooManyRequests while two others are under way."""
    upload: Upload = call.prepared
    active = await count_active(call.tx, call.tenant, "users_import")
    if active >= MOST_IMPORTS:
        raise TooManyRequests(
            f"There are {active} active import users jobs, please wait until some of them are finished and try again",
            code="too_many_requests",
        )
    database = upload.database
    details: dict[str, Any] = {
        "connection_id": database.id,
        "connection": database.name,
        "upsert": upload.upsert,
        "send_completion_email": upload.send_completion_email,
    }
    if upload.external_id:
        details["external_id"] = upload.external_id
    inner = {
        "upsert": upload.upsert,
        "size": len(upload.content),
        "database": {
            "id": database.id,
            "name": database.name,
            "strategy": database.strategy,
            "options": dict(database.options),
        },
    }
    job = await create_job(call.tx, call.tenant, "users_import", details=details, inner=inner)
    # An upload holds password hashes: it waits encrypted.
    sealed = call.tenant.sealer.seal(upload.content, context=users_import.upload_context(call.tenant, job.id))
    await write_file(call.tx, call.tenant, job.id, UPLOAD, sealed)
    await call.tx.enqueue(TOPIC_IMPORT, call.tenant.id, job.id.encode())
    call.describe("Create job to import users", job_id=job.id)
    return job.shown()


async def _import_target(call: Call, connection_id: str) -> Database:
    try:
        msgspec.convert(connection_id, ConnectionId)
    except msgspec.ValidationError:
        raise InvalidBody(
            "Payload validation error: 'String does not match pattern ^con_[A-Za-z0-9]{16}$' on property connection_id."
        ) from None
    database = await find_database_by_id(call.store, call.tenant, connection_id)
    if database is None:
        raise BadRequest("The connection does not exist.", code="inexistent_connection")
    if database.strategy != DATABASE:
        raise BadRequest("Connection must be a database connection.", code="operation_not_supported")
    if database.is_custom and not database.options.get("import_mode"):
        raise BadRequest(
            "Custom Database Connections without import mode are not allowed.", code="operation_not_supported"
        )
    if not await is_enabled(call.store, call.tenant, database):
        raise BadRequest("Connection must be enabled.", code="operation_not_supported")
    return database


def _flag(fields: dict[str, str], name: str, *, default: bool) -> bool:
    text = fields.get(name, "")
    if text not in {"", "true", "false"}:
        raise InvalidBody(
            f"Payload validation error: 'Expected type boolean but found type string' on property {name}."
        )
    return text == "true" if text else default


# --- verification mail ---------------------------------------------------------------------------------------------


async def post_verification_email(call: Call) -> dict[str, Any]:
    """Send a user the mail that verifies the address. Raises NotFound, BadRequest."""
    body: VerificationEmail = call.body
    record = await documents.read(call.tx, call.tenant, USERS, body.user_id)
    if record is None:
        raise documents.missing(USERS)
    if body.organization_id is not UNSET:
        raise BadRequest("The organization does not exist", code="inexistent_organization")
    identity = await _chosen_identity(call, record.document, body)
    inner = {"user_id": body.user_id, "identity": identity}
    if body.client_id is not UNSET:
        inner["client_id"] = body.client_id
    job = await create_job(call.tx, call.tenant, "verification_email", details={}, inner=inner)
    await call.tx.enqueue(TOPIC_VERIFY, call.tenant.id, job.id.encode())
    return job.shown()


async def _chosen_identity(call: Call, user: dict[str, Any], body: VerificationEmail) -> str:
    """The id of the identity whose address is verified. Raises BadRequest."""
    identities = user["identities"]
    chosen, profile = identities[0], user
    if body.identity is not UNSET:
        wanted = (body.identity.provider, body.identity.user_id.removeprefix(f"{body.identity.provider}|"))
        found = [one for one in identities if (one["provider"], one["user_id"]) == wanted]
        if not found:
            raise BadRequest("The user exists, but does not contain the given identity.", code="inexistent_identity")
        chosen = found[0]
        profile = user if chosen is identities[0] else chosen.get("profileData") or {}
    database = await find_database(call.store, call.tenant, chosen["connection"])
    if database is None:
        raise BadRequest("connection does not exist.", code="inexistent_connection")
    if chosen["provider"] != DATABASE:
        raise BadRequest("Connection must be a database connection.", code="operation_not_supported")
    if not await is_enabled(call.store, call.tenant, database):
        raise BadRequest("Connection must be enabled.", code="operation_not_supported")
    if not profile.get("email"):
        raise BadRequest("User does not have an email address.", code="operation_not_supported")
    return f"{chosen['provider']}|{chosen['user_id']}"


_READ = ("create:users", "read:users")
OPERATIONS = (
    Operation(
        method="POST", path="jobs/users-exports", scopes=("read:users",), body=UsersExport, handler=post_export,
        name="jobs.users_exports.create", audit="Create job to export users",
    ),
    Operation(
        method="POST", path="jobs/users-imports", scopes=("create:users",), before=prepare_import,
        handler=post_import, name="jobs.users_imports.create", status=202, audit="Create job to import users",
        max_body=MOST_UPLOAD_BYTES,
    ),
    Operation(
        method="POST", path="jobs/verification-email", scopes=("update:users",), body=VerificationEmail,
        handler=post_verification_email, name="jobs.verification_email.create", status=201,
        audit="Send a verification email",
    ),
    Operation(method="GET", path="jobs/{id}", scopes=_READ, handler=get_job, name="jobs.get"),
    Operation(method="GET", path="jobs/{id}/errors", scopes=_READ, handler=get_errors, name="jobs.errors"),
)  # fmt: skip
