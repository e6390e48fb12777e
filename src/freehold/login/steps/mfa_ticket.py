"""The page behind an enrolment ticket: whoever was sent the link sets up an authenticator app, without signing in.

What one page holds back for the next is in the form, sealed for this very ticket. The ticket is used when everything
is stored, so that a page left halfway can be opened again.
"""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from hashlib import sha256
from urllib.parse import urlencode

import msgspec

from freehold.domain.authenticators import Guardian, TooManyCodes, enrol, factors_of, guardian_of, match_new
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.tickets import find_ticket, use_ticket
from freehold.domain.users import Profile, find_profile
from freehold.kernel.crypto.otp import new_recovery_code, new_totp_secret
from freehold.kernel.crypto.sealing import CannotOpen
from freehold.kernel.declare import documents
from freehold.kernel.http.csrf import form_token, verify_form
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.login import cookies, second_factor, views
from freehold.login.answers import show
from freehold.login.at_request import AtRequest
from freehold.login.second_factor import Kept, account_of, enrolment_view
from freehold.login.steps.mfa_recovery_code_enrollment import as_file

PATH = "/u/mfa-enrollment"


class Invited(AtRequest, msgspec.Struct, frozen=True):
    """A ticket that holds, and whom it is for."""

    http: Request
    value: str
    user: Profile
    guardian: Guardian

    def form(self, secret: str) -> views.Form:
        """A form that only this browser can submit."""
        action = f"{PATH}?{urlencode({'ticket': self.value})}"
        return views.Form(action=action, state="", csrf_token=form_token(secret))


async def show_page(http: Request) -> Response:
    """GET /u/mfa-enrollment."""
    invited = await _invited(http)
    if invited is None:
        return await _over(http)
    holder = Response()
    secret = cookies.ensure_visit(http, holder)
    response = await _show_app(invited, secret, Kept(secret=new_totp_secret()))
    response.headers += holder.headers
    return response


async def submit(http: Request) -> Response:
    """POST /u/mfa-enrollment: the first code, or the word that the recovery code is written down."""
    form = await http.form()
    browser = cookies.visit_secret(http)
    verify_form(http, transaction=browser, token=form.one("csrf_token"))
    invited = await _invited(http)
    kept = _opened(invited, form.one("kept") or "") if invited is not None else None
    if invited is None or kept is None or browser is None:
        return await _over(http)
    if kept.step is None:
        return await _check(invited, browser, kept, form)
    if form.one("action") == "download":
        return as_file(kept.recovery_code)
    if not form.one("confirmed"):
        return await _show_recovery(invited, browser, kept, views.Problem("no-confirmation", "confirmed"))
    return await _store(invited, kept, await http.services.passwords.hash(kept.recovery_code))


async def _check(invited: Invited, browser: str, kept: Kept, form: Parameters) -> Response:
    code = form.one("code") or ""
    if not code:
        return await _show_app(invited, browser, kept, views.Problem("no-code", "code"))
    try:
        async with invited.store.transaction() as tx:
            step = await match_new(
                tx, invited.tenant, invited.user.user_id, kept.secret, code, facts=_facts(invited)
            )  # fmt: skip
    except TooManyCodes as error:
        page = await _show_app(invited, browser, kept, views.Problem("too-many-failures"))
        return second_factor.too_many(page, error)
    if step is None:
        return await _show_app(invited, browser, kept, views.Problem("invalid-code", "code"))
    if not invited.guardian.offers_recovery:
        return await _store(invited, Kept(secret=kept.secret, step=step), None)
    proved = Kept(secret=kept.secret, step=step, recovery_code=new_recovery_code())
    return await _show_recovery(invited, browser, proved)


async def _store(invited: Invited, kept: Kept, recovery_hash: str | None) -> Response:
    assert kept.step is not None  # looked at by the callers
    async with invited.store.transaction() as tx:
        used = await use_ticket(tx, invited.tenant, invited.value, "mfa_enrollment")
        if used:
            await enrol(
                tx, invited.tenant, invited.user.user_id, secret=kept.secret, step=kept.step,
                recovery_hash=recovery_hash, facts=_facts(invited),
            )  # fmt: skip
    if not used:
        return await _over(invited.http)
    return await show(invited.http, views.MfaEnrollResult(outcome="enrolled"))


async def _invited(http: Request) -> Invited | None:
    """The ticket of the link, as long as it holds and there is something to enrol."""
    store, tenant, value = http.services.store, http.tenant, http.query.one("ticket") or ""
    state, ticket = await find_ticket(store, tenant, value, "mfa_enrollment")
    if state != "open" or ticket is None:
        return None
    user, guardian = await find_profile(store, tenant, ticket.user_id), await guardian_of(store, tenant)
    if user is None or user.blocked or not guardian.offers_totp:
        return None
    if not ticket.payload.get("allow_multiple") and (await factors_of(store, tenant, user.user_id)).totp:
        return None
    return Invited(http, value, user, guardian)


async def _over(http: Request) -> Response:
    return await show(http, views.MfaEnrollResult(outcome="invalid"))


async def _show_app(invited: Invited, browser: str, kept: Kept, *problems: views.Problem) -> Response:
    settings = await documents.cached_singleton(invited.store, invited.tenant, SETTINGS)
    view = enrolment_view(
        invited.form(browser),
        secret=kept.secret,
        issuer=settings.friendly_name or invited.tenant.name,
        account=account_of(invited.user),
        problems=problems,
        kept=_sealed(invited, kept),
    )
    return await show(invited.http, view)


async def _show_recovery(invited: Invited, browser: str, kept: Kept, *problems: views.Problem) -> Response:
    view = views.MfaRecoveryCodeEnrollment(
        form=invited.form(browser), code=kept.recovery_code, kept=_sealed(invited, kept), problems=problems
    )
    return await show(invited.http, view)


def _facts(invited: Invited) -> dict[str, str | None]:
    http = invited.http
    return {
        "user_name": account_of(invited.user),
        "ip": http.client_ip,
        "user_agent": http.headers.get("user-agent"),
        "hostname": http.host,
    }


def _sealed(invited: Invited, kept: Kept) -> str:
    return b64encode(invited.tenant.sealer.seal(msgspec.json.encode(kept), context=_context(invited))).decode()


def _opened(invited: Invited, sealed: str) -> Kept | None:
    try:
        content = invited.tenant.sealer.open(b64decode(sealed, validate=True), context=_context(invited))
    except (CannotOpen, NotBase64, ValueError):
        return None
    return msgspec.json.decode(content, type=Kept)


def _context(invited: Invited) -> str:
    return f"enrolment ticket/{sha256(invited.value.encode()).hexdigest()}"
