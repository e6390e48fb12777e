"""Errors of OAuth endpoints, in Auth0's statuses and words, and the one place where they become answers."""

from typing import Any

from freehold.kernel.errors import BadRequest, FreeholdError, NotFound, TooManyRequests, Unavailable
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


class InvalidScope(OAuthError):
    """A scope that was not granted."""

    code = "invalid_scope"


class UnsupportedGrantType(OAuthError):
    """A grant_type this server does not know."""

    status, code = 403, "unsupported_grant_type"


def render_oauth_error(error: FreeholdError, request: Request) -> Response:
    """`{error, error_description}` with the members an error adds."""
    code = error.code
    if not isinstance(error, OAuthError):
        code = _CODES.get(type(error), "invalid_request" if error.status < 500 else "server_error")
    body: dict[str, Any] = {"error": code, "error_description": error.message or "Internal Server Error"}
    headers: list[tuple[str, str]] = []
    if isinstance(error, OAuthError):
        body.update(error.members)
    if error.status == 401 and request.headers.get("authorization"):
        scheme = "Basic" if request.headers["authorization"].lower().startswith("basic") else "Bearer"
        headers.append(("www-authenticate", f'{scheme} realm="{request.host}"'))
    return json(body, error.status, headers)


_CODES: dict[type[FreeholdError], str] = {
    BadRequest: "invalid_request",
    NotFound: "not_found",
    TooManyRequests: "too_many_requests",
    Unavailable: "temporarily_unavailable",
}
