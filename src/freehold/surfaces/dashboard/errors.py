"""Refusals on the dashboard: pages lead to where one can do something about it, JSON has one shape."""

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from freehold.domain.administrators import FreshAuthenticationNeeded, SecondFactorNeeded, SignInNeeded
from freehold.kernel.errors import FreeholdError
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, json
from freehold.login import render_page_error
from freehold.surfaces.dashboard.visitors import AUTHENTICATE, SECURITY, SIGN_IN, go, safe_return, with_return


def render_dashboard_error(error: FreeholdError, request: Request) -> Response:
    """To the page that helps, or the refusal itself on a page."""
    if isinstance(error, SignInNeeded):
        return go(with_return(SIGN_IN, came_for(request)))
    if isinstance(error, FreshAuthenticationNeeded):
        return go(with_return(AUTHENTICATE, came_for(request)))
    if isinstance(error, SecondFactorNeeded):
        return go(SECURITY)
    return render_page_error(error, request)


def render_json_error(error: FreeholdError, request: Request | None = None) -> Response:
    """`{statusCode, error, message, errorCode}`, as in the Management API, with a code in every answer."""
    phrase = HTTPStatus(error.status).phrase
    body: dict[str, Any] = {
        "statusCode": error.status,
        "error": phrase,
        "message": error.message or phrase,
        "errorCode": error.code,
    }
    headers = [("www-authenticate", 'Bearer realm="Dashboard"')] if error.status == 401 else []
    return json(body, error.status, headers)


def came_for(request: Request) -> str:
    """The page to come back to: this one, or the one whose form was sent."""
    if request.method in {"GET", "HEAD"}:
        query = request.scope["query_string"].decode("latin-1")
        return safe_return(request.raw_path + (f"?{query}" if query else ""))
    before = urlsplit(request.headers.get("referer", ""))
    if f"{before.scheme}://{before.netloc}" != request.origin:
        return safe_return(None)
    return safe_return(before.path + (f"?{before.query}" if before.query else ""))
