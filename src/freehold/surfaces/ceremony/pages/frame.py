"""What the pages of the ceremony share: who acts and how freshly, and that nothing typed is lost on the way.

A step needs both factors of the last five minutes. When a form is sent later than that, its fields are kept in the page
that asks for them, and go on with the answer.
"""

from collections.abc import Sequence

import msgspec

from freehold.domain.administrators import Acting, FreshAuthenticationNeeded, find_administrator, require_admin
from freehold.domain.administrators.factors import factors_of
from freehold.domain.administrators.sessions import find_session
from freehold.domain.ceremonies import Attempt
from freehold.kernel.errors import BadRequest, FreeholdError
from freehold.kernel.http.csrf import form_token
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.surfaces.dashboard import Screens, visitors
from freehold.surfaces.dashboard.sign_in import REFUSALS, proof_of, renew

SCREENS = Screens("freehold.surfaces.ceremony")
EXPORTS, EXECUTIVES, GUIDE = "/admin/exports", "/admin/executives", "/admin/guide/pgp"
FRESH_S = 300
LARGEST_FORM = 11 << 20
_PREFIX, _CONFIRMS = "confirm_", "confirms"
_NOT_KEPT = frozenset({"csrf_token", "passkey", f"{_PREFIX}password", f"{_PREFIX}code", _CONFIRMS})


class Entered(msgspec.Struct, frozen=True):
    """Somebody who may act now, with the cookie of the session when it was just renewed."""

    acting: Acting
    cookie: str = ""

    def leave(self, response: Response) -> Response:
        """The answer, with the new cookie."""
        if self.cookie:
            visitors.set_session(response, self.cookie)
        return response


async def fresh(request: Request) -> Acting:
    """An administrator with all rights who has shown both factors minutes ago."""
    return await require_admin(request, fresh_s=FRESH_S, role="admin")


async def fresh_at(request: Request, back: str) -> Acting | Response:
    """The same, or else the way to show both factors and from there to the page at `back`: a file cannot be kept."""
    try:
        return await fresh(request)
    except FreshAuthenticationNeeded:
        return visitors.go(visitors.with_return(visitors.AUTHENTICATE, back))


def is_fresh(acting: Acting, now_ms: int) -> bool:
    """Whether a step could be taken without asking for the factors again."""
    session, since = acting.session, now_ms - FRESH_S * 1000
    return session.mfa_at_ms is not None and min(session.mfa_at_ms, session.authenticated_at_ms) >= since


async def enter(request: Request, form: Parameters) -> Entered | Response:
    """Who sends this form; or the page that asks for both factors and keeps what was typed."""
    try:
        return Entered(await fresh(request))
    except FreshAuthenticationNeeded:
        acting = await require_admin(request, role="admin")
    problem: FreeholdError | None = None
    if form.get(_CONFIRMS):
        try:
            proof = await proof_of(request, acting, form, prefix=_PREFIX)
        except REFUSALS as refusal:
            problem = refusal
        else:
            if not proof.mfa:
                raise FreshAuthenticationNeeded
            return await _renewed(request, await renew(request, acting, proof))
    kept = [(name, value) for name, value in form.pairs() if name not in _NOT_KEPT]
    present = await factors_of(request.services.store, request.tenant, acting.administrator.id)
    return await SCREENS.render(
        request, acting, "confirm.html", active="exports", problem=problem, factors=present, kept=kept,
        action=request.raw_path, status=400 if problem else 403,
    )  # fmt: skip


async def _renewed(request: Request, cookie: str) -> Entered:
    store, tenant = request.services.store, request.tenant
    session = await find_session(store, tenant, cookie, via="browser")
    person = None if session is None else await find_administrator(store, tenant, session.administrator_id)
    if session is None or person is None:
        raise FreshAuthenticationNeeded
    return Entered(Acting(administrator=person, session=session, csrf_token=form_token(cookie)), cookie)


def attempt_of(request: Request, acting: Acting) -> Attempt:
    """What the actions of the ceremony want to know of somebody who acts."""
    services = request.services
    return Attempt(
        store=services.store, tenant=request.tenant, settings=services.settings, acting=acting, ip=request.client_ip
    )


def version_of(form: Parameters) -> int:
    """The version of the ceremony that the form was made for. Raises BadRequest."""
    text = form.get("version")
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise BadRequest("The form does not say which version of the request it is about.")
    return int(text)


async def uploaded(request: Request, name: str) -> bytes:
    """The content of a form's file, empty when none was chosen."""
    if request.media_type != "multipart/form-data":
        return b""
    upload = (await request.multipart(LARGEST_FORM)).files.get(name)
    return b"" if upload is None else upload.file.read()


async def text_or_file(request: Request, form: Parameters, name: str) -> str:
    """A text that was pasted, or else came as a file. A file that is no text is passed on as what it is not."""
    text = form.get(name).strip()
    return text or (await uploaded(request, f"{name}_file")).decode("utf-8", errors="replace").strip()


def time_left(ms: int) -> tuple[str, Sequence[int]]:
    """How long something lasts, for people: a text key and its numbers."""
    minutes = max(0, ms) // 60_000
    if minutes >= 48 * 60:
        return "left.days", (minutes // 1440, minutes % 1440 // 60)
    if minutes >= 60:
        return "left.hours", (minutes // 60, minutes % 60)
    return "left.minutes", (minutes, 0)
