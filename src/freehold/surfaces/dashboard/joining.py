"""Before somebody can sign in: accepting an invitation, and setting a new password with a link from a mail."""

from typing import Any

from freehold.domain.administrators.links import LinkOver, State, find_link
from freehold.domain.administrators.mail import ask_for_password
from freehold.domain.administrators.management import accept_invitation, set_new_password
from freehold.domain.administrators.passwords import MIN_LENGTH
from freehold.domain.administrators.people import AddressTaken
from freehold.domain.administrators.sign_in import PASSWORD_ONLY, complete_sign_in
from freehold.domain.users import PasswordRefused
from freehold.kernel.crypto.passwords import PasswordNotUsable, PasswordTooLong
from freehold.kernel.errors import BadRequest, FreeholdError
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.surfaces.dashboard import visitors
from freehold.surfaces.dashboard.visitors import SCREENS, SECURITY, field, go

_REFUSALS = (PasswordRefused, PasswordTooLong, PasswordNotUsable, AddressTaken, BadRequest)


async def show_invitation(request: Request) -> Response:
    """GET /admin/invitation?token=...: looking at it does not use it."""
    return await _invitation_page(request, request.query.one("token") or "")


async def submit_invitation(request: Request) -> Response:
    """POST /admin/invitation: the account is made, and its owner signed in to set up a second factor."""
    form = await visitors.open_form(request)
    token, name, password = field(form, "token"), field(form, "name"), form.get("password")
    email = field(form, "email").strip()
    if (problem := _unlike(password, form.get("password_again"), name=name)) is not None:
        return await _invitation_page(request, token, name=name, email=email, problem=problem)
    answer = Response()
    place = visitors.known_place(request, answer)
    try:
        person = await accept_invitation(
            request.services, request.tenant, token=token, name=name, password=password, email=email, place=place
        )
    except LinkOver as over:
        return await _over_page(request, over.state)
    except _REFUSALS as refusal:
        return await _invitation_page(request, token, name=name, email=email, problem=worded(refusal))
    async with request.services.store.transaction() as tx:
        _, value = await complete_sign_in(tx, request.services, request.tenant, person, PASSWORD_ONLY, place)
    visitors.set_session(answer, value)
    return go(SECURITY, after=answer)


async def show_forgotten(request: Request) -> Response:
    """GET /admin/forgotten-password."""
    return await SCREENS.render(request, None, "forgotten.html", sent=False)


async def submit_forgotten(request: Request) -> Response:
    """POST /admin/forgotten-password: says the same for every address, and takes as long."""
    form = await visitors.open_form(request)
    email = field(form, "email").strip()
    if not email:
        return await SCREENS.render(request, None, "forgotten.html", sent=False, problem="forgotten.incomplete")
    async with request.services.store.transaction() as tx:
        await ask_for_password(
            tx, request.tenant, email=email, ip=request.client_ip, user_agent=request.headers.get("user-agent", "")
        )
    return await SCREENS.render(request, None, "forgotten.html", sent=True)


async def show_new_password(request: Request) -> Response:
    """GET /admin/new-password?token=..."""
    return await _password_page(request, request.query.one("token") or "")


async def submit_new_password(request: Request) -> Response:
    """POST /admin/new-password: then one signs in with it."""
    form = await visitors.open_form(request)
    token, password = field(form, "token"), form.get("password")
    if (problem := _unlike(password, form.get("password_again"))) is not None:
        return await _password_page(request, token, problem=problem)
    try:
        await set_new_password(
            request.services, request.tenant, token=token, password=password, place=visitors.place_of(request)
        )
    except LinkOver as over:
        return await _over_page(request, over.state)
    except _REFUSALS as refusal:
        return await _password_page(request, token, problem=worded(refusal))
    return await SCREENS.render(request, None, "password_set.html")


def _unlike(password: str, again: str, *, name: str = "-") -> str | None:
    """What is missing in a form with a new password."""
    if not name.strip():
        return "invitation.no_name"
    if not password:
        return "password.none"
    return "password.unlike" if password != again else None


def worded(refusal: FreeholdError) -> str | FreeholdError:
    """A refused password by the rule it breaks."""
    if isinstance(refusal, PasswordRefused):
        return {
            "PasswordStrengthError": "password.short",
            "PasswordDictionaryError": "password.common",
            "PasswordNoUserInfoError": "password.personal",
        }.get(refusal.name, "password.short")
    return refusal


async def _invitation_page(
    request: Request, token: str, *, name: str = "", email: str = "", problem: Any = None
) -> Response:
    state, link = await find_link(request.services.store, request.tenant, token, "invitation")
    if state != "open" or link is None:
        return await _over_page(request, state)
    return await SCREENS.render(
        request, None, "invitation.html", link=link, token=token, name=name, email=email, min_length=MIN_LENGTH,
        problem=problem,
    )  # fmt: skip


async def _password_page(request: Request, token: str, *, problem: Any = None) -> Response:
    state, link = await find_link(request.services.store, request.tenant, token, "password")
    if state != "open" or link is None:
        return await _over_page(request, state)
    return await SCREENS.render(
        request, None, "new_password.html", link=link, token=token, min_length=MIN_LENGTH, problem=problem
    )


async def _over_page(request: Request, state: State) -> Response:
    return await SCREENS.render(request, None, "link_over.html", state=state, status=410)
