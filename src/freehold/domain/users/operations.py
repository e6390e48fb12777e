"""Users in the Management API."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from freehold.domain.connections import CONNECTIONS
from freehold.domain.extensions import points
from freehold.domain.extensions.databases import ExternalUser
from freehold.domain.users import linking, shown
from freehold.domain.users.accounts import PreparedPassword, create_user, delete_user, prepare_password
from freehold.domain.users.changes import LongName, Name, PreparedChange, UserPatch, apply_change, prepare_change
from freehold.domain.users.custom_changes import create_elsewhere, delete_elsewhere, profile_of
from freehold.domain.users.databases import Database, find_database, get_database, is_enabled
from freehold.domain.users.documents import DATABASE, USERS
from freehold.domain.users.identifiers import canonical_email
from freehold.domain.users.link_tokens import secondary_of_token
from freehold.domain.users.linked import identity_id
from freehold.domain.users.listing import list_users
from freehold.domain.users.provider_tokens import HAS_TOKENS, SCOPE, naming, tokens_of
from freehold.kernel.declare import Actor, Length, Operation, Pattern, documents
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.conditions import if_match
from freehold.kernel.declare.documents import Record
from freehold.kernel.declare.fields import Fields
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import BadRequest, Forbidden
from freehold.kernel.http.response import Response, json
from freehold.kernel.store import Row

MOST_BY_EMAIL = 100
_GET = f"select {shown.COLUMNS}, version from users where tenant_id = :tenant_id and id = :id"  # noqa: S608 - constant
_GET_SAYING_TOKENS = _GET.replace("version", f"version, {HAS_TOKENS}", 1)
_BY_EMAIL = "select id from users where tenant_id = :tenant_id and ix_connection = :connection and ix_email = :email"


class NewUser(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of POST on users."""

    connection: Annotated[str, Length(1, 128)]
    email: str | UnsetType = UNSET
    email_verified: bool | UnsetType = UNSET
    username: Annotated[str, Length(1, 128)] | UnsetType = UNSET
    phone_number: Annotated[str, Pattern(r"^\+[0-9]{1,15}$")] | UnsetType = UNSET
    phone_verified: bool | UnsetType = UNSET
    password: Annotated[str, Length(1, 4096)] | UnsetType = UNSET
    user_id: Annotated[str, Length(0, 255), Pattern(r"^\S*$")] | UnsetType = UNSET
    blocked: bool | UnsetType = UNSET
    given_name: Name = UNSET
    family_name: Name = UNSET
    name: LongName = UNSET
    nickname: LongName = UNSET
    picture: Annotated[str, Length(1, 2048)] | UnsetType = UNSET
    user_metadata: dict[str, Any] | UnsetType = UNSET
    app_metadata: dict[str, Any] | UnsetType = UNSET
    verify_email: bool | UnsetType = UNSET


