"""Signing in and out of the dashboard: password and code, or a passkey; and the same again for a fresh confirmation.

The first half of a sign-in gives the browser nothing but a mark of the second half, which is bound to it, lives for
minutes and is used up by the end.
"""

from collections.abc import Callable
from typing import Any

from freehold.domain.administrators import (
    Acting,
    Administrator,
    PasskeyRefused,
    Proof,
    SignInNeeded,
    find_administrator,
    renew_session,
    require_admin,
)
from freehold.domain.administrators.access import current_session
from freehold.domain.administrators.challenges import Challenge, close_challenge, find_challenge, put_challenge
from freehold.domain.administrators.factors import Factors, factors_of
from freehold.domain.administrators.records import note
from freehold.domain.administrators.sessions import end_session
from freehold.domain.administrators.sign_in import (
    PASSWORD_AND_PASSKEY,
    PASSWORD_ONLY,
    WITH_PASSKEY,
    AccountBlocked,
    Place,
    TriedTooOften,
    WrongCredentials,
    check_code,
    check_passkey,
    check_password,
    check_recovery_code,
    complete_sign_in,
)
from freehold.kernel.errors import FreeholdError, TooManyRequests
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.login import cookies
from freehold.surfaces.dashboard import visitors
from freehold.surfaces.dashboard.passkeys import answered
from freehold.surfaces.dashboard.visitors import CODE, SCREENS, SECURITY, SIGN_IN, field, go

REFUSALS = (WrongCredentials, AccountBlocked, TriedTooOften, TooManyRequests, PasskeyRefused)


# --- the first half ----------------------------------------------------------------------------------------------


async def show_sign_in(request: Request) -> Response:
    """GET /admin/sign-in."""
    target = visitors.safe_return(request.query.one("return_to"))
    try:
        await require_admin(request, enrolling=True)
    except SignInNeeded:
        return await _sign_in_page(request, target)
    return go(target)


async def submit_sign_in(request: Request) -> Response:
    """POST /admin/sign-in."""
    form = await visitors.open_form(request)
    target, email = visitors.safe_return(form.one("return_to")), field(form, "email").strip()
    answer = Response()
    place = visitors.known_place(request, answer)
    try:
        if form.get("passkey"):
            challenge, response = await answered(request, form, bound_to=cookies.visit_secret(request) or "")
            person = await check_passkey(
                request.services, request.tenant, None, challenge=challenge, response=response, place=place
            )
            return await _enter(request, person, WITH_PASSKEY, target, answer, place)
        password = field(form, "password")
        if not email or not password:
            return await _sign_in_page(request, target, email=email, problem="sign_in.incomplete")
        person = await check_password(request.services, request.tenant, email=email, password=password, place=place)
    except REFUSALS as refusal:
        return await _sign_in_page(request, target, email=email, problem=refusal)
    if not (await factors_of(request.services.store, request.tenant, person.id)).any:
        return await _enter(request, person, PASSWORD_ONLY, target, answer, place)
    async with request.services.store.transaction() as tx:
        value = await put_challenge(
            tx, request.tenant, "second_factor", bound_to=cookies.visit_secret(request) or "",
            administrator_id=person.id, payload=target,
        )  # fmt: skip
    visitors.set_step(answer, value)
    return go(CODE, after=answer)


async def _sign_in_page(request: Request, target: str, *, email: str = "", problem: Any = None) -> Response:
    return await SCREENS.render(
        request, None, "sign_in.html", return_to=target, email=email, problem=problem,
        status=400 if isinstance(problem, str | WrongCredentials) else 200,
    )  # fmt: skip


# --- the second half ---------------------------------------------------------------------------------------------


async def show_code(request: Request) -> Response:
    """GET /admin/sign-in/code."""
    challenge, person = await _step(request)
    if challenge is None or person is None:
        return go(SIGN_IN)
    return await _code_page(request, person)


async def submit_code(request: Request) -> Response:
    """POST /admin/sign-in/code: a code, the recovery code, or a passkey."""
    form = await visitors.open_form(request)
    challenge, person = await _step(request)
    if challenge is None or person is None:
        return go(SIGN_IN)
    answer = Response()
    place, following = visitors.known_place(request, answer), ""
    try:
        if form.get("passkey"):
            expected, response = await answered(request, form, bound_to=cookies.visit_secret(request) or "")
            await check_passkey(
                request.services, request.tenant, person, challenge=expected, response=response, place=place
            )
            proof = PASSWORD_AND_PASSKEY
        elif form.get("recovery_code"):
            proof, following = await check_recovery_code(
                request.services, request.tenant, person, field(form, "recovery_code"), place
            )
        else:
            proof = await check_code(request.services, request.tenant, person, field(form, "code"), place)
    except REFUSALS as refusal:
        return await _code_page(request, person, problem=refusal)
    async with request.services.store.transaction() as tx:
        if not await close_challenge(tx, request.tenant, challenge):
            return go(SIGN_IN)
    visitors.set_step(answer, "")
    target = visitors.safe_return(challenge.payload)
    if following:
        await _enter(request, person, proof, target, answer, place)
        page = await SCREENS.render(request, None, "recovery_code.html", code=following, next_url=SECURITY, used=True)
        page.headers += [header for header in answer.headers if header[0] == "set-cookie"]
        return page
    return await _enter(request, person, proof, target, answer, place)


