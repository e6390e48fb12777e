"""Access tokens: what is in them, and reading our own again (RFC 9068 and Auth0's older profile)."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET

from freehold.domain import keys
from freehold.domain.access import ResourceServer
from freehold.domain.applications import Client
from freehold.kernel.crypto import jose
from freehold.kernel.crypto.ids import new_token
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Unauthorized, Unavailable
from freehold.kernel.store import Store
from freehold.protocols.oauth import opaque_tokens
from freehold.protocols.oauth.opaque_tokens import UserinfoGrant, make_opaque_token, portable

AUTH0_SHORTEST_API_SECRET = 16

_MESSAGES = {
    "expired": "Expired token received for JSON Web Token validation",
    "bad_signature": "Invalid signature received for JSON Web Token validation",
}


def sign_access_token(
    claims: Mapping[str, Any], *, api: ResourceServer, key: jose.SigningKey, now_s: int, lifetime_s: int
) -> str:
    """A JWT for the API. `claims` are those of Auth0's own profile; an API with the RFC 9068 profile gets its names."""
    full = {**claims, "iat": now_s, "exp": now_s + lifetime_s}
    typ = "JWT"
    dialect = api.token_dialect if api.token_dialect is not UNSET else "access_token"
    if dialect.startswith("rfc9068"):
        typ = "at+jwt"
        full["client_id"] = full.pop("azp")
        full["jti"] = new_token(16)
        full.pop("gty", None)
    if api.signing_alg == "HS256":
        if api.signing_secret is UNSET:
            raise Unavailable("The API signs with HS256 and has no signing_secret.")
        return jose.sign_jwt_hs256(full, api.signing_secret, typ=typ, shortest_secret=AUTH0_SHORTEST_API_SECRET)
    return jose.sign_jwt(full, key, typ=typ, alg=api.signing_alg)


async def sign_user_access_token(
    store: Store,
    tenant: TenantScope,
    client: Client,
    api: ResourceServer | None,
    *,
    user_id: str,
    scopes: Sequence[str],
    permissions: Sequence[str] | None,
    gty: str | None = None,
    in_browser: bool = False,
    grant_id: str | None = None,
    custom: Mapping[str, Any] | None = None,
    of_id_token: Mapping[str, Any] | None = None,
) -> tuple[str, int]:
    """An access token for the API, or an opaque one for /userinfo without one; and its life in seconds.

    `in_browser` is for tokens that come from the authorization endpoint: they live shorter. `custom` is what code added
    to the access token, `of_id_token` what it added to the ID token, which an opaque token lets /userinfo tell.
    """
    now_s = tenant.clock.now_ms() // 1000
    scope = " ".join(scopes)
    if api is None:
        lifetime_s = opaque_tokens.WEB_LIFETIME_S if in_browser else opaque_tokens.LIFETIME_S
        grant = UserinfoGrant(
            sub=user_id, client_id=client.client_id, scope=scope, exp=now_s + lifetime_s, grant_id=grant_id,
            claims=portable(of_id_token),
        )  # fmt: skip
        return make_opaque_token(tenant, grant), lifetime_s
    lifetime_s = api.token_lifetime_for_web if in_browser else api.token_lifetime
    audience: str | list[str] = api.identifier
    if "openid" in scopes and api.signing_alg != "HS256":
        audience = [api.identifier, f"{tenant.issuer}userinfo"]
    claims: dict[str, Any] = {**(custom or {}), "iss": tenant.issuer, "sub": user_id, "aud": audience}
    if scope:
        claims["scope"] = scope
    if gty is not None:
        claims["gty"] = gty
    claims["azp"] = client.client_id
    if permissions is not None:
        claims["permissions"] = list(permissions)
    key = await keys.signing_key(store, tenant)
    return sign_access_token(claims, api=api, key=key, now_s=now_s, lifetime_s=lifetime_s), lifetime_s


async def verify_access_token(store: Store, tenant: TenantScope, token: str, *, audience: str) -> dict[str, Any]:
    """The claims of an access token for one of the tenant's own APIs. Raises Unauthorized in Auth0's words."""
    public: Mapping[str, jose.PublicKey] = await keys.verification_keys(store, tenant)
    try:
        claims = jose.verify_jwt(
            token,
            keys=public,
            algorithms=("RS256",),
            issuer=tenant.issuer,
            audience=audience,
            now=tenant.clock.now(),
            types=("JWT", "at+jwt"),
        )
    except jose.InvalidToken as error:
        raise Unauthorized(_MESSAGES.get(error.reason, "Invalid token"), code="") from None
    if "exp" not in claims or ("scope" not in claims and "azp" not in claims):
        raise Unauthorized("Invalid token", code="")
    return claims
