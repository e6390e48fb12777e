"""Cross-origin requests (Fetch standard, CORS protocol).

A route is open to every origin without credentials (`any`), to the web origins of the tenant's clients (`client`),
or to none. The origin `null` is never named in an answer, nor one the policy does not know.
"""

from collections.abc import Awaitable, Callable

from freehold.kernel.http.request import Request
from freehold.kernel.http.response import RawHeaders
from freehold.kernel.http.router import Route

# Asked with the request and its Origin header: may pages of that origin use this tenant's endpoints?
CorsPolicy = Callable[[Request, str], Awaitable[bool]]

_ALLOWED_HEADERS = (
    b"accept, accept-language, authorization, auth0-client, auth0-custom-domain, content-type, dpop, if-none-match, "
    b"x-requested-with, x-request-language"
)
_EXPOSED_HEADERS = (
    b"access-control-expose-headers",
    b"dpop-nonce, etag, retry-after, www-authenticate, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, "
    b"x-request-id",
)
_ANY_ORIGIN = (b"access-control-allow-origin", b"*")
_VARY = (b"vary", b"origin")
_CREDENTIALS = (b"access-control-allow-credentials", b"true")


async def cors_headers(request: Request, route: Route, policy: CorsPolicy | None) -> RawHeaders:
    """The headers that let the page which sent the request read the answer; none when it may not."""
    if route.cors == "any":
        return [_ANY_ORIGIN, _EXPOSED_HEADERS]
    if route.cors is None:
        return []
    origin = request.headers.get("origin")
    if origin is None or policy is None or not _is_web_origin(origin) or not await policy(request, origin):
        return [_VARY]
    return [(b"access-control-allow-origin", origin.encode("ascii")), _CREDENTIALS, _VARY, _EXPOSED_HEADERS]


async def preflight_headers(request: Request, route: Route, policy: CorsPolicy | None) -> RawHeaders:
    """The headers of the answer to a preflight for the route."""
    headers = await cors_headers(request, route, policy)
    if not any(name == b"access-control-allow-origin" for name, _ in headers):
        return headers
    return [
        *(header for header in headers if header is not _EXPOSED_HEADERS),
        (b"access-control-allow-methods", route.method.encode("ascii")),
        (b"access-control-allow-headers", _ALLOWED_HEADERS),
        (b"access-control-max-age", b"600"),
    ]


def _is_web_origin(origin: str) -> bool:
    """`null`, lists and anything that could break a header are not origins to name."""
    scheme, separator, rest = origin.partition("://")
    return bool(separator and scheme and rest) and origin.isascii() and origin.isprintable() and " " not in origin
