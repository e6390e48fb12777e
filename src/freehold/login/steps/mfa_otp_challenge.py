"""Asking for the code that the user's authenticator app shows."""

from freehold.domain.authenticators import TooManyCodes, lifetime, remember_browser, verify_totp
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, redirect
from freehold.login import cookies, second_factor, views
from freehold.login.flow import Visit, visit
from freehold.login.second_factor import Asked, asked, demand_of
from freehold.login.steps import mfa_end

DAY_S = 86_400


async def show_page(http: Request) -> Response:
    """GET /u/mfa-otp-challenge."""
    here = await visit(http)
    who = await asked(here)
    if not who.factors.totp:
        return redirect(here.url(second_factor.ENROLMENT))
    if who.session is not None and await _may_be_spared(here, who):
        return await mfa_end.pass_remembered(here, who)
    return await _show(here, who)


async def submit(http: Request) -> Response:
    """POST /u/mfa-otp-challenge."""
    here = await visit(http)
    who = await asked(here)
    code = here.field("code")
    if not code:
        return await _show(here, who, views.Problem("no-code", "code"))
    user_id, value = who.user.user_id, None
    facts = second_factor.facts_about(here, who)
    try:
        async with here.store.transaction() as tx:
            used = await verify_totp(tx, here.tenant, user_id, code, facts=facts)
            if used is not None and here.field("rememberBrowser") and _offers_remembering(here, who):
                known = cookies.remembered(http)
                value = await remember_browser(tx, here.tenant, user_id, value=known, guardian=who.guardian)
    except TooManyCodes as error:
        return second_factor.too_many(await _show(here, who, views.Problem("too-many-failures")), error)
    if used is None:
        return await _show(here, who, views.Problem("invalid-code", "code"))
    response = await mfa_end.passed(here, who)
    if value is not None:
        cookies.remember(response, value, max_age_s=int(lifetime(who.guardian).total_seconds()))
    return response


async def _show(here: Visit, who: Asked, *problems: views.Problem) -> Response:
    days = int(lifetime(who.guardian).total_seconds()) // DAY_S
    view = views.MfaOtpChallenge(
        form=here.page_form(second_factor.CHALLENGE),
        recovery_url=_recovery_url(here, who),
        remember_days=max(1, days) if _offers_remembering(here, who) else 0,
        remember_default=who.guardian.remember_me_default_value,
        problems=problems,
    )
    return await here.show(view)


async def _may_be_spared(here: Visit, who: Asked) -> bool:
    """Whether a user with a session need not show a code on this browser."""
    demand = await demand_of(here, who.user.user_id)
    return (
        not demand.fresh and second_factor.may_remember(here) and await second_factor.remembers(here, who.user.user_id)
    )


def _offers_remembering(here: Visit, who: Asked) -> bool:
    return who.guardian.display_remember_me_checkbox and second_factor.may_remember(here)


def _recovery_url(here: Visit, who: Asked) -> str:
    usable = who.guardian.offers_recovery and who.factors.recovery
    return here.url(second_factor.RECOVERY_CHALLENGE) if usable else ""
