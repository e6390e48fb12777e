"""ID tokens (OpenID Connect Core section 2): what is in them, and reading our own again as a hint."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET

from freehold.domain import keys
from freehold.domain.applications import CLIENTS, Client
from freehold.domain.authenticators import MFA, MULTI_FACTOR
from freehold.domain.users import Profile, claims_for
from freehold.kernel.crypto import jose
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.store import Store

LIFETIME_S = 36_000


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
    custom: Mapping[str, Any] | None = None,
) -> str:
    """An ID token with the profile claims of the scopes, signed as the client wants.

    A client that wants HS256 and has no secret of its own (it is public) gets RS256: nobody else could check it.
    """
    settings = client.jwt_configuration
    alg, lifetime_s = "RS256", LIFETIME_S
    if settings is not UNSET:
        alg = settings.alg if settings.alg is not UNSET else alg
        lifetime_s = settings.lifetime_in_seconds or lifetime_s
    secret = secret_of(client)
    if alg == "HS256" and secret is None:
        alg = "RS256"
    now_s = tenant.clock.now_ms() // 1000
    claims: dict[str, Any] = {**claims_for(user, scopes), **(custom or {})}
    claims["iss"] = tenant.issuer
    claims["aud"] = client.client_id
    claims["sub"] = user.user_id
    claims["iat"] = now_s
    claims["exp"] = now_s + lifetime_s
    if sid is not None:
        claims["sid"] = sid
    if auth_time is not None:
        claims["auth_time"] = auth_time
    if amr:
        claims["amr"] = list(amr)
        if MFA in amr:
            claims["acr"] = MULTI_FACTOR
    if nonce is not None:
        claims["nonce"] = nonce
    if access_token is not None:
        claims["at_hash"] = jose.token_hash(access_token, alg=alg)
    if code is not None:
        claims["c_hash"] = jose.token_hash(code, alg=alg)
    if alg == "HS256" and secret is not None:
        return jose.sign_jwt_hs256(claims, secret)
    return jose.sign_jwt(claims, await keys.signing_key(store, tenant), alg=alg)


async def read_hint(store: Store, tenant: TenantScope, hint: str) -> tuple[dict[str, Any], Client] | None:
    """The claims of an id_token_hint, and the client it was issued to; None for anything but an ID token of ours.

    It may have expired: it says who is meant, and opens nothing.
    """
    try:
        header, claimed, _, _ = jose.parse_compact(hint)
        audience = claimed.get("aud")
        client = await documents.cached(store, tenant, CLIENTS, audience) if isinstance(audience, str) else None
        if client is None or client.is_global or "azp" in claimed or "gty" in claimed:
            return None
        now = tenant.clock.now()
        if header["alg"] == "HS256":
            secret = secret_of(client)
            if secret is None:
                return None
            claims = jose.verify_jwt_hs256(
                hint, secret, issuer=tenant.issuer, audience=client.client_id, now=now, types=("JWT",), expired_ok=True
            )
        else:
            claims = jose.verify_jwt(
                hint,
                keys=await keys.verification_keys(store, tenant),
                algorithms=("RS256", "RS512", "PS256"),
                issuer=tenant.issuer,
                audience=client.client_id,
                now=now,
                types=("JWT",),
                expired_ok=True,
            )
    except (jose.InvalidToken, jose.UnusableKey):
        return None
    return claims, client


def secret_of(client: Client) -> str | None:
    """The secret an ID token can be signed with: long enough (RFC 7518 section 3.2), and known to the client alone."""
    secret = client.client_secret
    if secret is UNSET or client.token_endpoint_auth_method == "none":  # noqa: S105 - a method's name
        return None
    return secret if len(secret.encode()) >= jose.SHORTEST_HMAC_SECRET_BYTES else None
