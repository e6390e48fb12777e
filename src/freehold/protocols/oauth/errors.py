"""Errors of OAuth endpoints, in Auth0's statuses and words, and the one place where they become answers."""

from typing import Any

from freehold.kernel.errors import (
    FreeholdError,
    TooManyRequests,
)
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, json


class OAuthError(FreeholdError):
    """An error response of RFC 6749 section 5.2; the message becomes error_description, `members` join it."""

    status, code = 400, "invalid_request"

    def __init__(self, message: str = "", *, code: str | None = None, **members: Any) -> None:
        super().__init__(message, code=code)
        self.members = members


class InvalidRequest(OAuthError):
    """A parameter is missing, repeated or malformed."""


class InvalidClient(OAuthError):
    """The client could not be authenticated; Auth0 answers 401 with `access_denied` to a wrong secret."""

    status, code = 401, "access_denied"


class InvalidGrant(OAuthError):
    """The code, token or password is wrong, used or expired; Auth0 answers 403, not 400."""

    status, code = 403, "invalid_grant"


class UnauthorizedClient(OAuthError):
    """The client may not use this grant."""

    status, code = 403, "unauthorized_client"


class AccessDenied(OAuthError):
    """The API does not exist, or the client or user may not have a token for it."""

    status, code = 403, "access_denied"


class UnsupportedGrantType(OAuthError):
    """A grant_type this server does not know."""

    code = "unsupported_grant_type"


class CodeRefused(OAuthError):
    """Custom code of the tenant refused, with a code of its own or one that says that it failed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code=code)
        self.status = {"invalid_scope": 400, "invalid_request": 400, "server_error": 500}.get(code, 403)


class BadToken(OAuthError):
    """A bearer token that does not hold (RFC 6750 section 3.1)."""

    status, code = 401, "invalid_token"


class InsufficientScope(BadToken):
    """A bearer token that holds, but not for this."""

    status, code = 403, "insufficient_scope"


def render_oauth_error(error: FreeholdError, request: Request) -> Response:
    """`{error, error_description}` with the members an error adds."""
    known = isinstance(error, OAuthError | TooManyRequests)
    code = (
        error.code if known else _CODES.get(error.status, "invalid_request" if error.status < 500 else "server_error")
    )
    body: dict[str, Any] = {"error": code, "error_description": error.message or "Internal Server Error"}
    headers: list[tuple[str, str]] = []
    if isinstance(error, OAuthError):
        body.update(error.members)
    if isinstance(error, BadToken):
        headers.append(("www-authenticate", _challenge(error, request)))
    elif isinstance(error, InvalidClient) and request.headers.get("authorization"):
        headers.append(("www-authenticate", f'Basic realm="{request.tenant.domain}"'))
    return json(body, error.status, headers)


def _challenge(error: BadToken, request: Request) -> str:
    """RFC 6750 section 3: who sent no token is told nothing but where to show one."""
    challenge = f'Bearer realm="{request.tenant.domain}"'
    return challenge if error.code == "unauthorized" else f'{challenge}, error="{error.code}"'


# What other tiers refuse, in the words of this protocol; everything else that is wrong is the request's fault, or ours.
_CODES = {
    401: "unauthorized",
    403: "access_denied",
    404: "not_found",
    405: "method_not_allowed",
    503: "temporarily_unavailable",
}
