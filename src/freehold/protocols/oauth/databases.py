"""Sign-up and forgotten password for pages that draw their own forms: `/dbconnections/*`.

Errors have a shape of their own here: `{name, code, description, statusCode}`. Asking for a new password answers the
same sentence whether the account exists or not, and the mail is made behind the answer.
"""

from collections.abc import Mapping
from typing import Any

from freehold.domain.applications import CLIENTS, Client
from freehold.domain.connections import CONNECTIONS, Connection, enabled_connections
from freehold.domain.extensions.databases import ScriptFailed
from freehold.domain.extensions.executions import keep_all
from freehold.domain.protection import admit_sign_up
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.users import (
    Database,
    PasswordRefused,
    create_elsewhere,
    get_database,
    prepare_password,
    profile_of,
)
from freehold.domain.users import sign_up as make_user
from freehold.kernel.crypto.passwords import PasswordNotUsable, PasswordTooLong
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.errors import BadRequest, Conflict, FreeholdError
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import HTML, Response, json
from freehold.login import custom_code
from freehold.protocols.oauth.errors import InvalidRequest

SENT = "We've just sent you an email to reset your password."
MOST_METADATA = 10
LONGEST_METADATA_NAME = 100
LONGEST_METADATA_VALUE = 500
LONGEST_PROFILE_VALUE = 300
_PROFILE = ("given_name", "family_name", "name", "nickname", "picture")
_IDENTIFIERS = ("email", "username", "phone_number")


class SignUpRefused(FreeholdError):
    """An account that cannot be made, in the words of Auth0's sign-up."""

    status = 400

    def __init__(self, code: str = "invalid_signup", description: str = "Invalid sign up") -> None:
        super().__init__(description, code=code)

    def answer(self) -> Response:
        body = {"name": "BadRequestError", "code": self.code, "description": self.message, "statusCode": self.status}
        return json(body, self.status)


async def sign_up(request: Request) -> Response:
    """POST /dbconnections/signup."""
    params = await request.body_params()
    client = await _client(request, params)
    connection = await _connection(request, params, client)
    try:
        return await _make(request, params, client, connection)
    except PasswordRefused as refusal:
        await _record_failure(request, params, client, connection, refusal.text)
        return json(_password_error(refusal), 400)
    except SignUpRefused as refusal:
        await _record_failure(request, params, client, connection, refusal.message)
        return refusal.answer()


async def change_password(request: Request) -> Response:
    """POST /dbconnections/change_password: a sentence, not JSON, the same for every address."""
    params = await request.body_params()
    tenant: TenantScope = request.tenant
    services = request.services
    client = await _client(request, params)
    connection = await _connection(request, params, client)
    identifier = params.get("email") or params.get("username") or params.get("phone_number")
    if not isinstance(identifier, str) or not identifier:
        raise InvalidRequest("email is required")
    # Looking the user up and writing the mail happen in a job, so that the answer takes the same time for everyone.
    async with services.store.transaction() as tx:
        await services.mail.request_password_reset(
            tx, tenant, connection=connection.name, identifier=identifier,
            client_id=client.client_id if client else None, ip=request.client_ip,
        )  # fmt: skip
    return Response(200, SENT.encode(), content_type=HTML)


async def _make(request: Request, params: Mapping[str, Any], client: Client | None, connection: Connection) -> Response:
    """Make the account. Raises SignUpRefused, PasswordRefused."""
    tenant: TenantScope = request.tenant
    services = request.services
    database = await get_database(services.store, tenant, connection.name)
    if not database.allows_sign_up:
        raise SignUpRefused("unauthorized", "Sign ups are disabled for this connection")
    given = _given(params, database)
    password = params.get("password") or ""
    if not isinstance(password, str):
        raise InvalidRequest("password must be a string")
    if not password:
        raise SignUpRefused("invalid_password", "Password is required")
    await admit_sign_up(services, tenant, request.client_ip)
    try:
        prepared = await prepare_password(
            services.store, tenant, services.passwords, database, password=password, profile=given
        )
        profile, executions = await custom_code.before_registration(
            request, database, given, password=password, client=client
        )
        made = await create_elsewhere(
            services, tenant, database, profile, password=password, client_id=client.client_id if client else ""
        )
        async with services.store.transaction() as tx:
            await keep_all(tx, tenant, executions)
            record = await make_user(
                tx, tenant, database, profile_of(profile, made), password=prepared, id_=made.id if made else None,
                client_id=client.client_id if client else "", ip=request.client_ip,
                user_agent=request.headers.get("user-agent", ""),
            )  # fmt: skip
            await custom_code.tell(tx, request, "post-user-registration", record.document, database)
            if "email" in given and not record.document.get("email_verified"):
                await services.mail.send_verification_email(
                    tx, tenant, record.id, client_id=client.client_id if client else None
                )
    except Conflict:
        raise await _taken(request) from None
    except PasswordRefused:
        raise
    except (PasswordTooLong, PasswordNotUsable) as error:
        raise SignUpRefused("invalid_password", error.message) from None
    except ScriptFailed as error:
        raise SignUpRefused(error.code, error.message) from None
    except custom_code.RegistrationRefused as refusal:
        raise SignUpRefused(description=refusal.message) from None
    except BadRequest:
        raise SignUpRefused from None
    return json(_shown(record.document, given))


