"""Passkeys of administrators (WebAuthn level 3): several each, and only such as check who holds them.

A passkey belongs to the tenant's host. Whoever answers a challenge with one has shown two factors at once: the device,
and the finger, face or PIN that it asked for. An answer is checked against the challenge that it was given for, our
origin and the stored key; a counter that does not rise tells of a copied key, which is refused.
"""

import binascii
import json
from base64 import urlsafe_b64decode
from typing import Any

import msgspec

from freehold.domain.administrators.people import Administrator
from freehold.kernel.crypto.jose import b64u_encode
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import BadRequest, Conflict, Forbidden
from freehold.kernel.store import Reader, Transaction, UniqueViolation

MOST_PASSKEYS = 20
LONGEST_NAME = 60
_TIMEOUT_MS = 120_000

_SELECT = """select credential_id, administrator_id, name, public_key, sign_count, transports, created_at_ms,
last_used_at_ms from administrator_passkeys where tenant_id = :tenant_id """


class Passkey(msgspec.Struct, frozen=True, kw_only=True):
    """A passkey that was registered; `credential_id` and `public_key` (COSE) are base64url."""

    credential_id: str
    administrator_id: str
    name: str
    public_key: str
    sign_count: int
    transports: tuple[str, ...]
    created_at_ms: int
    last_used_at_ms: int | None


class Assertion(msgspec.Struct, frozen=True, kw_only=True):
    """A signature by a passkey, with all that is needed to check it again without us.

    The signature covers `authenticator_data` and the SHA-256 of `client_data_json`, which holds the challenge.
    """

    credential_id: str
    public_key: bytes
    authenticator_data: bytes
    client_data_json: bytes
    signature: bytes


class PasskeyRefused(Forbidden):
    """403: the passkey's answer does not hold. Why is for the log, not for the visitor."""

    code = "invalid_passkey"

    def __init__(self, reason: str) -> None:
        super().__init__("The passkey could not be accepted. Try again.")
        self.reason = reason


async def passkeys_of(reader: Reader, tenant: TenantScope, administrator_id: str) -> list[Passkey]:
    """Somebody's passkeys, the oldest first."""
    rows = await reader.all(
        _SELECT + "and administrator_id = :administrator_id order by created_at_ms, credential_id",
        tenant_id=tenant.id,
        administrator_id=administrator_id,
    )
    return [_passkey(row) for row in rows]


async def find_passkey(reader: Reader, tenant: TenantScope, credential_id: str) -> Passkey | None:
    """The passkey with this id, whoever has it."""
    row = await reader.one(_SELECT + "and credential_id = :id", tenant_id=tenant.id, id=credential_id)
    return None if row is None else _passkey(row)


async def registration_options(
    reader: Reader, tenant: TenantScope, administrator: Administrator, *, challenge: bytes, tenant_name: str = ""
) -> dict[str, Any]:
    """What `navigator.credentials.create` is asked for; a device that is registered already is left out."""
    from webauthn import generate_registration_options, options_to_json
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    known = await passkeys_of(reader, tenant, administrator.id)
    options = generate_registration_options(
        rp_id=rp_id(tenant),
        rp_name=tenant_name or tenant.name,
        user_id=administrator.id.encode(),
        user_name=administrator.email,
        user_display_name=administrator.name,
        challenge=challenge,
        timeout=_TIMEOUT_MS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[_descriptor(passkey) for passkey in known],
    )
    return dict(json.loads(options_to_json(options)))


