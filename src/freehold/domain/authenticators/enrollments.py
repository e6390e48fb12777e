"""Guardian's view of a user's factors: enrollments, tickets to enrol one, and resetting a user.

An enrollment is an authenticator under its `dev_...` id. A ticket is a link under which the user enrols an app on our
page; whoever sends it vouches for the person who gets it.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from freehold.domain.authenticators.authenticators import (
    Authenticator,
    factors_of,
    forget_browsers,
    remove,
    remove_all,
    replace_recovery,
)
from freehold.domain.authenticators.verifying import fresh_recovery
from freehold.domain.tickets import Ticket, issue_ticket
from freehold.domain.users.accounts import save_user
from freehold.domain.users.documents import USERS
from freehold.domain.users.operations import check_self
from freehold.kernel.clock import iso
from freehold.kernel.declare import Length, Operation, documents
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.documents import Record
from freehold.kernel.errors import BadRequest, NotFound
from freehold.kernel.store import Reader

TICKET_PATH = "u/mfa-enrollment"
_PROVIDERS = {"duo", "google-authenticator"}
_BY_DEVICE = (
    "select user_id from authenticators where tenant_id = :tenant_id and id in (:totp, :recovery, :phone, :email)"
)


class EnrollmentTicket(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of POST on guardian/enrollments/ticket."""

    user_id: Annotated[str, Length(1, 255)]
    email: Annotated[str, Length(1, 320)] | UnsetType = UNSET
    send_mail: bool | UnsetType = UNSET
    email_locale: Annotated[str, Length(1, 16)] | UnsetType = UNSET
    factor: (
        Literal["push-notification", "phone", "email", "otp", "webauthn-roaming", "webauthn-platform"] | UnsetType
    ) = UNSET
    allow_multiple_enrollments: bool | UnsetType = UNSET


class _Missing(NotFound):
    def __init__(self) -> None:
        super().__init__("Enrollment not found", code="enrollment_not_found")


async def post_ticket(call: Call) -> dict[str, str]:
    """A link under which the user enrols an authenticator app. Raises NotFound, BadRequest."""
    body: EnrollmentTicket = call.body
    record = await _user(call.tx, call, body.user_id)
    if body.factor is not UNSET and body.factor != "otp":
        raise BadRequest(f"The factor {body.factor} cannot be enrolled on this server.", code="operation_not_supported")
    payload: dict[str, Any] = {"allow_multiple": body.allow_multiple_enrollments is True}
    ticket = Ticket(kind="mfa_enrollment", user_id=record.id, payload=payload)
    value = await issue_ticket(call.tx, call.tenant, ticket)
    url = f"{call.tenant.issuer}{TICKET_PATH}?ticket={value}"
    if body.send_mail is True:
        email = body.email if isinstance(body.email, str) else None
        await call.services.mail.send_mfa_enrollment(call.tx, call.tenant, record.id, to=email, ticket=payload)
    await call.tenant.events.record(call.tx, call.tenant, "gd_start_enroll", user_id=record.id)
    return {"ticket_id": value, "ticket_url": url}


async def get_enrollment(call: Call) -> dict[str, Any]:
    """One enrollment. Raises NotFound."""
    return _shown(await _found(call.store, call))


async def delete_enrollment(call: Call) -> None:
    """Take one factor away. Raises NotFound."""
    one = await _found(call.tx, call)
    await remove(call.tx, call.tenant, [one])


async def list_enrollments(call: Call) -> list[dict[str, Any]]:
    """A user's apps. Raises NotFound."""
    check_self(call.actor, call.params["id"], "read:users")
    record = await _user(call.store, call, call.params["id"])
    known = await factors_of(call.store, call.tenant, record.id)
    return [
        {**_shown(one), "type": one.type, "auth_method": _METHODS[one.type]}
        for one in known.all
        if one.type in _METHODS
    ]


async def delete_authenticators(call: Call) -> None:
    """Reset a user: every factor and the recovery code go. Raises NotFound."""
    record = await _user(call.tx, call, call.params["id"])
    await remove_all(call.tx, call.tenant, record.id)


async def delete_multifactor(call: Call) -> None:
    """Take a factor off by its provider. Raises NotFound, BadRequest for a provider that is none."""
    provider = call.params["provider"]
    if provider not in _PROVIDERS:
        raise BadRequest(f"Path validation error: 'No enum match for: {provider[:40]}' on property provider.",
                         code="invalid_uri")  # fmt: skip
    record = await _user(call.tx, call, call.params["id"])
    factors = record.document.get("multifactor") or []
    if provider in factors:
        left = [factor for factor in factors if factor != provider]
        modified = {"multifactor": left, "multifactor_last_modified": iso(call.tenant.clock.now_ms())}
        await save_user(call.tx, call.tenant, record, {**record.document, **modified})
    if provider == "google-authenticator":
        known = await factors_of(call.tx, call.tenant, record.id)
        await remove(call.tx, call.tenant, known.totp)