def _given(params: Mapping[str, Any], database: Database) -> dict[str, Any]:
    """The members of the profile that a stranger may choose. Raises SignUpRefused."""
    given: dict[str, Any] = {}
    for name in (*_IDENTIFIERS, *_PROFILE):
        value = params.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise InvalidRequest(f"{name} must be a string")
        if len(value) > LONGEST_PROFILE_VALUE or not value.isprintable():
            raise SignUpRefused
        given[name] = value
    if not given.keys() >= set(database.required_identifiers):
        raise SignUpRefused
    metadata = params.get("user_metadata")
    if metadata:
        _check_metadata(metadata)
        given["user_metadata"] = metadata
    return given


def _check_metadata(metadata: Any) -> None:
    """Hold what strangers may store with an account to Auth0's bounds. Raises SignUpRefused."""
    if (
        not isinstance(metadata, dict)
        or len(metadata) > MOST_METADATA
        or any(len(name) > LONGEST_METADATA_NAME for name in metadata)
        or any(not isinstance(value, str) or len(value) > LONGEST_METADATA_VALUE for value in metadata.values())
    ):
        raise SignUpRefused


async def _client(request: Request, params: Mapping[str, Any]) -> Client | None:
    """The application, when the request names one. Raises InvalidRequest."""
    client_id = params.get("client_id")
    if not client_id:
        return None
    client = None
    if isinstance(client_id, str):
        client = await documents.cached(request.services.store, request.tenant, CLIENTS, client_id)
    if client is None:
        raise InvalidRequest("Unknown client_id")
    return None if client.is_global else client


async def _connection(request: Request, params: Mapping[str, Any], client: Client | None) -> Connection:
    """The database named, enabled for the client. Raises InvalidRequest."""
    name = params.get("connection")
    if not isinstance(name, str) or not name:
        raise InvalidRequest("connection is required")
    store, tenant = request.services.store, request.tenant
    connection = await documents.cached_by(store, tenant, CONNECTIONS, name=name)
    if connection is None or connection.strategy != "auth0":
        raise InvalidRequest("the connection was not found")
    if client is not None:
        enabled = await enabled_connections(store, tenant, client.client_id)
        if connection.id not in {one.id for one in enabled}:
            raise InvalidRequest("the connection was disabled")
    return connection


async def _taken(request: Request) -> SignUpRefused:
    """The account exists; only a tenant that says so by a flag tells strangers."""
    settings = await documents.cached_singleton(request.services.store, request.tenant, SETTINGS)
    if settings.flags.get("enable_public_signup_user_exists_error"):
        return SignUpRefused("user_exists", "The user already exists.")
    return SignUpRefused()


async def _record_failure(
    request: Request, params: Mapping[str, Any], client: Client | None, connection: Connection, reason: str
) -> None:
    tenant: TenantScope = request.tenant
    named = next((params[name] for name in _IDENTIFIERS if isinstance(params.get(name), str)), None)
    async with request.services.store.transaction() as tx:
        await tenant.events.record(
            tx, tenant, "fs", description=reason, connection=connection.name, connection_id=connection.id,
            client_id=client.client_id if client else None, client_name=client.name if client else None,
            user_name=named[:LONGEST_PROFILE_VALUE] if named else None, ip=request.client_ip,
            user_agent=request.headers.get("user-agent"), strategy="auth0", strategy_type="database",
        )  # fmt: skip


def _password_error(refusal: PasswordRefused) -> dict[str, Any]:
    """What Auth0's widgets read: the class, the rules one by one, and the policy as text."""
    body: dict[str, Any] = {
        "name": refusal.name,
        "message": refusal.text,
        "code": refusal.code,
        "description": refusal.description,
    }
    if refusal.policy:
        body["policy"] = refusal.policy
    return {**body, "statusCode": 400}


def _shown(document: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What the new user is told: the id without its provider, the identifiers, what was given."""
    body: dict[str, Any] = {"_id": str(document["user_id"]).partition("|")[2]}
    for name in _IDENTIFIERS:
        if name in given:
            body[name] = document.get(name, given[name])
    if "email" in given:
        body["email_verified"] = bool(document.get("email_verified", False))
    if "phone_number" in given:
        body["phone_verified"] = bool(document.get("phone_verified", False))
    return body | {name: given[name] for name in (*_PROFILE, "user_metadata") if name in given}
