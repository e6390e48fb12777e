"""Showing a recovery code, the only time: the first one, or the one that takes the place of a used one.

Only when the user says that it is written down is anything stored: the app that was just set up, or the end of the old
code. Whoever leaves the page before has lost nothing.
"""

from freehold.domain.authenticators import AlreadyEnrolled, ProvedRecovery, enrol, use_recovery
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, redirect
from freehold.login import second_factor, views
from freehold.login.flow import SignInOver, Visit, visit
from freehold.login.second_factor import Asked, Kept, asked, opened
from freehold.login.steps import mfa_end

FILE_NAME = "recovery-code.txt"


async def show_page(http: Request) -> Response:
    """GET /u/mfa-recovery-code-enrollment."""
    here = await visit(http)
    who = await asked(here)
    kept = opened(here)
    if not kept.recovery_code:
        return second_factor.first_page(here, who.factors)
    return await _show(here, kept)


async def submit(http: Request) -> Response:
    """POST /u/mfa-recovery-code-enrollment."""
    here = await visit(http)
    who = await asked(here)
    kept = opened(here)
    if not kept.recovery_code:
        return redirect(here.url(second_factor.CHALLENGE))
    if here.field("action") == "download":
        return as_file(kept.recovery_code)
    if not here.field("confirmed"):
        return await _show(here, kept, views.Problem("no-confirmation", "confirmed"))
    await _store(here, who, kept)
    return await mfa_end.passed(here, who)


async def _store(here: Visit, who: Asked, kept: Kept) -> None:
    """Put what was shown into force. Raises SignInOver when somebody else was quicker."""
    user_id, facts = who.user.user_id, second_factor.facts_about(here, who)
    stored = await here.http.services.passwords.hash(kept.recovery_code)
    try:
        async with here.store.transaction() as tx:
            if kept.proved is not None:
                proved = ProvedRecovery(**kept.proved)
                if not await use_recovery(tx, here.tenant, user_id, proved, replacement=stored, facts=facts):
                    raise SignInOver
            elif kept.step is not None:
                await enrol(
                    tx, here.tenant, user_id, secret=kept.secret, step=kept.step, recovery_hash=stored, facts=facts,
                    first=True,
                )  # fmt: skip
            else:
                raise SignInOver
    except AlreadyEnrolled:
        raise SignInOver from None


async def _show(here: Visit, kept: Kept, *problems: views.Problem) -> Response:
    view = views.MfaRecoveryCodeEnrollment(
        form=here.page_form(second_factor.RECOVERY_ENROLMENT), code=kept.recovery_code, problems=problems
    )
    return await here.show(view)


def as_file(code: str) -> Response:
    """The code as a small file."""
    headers = [("content-disposition", f'attachment; filename="{FILE_NAME}"'), ("cache-control", "no-store")]
    return Response(200, f"{code}\n".encode(), headers, content_type="text/plain; charset=utf-8")
