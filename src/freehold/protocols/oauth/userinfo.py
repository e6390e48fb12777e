"""The userinfo endpoint (OpenID Connect Core section 5.3).

Takes an opaque token, or a JWT whose audience holds this endpoint, in the header, the body or, because older libraries
send nothing else, the query. What was verified once is remembered by the token's SHA-256.
"""

from hashlib import sha256
from typing import Any

from freehold.domain import keys
from freehold.domain.sessions import is_grant_revoked
from freehold.domain.users import claims_for, find_profile
from freehold.kernel.crypto import jose
from freehold.kernel.declare import TenantScope
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, json
from freehold.protocols.oauth.errors import InvalidRequest, OAuthError
from freehold.protocols.oauth.tokens import UserinfoGrant, open_userinfo_token


class BadToken(OAuthError):
    """The access token is missing or does not hold (RFC 6750 section 3.1)."""

    status, code = 401, "invalid_token"


async def userinfo(request: Request) -> Response:
    """GET and POST /userinfo. Raises BadToken."""
    tenant: TenantScope = request.tenant
    store = request.services.store
    token = await _token(request)
    grant = await _grant(request, token)
    if grant.exp <= tenant.clock.now_ms() // 1000:
        raise BadToken("The access token expired")
    if grant.grant_id is not None and await is_grant_revoked(store, tenant, grant.grant_id):
        raise BadToken("The access token was revoked")
    scopes = grant.scope.split()
    if "openid" not in scopes:
        raise BadToken("The access token was not issued for openid", code="insufficient_scope")
    user = await find_profile(store, tenant, grant.sub)
    if user is None or user.blocked:
        raise BadToken("The access token's user is gone")
    claims: dict[str, Any] = {"sub": user.user_id, **claims_for(user, scopes)}
    return json(claims)


async def _token(request: Request) -> str:
    header = request.headers.get("authorization")
    in_query = request.query.one("access_token")
    in_body = None
    if request.method == "POST" and request.media_type == "application/x-www-form-urlencoded":
        in_body = (await request.form()).one("access_token")
    found = [place for place in (header, in_query, in_body) if place]
    if len(found) > 1:
        raise InvalidRequest("The access token may be sent in one place only")
    if header:
        kind, _, token = str(header).partition(" ")
        if kind.lower() == "bearer" and token:
            return token.strip()
    elif in_query or in_body:
        return str(in_query or in_body)
    raise BadToken("Unauthorized", code="unauthorized")


async def _grant(request: Request, token: str) -> UserinfoGrant:
    tenant: TenantScope = request.tenant
    store = request.services.store
    entries = tenant.cached(store.cache_epoch(tenant.id))
    key = ("userinfo", sha256(token.encode()).digest())
    grant: UserinfoGrant | None = entries.get(key)
    if grant is None:
        grant = entries[key] = await _read(request, token)
    return grant


async def _read(request: Request, token: str) -> UserinfoGrant:
    tenant: TenantScope = request.tenant
    if token.count(".") != 2:
        grant = open_userinfo_token(tenant, token)
        if grant is None:
            raise BadToken("Unauthorized", code="unauthorized")
        return grant
    try:
        claims = jose.verify_jwt(
            token,
            keys=await keys.verification_keys(request.services.store, tenant),
            algorithms=("RS256", "PS256", "RS512"),
            issuer=tenant.issuer,
            audience=f"{tenant.issuer}userinfo",
            now=tenant.clock.now(),
        )
    except jose.InvalidToken:
        raise BadToken("Unauthorized", code="unauthorized") from None
    return UserinfoGrant(
        sub=str(claims.get("sub", "")),
        client_id=str(claims.get("azp") or claims.get("client_id") or ""),
        scope=str(claims.get("scope", "")),
        exp=int(claims["exp"]),
    )
