"""Links that an executive is mailed: one to enrol a passkey, one to sign a form with it. Each works once.

Whoever follows a link is not signed in, so it holds all there is: a random value, of which the hash is stored. Looking
does not use it, because mail scanners follow links. The pages are elsewhere; this is what they call.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any, Literal

import msgspec

from freehold.domain.audit import AuditActor
from freehold.domain.ceremonies.evidence.executives import (
    EnrolledExecutive,
    find_executive,
    get_executive,
    put_passkeys,
)
from freehold.domain.ceremonies.evidence.signatories import ExecutivePasskey
from freehold.domain.sessions.tokens import hashed, new_secret, plausible
from freehold.kernel.crypto.jose import b64u_encode
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import BadRequest, Conflict, FreeholdError
from freehold.kernel.store import Reader, Transaction

Purpose = Literal["passkey", "sign"]
State = Literal["open", "used", "expired", "unknown"]
LIFETIME = timedelta(hours=72)
_CHALLENGE = b"freehold.executive.v1\0"
_TIMEOUT_MS = 300_000


class ExecutiveLinkOver(FreeholdError):
    """410: the link was used, is too old, or is unknown."""

    status, code = 410, "link_over"

    def __init__(self, state: State) -> None:
        super().__init__("This link was used before, is too old, or was withdrawn. Ask for a new one.")
        self.state = state


class ExecutiveLink(msgspec.Struct, frozen=True, kw_only=True):
    """What a link is for; a link for signing names the ceremony and the request's digest (hexadecimal)."""

    purpose: Purpose
    executive: EnrolledExecutive
    ceremony_id: str
    digest: str
    issued_by: str
    expires_at_ms: int


async def issue_executive_link(
    tx: Transaction,
    tenant: TenantScope,
    executive_id: str,
    *,
    purpose: Purpose,
    issued_by: str,
    ceremony_id: str = "",
    digest: str = "",
    lifetime: timedelta = LIFETIME,
) -> str:
    """A link's value, for its address; earlier ones for the same are worthless from now on. Raises UnknownExecutive."""
    await get_executive(tx, tenant, executive_id)
    await tx.run(
        """delete from executive_links where tenant_id = :tenant_id and executive_id = :executive_id
        and purpose = :purpose and ceremony_id = :ceremony_id and used_at_ms is null""",
        tenant_id=tenant.id,
        executive_id=executive_id,
        purpose=purpose,
        ceremony_id=ceremony_id,
    )
    value, value_hash = new_secret()
    await tx.run(
        """insert into executive_links
        (tenant_id, value_hash, purpose, executive_id, ceremony_id, digest, issued_by, expires_at_ms)
        values (:tenant_id, :value_hash, :purpose, :executive_id, :ceremony_id, :digest, :by, :expires)""",
        tenant_id=tenant.id,
        value_hash=value_hash,
        purpose=purpose,
        executive_id=executive_id,
        ceremony_id=ceremony_id,
        digest=digest,
        by=issued_by,
        expires=tenant.clock.now_ms() + int(lifetime.total_seconds() * 1000),
    )
    return value


async def find_executive_link(
    reader: Reader, tenant: TenantScope, value: str | None, purpose: Purpose
) -> tuple[State, ExecutiveLink | None]:
    """A link and what state it is in, without using it."""
    if not value or not plausible(value):
        return "unknown", None
    row = await reader.one(
        """select executive_id, ceremony_id, digest, issued_by, expires_at_ms, used_at_ms from executive_links
        where tenant_id = :tenant_id and value_hash = :value_hash and purpose = :purpose""",
        tenant_id=tenant.id,
        value_hash=hashed(value),
        purpose=purpose,
    )
    executive = None if row is None else await find_executive(reader, tenant, row[0])
    if row is None or executive is None:
        return "unknown", None
    link = ExecutiveLink(
        purpose=purpose, executive=executive, ceremony_id=row[1], digest=row[2], issued_by=row[3], expires_at_ms=row[4]
    )
    if row[5] is not None:
        return "used", link
    return ("expired" if row[4] <= tenant.clock.now_ms() else "open"), link


