"""The mfa_token: what stands between a right password or a refresh token and new tokens, while the second factor is
missing.

It is a random reference to a row that lives for ten minutes and is used once. It opens `/mfa/*` and the mfa grants and
nothing else, for the client that got it.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from freehold.domain.authenticators import Factors, Guardian
from freehold.domain.sessions import LoginTransaction, begin_login, find_login, has_run_out
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Transaction
from freehold.protocols.oauth.errors import InvalidGrant, OAuthError

LIFETIME = timedelta(minutes=10)
MALFORMED = "Malformed mfa_token"
"""Mobile SDKs compare this text to know that the sign-in has to begin again."""
_MEMBER = "mfa"


class MfaRequired(OAuthError):
    """403: what was shown is right and not enough; what comes next is in the members."""

    status, code = 403, "mfa_required"

    def __init__(self, token: str, requirements: Mapping[str, Any]) -> None:
        super().__init__("Multifactor authentication required", mfa_token=token, mfa_requirements=requirements)


class MfaTokenExpired(InvalidGrant):
    """403 as for one that never was a token, with the code and the text by which SDKs tell it apart."""

    code = "expired_token"

    def __init__(self) -> None:
        super().__init__("mfa_token is expired")


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that waits for its second factor: a password that was right, or a refresh token that is good."""

    user_id: str
    identity_id: str
    client_id: str
    connection: str
    audience: str | None
    scope: str
    asked: bool
    """Whether the client named scopes itself."""
    sid: str | None = None
    grant_id: str | None = None
    consented: bool = False
    """The user was asked for consent, without which nothing is issued any more."""
    row: LoginTransaction | None = None


async def begin(tx: Transaction, tenant: TenantScope, waiting: Waiting) -> str:
    """Store what waits; answers the token."""
    payload = {
        "user_id": waiting.user_id,
        "identity_id": waiting.identity_id,
        "client_id": waiting.client_id,
        "connection": waiting.connection,
        "audience": waiting.audience,
        "scope": waiting.scope,
        "asked": waiting.asked,
        "sid": waiting.sid,
        "grant_id": waiting.grant_id,
        "consented": waiting.consented,
    }
    return await begin_login(tx, tenant, {_MEMBER: payload}, lifetime=LIFETIME)


async def find(reader: Reader, tenant: TenantScope, token: str) -> Waiting | None:
    """What a token stands for, as long as it lasts."""
    row = await find_login(reader, tenant, token)
    payload = row.payload.get(_MEMBER) if row is not None else None
    return None if payload is None else Waiting(**payload, row=row)


async def get(reader: Reader, tenant: TenantScope, token: str, *, client_id: str) -> Waiting:
    """The same for one client. Raises InvalidGrant, MfaTokenExpired."""
    found = await find(reader, tenant, token)
    if found is None and await has_run_out(reader, tenant, token):
        raise MfaTokenExpired
    if found is None or found.client_id != client_id:
        raise InvalidGrant(MALFORMED)
    return found


def requirements(guardian: Guardian, known: Factors) -> dict[str, list[dict[str, str]]]:
    """What the client can do next: challenge a factor, or enrol the first."""
    if not known.totp:
        return {"enroll": [{"type": "otp"}]}
    usable = [{"type": "otp"}]
    if guardian.offers_recovery and known.recovery:
        usable.append({"type": "recovery-code"})
    return {"challenge": usable}
