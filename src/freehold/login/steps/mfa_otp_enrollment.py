"""Setting up an authenticator app within a sign-in: QR code, the key to type, and the first code as a proof.

The secret waits, sealed, in the sign-in's payload. Nothing is stored of it before the code was right and, where there
are recovery codes, before the user has said that theirs is written down.
"""

from freehold.domain.authenticators import AlreadyEnrolled, TooManyCodes, enrol, match_new
from freehold.domain.tenants.settings import SETTINGS
from freehold.kernel.crypto.otp import new_recovery_code, new_totp_secret
from freehold.kernel.declare import documents
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, redirect
from freehold.login import second_factor, views
from freehold.login.flow import SignInOver, Visit, visit
from freehold.login.second_factor import Asked, Kept, account_of, asked, enrolment_view, opened, seal
from freehold.login.steps import mfa_end


async def show_page(http: Request) -> Response:
    """GET /u/mfa-otp-enrollment-qr: the same secret, however often the page is loaded."""
    here = await visit(http)
    who = await asked(here)
    if who.factors.totp:
        return redirect(here.url(second_factor.CHALLENGE))
    kept = opened(here)
    if not kept.secret:
        kept = Kept(secret=new_totp_secret())
        async with here.store.transaction() as tx:
            await here.save(tx, kept=seal(here, kept))
    return await _show(here, who, kept)


async def submit(http: Request) -> Response:
    """POST /u/mfa-otp-enrollment-qr."""
    here = await visit(http)
    who = await asked(here)
    kept = opened(here)
    if who.factors.totp or not kept.secret:
        return second_factor.first_page(here, who.factors)
    code = here.field("code")
    if not code:
        return await _show(here, who, kept, views.Problem("no-code", "code"))
    user_id, facts = who.user.user_id, second_factor.facts_about(here, who)
    recovery = new_recovery_code() if who.guardian.offers_recovery else ""
    try:
        async with here.store.transaction() as tx:
            step = await match_new(tx, here.tenant, user_id, kept.secret, code, facts=facts)
            if step is not None and recovery:
                proved = Kept(secret=kept.secret, step=step, recovery_code=recovery)
                await here.save(tx, kept=seal(here, proved))
            elif step is not None:
                await enrol(
                    tx, here.tenant, user_id, secret=kept.secret, step=step, recovery_hash=None, facts=facts, first=True
                )  # fmt: skip
    except TooManyCodes as error:
        return second_factor.too_many(await _show(here, who, kept, views.Problem("too-many-failures")), error)
    except AlreadyEnrolled:
        raise SignInOver from None
    if step is None:
        return await _show(here, who, kept, views.Problem("invalid-code", "code"))
    if recovery:
        return redirect(here.url(second_factor.RECOVERY_ENROLMENT))
    return await mfa_end.passed(here, who)


async def _show(here: Visit, who: Asked, kept: Kept, *problems: views.Problem) -> Response:
    settings = await documents.cached_singleton(here.store, here.tenant, SETTINGS)
    view = enrolment_view(
        here.page_form(second_factor.ENROLMENT),
        secret=kept.secret,
        issuer=settings.friendly_name or here.tenant.name,
        account=account_of(who.user),
        problems=problems,
    )
    return await here.show(view)
