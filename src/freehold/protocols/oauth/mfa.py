"""The MFA API: which authenticators there are, enrolling the first or a further one, asking for one, removing one.

Who calls shows an mfa_token (a password grant that waits) or an access token of the MFA API. With the first nobody gets
further than the password allows: it enrols a factor only where there is none, and removes none.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from freehold.domain.authenticators import (
    Authenticator,
    Factors,
    begin_totp,
    factors_of,
    fresh_recovery,
    guardian_of,
    mfa_audience,
    remove,
)
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.users import Profile, find_profile
from freehold.kernel.crypto.otp import new_totp_secret, totp_uri
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.errors import NotFound, Unauthorized
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, empty, json
from freehold.kernel.store import Store
from freehold.login.at_request import AtRequest
from freehold.protocols.oauth import mfa_tokens
from freehold.protocols.oauth.access_tokens import verify_access_token
from freehold.protocols.oauth.client_authentication import authenticate_client
from freehold.protocols.oauth.errors import (
    AccessDenied,
    BadToken,
    InsufficientScope,
    InvalidRequest,
    OAuthError,
)

LONGEST_TOKEN = 16_384
_SHOWN_TYPES = {"totp": "otp", "recovery-code": "recovery-code", "phone": "oob", "email": "oob"}


class AssociationRequired(OAuthError):
    """403: there is no factor to ask for."""

    status, code = 403, "association_required"

    def __init__(self) -> None:
        super().__init__("User is not enrolled. You can use /mfa/associate endpoint to enroll the first authenticator.")


class UnsupportedChallengeType(OAuthError):
    """400: the user has no factor of the kinds that the client can ask for."""

    code = "unsupported_challenge_type"

    def __init__(self) -> None:
        super().__init__("User does not have any enrolled authenticator that supports the challenge types.")


class Caller(AtRequest, msgspec.Struct, frozen=True):
    """Whose authenticators a request is about, and how much that was proved."""

    http: Request
    user: Profile
    client_id: str
    fully: bool
    """Whether it was an access token, for which a second factor was shown if there is one."""

    async def factors(self) -> Factors:
        """What the user has."""
        return await factors_of(self.store, self.tenant, self.user.user_id)

    def facts(self) -> dict[str, Any]:
        """What entries of the tenant's log say."""
        return {
            "user_id": self.user.user_id,
            "user_name": self.user.email or self.user.username or self.user.user_id,
            "client_id": self.client_id,
            "ip": self.http.client_ip,
            "user_agent": self.http.headers.get("user-agent"),
            "hostname": self.http.host,
        }


async def list_authenticators(http: Request) -> Response:
    """GET /mfa/authenticators. Raises BadToken."""
    caller = await _caller(http, "read:authenticators")
    return json([_shown(one) for one in (await caller.factors()).all])


async def delete_authenticator(http: Request) -> Response:
    """DELETE /mfa/authenticators/{id}. Raises BadToken, NotFound; an mfa_token is not enough."""
    caller = await _caller(http, "remove:authenticators")
    if not caller.fully:
        raise InsufficientScope("Insufficient scope, expected any of: remove:authenticators")
    async with caller.store.transaction() as tx:
        known = await factors_of(tx, caller.tenant, caller.user.user_id)
        one = next((one for one in known.all if one.id == http.params["id"]), None)
        if one is None:
            raise NotFound("Authenticator not found")
        await remove(tx, caller.tenant, [one])
    return empty(204)


async def challenge(http: Request) -> Response:
    """POST /mfa/challenge: which kind of proof the user is to give. Raises InvalidGrant, OAuthError."""
    params = await http.body_params()
    store, tenant = http.services.store, http.tenant
    client = await authenticate_client(http, params, store=store, tenant=tenant)
    waiting = await mfa_tokens.get(store, tenant, _required(params, "mfa_token"), client_id=client.client_id)
    known = await factors_of(store, tenant, waiting.user_id)
    if not known.enrolled:
        raise AssociationRequired
    types = str(params.get("challenge_type") or "otp").split()
    wanted = params.get("authenticator_id")
    usable = [one for one in known.totp if wanted in {None, "", one.id}]
    if "otp" not in types or not usable:
        raise UnsupportedChallengeType
    return json({"challenge_type": "otp"})