class NewIdentity(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body that links another identity: by id, or by a token that proves it."""

    provider: str | UnsetType = UNSET
    user_id: str | int | UnsetType = UNSET
    connection_id: Annotated[str, Pattern("^con_[A-Za-z0-9]{16}$")] | UnsetType = UNSET
    link_with: str | UnsetType = UNSET


class PreparedUser(msgspec.Struct, frozen=True):
    """A new user that was looked over before the transaction."""

    database: Database
    password: PreparedPassword | None
    made: ExternalUser | None
    """The user as a database of the tenant's own knows them, where such a one keeps the users."""


# --- one user ------------------------------------------------------------------------------------------------------


async def prepare_user(call: Call) -> PreparedUser:
    """Find the connection, hash the password, and make the user in a database of the tenant's own."""
    body: NewUser = call.body
    database = await get_database(call.store, call.tenant, body.connection)
    if not await is_enabled(call.store, call.tenant, database):
        raise BadRequest("Connection is disabled.", code="connection_disabled")
    password = None
    if isinstance(body.password, str):
        if not database.has_passwords:
            raise InvalidBody("Payload validation error: 'Additional properties not allowed: password'.")
        password = await prepare_password(
            call.store, call.tenant, call.services.passwords, database,
            password=body.password, profile=msgspec.to_builtins(body),
        )  # fmt: skip
    elif database.has_passwords:
        raise InvalidBody("Payload validation error: 'Missing required property: password'.")
    made = None
    if database.has_passwords:
        made = await create_elsewhere(
            call.services, call.tenant, database, _profile(body), password=str(body.password),
            client_id=call.actor.client_id,
        )  # fmt: skip
    return PreparedUser(database, password, made)


async def post_user(call: Call) -> dict[str, Any]:
    """Make a user."""
    body: NewUser = call.body
    prepared: PreparedUser = call.prepared
    id_ = body.user_id if isinstance(body.user_id, str) and body.user_id else None
    record = await create_user(
        call.tx, call.tenant, prepared.database, profile_of(_profile(body), prepared.made), password=prepared.password,
        id_=prepared.made.id if prepared.made else id_,
    )  # fmt: skip
    await call.tenant.events.record(
        call.tx, call.tenant, "ss", connection=prepared.database.name, connection_id=prepared.database.id,
        user_id=record.id, user_name=record.document.get("email") or record.document.get("username"),
        strategy=prepared.database.strategy, strategy_type="database", client_id=call.actor.client_id or None,
    )  # fmt: skip
    wanted = body.verify_email if body.verify_email is not UNSET else record.document.get("email_verified") is False
    if wanted and record.document.get("email"):
        await call.services.mail.send_verification_email(call.tx, call.tenant, record.id)
    return shown.of_record(record)


def _profile(body: NewUser) -> dict[str, Any]:
    given: dict[str, Any] = msgspec.to_builtins(body)
    return {k: v for k, v in given.items() if k not in {"connection", "password", "user_id", "verify_email"}}


async def get_user(call: Call) -> Response:
    """One user. Raises NotFound."""
    user_id = call.params["id"]
    check_self(call.actor, user_id, "read:users", "read:user_idp_tokens")
    fields = Fields.of(call)
    if SCOPE in call.actor.scopes:
        row = await call.store.one(_GET_SAYING_TOKENS, tenant_id=call.tenant.id, id=user_id, **naming(user_id))
    else:
        row = await call.store.one(_GET, tenant_id=call.tenant.id, id=user_id)
    if row is None:
        raise documents.missing(USERS)
    etag = [("etag", f'"{row[5]}"')]
    # Most users have no tokens, and nobody linked to them who may.
    if row[6:] and (row[6] or '"profileData"' in row[1]):
        user = await _with_tokens(call, row[:5])
        return json(fields.apply(user) if fields.names else user, headers=etag)
    if fields.names:
        return json(fields.apply(shown.as_object(row[:5])), headers=etag)
    return json(shown.as_text(row[:5]), headers=etag)


async def _with_tokens(call: Call, row: Row) -> dict[str, Any]:
    """The user with the tokens of identity providers."""
    user = shown.as_object(row)
    user["identities"] = [
        {**identity, **await tokens_of(call.store, call.tenant, identity_id(identity))}
        for identity in user["identities"]
    ]
    return user


async def prepare_patch(call: Call) -> PreparedChange:
    """Check the change and hash a new password."""
    body: UserPatch = call.body
    _check_may_change(call, body)
    return await prepare_change(call.services, call.tenant, call.params["id"], body)


async def patch_user(call: Call) -> dict[str, Any]:
    """Change a user. Raises NotFound."""
    body: UserPatch = call.body
    prepared: PreparedChange = call.prepared
    record = await apply_change(
        call.tx, call.tenant, call.params["id"], prepared, if_version=if_match(call)
    )  # fmt: skip
    if body.verify_email is True and record.document.get("email"):
        client_id = body.client_id if isinstance(body.client_id, str) else None
        await call.services.mail.send_verification_email(
            call.tx, call.tenant, record.id, client_id=client_id, identity=prepared.identity or None
        )
    if prepared.sets_password and record.document.get("email"):
        await call.services.mail.send_password_changed(call.tx, call.tenant, record.id)
    if prepared.sets_password and prepared.database is not None:
        await _tell_of_password(call, record, prepared.database)
    return shown.of_record(record)


async def _tell_of_password(call: Call, record: Record, database: Database) -> None:
    if await points.has_code(call.services.store, call.tenant, "post-change-password"):
        connection = {"id": database.id, "name": database.name, "strategy": database.strategy}
        request = {"ip": call.actor.ip, "user_agent": call.actor.user_agent}
        user = {name: value for name, value in record.document.items() if name != "identities"}
        await points.tell(
            call.tx, call.tenant, "post-change-password", user=user, connection=connection, request=request
        )


async def prepare_delete(call: Call) -> None:
    """Remove the user from a database of the tenant's own first."""
    check_self(call.actor, call.params["id"], "delete:users")
    await _delete_elsewhere(call, call.params["id"])


async def _delete_elsewhere(call: Call, user_id: str) -> None:
    record = await documents.read(call.store, call.tenant, USERS, user_id)
    if record is not None:
        database = await find_database(call.store, call.tenant, record.document["identities"][0]["connection"])
        await delete_elsewhere(call.services, call.tenant, database, user_id)


async def delete_one(call: Call) -> None:
    """Remove a user; one that is not there is a success."""
    await delete_user(call.tx, call.tenant, call.params["id"], actor=call.actor)


async def prepare_delete_by_email(call: Call) -> str | None:
    """Find whoever has this address there, and remove them from a database of the tenant's own first."""
    email = _email_asked_for(call)
    connection = await documents.find(call.store, call.tenant, CONNECTIONS, call.params["id"])
    if connection is None:
        raise BadRequest("The connection does not exist", code="inexistent_connection")
    if connection.strategy != DATABASE:
        raise BadRequest("Connection must be a database connection", code="operation_not_supported")
    row = await call.store.one(
        _BY_EMAIL, tenant_id=call.tenant.id, connection=connection.name, email=canonical_email(email)
    )
    if row is None:
        return None
    await _delete_elsewhere(call, row[0])
    return str(row[0])


async def delete_by_email(call: Call) -> None:
    """DELETE connections/{id}/users: remove whoever has this address there; nobody is a success."""
    if call.prepared is not None:
        await delete_user(call.tx, call.tenant, call.prepared, actor=call.actor)


async def by_email(call: Call) -> list[Any]:
    """The users with exactly this address, in whatever connection."""
    email = _email_asked_for(call)
    fields = Fields.of(call)
    rows = await call.store.all(
        f"select {shown.COLUMNS} from users where tenant_id = :tenant_id and ix_email = :email "  # noqa: S608 - constant
        "order by id limit :most",
        tenant_id=call.tenant.id,
        email=canonical_email(email),
        most=MOST_BY_EMAIL,
    )
    exact = [row for row in rows if msgspec.json.decode(row[1]).get("email") == email]
    return shown.page_of(exact, fields)


def _email_asked_for(call: Call) -> str:
    email = call.query("email")
    if not email:
        raise BadRequest(
            "Query validation error: 'Missing required property: email'.", code="invalid_query_string"
        )  # fmt: skip
    return email


# --- identities ----------------------------------------------------------------------------------------------------


async def post_identity(call: Call) -> list[dict[str, Any]]:
    """Link another identity to a user. Raises NotFound, BadRequest, Conflict."""
    body: NewIdentity = call.body
    user_id = call.params["id"]
    if isinstance(body.link_with, str):
        check_self(call.actor, user_id, "update:users")
        secondary = await secondary_of_token(call.store, call.tenant, body.link_with, client_id=call.actor.client_id)
    else:
        if "update:users" not in call.actor.scopes:
            raise Forbidden("User to be acted on does not match subject in bearer token.", code="insufficient_scope")
        if body.provider is UNSET or body.user_id is UNSET:
            missing = "provider" if body.provider is UNSET else "user_id"
            raise InvalidBody(f"Payload validation error: 'Missing required property: {missing}'.")
        given, provider = str(body.user_id), str(body.provider)
        secondary = given if given.startswith(f"{provider}|") else f"{provider}|{given}"
    identities = await linking.link(
        call.tx, call.tenant, primary_id=user_id, secondary_id=secondary, actor=call.actor
    )  # fmt: skip
    call.describe("Link an identity to a user", linked=secondary)
    return identities


async def delete_identity(call: Call) -> list[dict[str, Any]]:
    """Part an identity from a user. Raises NotFound, BadRequest."""
    check_self(call.actor, call.params["id"], "update:users")
    identity = f"{call.params['provider']}|{call.params['user_id']}"
    return await linking.unlink(call.tx, call.tenant, user_id=call.params["id"], identity=identity)


# --- who may do it -------------------------------------------------------------------------------------------------


def check_self(actor: Actor, user_id: str, *scopes: str) -> None:
    """Refuse a caller without one of the scopes, unless the user is the caller. Raises Forbidden."""
    if actor.scopes.isdisjoint(scopes) and actor.id != user_id:
        raise Forbidden("User to be acted on does not match subject in bearer token.", code="insufficient_scope")


def _check_may_change(call: Call, body: UserPatch) -> None:
    """Hold narrow tokens to what they are for. Raises Forbidden."""
    scopes = call.actor.scopes
    if "update:users" in scopes:
        return
    given = set(msgspec.to_builtins(body))
    allowed = set()
    if "update:users_app_metadata" in scopes:
        allowed.add("app_metadata")
    if "update:current_user_metadata" in scopes and call.actor.id == call.params["id"]:
        allowed.add("user_metadata")
    elif "update:users_app_metadata" not in scopes:
        raise Forbidden("User to be acted on does not match subject in bearer token.", code="insufficient_scope")
    if given - allowed:
        raise Forbidden("Insufficient scope, expected any of: update:users", code="insufficient_scope")


_READ = ("read:users", "read:user_idp_tokens")
OPERATIONS = (
    Operation(method="GET", path="users", scopes=_READ, handler=list_users, name="users.list"),
    Operation(
        method="POST", path="users", scopes=("create:users",), body=NewUser, before=prepare_user, handler=post_user,
        name="users.create", status=201, audit="Create a User",
    ),
    Operation(method="GET", path="users-by-email", scopes=("read:users",), handler=by_email, name="users.by_email"),
    Operation(
        method="GET", path="users/{id}", scopes=("read:users", "read:current_user", "read:user_idp_tokens"),
        handler=get_user, name="users.get",
    ),
    Operation(
        method="PATCH", path="users/{id}",
        scopes=("update:users", "update:users_app_metadata", "update:current_user_metadata"),
        body=UserPatch, before=prepare_patch, handler=patch_user, name="users.update", audit="Update a User",
    ),
    Operation(
        method="DELETE", path="users/{id}", scopes=("delete:users", "delete:current_user"),
        before=prepare_delete, handler=delete_one, name="users.delete", status=204, audit="Delete a User",
    ),
    Operation(
        method="DELETE", path="connections/{id}/users", scopes=("delete:users",), before=prepare_delete_by_email,
        handler=delete_by_email, name="connections.users.delete", status=204, audit="Delete a Connection User",
    ),
    Operation(
        method="POST", path="users/{id}/identities", scopes=("update:users", "update:current_user_identities"),
        body=NewIdentity, handler=post_identity, name="users.identities.create", status=201,
        audit="Link a User Account",
    ),
    Operation(
        method="DELETE", path="users/{id}/identities/{provider}/{user_id}",
        scopes=("update:users", "update:current_user_identities"), handler=delete_identity,
        name="users.identities.delete", audit="Unlink a User Account",
    ),
)  # fmt: skip
