"""Sign-up and forgotten password for pages that draw their own forms: `/dbconnections/*`.

Errors have a shape of their own here: `{name, code, description, statusCode}`. Asking for a new password answers the
same sentence whether the account exists or not, and the mail is made behind the answer.
"""

from typing import Any

from freehold.domain.applications import CLIENTS, Client
from freehold.domain.connections import CONNECTIONS, Connection, enabled_connections
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.users import PasswordRefused, get_database, prepare_password
from freehold.domain.users import sign_up as make_user
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.errors import Conflict, FreeholdError
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, json, text
from freehold.protocols.oauth.errors import InvalidRequest

SENT = "We've just sent you an email to reset your password."
_PROFILE = ("given_name", "family_name", "name", "nickname", "picture", "user_metadata")
_IDENTIFIERS = ("email", "username", "phone_number")


async def sign_up(request: Request) -> Response:
    """POST /dbconnections/signup."""
    params = await request.body_params()
    tenant: TenantScope = request.tenant
    services = request.services
    try:
        client = await _client(request, params)
        connection = await _connection(request, params, client)
        if getattr(connection, "options", {}).get("disable_signup") is True:
            raise _Refused("unauthorized", "Sign ups are disabled for this connection", 400)
        database = await get_database(services.store, tenant, connection.name)
        given = {name: params[name] for name in (*_IDENTIFIERS, *_PROFILE) if params.get(name)}
        _check_text(params)
        password = await prepare_password(
            services.store, tenant, services.passwords, database, password=str(params.get("password") or ""),
            profile=given,
        )  # fmt: skip
        async with services.store.transaction() as tx:
            record = await make_user(
                tx, tenant, database, given, password=password, client_id=client.client_id if client else "",
                ip=request.client_ip, user_agent=request.headers.get("user-agent", ""),
            )  # fmt: skip
            if "email" in given:
                await services.mail.send_verification_email(
                    tx, tenant, record.id, client_id=client.client_id if client else None
                )
    except PasswordRefused as refusal:
        return json(_password_error(refusal), 400)
    except Conflict:
        return await _taken(request)
    except _Refused as refusal:
        return refusal.answer()
    return json(_shown(record.document, given))


def _check_text(params: dict[str, Any]) -> None:
    """Nothing but text is a password or a name: what Python would write for a list is neither."""
    for name in ("password", *_IDENTIFIERS, *_PROFILE):
        if name != "user_metadata" and not isinstance(params.get(name), str | None):
            raise InvalidRequest(f"{name} must be a string")


async def change_password(request: Request) -> Response:
    """POST /dbconnections/change_password: a sentence, not JSON, the same for every address."""
    params = await request.body_params()
    tenant: TenantScope = request.tenant
    services = request.services
    client = await _client(request, params)
    connection = await _connection(request, params, client)
    identifier = params.get("email") or params.get("username")
    if not isinstance(identifier, str) or not identifier:
        raise InvalidRequest("email is required")
    # Looking the user up and writing the mail happen in a job, so that the answer takes the same time for everyone.
    async with services.store.transaction() as tx:
        await services.mail.request_password_reset(
            tx, tenant, connection=connection.name, identifier=identifier,
            client_id=client.client_id if client else None, ip=request.client_ip,
        )  # fmt: skip
    return text(SENT)


class _Refused(FreeholdError):
    status = 400

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(description, code=code)
        self.status = status

    def answer(self) -> Response:
        body = {"name": "BadRequestError", "code": self.code, "description": self.message, "statusCode": self.status}
        return json(body, self.status)


async def _client(request: Request, params: dict[str, Any]) -> Client | None:
    client_id = params.get("client_id")
    if not client_id:
        return None
    client = await documents.cached(request.services.store, request.tenant, CLIENTS, str(client_id))
    if client is None:
        raise InvalidRequest("missing client_id parameter")
    return client


async def _connection(request: Request, params: dict[str, Any], client: Client | None) -> Connection:
    """The database named, enabled for the client. Raises InvalidRequest."""
    name = params.get("connection")
    if not isinstance(name, str) or not name:
        raise InvalidRequest("connection is required")
    connection = await documents.cached_by(request.services.store, request.tenant, CONNECTIONS, name=name)
    if connection is None or connection.strategy != "auth0":
        raise InvalidRequest("the connection was not found")
    if client is not None:
        enabled = await enabled_connections(request.services.store, request.tenant, client.client_id)
        if connection.id not in {one.id for one in enabled}:
            raise InvalidRequest("the connection was disabled")
    return connection


async def _taken(request: Request) -> Response:
    """The account exists; only a tenant that says so by a flag tells strangers."""
    settings = await documents.cached_singleton(request.services.store, request.tenant, SETTINGS)
    if getattr(settings.flags, "enable_public_signup_user_exists_error", False) is True:
        return _Refused("user_exists", "The user already exists.").answer()
    return _Refused("invalid_signup", "Invalid sign up").answer()


def _password_error(refusal: PasswordRefused) -> dict[str, Any]:
    """What Auth0's widgets read: the class, the rules one by one, and the policy as text."""
    body = {"name": refusal.name, "message": refusal.text, "code": refusal.code, "description": refusal.description}
    return body | {"policy": refusal.policy, "statusCode": 400}


def _shown(document: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """What the new user is told: the id without its provider, the identifiers, what was given."""
    body: dict[str, Any] = {"_id": str(document["user_id"]).partition("|")[2]}
    for name in _IDENTIFIERS:
        if name in given:
            body[name] = document.get(name, given[name])
    if "email" in given:
        body["email_verified"] = bool(document.get("email_verified", False))
    if "phone_number" in given:
        body["phone_verified"] = bool(document.get("phone_verified", False))
    return body | {name: given[name] for name in _PROFILE if name in given}