async def _step(request: Request) -> tuple[Challenge | None, Administrator | None]:
    """The sign-in under way in this browser, and whose it is."""
    store, tenant = request.services.store, request.tenant
    challenge = await find_challenge(
        store, tenant, "second_factor", request.cookies.get(visitors.STEP), bound_to=cookies.visit_secret(request)
    )
    if challenge is None or challenge.administrator_id is None:
        return None, None
    person = await find_administrator(store, tenant, challenge.administrator_id)
    return (challenge, person) if person is not None and not person.blocked else (None, None)


async def _code_page(request: Request, person: Administrator, *, problem: FreeholdError | None = None) -> Response:
    present = await factors_of(request.services.store, request.tenant, person.id)
    return await SCREENS.render(
        request, None, "code.html", factors=present, problem=problem,
        status=400 if isinstance(problem, WrongCredentials) else 200,
    )  # fmt: skip


async def _enter(
    request: Request, person: Administrator, proof: Proof, target: str, answer: Response, place: Place
) -> Response:
    """Begin the session under a new cookie; one that this browser had before ends."""
    before = await current_session(request)
    async with request.services.store.transaction() as tx:
        if before is not None:
            await end_session(tx, request.tenant, before.id, administrator_id=before.administrator_id)
        _, value = await complete_sign_in(tx, request.services, request.tenant, person, proof, place)
    visitors.set_session(answer, value)
    return go(target, after=answer)


# --- confirming, and leaving -------------------------------------------------------------------------------------


async def show_authenticate(request: Request) -> Response:
    """GET /admin/authenticate?return_to=..."""
    acting = await require_admin(request, enrolling=True)
    return await _authenticate_page(request, acting, visitors.safe_return(request.query.one("return_to")))


async def submit_authenticate(request: Request) -> Response:
    """POST /admin/authenticate: password and code, or a passkey; the session goes on under a new cookie."""
    acting = await require_admin(request, enrolling=True)
    form = await request.form()
    target = visitors.safe_return(form.one("return_to"))
    try:
        proof = await proof_of(request, acting, form)
    except REFUSALS as refusal:
        return await _authenticate_page(request, acting, target, problem=refusal)
    return await renewed(request, acting, proof, lambda: go(target))


async def proof_of(request: Request, acting: Acting, form: Parameters, *, prefix: str = "") -> Proof:
    """Check password and code, in fields so prefixed, or the passkey that a form brings. Raises one of REFUSALS."""
    person, services, tenant, place = acting.administrator, request.services, request.tenant, visitors.place_of(request)
    if form.get("passkey"):
        challenge, response = await answered(request, form, bound_to=acting.session.id)
        await check_passkey(services, tenant, person, challenge=challenge, response=response, place=place)
        return WITH_PASSKEY
    present = await factors_of(services.store, tenant, person.id)
    await check_password(services, tenant, email=person.email, password=field(form, f"{prefix}password"), place=place)
    if password_is_enough(acting, present) and not form.get(f"{prefix}code"):
        return PASSWORD_ONLY
    return await check_code(services, tenant, person, field(form, f"{prefix}code"), place)


async def renewed(request: Request, acting: Acting, proof: Proof, answer: Callable[[], Response]) -> Response:
    """Note a fresh authentication of this session, and answer with its new cookie. Raises SignInNeeded."""
    value = await renew(request, acting, proof)
    response = answer()
    visitors.set_session(response, value)
    return response


async def renew(request: Request, acting: Acting, proof: Proof) -> str:
    """Note a fresh authentication of this session; the value of its new cookie. Raises SignInNeeded."""
    async with request.services.store.transaction() as tx:
        value = await renew_session(tx, request.tenant, acting.session, proof)
        await note(
            tx, request.tenant, "administrator.authenticated", visitors.who(request, acting), methods=list(proof.amr)
        )
    if value is None:
        raise SignInNeeded
    return value


def password_is_enough(acting: Acting, present: Factors) -> bool:
    """Whether somebody can show no factor: there is none yet, or it is lost and the recovery code stood in for it."""
    return not present.any or "recovery" in acting.session.amr


async def _authenticate_page(
    request: Request, acting: Acting, target: str, *, problem: FreeholdError | None = None
) -> Response:
    present = await factors_of(request.services.store, request.tenant, acting.administrator.id)
    return await SCREENS.render(
        request, acting, "authenticate.html", factors=present, return_to=target, problem=problem,
        code_needed=not password_is_enough(acting, present),
        status=400 if isinstance(problem, WrongCredentials) else 200,
    )  # fmt: skip


async def sign_out(request: Request) -> Response:
    """POST /admin/sign-out."""
    acting = await require_admin(request, enrolling=True)
    async with request.services.store.transaction() as tx:
        await end_session(tx, request.tenant, acting.session.id, administrator_id=acting.administrator.id)
        await note(tx, request.tenant, "administrator.signed_out", visitors.who(request, acting))
    response = go(SIGN_IN)
    visitors.forget_session(response)
    return response