async def use_executive_link(tx: Transaction, tenant: TenantScope, value: str, purpose: Purpose) -> ExecutiveLink:
    """Use a link; exactly one caller gets it. Raises ExecutiveLinkOver."""
    state, link = await find_executive_link(tx, tenant, value, purpose)
    if state != "open" or link is None:
        raise ExecutiveLinkOver(state)
    now = tenant.clock.now_ms()
    won = await tx.run(
        """update executive_links set used_at_ms = :now where tenant_id = :tenant_id and value_hash = :value_hash
        and used_at_ms is null and expires_at_ms > :now""",
        now=now,
        tenant_id=tenant.id,
        value_hash=hashed(value),
    )
    if not won:
        raise ExecutiveLinkOver("used")
    return link


def enrolment_options(tenant: TenantScope, link: ExecutiveLink, value: str) -> dict[str, Any]:
    """What `navigator.credentials.create` is asked for."""
    from webauthn import generate_registration_options, options_to_json
    from webauthn.helpers.structs import (
        AttestationConveyancePreference,
        AuthenticatorSelectionCriteria,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    executive = link.executive
    options = generate_registration_options(
        rp_id=rp_id(tenant),
        rp_name=tenant.name,
        user_id=executive.id.encode(),
        user_name=executive.email,
        user_display_name=executive.name,
        challenge=_challenge(value),
        timeout=_TIMEOUT_MS,
        attestation=AttestationConveyancePreference.DIRECT,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
    )
    return dict(json.loads(options_to_json(options)))


async def enrol_passkey(
    tx: Transaction, tenant: TenantScope, value: str, response: Mapping[str, Any], *, ip: str = ""
) -> EnrolledExecutive:
    """Use a link and keep the passkey that answers it. Raises ExecutiveLinkOver, BadRequest, Conflict."""
    from webauthn import verify_registration_response
    from webauthn.helpers.exceptions import WebAuthnException

    link = await use_executive_link(tx, tenant, value, "passkey")
    try:
        verified = verify_registration_response(
            credential=dict(response),
            expected_challenge=_challenge(value),
            expected_rp_id=rp_id(tenant),
            expected_origin=origin(tenant),
            require_user_verification=True,
        )
        attestation = str(response["response"]["attestationObject"])[:16_000]
    except (WebAuthnException, ValueError, TypeError, KeyError, AttributeError):
        raise BadRequest("The passkey could not be accepted. Try again.", code="invalid_passkey") from None
    passkey = ExecutivePasskey(
        credential_id=b64u_encode(verified.credential_id).decode(),
        public_key=b64u_encode(verified.credential_public_key).decode(),
        attestation=attestation,
    )
    present = link.executive.signatory.passkeys
    if passkey.credential_id in {one.credential_id for one in present}:
        raise Conflict("This passkey is enrolled already.", code="passkey_exists")
    executive = link.executive
    actor = AuditActor("executive", id=executive.id, email=executive.email, ip=ip)
    return await put_passkeys(tx, tenant, executive.id, [*present, passkey], actor=actor)


def signing_options(tenant: TenantScope, executive: EnrolledExecutive, issued: bytes) -> dict[str, Any]:
    """What `navigator.credentials.get` is asked for, to sign the form: its SHA-256 is the challenge.

    The answer, as JSON, goes to `verify_signed_form` as kind `webauthn`, with `rp_id` and `origin` in the policy.
    """
    from webauthn import base64url_to_bytes, generate_authentication_options, options_to_json
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor, UserVerificationRequirement

    known = [base64url_to_bytes(one.credential_id) for one in executive.signatory.passkeys]
    options = generate_authentication_options(
        rp_id=rp_id(tenant),
        challenge=sha256(issued).digest(),
        timeout=_TIMEOUT_MS,
        allow_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return dict(json.loads(options_to_json(options)))


def rp_id(tenant: TenantScope) -> str:
    """The host that executives' passkeys belong to."""
    return tenant.domain.rpartition(":")[0] or tenant.domain


def origin(tenant: TenantScope) -> str:
    """Where a passkey's answer must come from."""
    return f"https://{tenant.domain}"


def _challenge(value: str) -> bytes:
    """A link works once, and so does the challenge that is made of it."""
    return sha256(_CHALLENGE + value.encode()).digest()
