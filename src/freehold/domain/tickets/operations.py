"""`POST /tickets/email-verification` and `/tickets/password-change`: links that the caller sends on their own."""

from datetime import timedelta
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from freehold.domain.tickets.tickets import LIFETIME, Ticket, issue_ticket
from freehold.kernel.declare import Length, Operation, Range, documents
from freehold.kernel.declare.call import Call
from freehold.kernel.errors import BadRequest, NotFound

LONGEST_TTL_S = 2_592_000


class Identity(msgspec.Struct, forbid_unknown_fields=True):
    """One identity of the user."""

    user_id: str
    provider: str
    connection_id: str | UnsetType = UNSET


class EmailVerification(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which address is to be verified."""

    user_id: Annotated[str, Length(1, 255)]
    result_url: str | UnsetType = UNSET
    client_id: str | UnsetType = UNSET
    organization_id: str | UnsetType = UNSET
    ttl_sec: Annotated[int, Range(0, LONGEST_TTL_S)] | UnsetType = UNSET
    includeEmailInRedirect: bool | UnsetType = UNSET  # noqa: N815 - the name on the wire
    identity: Identity | UnsetType = UNSET


class PasswordChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Whose password is to be set: a user, or an address with its connection."""

    user_id: Annotated[str, Length(1, 255)] | UnsetType = UNSET
    email: str | UnsetType = UNSET
    connection_id: str | UnsetType = UNSET
    result_url: str | UnsetType = UNSET
    client_id: str | UnsetType = UNSET
    organization_id: str | UnsetType = UNSET
    ttl_sec: Annotated[int, Range(0, LONGEST_TTL_S)] | UnsetType = UNSET
    mark_email_as_verified: bool | UnsetType = UNSET
    includeEmailInRedirect: bool | UnsetType = UNSET  # noqa: N815 - the name on the wire
    new_password: Annotated[str, Length(1, 4096)] | UnsetType = UNSET


async def email_verification(call: Call) -> dict[str, str]:
    """A link that verifies the user's address."""
    body: EmailVerification = call.body
    user = await _user(call, body.user_id)
    identity = body.identity if isinstance(body.identity, Identity) else None
    owner = f"{identity.provider}|{identity.user_id}" if identity else _identity(user)
    if not user.get("email"):
        raise BadRequest("User does not have an email address.")
    payload = {"identity": owner, "email": user["email"], **_common(body)}
    ticket = Ticket(kind="email_verification", user_id=body.user_id, payload=payload)
    value = await issue_ticket(call.tx, call.tenant, ticket, lifetime=_lifetime(body.ttl_sec))
    return {"ticket": f"{call.tenant.issuer}u/email-verification?ticket={value}#"}


async def password_change(call: Call) -> dict[str, str]:
    """A link under which the user sets a new password."""
    body: PasswordChange = call.body
    if isinstance(body.user_id, str):
        user_id = body.user_id
    elif isinstance(body.email, str) and isinstance(body.connection_id, str):
        user_id = await _user_by_email(call, body.connection_id, body.email)
    else:
        raise BadRequest("Payload validation error: 'Missing required property: user_id'.", code="invalid_body")
    user = await _user(call, user_id)
    payload = {"identity": _identity(user), "email": user.get("email"), **_common(body)}
    if body.mark_email_as_verified is True:
        payload["mark_email_as_verified"] = True
    ticket = Ticket(kind="password_change", user_id=user_id, payload=payload)
    value = await issue_ticket(call.tx, call.tenant, ticket, lifetime=_lifetime(body.ttl_sec))
    return {"ticket": f"{call.tenant.issuer}u/reset-password?ticket={value}#"}


async def _user(call: Call, user_id: str) -> dict[str, Any]:
    record = await documents.read(call.reader, call.tenant, call.tenant.registry.collection("users"), user_id)
    if record is None:
        raise NotFound("The user does not exist.", code="inexistent_user")
    return record.document


async def _user_by_email(call: Call, connection_id: str, email: str) -> str:
    connections = call.tenant.registry.collection("connections")
    connection = await documents.read(call.reader, call.tenant, connections, connection_id)
    if connection is None:
        raise NotFound("The connection does not exist", code="inexistent_connection")
    users = call.tenant.registry.collection("users")
    for record in await documents.select(call.reader, call.tenant, users, email=email):
        if record.document["identities"][0]["connection"] == connection.document["name"]:
            return record.id
    raise NotFound("The user does not exist.", code="inexistent_user")


def _identity(user: dict[str, Any]) -> str:
    """The database identity of a user. Raises BadRequest when there is none."""
    for identity in user["identities"]:
        if identity["provider"] == "auth0":
            return f"auth0|{identity['user_id']}"
    raise BadRequest("The user's main connection does not support this operation", code="operation_not_supported")


def _common(body: EmailVerification | PasswordChange) -> dict[str, Any]:
    given = {
        "result_url": body.result_url,
        "client_id": body.client_id,
        "include_email": body.includeEmailInRedirect,
    }
    return {name: value for name, value in given.items() if value is not UNSET}


def _lifetime(ttl_s: int | UnsetType) -> timedelta:
    return timedelta(seconds=ttl_s) if isinstance(ttl_s, int) and ttl_s > 0 else LIFETIME


OPERATIONS = (
    Operation(
        method="POST", path="tickets/email-verification", scopes=("create:user_tickets",), body=EmailVerification,
        handler=email_verification, name="tickets.email_verification", status=201,
        audit="Create an email verification ticket",
    ),
    Operation(
        method="POST", path="tickets/password-change", scopes=("create:user_tickets",), body=PasswordChange,
        handler=password_change, name="tickets.password_change", status=201, audit="Create a password change ticket",
    ),
)  # fmt: skip
