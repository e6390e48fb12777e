"""What tokens say: ID tokens, access tokens for an API, and the opaque ones that only /userinfo reads."""

from collections.abc import Sequence
from typing import Any

import msgspec

from freehold.domain.access import ResourceServer, permissions_of
from freehold.domain.applications import Client
from freehold.domain.keys import signing_key
from freehold.domain.users import Profile, claims_for
from freehold.kernel.crypto import jose
from freehold.kernel.crypto.jose import b64u_decode, b64u_encode
from freehold.kernel.crypto.sealing import CannotOpen
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Store
from freehold.protocols.oauth.issue import sign_access_token

ID_TOKEN_LIFETIME_S = 36_000
USERINFO_TOKEN_LIFETIME_S = 86_400
USERINFO_TOKEN_WEB_LIFETIME_S = 7_200
OPENID_SCOPES = frozenset({"openid", "profile", "email", "phone", "address", "offline_access"})
_OPAQUE_CONTEXT = "userinfo access token"


class UserinfoGrant(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What an opaque access token stands for; it is sealed into the token itself."""

    sub: str
    client_id: str
    scope: str
    exp: int
    grant_id: str | None = None


async def sign_id_token(
    store: Store,
    tenant: TenantScope,
    client: Client,
    user: Profile,
    *,
    scopes: Sequence[str],
    nonce: str | None = None,
    sid: str | None = None,
    auth_time: int | None = None,
    amr: Sequence[str] = (),
    access_token: str | None = None,
    code: str | None = None,
) -> str:
    """An ID token (OpenID Connect Core section 2) with the profile claims of the scopes, signed as the client wants."""
    settings = client.jwt_configuration
    alg = "RS256"
    lifetime_s = ID_TOKEN_LIFETIME_S
    if not isinstance(settings, msgspec.UnsetType) and settings is not None:
        alg = settings.alg if isinstance(settings.alg, str) else alg
        lifetime = settings.lifetime_in_seconds
        lifetime_s = lifetime if isinstance(lifetime, int) and lifetime > 0 else lifetime_s
    now_s = tenant.clock.now_ms() // 1000
    claims: dict[str, Any] = claims_for(user, scopes)
    claims |= {
        "iss": tenant.issuer,
        "aud": client.client_id,
        "sub": user.user_id,
        "iat": now_s,
        "exp": now_s + lifetime_s,
    }
    if sid is not None:
        claims["sid"] = sid
    if nonce is not None:
        claims["nonce"] = nonce
    if auth_time is not None:
        claims["auth_time"] = auth_time
    if amr:
        claims["amr"] = list(amr)
    if access_token is not None:
        claims["at_hash"] = jose.token_hash(access_token, alg=alg)
    if code is not None:
        claims["c_hash"] = jose.token_hash(code, alg=alg)
    if alg == "HS256" and isinstance(client.client_secret, str):
        return jose.sign_jwt_hs256(claims, client.client_secret)
    return jose.sign_jwt(claims, await signing_key(store, tenant), alg="RS256" if alg == "HS256" else alg)


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
    web: bool = False,
    grant_id: str | None = None,
) -> tuple[str, int]:
    """An access token for the API, or an opaque one for /userinfo without one; and its life in seconds."""
    now_s = tenant.clock.now_ms() // 1000
    if api is None:
        lifetime_s = USERINFO_TOKEN_WEB_LIFETIME_S if web else USERINFO_TOKEN_LIFETIME_S
        grant = UserinfoGrant(
            sub=user_id,
            client_id=client.client_id,
            scope=" ".join(scopes),
            exp=now_s + lifetime_s,
            grant_id=grant_id,
        )
        sealed = tenant.sealer.seal(msgspec.json.encode(grant), context=_OPAQUE_CONTEXT)
        return b64u_encode(sealed).decode(), lifetime_s
    lifetime_s = api.token_lifetime_for_web if web else api.token_lifetime
    audience: str | list[str] = api.identifier
    if "openid" in scopes and api.signing_alg != "HS256":
        audience = [api.identifier, f"{tenant.issuer}userinfo"]
    claims: dict[str, Any] = {"iss": tenant.issuer, "sub": user_id, "aud": audience, "scope": " ".join(scopes)}
    if gty is not None:
        claims["gty"] = gty
    claims["azp"] = client.client_id
    if permissions is not None:
        claims["permissions"] = list(permissions)
    token = sign_access_token(claims, api=api, key=await signing_key(store, tenant), now_s=now_s, lifetime_s=lifetime_s)
    return token, lifetime_s


def open_userinfo_token(tenant: TenantScope, token: str) -> UserinfoGrant | None:
    """What an opaque access token of ours stands for, None for anything else; its life is not checked here."""
    try:
        plain = tenant.sealer.open(b64u_decode(token.encode("ascii")), context=_OPAQUE_CONTEXT)
    except (CannotOpen, jose.InvalidToken, ValueError):
        return None
    return msgspec.json.decode(plain, type=UserinfoGrant)


async def granted_scopes(
    reader: Reader, tenant: TenantScope, api: ResourceServer | None, *, user_id: str, asked: Sequence[str]
) -> tuple[list[str], list[str] | None]:
    """Which of the scopes asked for the user gets for the API, and the `permissions` claim when the API wants it.

    Without RBAC every scope that the API defines is granted; with it, those that the user holds, directly or by roles.
    """
    standard = [scope for scope in asked if scope in OPENID_SCOPES]
    if api is None:
        return standard, None
    if "offline_access" in standard and api.allow_offline_access is not True:
        standard.remove("offline_access")
    defined = {scope.value for scope in api.scopes} if isinstance(api.scopes, list) else set()
    wanted = [scope for scope in asked if scope in defined and scope not in OPENID_SCOPES]
    if api.enforce_policies is not True:
        return [*standard, *wanted], None
    held = await permissions_of(reader, tenant, user_id, api.identifier)
    dialect = api.token_dialect if isinstance(api.token_dialect, str) else ""
    permissions = sorted(held) if dialect.endswith("_authz") else None
    return [*standard, *(scope for scope in wanted if scope in held)], permissions
