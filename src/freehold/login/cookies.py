"""The cookies of the hosted pages.

`auth0` holds the session and is sent in frames of other sites too, for silent sign-in; `auth0_compat` is its twin for
browsers that misread SameSite=None. `__Host-visit` is one random value per browser: transactions are bound to it and
form tokens derived from it, so that neither works in another browser. `auth0-mf` is kept for weeks by a user's choice
and stands in for a second factor, never for a password.
"""

import hmac
from hashlib import sha256

from freehold.domain.sessions import LoginTransaction, Session
from freehold.kernel.crypto.ids import new_token
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response

SESSION, SESSION_COMPAT = "auth0", "auth0_compat"
REMEMBERED = "auth0-mf"
VISIT = "__Host-visit"
VISIT_LIFETIME_S = 86_400


def session_cookie(request: Request) -> str | None:
    """The session's value that the browser sent, or None."""
    return request.cookies.get(SESSION) or request.cookies.get(SESSION_COMPAT)


def set_session(response: Response, session: Session, value: str, *, now_ms: int) -> None:
    """Give the browser a session; one that is not persistent ends with the browser."""
    max_age_s = max(1, (session.expires_at_ms - now_ms) // 1000) if session.persistent else None
    response.set_cookie(SESSION, value, max_age_s=max_age_s, same_site="None")
    response.set_cookie(SESSION_COMPAT, value, max_age_s=max_age_s, same_site=None)


def forget_session(response: Response) -> None:
    """Take the session's cookies away."""
    response.set_cookie(SESSION, "", max_age_s=0, same_site="None")
    response.set_cookie(SESSION_COMPAT, "", max_age_s=0, same_site=None)


def remembered(request: Request) -> str | None:
    """The value by which this browser is remembered, or None."""
    return request.cookies.get(REMEMBERED)


def remember(response: Response, value: str, *, max_age_s: int) -> None:
    """Have the browser remember that its users need not be asked for a code."""
    response.set_cookie(REMEMBERED, value, max_age_s=max_age_s, same_site="Lax")


def visit_secret(request: Request) -> str | None:
    """The browser's own value, or None when it has none yet."""
    value = request.cookies.get(VISIT)
    return value if value and 20 <= len(value) <= 100 else None


def ensure_visit(request: Request, response: Response) -> str:
    """The browser's own value, made and set when it has none yet."""
    known = visit_secret(request)
    if known is not None:
        return known
    secret = new_token()
    response.set_cookie(VISIT, secret, max_age_s=VISIT_LIFETIME_S, same_site="Lax")
    return secret


def binding(secret: str) -> str:
    """What a transaction keeps of the browser's value."""
    return sha256(secret.encode()).hexdigest()


def is_bound_to(request: Request, transaction: LoginTransaction) -> bool:
    """Whether this browser is the one that began the transaction."""
    secret = visit_secret(request)
    expected = transaction.payload.get("visit")
    return secret is not None and isinstance(expected, str) and hmac.compare_digest(binding(secret), expected)