async def invalidate_browsers(call: Call) -> None:
    """Have every browser asked for the second factor again. Raises NotFound."""
    record = await _user(call.tx, call, call.params["id"])
    await forget_browsers(call.tx, call.tenant, record.id)


async def make_recovery(call: Call) -> tuple[str, str]:
    """The new code and its hash."""
    return await fresh_recovery(call.services.passwords)


async def regenerate_recovery(call: Call) -> dict[str, str]:
    """A new recovery code in the place of the old one, shown this once. Raises NotFound."""
    record = await _user(call.tx, call, call.params["id"])
    code, stored = call.prepared
    await replace_recovery(call.tx, call.tenant, record.id, stored)
    return {"recovery_code": code}


async def _user(reader: Reader, call: Call, user_id: str) -> Record:
    record = await documents.read(reader, call.tenant, USERS, user_id)
    if record is None:
        raise documents.missing(USERS)
    return record


async def _found(reader: Reader, call: Call) -> Authenticator:
    """The authenticator of the id in the path: one that was made or used here."""
    wanted = call.params["id"]
    row = await reader.one(
        _BY_DEVICE,
        tenant_id=call.tenant.id,
        totp=f"totp|{wanted}",
        recovery=f"recovery-code|{wanted}",
        phone=f"phone|{wanted}",
        email=f"email|{wanted}",
    )
    known = await factors_of(reader, call.tenant, row[0]) if row is not None else None
    one = next((one for one in known.all if one.device_id == wanted), None) if known is not None else None
    if one is None:
        raise _Missing
    return one


_METHODS = {"totp": "authenticator", "phone": "sms", "email": "email"}


def _shown(one: Authenticator) -> dict[str, Any]:
    shown = {
        "id": one.device_id,
        "status": "confirmed" if one.confirmed else "pending",
        "name": one.name,
        "enrolled_at": None if one.enrolled_at_ms is None else iso(one.enrolled_at_ms),
        "last_auth": None if one.last_auth_at_ms is None else iso(one.last_auth_at_ms),
    }
    return {name: value for name, value in shown.items() if value is not None}


_UPDATE = ("update:users",)
OPERATIONS = (
    Operation(
        method="POST", path="guardian/enrollments/ticket", scopes=("create:guardian_enrollment_tickets",),
        body=EnrollmentTicket, handler=post_ticket, name="guardian.enrollments.ticket",
        audit="Create a multi-factor enrollment ticket",
    ),
    Operation(
        method="GET", path="guardian/enrollments/{id}", scopes=("read:guardian_enrollments",), handler=get_enrollment,
        name="guardian.enrollments.get",
    ),
    Operation(
        method="DELETE", path="guardian/enrollments/{id}", scopes=("delete:guardian_enrollments",),
        handler=delete_enrollment, name="guardian.enrollments.delete", status=204,
        audit="Delete a multi-factor enrollment",
    ),
    Operation(
        method="GET", path="users/{id}/enrollments", scopes=("read:users", "read:current_user"),
        handler=list_enrollments, name="users.enrollments.list",
    ),
    Operation(
        method="DELETE", path="users/{id}/authenticators", scopes=("delete:guardian_enrollments",),
        handler=delete_authenticators, name="users.authenticators.delete", status=204,
        audit="Delete all of a User's authenticators",
    ),
    Operation(
        method="DELETE", path="users/{id}/multifactor/{provider}", scopes=_UPDATE, handler=delete_multifactor,
        name="users.multifactor.delete", status=204, audit="Delete a User's Multifactor Provider",
    ),
    Operation(
        method="POST", path="users/{id}/multifactor/actions/invalidate-remember-browser", scopes=_UPDATE,
        handler=invalidate_browsers, name="users.multifactor.invalidate_remember_browser", status=204,
        audit="Invalidate all remembered browsers of a User",
    ),
    Operation(
        method="POST", path="users/{id}/recovery-code-regeneration", scopes=_UPDATE, before=make_recovery,
        handler=regenerate_recovery, name="users.recovery_code.regenerate",
        audit="Generate a new multi-factor recovery code",
    ),
)  # fmt: skip
