"""How an authorization response gets back to the client (OAuth 2.0 Multiple Response Types section 2, Form Post Mode).

`query` and `fragment` redirect, `form_post` is a page that submits itself, `web_message` a page that posts to the
window that opened or framed it, and only to the origin of the redirect URI, which was found among the client's web
origins when the request was read.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from freehold import login
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, redirect
from freehold.protocols.oauth.authorize_request import Authorize


def respond(http: Request, request: Authorize, members: Mapping[str, Any]) -> Response:
    """Deliver the members of a response. `state` is added when the request had one."""
    full = {name: value for name, value in members.items() if value is not None}
    if request.state is not None:
        full["state"] = request.state
    if request.iss is not None:
        full["iss"] = request.iss
    if request.response_mode == "web_message":
        origin = login.web_origin(request.redirect_uri)
        assert origin is not None  # looked at when the request was read
        return login.web_message(http, target_origin=origin, members=full)
    words = {name: str(value) for name, value in full.items()}
    if request.response_mode == "form_post":
        return login.form_post(http, action=request.redirect_uri, members=words)
    separator = "#"
    if request.response_mode == "query":
        separator = "&" if urlsplit(request.redirect_uri).query else "?"
    return redirect(f"{request.redirect_uri}{separator}{urlencode(words, quote_via=quote)}")


def respond_error(http: Request, request: Authorize, *, code: str, description: str) -> Response:
    """Deliver an error the same way (RFC 6749 section 4.1.2.1)."""
    return respond(http, request, {"error": code, "error_description": description})
