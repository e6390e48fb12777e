"""Authorisation, rate-limit headers, audit entries and error envelopes of the Management API.

A token is a JWT for the tenant's own `/api/v2/` audience. What was verified once is remembered, by the SHA-256 of the
token, until it expires or the tenant's cached data changes (a revoked key, a deleted client).
"""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from freehold.kernel.declare.scope import Actor, TenantScope
from freehold.kernel.errors import Forbidden, FreeholdError, Unauthorized
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, json
from freehold.surfaces.management.call import ManagementCall

Endpoint = Callable[[ManagementCall], Awaitable[Response]]


async def authorize(request: Request, scopes: tuple[str, ...]) -> Actor:
    """Who sends this request, holding at least one of the scopes. Raises Unauthorized or Forbidden."""
    header = request.headers.get("authorization")
    if not header:
        raise Unauthorized("Missing authentication", code="")
    kind, _, token = header.partition(" ")
    if kind.lower() != "bearer" or not token or " " in token:
        raise Unauthorized("Bad HTTP authentication header format", code="")
    tenant: TenantScope = request.tenant
    services = request.services
    entries = tenant.cached(services.store.cache_epoch(tenant.id))
    key = ("bearer", sha256(token.encode()).digest())
    remembered = entries.get(key)
    now = tenant.clock.now_ms() / 1000
    if remembered is None or remembered[1] <= now:
        remembered = await _verify(request, tenant, token)
        entries[key] = remembered
    actor: Actor = remembered[0]
    if scopes and actor.scopes.isdisjoint(scopes):
        raise Forbidden(f"Insufficient scope, expected any of: {', '.join(scopes)}", code="insufficient_scope")
    return actor


async def _verify(request: Request, tenant: TenantScope, token: str) -> tuple[Actor, float]:
    claims = await request.services.verify_management_token(tenant, token)
    subject = str(claims.get("sub", ""))
    client_id = str(claims.get("azp") or claims.get("client_id") or "")
    scopes = frozenset(str(claims.get("scope", "")).split())
    kind = "api" if subject.endswith("@clients") else "user"
    return Actor(kind, id=subject, scopes=scopes, client_id=client_id), float(claims["exp"])


def rate_limit_headers(request: Request) -> list[tuple[str, str]]:
    """Count the request and tell the caller how many are left. Raises TooManyRequests."""
    limit, remaining, reset = request.services.count_management_request(request.tenant)
    return [
        ("x-ratelimit-limit", str(limit)),
        ("x-ratelimit-remaining", str(remaining)),
        ("x-ratelimit-reset", str(reset)),
    ]


def render_error(error: FreeholdError, request: Request | None = None) -> Response:
    """Auth0's envelope: `{statusCode, error, message, errorCode}`, `error` being the reason phrase of the status."""
    body: dict[str, Any] = {
        "statusCode": error.status,
        "error": HTTPStatus(error.status).phrase,
        "message": error.message or HTTPStatus(error.status).phrase,
    }
    if error.code and error.code != type(error).code:
        body["errorCode"] = error.code
    elif error.code and error.status in {400, 403, 429}:
        body["errorCode"] = _ERROR_CODES.get(error.code, error.code)
    headers: list[tuple[str, str]] = []
    if error.status == 401:
        headers.append(("www-authenticate", 'Bearer realm="Management API"'))
    return json(body, error.status, headers)


_ERROR_CODES = {"invalid_request": "invalid_query_string", "access_denied": "operation_not_supported"}
