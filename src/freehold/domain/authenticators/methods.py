"""`/users/{id}/authentication-methods` in the Management API: a user's factors, one by one or all at once.

A TOTP secret goes in and never comes out. Numbers and addresses are shown with most of them hidden, except in the
answer to the request that brought them.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from freehold.domain.authenticators.authenticators import (
    Authenticator,
    add_other,
    add_totp,
    factors_of,
    open_preference,
    open_secret,
    prefer,
    remove,
    remove_all,
    rename,
)
from freehold.domain.users.documents import USERS
from freehold.domain.users.identifiers import is_email
from freehold.kernel.clock import iso, parse_iso
from freehold.kernel.crypto.otp import BadTotpSecret, normalise_code, totp_key
from freehold.kernel.declare import Length, Operation, Pattern, documents
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.documents import Record
from freehold.kernel.declare.paging import Page, answer
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import BadRequest, Conflict, NotFound
from freehold.kernel.store import Reader

MOST_METHODS = 20
Preferred = Literal["voice", "sms"]
Phone = Annotated[str, Pattern(r"^\+[0-9]{1,15}$")]
_KNOWN = frozenset({"totp", "phone", "email"})


class NewMethod(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A factor that an administrator gives a user."""

    type: Literal["phone", "email", "totp", "webauthn-roaming", "passkey"]
    name: Annotated[str, Length(1, 255)] | UnsetType = UNSET
    totp_secret: Annotated[str, Length(1, 1_024)] | UnsetType = UNSET
    phone_number: Phone | UnsetType = UNSET
    email: Annotated[str, Length(1, 320)] | UnsetType = UNSET
    preferred_authentication_method: Preferred | UnsetType = UNSET
    key_id: str | UnsetType = UNSET
    public_key: str | UnsetType = UNSET
    aaguid: str | UnsetType = UNSET
    relying_party_identifier: str | UnsetType = UNSET
    credential_device_type: Literal["single_device", "multi_device"] | UnsetType = UNSET
    credential_backed_up: bool | UnsetType = UNSET
    identity_user_id: str | UnsetType = UNSET
    user_agent: str | UnsetType = UNSET
    user_handle: str | UnsetType = UNSET
    transports: list[str] | UnsetType = UNSET


