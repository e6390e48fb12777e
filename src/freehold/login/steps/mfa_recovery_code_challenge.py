"""Asking for the recovery code, for whoever has lost their app. The right one is answered with the next one."""

from msgspec.structs import asdict

from freehold.domain.authenticators import TooManyCodes, prove_recovery
from freehold.kernel.crypto.otp import new_recovery_code
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, redirect
from freehold.login import second_factor, views
from freehold.login.flow import Visit, visit
from freehold.login.second_factor import Kept, asked, seal


async def show_page(http: Request) -> Response:
    """GET /u/mfa-recovery-code-challenge."""
    here = await visit(http)
    who = await asked(here)
    if not who.guardian.offers_recovery:
        return redirect(here.url(second_factor.CHALLENGE))
    return await _show(here)


async def submit(http: Request) -> Response:
    """POST /u/mfa-recovery-code-challenge."""
    here = await visit(http)
    who = await asked(here)
    if not who.guardian.offers_recovery or not who.factors.totp:
        return second_factor.first_page(here, who.factors)
    code = here.field("code")
    if not code:
        return await _show(here, views.Problem("no-code", "code"))
    facts = second_factor.facts_about(here, who)
    try:
        proved = await prove_recovery(
            here.store, here.tenant, http.services.passwords, who.user.user_id, code, facts=facts
        )  # fmt: skip
    except TooManyCodes as error:
        return second_factor.too_many(await _show(here, views.Problem("too-many-failures")), error)
    if proved is None:
        return await _show(here, views.Problem("invalid-code", "code"))
    kept = Kept(recovery_code=new_recovery_code(), proved=asdict(proved))
    async with here.store.transaction() as tx:
        await here.save(tx, kept=seal(here, kept))
    return redirect(here.url(second_factor.RECOVERY_ENROLMENT))


async def _show(here: Visit, *problems: views.Problem) -> Response:
    view = views.MfaRecoveryCodeChallenge(
        form=here.page_form(second_factor.RECOVERY_CHALLENGE),
        app_url=here.url(second_factor.CHALLENGE),
        problems=problems,
    )
    return await here.show(view)