async def register_passkey(
    tx: Transaction,
    tenant: TenantScope,
    administrator: Administrator,
    *,
    challenge: bytes,
    response: dict[str, Any],
    name: str = "",
) -> Passkey:
    """Keep a new passkey. Raises PasskeyRefused, Conflict when it is registered already, here or for somebody else."""
    from webauthn import verify_registration_response
    from webauthn.helpers.exceptions import WebAuthnException

    known = await passkeys_of(tx, tenant, administrator.id)
    if len(known) >= MOST_PASSKEYS:
        raise BadRequest(f"One person can have {MOST_PASSKEYS} passkeys.")
    try:
        _check_not_framed(response)
        verified = verify_registration_response(
            credential=response,
            expected_challenge=challenge,
            expected_rp_id=rp_id(tenant),
            expected_origin=origin(tenant),
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise PasskeyRefused(str(error)) from None
    credential_id = b64u_encode(verified.credential_id).decode()
    try:
        await tx.run(
            """insert into administrator_passkeys (tenant_id, credential_id, administrator_id, name, public_key,
            sign_count, transports, aaguid, created_at_ms)
            values (:tenant_id, :credential_id, :administrator_id, :name, :public_key, :sign_count, :transports,
            :aaguid, :now)""",
            tenant_id=tenant.id,
            credential_id=credential_id,
            administrator_id=administrator.id,
            name=" ".join(name.split())[:LONGEST_NAME] or f"Passkey {len(known) + 1}",
            public_key=b64u_encode(verified.credential_public_key).decode(),
            sign_count=verified.sign_count,
            transports=msgspec.json.encode(_transports(response)).decode(),
            aaguid=verified.aaguid,
            now=tenant.clock.now_ms(),
        )
    except UniqueViolation:
        raise Conflict("This passkey is registered already.", code="passkey_exists") from None
    found = await find_passkey(tx, tenant, credential_id)
    assert found is not None
    return found


async def remove_passkey(tx: Transaction, tenant: TenantScope, administrator_id: str, credential_id: str) -> bool:
    """Forget one of somebody's passkeys; False when they have no such one."""
    return (
        await tx.run(
            """delete from administrator_passkeys where tenant_id = :tenant_id and credential_id = :credential_id
            and administrator_id = :administrator_id""",
            tenant_id=tenant.id,
            credential_id=credential_id,
            administrator_id=administrator_id,
        )
        > 0
    )


async def assertion_options(
    reader: Reader, tenant: TenantScope, administrator: Administrator | None, *, challenge: bytes
) -> dict[str, Any]:
    """What `navigator.credentials.get` is asked for: a passkey of this administrator, or, with None, of whoever it is.

    The challenge is the caller's: 32 random bytes, or the digest of what is approved by the signature.
    """
    from webauthn import generate_authentication_options, options_to_json
    from webauthn.helpers.structs import UserVerificationRequirement

    known = [] if administrator is None else await passkeys_of(reader, tenant, administrator.id)
    options = generate_authentication_options(
        rp_id=rp_id(tenant),
        challenge=challenge,
        timeout=_TIMEOUT_MS,
        allow_credentials=[_descriptor(passkey) for passkey in known],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return dict(json.loads(options_to_json(options)))


async def verify_assertion(
    tx: Transaction, tenant: TenantScope, administrator: Administrator, *, challenge: bytes, response: dict[str, Any]
) -> Assertion:
    """Check a passkey's answer to a challenge, and note its use. Raises PasskeyRefused."""
    from webauthn import verify_authentication_response
    from webauthn.helpers.exceptions import WebAuthnException

    passkey = await find_passkey(tx, tenant, credential_id_of(response))
    if passkey is None or passkey.administrator_id != administrator.id:
        raise PasskeyRefused("no passkey of this administrator")
    try:
        _check_not_framed(response)
        verified = verify_authentication_response(
            credential=response,
            expected_challenge=challenge,
            expected_rp_id=rp_id(tenant),
            expected_origin=origin(tenant),
            credential_public_key=_decoded(passkey.public_key),
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
        answer = response["response"]
        assertion = Assertion(
            credential_id=passkey.credential_id,
            public_key=_decoded(passkey.public_key),
            authenticator_data=_decoded(answer["authenticatorData"]),
            client_data_json=_decoded(answer["clientDataJSON"]),
            signature=_decoded(answer["signature"]),
        )
    except (WebAuthnException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise PasskeyRefused(str(error)) from None
    # Of two answers at once with one counter only the first is taken.
    noted = await tx.run(
        """update administrator_passkeys set sign_count = :new, last_used_at_ms = :now
        where tenant_id = :tenant_id and credential_id = :credential_id and sign_count = :old""",
        new=verified.new_sign_count,
        now=tenant.clock.now_ms(),
        tenant_id=tenant.id,
        credential_id=passkey.credential_id,
        old=passkey.sign_count,
    )
    if not noted:
        raise PasskeyRefused("the counter moved meanwhile")
    return assertion


def credential_id_of(response: dict[str, Any]) -> str:
    """Which passkey answers, as it says itself."""
    value = response.get("id")
    return value if isinstance(value, str) else ""


def rp_id(tenant: TenantScope) -> str:
    """The host that a tenant's passkeys belong to."""
    return tenant.domain.rpartition(":")[0] or tenant.domain


def origin(tenant: TenantScope) -> str:
    """Where a passkey's answer must come from."""
    return f"https://{tenant.domain}"


def _check_not_framed(response: dict[str, Any]) -> None:
    """Refuse what was signed in a frame of another site, although our pages cannot be framed. Raises ValueError."""
    client_data = json.loads(_decoded(response["response"]["clientDataJSON"]))
    if client_data.get("crossOrigin") is True:
        raise ValueError("signed in a frame of another site")


def _decoded(text: str) -> bytes:
    """The bytes behind base64url, padded or not. Raises ValueError."""
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def _transports(response: dict[str, Any]) -> list[str]:
    given = response.get("response", {}).get("transports")
    return [item for item in given if isinstance(item, str) and len(item) <= 20][:8] if isinstance(given, list) else []


def _descriptor(passkey: Passkey) -> Any:
    from webauthn.helpers.structs import AuthenticatorTransport, PublicKeyCredentialDescriptor

    known = {transport.value: transport for transport in AuthenticatorTransport}
    return PublicKeyCredentialDescriptor(
        id=_decoded(passkey.credential_id),
        transports=[known[name] for name in passkey.transports if name in known] or None,
    )


def _passkey(row: Any) -> Passkey:
    return Passkey(
        credential_id=row[0],
        administrator_id=row[1],
        name=row[2],
        public_key=row[3],
        sign_count=row[4],
        transports=tuple(msgspec.json.decode(row[5])),
        created_at_ms=row[6],
        last_used_at_ms=row[7],
    )
