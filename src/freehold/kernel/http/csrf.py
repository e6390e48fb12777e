"""Forms that only our own pages can submit.

The token of a form is derived from a secret the browser holds in a cookie (the login transaction, say): whoever cannot
read that cookie cannot make the token, and a token made for one transaction is worthless in another. Browsers also say
where a request comes from; when they do, it must be this origin.
"""

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256

from freehold.kernel.errors import Forbidden
from freehold.kernel.http.request import Request


class CrossSiteRequest(Forbidden):
    """403: a form was not submitted from the page this server gave to this browser."""

    code = "cross_site_request"

    def __init__(self) -> None:
        super().__init__(
            "The form was not sent from this site, or it is too old. Go back, reload the page and try again."
        )


def form_token(transaction: str) -> str:
    """The hidden field of a form shown to the browser whose cookie holds this transaction secret."""
    digest = hmac.new(transaction.encode(), b"freehold form token", sha256).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def verify_form(request: Request, *, transaction: str | None, token: str | None) -> None:
    """Check a submitted form against the cookie's transaction secret. Raises CrossSiteRequest."""
    check_same_origin(request)
    if not transaction or not token or not hmac.compare_digest(form_token(transaction).encode(), token.encode()):
        raise CrossSiteRequest


def check_same_origin(request: Request) -> None:
    """Raise CrossSiteRequest for what a browser says comes from elsewhere; a client that says nothing is no browser."""
    origin = request.headers.get("origin")
    if origin is not None and origin != request.origin:
        raise CrossSiteRequest
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise CrossSiteRequest
