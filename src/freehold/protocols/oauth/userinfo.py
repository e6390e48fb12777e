"""The userinfo endpoint (OpenID Connect Core section 5.3).

Takes an opaque token, or a JWT whose audience holds this endpoint, in the header, the body or, because older libraries
send nothing else, the query. What was verified once is remembered by the token's SHA-256.
"""

from typing import Any

import msgspec

from freehold.domain import keys
from freehold.domain.sessions import hashed, is_grant_revoked, revoked_token
from freehold.domain.users import claims_for, find_profile
from freehold.kernel.crypto import jose
from freehold.kernel.declare import TenantScope
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, json
from freehold.protocols.oauth.errors import BadToken, InsufficientScope, InvalidRequest
from freehold.protocols.oauth.opaque_tokens import UserinfoGrant, open_opaque_token

LONGEST_TOKEN = 16_384
_encode = msgspec.json.Encoder().encode


async def userinfo(request: Request) -> Response:
    """GET and POST /userinfo. Raises BadToken."""
    tenant: TenantScope = request.tenant
    store = request.services.store
    grant = await _verify(request, await _token(request))
    if grant.exp <= tenant.clock.now_ms() // 1000:
        raise BadToken("The access token expired")
    if grant.grant_id is not None and await is_grant_revoked(store, tenant, grant.grant_id):
        raise BadToken("The access token was revoked")
    scopes = grant.scope.split()
    if "openid" not in scopes:
        raise InsufficientScope("The access token was not issued for openid")
    user = await find_profile(store, tenant, grant.sub)
    if user is None or user.blocked:
        raise BadToken("The access token's user is gone")
    claims: dict[str, Any] = {"sub": user.user_id, **claims_for(user, scopes), **grant.claims}
    return json(_encode(claims))


async def _token(request: Request) -> str:
    """The bearer token, from the one place it is in. Raises InvalidRequest, BadToken."""
    header = request.headers.get("authorization")
    in_query = request.query.one("access_token") if request.scope["query_string"] else None
    in_body = None
    if request.method == "POST" and request.media_type == "application/x-www-form-urlencoded":
        in_body = (await request.form()).one("access_token")
    found = [place for place in (header, in_query, in_body) if place]
    if len(found) > 1:
        raise InvalidRequest("The access token may be sent in one place only")
    token = in_query or in_body or ""
    if header:
        kind, _, token = header.partition(" ")
        token = token.strip() if kind.lower() == "bearer" else ""
    if not token or not token.isascii() or len(token) > LONGEST_TOKEN:
        raise BadToken("Unauthorized", code="unauthorized")
    return token


async def _verify(request: Request, token: str) -> UserinfoGrant:
    """What a token lets us tell. Raises BadToken."""
    tenant: TenantScope = request.tenant
    entries = tenant.cached(request.services.store.cache_epoch(tenant.id))
    key = ("userinfo", hashed(token))
    grant: UserinfoGrant | None = entries.get(key)
    if grant is None:
        grant = entries[key] = await _read(request, token, key[1])
    return grant


async def _read(request: Request, token: str, token_hash: str) -> UserinfoGrant:
    tenant: TenantScope = request.tenant
    if token.count(".") != 2:
        grant = open_opaque_token(tenant, token)
        if grant is None:
            raise BadToken("Unauthorized")
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
        raise BadToken("Unauthorized") from None
    return UserinfoGrant(
        sub=str(claims.get("sub", "")),
        client_id=str(claims.get("azp") or claims.get("client_id") or ""),
        scope=str(claims.get("scope", "")),
        exp=int(claims["exp"]),
        grant_id=revoked_token(token_hash),
    )