async def associate(http: Request) -> Response:
    """POST /mfa/associate: a new secret, which counts once its first code was shown. Raises AccessDenied."""
    params = await http.body_params()
    caller = await _caller(http, "enroll")
    if params.get("client_id") is not None:
        client = await authenticate_client(http, params, store=caller.store, tenant=caller.tenant)
        if client.client_id != caller.client_id:
            raise BadToken("Unauthorized")
    types = params.get("authenticator_types")
    if not isinstance(types, list) or not types or not all(isinstance(one, str) for one in types):
        raise InvalidRequest("authenticator_types must be a list of otp or oob")
    guardian, known = await guardian_of(caller.store, caller.tenant), await caller.factors()
    if known.enrolled and not caller.fully:
        raise AccessDenied("User is already enrolled.")
    if "otp" not in types or not guardian.offers_totp:
        raise InvalidRequest("The authenticator type is not enabled.", code="unsupported_authenticator_type")
    return json(await _begin(caller, first=not known.recovery and guardian.offers_recovery))


async def _begin(caller: Caller, *, first: bool) -> dict[str, Any]:
    settings = await documents.cached_singleton(caller.store, caller.tenant, SETTINGS)
    recovery, stored = await fresh_recovery(caller.http.services.passwords) if first else ("", None)
    secret, user = new_totp_secret(), caller.user
    async with caller.store.transaction() as tx:
        if not caller.fully and (await factors_of(tx, caller.tenant, user.user_id)).enrolled:
            raise AccessDenied("User is already enrolled.")
        await begin_totp(tx, caller.tenant, user.user_id, secret=secret, recovery_hash=stored)
        await caller.tenant.events.record(tx, caller.tenant, "gd_start_enroll", **caller.facts())
    account = user.email or user.username or user.phone_number or user.user_id
    issuer = settings.friendly_name or caller.tenant.name
    answer: dict[str, Any] = {
        "authenticator_type": "otp",
        "secret": secret,
        "barcode_uri": totp_uri(secret, issuer=issuer, account=account),
    }
    return {**answer, "recovery_codes": [recovery]} if recovery else answer


async def _caller(http: Request, scope: str) -> Caller:
    """Who calls, by the bearer token. Raises BadToken, InsufficientScope."""
    kind, _, token = http.headers.get("authorization", "").partition(" ")
    token = token.strip()
    if kind.lower() != "bearer" or not token or not token.isascii() or len(token) > LONGEST_TOKEN:
        raise BadToken("Unauthorized", code="unauthorized")
    store, tenant = http.services.store, http.tenant
    if token.count(".") == 2:
        user_id, client_id = await _by_access_token(store, tenant, token, scope)
        fully = True
    else:
        waiting = await mfa_tokens.find(store, tenant, token)
        if waiting is None:
            raise BadToken(mfa_tokens.MALFORMED)
        user_id, client_id, fully = waiting.user_id, waiting.client_id, False
    user = await find_profile(store, tenant, user_id)
    if user is None or user.blocked:
        raise BadToken("The token's user is gone")
    return Caller(http, user, client_id, fully)


async def _by_access_token(store: Store, tenant: TenantScope, token: str, scope: str) -> tuple[str, str]:
    try:
        claims = await verify_access_token(store, tenant, token, audience=mfa_audience(tenant))
    except Unauthorized:
        raise BadToken("Unauthorized") from None
    if scope not in str(claims.get("scope", "")).split():
        raise InsufficientScope(f"Insufficient scope, expected any of: {scope}")
    return str(claims.get("sub", "")), str(claims.get("azp", ""))


def _required(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"Missing required parameter: {name}")
    return value


def _shown(one: Authenticator) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": one.id, "authenticator_type": _SHOWN_TYPES[one.type], "active": one.confirmed}
    if shown["authenticator_type"] == "oob":
        shown["oob_channel"] = "sms" if one.type == "phone" else "email"
    if one.name is not None:
        shown["name"] = one.name
    return shown
