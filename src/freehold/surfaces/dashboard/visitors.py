"""Visitors: cookies of the dashboard, where somebody may be sent, and forms of those who are not signed in yet."""

import re
from typing import Any
from urllib.parse import urlencode

from freehold.domain.administrators import COOKIE, Acting
from freehold.domain.administrators.records import Who, acting_as
from freehold.domain.administrators.sessions import AdminSession
from freehold.domain.administrators.sign_in import Place
from freehold.kernel.config import Settings
from freehold.kernel.crypto.ids import new_token
from freehold.kernel.http.csrf import verify_form
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, redirect
from freehold.login import cookies
from freehold.surfaces.dashboard.layout import HERE, Screens

HOME, SIGN_IN, CODE, SECURITY = "/admin", "/admin/sign-in", "/admin/sign-in/code", "/admin/security"
AUTHENTICATE, FORGOTTEN = "/admin/authenticate", "/admin/forgotten-password"
STEP, DEVICE = "__Host-freehold-admin-step", "__Host-freehold-admin-device"
STEP_LIFETIME_S = 600
DEVICE_LIFETIME_S = 180 * 86_400
LONGEST_FIELD = 1000

SCREENS = Screens(HERE)

# A browser drops control characters and reads a backslash as a slash, and so may see another address than we do.
_RETURN = re.compile(r"/admin(?:[/?][^\x00-\x20\x7f\\#]*)?")


def safe_return(target: str | None) -> str:
    """Where to go on: an address of the dashboard, never another site's; the home page instead of anything else."""
    if not target or len(target) > 2000 or not _RETURN.fullmatch(target) or "//" in target.partition("?")[0]:
        return HOME
    path = target.partition("?")[0]
    doors = (SIGN_IN, AUTHENTICATE, "/admin/sign-out", "/admin/api", "/admin/assets", "/admin/passkey-options")
    return HOME if path.startswith(doors) or "/../" in f"{path}/" else target


def with_return(path: str, target: str) -> str:
    """The address of a page that leads on to another."""
    return path if target == HOME else f"{path}?{urlencode({'return_to': target})}"


async def open_form(request: Request) -> Parameters:
    """The fields of a form sent by somebody who is not signed in. Raises CrossSiteRequest when it is not ours."""
    form = await request.form()
    verify_form(request, transaction=cookies.visit_secret(request), token=form.one("csrf_token"))
    return form


def field(form: Parameters, name: str) -> str:
    """A field, empty when it is missing, never longer than it may be."""
    return form.get(name)[:LONGEST_FIELD]


def place_of(request: Request) -> Place:
    """Where a browser's request comes from."""
    return Place(
        ip=request.client_ip,
        user_agent=request.headers.get("user-agent", ""),
        via="browser",
        device=request.cookies.get(DEVICE, "")[:100],
    )


def who(request: Request, acting: Acting) -> Who:
    """Who acts, for the records."""
    agent = request.headers.get("user-agent", "")
    return acting_as(acting.administrator, acting.session, ip=request.client_ip, user_agent=agent)


def known_place(request: Request, response: Response) -> Place:
    """Where a browser's request comes from; a browser without a mark by which it is known again gets one."""
    place = place_of(request)
    if len(place.device) < 20:
        place = Place(ip=place.ip, user_agent=place.user_agent, via="browser", device=new_token(18))
        response.set_cookie(DEVICE, place.device, max_age_s=DEVICE_LIFETIME_S, same_site="Lax")
    return place


def set_session(response: Response, value: str) -> None:
    """Give the browser its session; it ends with the browser, or earlier, as the server says."""
    response.set_cookie(COOKIE, value, same_site="Lax")


def forget_session(response: Response) -> None:
    """Take the session's cookie away."""
    response.set_cookie(COOKIE, "", max_age_s=0, same_site="Lax")


def set_step(response: Response, value: str) -> None:
    """Remember the second half of a sign-in; empty forgets it."""
    response.set_cookie(STEP, value, max_age_s=STEP_LIFETIME_S if value else 0, same_site="Lax")


def go(target: str, *, after: Response | None = None) -> Response:
    """Send the browser on with GET, with the cookies that were set on the way."""
    response = redirect(target, 303)
    if after is not None:
        response.headers += [header for header in after.headers if header[0] == "set-cookie"]
    return response


def fresh_s(request: Request) -> int:
    """For how long a confirmation of who somebody is holds."""
    settings: Settings = request.services.settings
    return settings.admin_fresh_s


def describe_session(session: AdminSession, current: str) -> dict[str, Any]:
    """A session as its owner sees it."""
    return {
        "id": session.id,
        "via": session.via,
        "ip": session.ip,
        "user_agent": session.user_agent,
        "created_at_ms": session.created_at_ms,
        "last_seen_at_ms": session.last_seen_at_ms,
        "is_current": session.id == current,
    }
