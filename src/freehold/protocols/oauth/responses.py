"""How an authorization response gets back to the client (OAuth 2.0 Multiple Response Types section 2, Form Post Mode).

`query` and `fragment` redirect, `form_post` is a page that submits itself, `web_message` a page that posts to the
window that opened or framed it, and only to the origin of the redirect URI, which must be a web origin of the client.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from freehold import login
from freehold.domain.applications import Client
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, redirect
from freehold.protocols.oauth.authorize_request import Authorize, AuthorizeError, PageError


def respond(http: Request, request: Authorize, client: Client, members: Mapping[str, Any]) -> Response:
    """Deliver the members of a response. `state` is added when the request had one."""
    full = {name: str(value) for name, value in members.items() if value is not None}
    if request.state is not None:
        full["state"] = request.state
    if request.response_mode == "form_post":
        return login.form_post(http, action=request.redirect_uri, members=full)
    if request.response_mode == "web_message":
        return login.web_message(
            http, target_origin=_target_origin(request, client), members=dict(members) | _state(request)
        )
    separator = "#"
    if request.response_mode == "query":
        separator = "&" if urlsplit(request.redirect_uri).query else "?"
    return redirect(f"{request.redirect_uri}{separator}{urlencode(full)}")


def respond_error(http: Request, error: AuthorizeError, client: Client) -> Response:
    """Deliver an error the same way (RFC 6749 section 4.1.2.1)."""
    return respond(http, error.request, client, {"error": error.code, "error_description": error.message})


def _state(request: Authorize) -> dict[str, str]:
    return {} if request.state is None else {"state": request.state}


def _target_origin(request: Authorize, client: Client) -> str:
    """The origin of the redirect URI. Raises PageError when the client did not register it as a web origin."""
    parts = urlsplit(request.redirect_uri)
    origin = f"{parts.scheme}://{parts.netloc}"
    registered = client.web_origins if isinstance(client.web_origins, list) else []
    if origin not in {url.rstrip("/") for url in registered}:
        raise PageError("The origin of the redirect_uri is not in the client's allowed web origins.")
    return origin