class ReplacedMethod(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One of the factors that take the place of all others."""

    type: Literal["phone", "email", "totp"]
    name: Annotated[str, Length(1, 20)] | UnsetType = UNSET
    totp_secret: Annotated[str, Length(1, 1_024)] | UnsetType = UNSET
    phone_number: Phone | UnsetType = UNSET
    email: Annotated[str, Length(1, 320)] | UnsetType = UNSET
    preferred_authentication_method: Preferred | UnsetType = UNSET


class MethodPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What may change about a factor."""

    name: Annotated[str, Length(1, 255)] | UnsetType = UNSET
    preferred_authentication_method: Preferred | UnsetType = UNSET


class _Missing(NotFound):
    def __init__(self) -> None:
        super().__init__("Authentication method not found", code="authentication_method_not_found")


async def list_methods(call: Call) -> Any:
    """A user's factors. Raises NotFound."""
    record = await _user(call.store, call)
    page = Page.offset(call)
    known = (await factors_of(call.store, call.tenant, record.id)).all
    methods = [await _shown(call.store, call, record, one) for one in known[page.start : page.start + page.size]]
    if page.totals and not known:  # recorded: an empty list has no total
        return answer(page, "authenticators", methods)
    return answer(page, "authenticators", methods, total=len(known))


async def get_method(call: Call) -> dict[str, Any]:
    """One factor. Raises NotFound."""
    record = await _user(call.store, call)
    return await _shown(call.store, call, record, await _found(call.store, call, record))


async def post_method(call: Call) -> dict[str, Any]:
    """Give a user a factor, confirmed. Raises NotFound, BadRequest."""
    record = await _user(call.tx, call)
    made, _ = await _add(call, record, call.body)
    shown = await _shown(call.tx, call, record, made)
    shown.pop("confirmed")
    return shown


async def put_methods(call: Call) -> list[dict[str, Any]]:
    """Put these factors in the place of all the user has; the recovery code stays. Raises NotFound, BadRequest."""
    record = await _user(call.tx, call)
    bodies: list[ReplacedMethod] = call.body
    known = await factors_of(call.tx, call.tenant, record.id)
    await remove(call.tx, call.tenant, [one for one in known.all if one.type != "recovery-code"])
    answers = []
    for body in bodies:
        made, value = await _add(call, record, body)
        shown = await _shown(call.tx, call, record, made)
        shown.pop("confirmed")
        if made.type in {"phone", "email"}:
            shown["phone_number" if made.type == "phone" else "email"] = value
        answers.append(shown)
    return answers


async def patch_method(call: Call) -> dict[str, Any]:
    """Change a factor's name, or how codes reach a phone. Raises NotFound, BadRequest."""
    record = await _user(call.tx, call)
    one = await _found(call.tx, call, record)
    body: MethodPatch = call.body
    if body.preferred_authentication_method is not UNSET:
        if one.type != "phone":
            raise BadRequest("The authentication method has no such member.", code="operation_not_supported")
        await prefer(call.tx, call.tenant, one, body.preferred_authentication_method)
    if body.name is not UNSET:
        one = await rename(call.tx, call.tenant, one, body.name)
    shown = await _shown(call.tx, call, record, one)
    shown.pop("confirmed")
    return shown


async def delete_method(call: Call) -> None:
    """Take one factor away. Raises NotFound."""
    record = await _user(call.tx, call)
    await remove(call.tx, call.tenant, [await _found(call.tx, call, record)])


async def delete_methods(call: Call) -> None:
    """Take every factor away, the recovery code too. Raises NotFound."""
    record = await _user(call.tx, call)
    await remove_all(call.tx, call.tenant, record.id)


async def _add(call: Call, record: Record, body: NewMethod | ReplacedMethod) -> tuple[Authenticator, str]:
    """Store one factor; answers it and what it was made of."""
    given: dict[str, Any] = msgspec.to_builtins(body)
    if body.type not in _KNOWN:
        raise BadRequest(f"Authentication methods of type {body.type} cannot be made on this server yet.",
                         code="operation_not_supported")  # fmt: skip
    wanted = {"totp": "totp_secret", "phone": "phone_number", "email": "email"}[body.type]
    if wanted not in given:
        raise InvalidBody(f"Payload validation error: 'Missing required property: {wanted}'.")
    known = await factors_of(call.tx, call.tenant, record.id)
    if len(known.all) >= MOST_METHODS:
        await call.tenant.events.record(call.tx, call.tenant, "too_many_records", user_id=record.id)
        raise BadRequest("The user has too many authentication methods.", code="too_many_authentication_methods")
    value, name = str(given[wanted]), given.get("name")
    for one in known.all:
        if one.type == body.type and normalise_code(await open_secret(call.tx, call.tenant, one)) == normalise_code(
            value
        ):
            raise Conflict("Authentication method already exists.", code="authentication_method_already_exists")
    if body.type == "totp":
        try:
            totp_key(value)
        except BadTotpSecret:
            raise InvalidBody("Payload validation error: 'String is not Base32' on property totp_secret.") from None
        return await add_totp(call.tx, call.tenant, record.id, secret=value, name=name), ""
    if body.type == "email":
        value = _address(value)
    other: Literal["phone", "email"] = "phone" if body.type == "phone" else "email"
    preferred = given.get("preferred_authentication_method", "sms")
    made = await add_other(call.tx, call.tenant, record.id, other, value, name=name, preferred=preferred)
    return made, value


def _stored(type_: str, value: str) -> str:
    """What lies in the vault of a value that was given."""
    return normalise_code(value).rstrip("=") if type_ == "totp" else value


def _address(value: str) -> str:
    if not is_email(value):
        raise InvalidBody(
            "Payload validation error: 'Object didn't pass validation for format email' on property email."
        )
    return value


async def _shown(reader: Reader, call: Call, record: Record, one: Authenticator) -> dict[str, Any]:
    """A factor as the API shows it; an imported one is as old as its user."""
    created = one.created_at_ms if one.created_at_ms is not None else _ms(record.document["created_at"])
    shown: dict[str, Any] = {"id": one.id, "type": one.type, "confirmed": one.confirmed}
    if one.name is not None:
        shown["name"] = one.name
    if one.type == "phone":
        shown["phone_number"] = _hidden_number(await open_secret(reader, call.tenant, one))
        preferred = await open_preference(reader, call.tenant, one)
        shown["preferred_authentication_method"] = preferred
        shown["authentication_methods"] = [{"id": f"{preferred}|{one.device_id}", "type": preferred}]
    elif one.type == "email":
        shown["email"] = _hidden_address(await open_secret(reader, call.tenant, one))
    shown["created_at"] = iso(created)
    if one.enrolled_at_ms is not None and one.type in {"totp", "recovery-code"} and one.last_auth_at_ms is not None:
        shown["enrolled_at"] = iso(one.enrolled_at_ms)
    if one.last_auth_at_ms is not None:
        shown["last_auth_at"] = iso(one.last_auth_at_ms)
    return shown


def _ms(moment: str) -> int:
    return int(parse_iso(moment).timestamp() * 1000)


def _hidden_number(number: str) -> str:
    return "X" * max(0, len(number) - 4) + number[-4:]


def _hidden_address(address: str) -> str:
    """`chuc****@exam*******`: the first four characters of each part, and nothing of one that is shorter than that."""
    local, _, host = address.partition("@")
    return f"{_start(local)}@{_start(host)}"


def _start(part: str) -> str:
    return part[:4] + "*" * (len(part) - 4) if len(part) > 4 else "*" * 4


async def _user(reader: Reader, call: Call) -> Record:
    record = await documents.read(reader, call.tenant, USERS, call.params["id"])
    if record is None:
        raise documents.missing(USERS)
    return record


async def _found(reader: Reader, call: Call, record: Record) -> Authenticator:
    known = await factors_of(reader, call.tenant, record.id)
    one = next((one for one in known.all if one.id == call.params["authentication_method_id"]), None)
    if one is None:
        raise _Missing
    return one


_ONE, _ALL = "users/{id}/authentication-methods/{authentication_method_id}", "users/{id}/authentication-methods"
OPERATIONS = (
    Operation(
        method="GET", path=_ALL, scopes=("read:authentication_methods",), handler=list_methods,
        name="users.authentication_methods.list",
    ),
    Operation(
        method="GET", path=_ONE, scopes=("read:authentication_methods",), handler=get_method,
        name="users.authentication_methods.get",
    ),
    Operation(
        method="POST", path=_ALL, scopes=("create:authentication_methods",), body=NewMethod, handler=post_method,
        name="users.authentication_methods.create", status=201, audit="Create an authentication method for a User",
    ),
    Operation(
        method="PUT", path=_ALL, scopes=("update:authentication_methods",), handler=put_methods,
        body=Annotated[list[ReplacedMethod], Length(0, MOST_METHODS)],
        name="users.authentication_methods.set", audit="Set the authentication methods of a User",
    ),
    Operation(
        method="PATCH", path=_ONE, scopes=("update:authentication_methods",), body=MethodPatch, handler=patch_method,
        name="users.authentication_methods.update", audit="Update an authentication method of a User",
    ),
    Operation(
        method="DELETE", path=_ONE, scopes=("delete:authentication_methods",), handler=delete_method,
        name="users.authentication_methods.delete", status=204, audit="Delete an authentication method of a User",
    ),
    Operation(
        method="DELETE", path=_ALL, scopes=("delete:authentication_methods",), handler=delete_methods,
        name="users.authentication_methods.delete_all", status=204,
        audit="Delete all authentication methods of a User",
    ),
)  # fmt: skip
