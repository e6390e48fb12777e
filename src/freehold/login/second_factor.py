"""The second factor within a sign-in: who is being asked, what is kept between the pages, and going on afterwards.

After the password nothing exists yet but the sign-in's payload: `second` names who proved it. The session begins when
the second factor was shown as well. A user who has a session already (an application asks for more, or a policy is new)
is asked under that session, which learns of it. What pages hold back for each other (a new secret, a new recovery
code) is in the payload too, sealed.
"""

from base64 import b64decode, b64encode
from typing import Any

import msgspec

from freehold.domain.authenticators import (
    Demand,
    Factors,
    Guardian,
    Unmet,
    check_possible,
    demand_for,
    factors_of,
    guardian_of,
    is_remembered,
)
from freehold.domain.sessions import Session, find_session
from freehold.domain.users import Database, Profile, SignIn, Verification, find_profile, keep_rehash
from freehold.kernel.crypto.otp import totp_uri
from freehold.kernel.errors import TooManyRequests
from freehold.kernel.http.response import Response, redirect
from freehold.login import cookies, views
from freehold.login.flow import SignInOver, Visit

CHALLENGE, ENROLMENT = "/u/mfa-otp-challenge", "/u/mfa-otp-enrollment-qr"
RECOVERY_CHALLENGE, RECOVERY_ENROLMENT = "/u/mfa-recovery-code-challenge", "/u/mfa-recovery-code-enrollment"


class Asked(msgspec.Struct, frozen=True):
    """Whom a page asks for a second factor, and what there is to ask for."""

    user: Profile
    connection: str
    identity_id: str
    session: Session | None
    """None when the session begins only after this."""
    factors: Factors
    guardian: Guardian

    @property
    def found(self) -> SignIn:
        """The user as the first step found them."""
        return SignIn(self.user, self.identity_id)


class Kept(msgspec.Struct, omit_defaults=True):
    """What one page holds back for the next."""

    secret: str = ""
    step: int | None = None
    """Of the code that proved `secret`."""
    recovery_code: str = ""
    """The new one, which is being shown."""
    proved: dict[str, Any] | None = None
    """The old one, which is used up when the user says that the new one is written down."""


async def demand_of(here: Visit, user_id: str) -> Demand:
    """What this sign-in has to show beside the password."""
    request = here.authorize
    return await demand_for(
        here.store, here.tenant, user_id, acr_values=request.get("acr_values"), audience=request.get("audience")
    )


async def remembers(here: Visit, user_id: str) -> bool:
    """Whether the user has chosen not to be asked on this browser."""
    guardian = await guardian_of(here.store, here.tenant)
    value = cookies.remembered(here.http)
    return await is_remembered(here.store, here.tenant, user_id, value, guardian=guardian)


def may_remember(here: Visit) -> bool:
    """Whether code that asked for the second factor allows browsers to be remembered; without code they may be."""
    verdict = (here.transaction.payload.get("custom") or {}).get("verdict") or {}
    return (verdict.get("multifactor") or {}).get("allowRememberBrowser", True) is not False


async def begin(
    here: Visit, database: Database, found: SignIn, verification: Verification | None, attempt: Any
) -> Response:
    """The password was right and is not enough: note who it was and go to the page that asks for more."""
    user_id = found.user.user_id
    factors, guardian = await factors_of(here.store, here.tenant, user_id), await guardian_of(here.store, here.tenant)
    refusal = None
    try:
        check_possible(guardian, factors)
    except Unmet as unmet:
        refusal = {"code": "access_denied", "description": unmet.reason}
    second = {"user_id": user_id, "identity_id": found.identity_id, "connection": database.name}
    async with here.store.transaction() as tx:
        if attempt is not None:
            await attempt.succeeded(tx)
        if verification is not None:
            await keep_rehash(tx, here.tenant, found, verification)
        if refusal is not None:
            await here.save(tx, error=refusal)
        else:
            await here.save(tx, second=second, kept=None)
            event = "gd_start_auth" if factors.totp else "gd_start_enroll"
            await here.tenant.events.record(tx, here.tenant, event, **facts(here, found, database.name))
    return here.resume() if refusal is not None else first_page(here, factors)


def first_page(here: Visit, factors: Factors) -> Response:
    """To the page that asks for a code, or has an app set up."""
    return redirect(here.url(CHALLENGE if factors.totp else ENROLMENT))


async def asked(here: Visit) -> Asked:
    """Who is asked in this sign-in. Raises SignInOver when nobody is, or nothing can be asked of them."""
    store, tenant, payload = here.store, here.tenant, here.transaction.payload
    second, session = payload.get("second"), None
    if second is None:
        session = await find_session(store, tenant, cookies.session_cookie(here.http))
        if session is None or session.id != payload.get("session_id"):
            raise SignInOver
        second = {"user_id": session.user_id, "identity_id": session.user_id, "connection": session.connection}
    user = await find_profile(store, tenant, second["user_id"])
    if user is None or user.blocked:
        raise SignInOver
    factors, guardian = await factors_of(store, tenant, user.user_id), await guardian_of(store, tenant)
    try:
        check_possible(guardian, factors)
    except Unmet:
        raise SignInOver from None
    return Asked(user, second["connection"], second["identity_id"], session, factors, guardian)


def facts(here: Visit, found: SignIn, connection: str) -> dict[str, Any]:
    """What entries of the tenant's log say about a sign-in."""
    return {
        "user_id": found.user.user_id,
        "user_name": account_of(found.user),
        "connection": connection,
        "client_id": here.client.client_id,
        "client_name": here.client.name,
        "ip": here.http.client_ip,
        "user_agent": here.http.headers.get("user-agent"),
        "hostname": here.http.host,
    }


def facts_about(here: Visit, who: Asked) -> dict[str, Any]:
    """The same, once it is known who is asked."""
    return facts(here, who.found, who.connection)


def too_many(response: Response, error: TooManyRequests) -> Response:
    """A page that says so, as an answer that says so to programs too."""
    response.status = error.status
    response.headers.append(("retry-after", str(error.retry_after_s)))
    return response


def seal(here: Visit, kept: Kept) -> str:
    """What is held back, for the payload."""
    return b64encode(here.tenant.sealer.seal(msgspec.json.encode(kept), context=_context(here))).decode()


def opened(here: Visit) -> Kept:
    """What the page before held back."""
    sealed = here.transaction.payload.get("kept")
    if not sealed:
        return Kept()
    return msgspec.json.decode(here.tenant.sealer.open(b64decode(sealed), context=_context(here)), type=Kept)


def _context(here: Visit) -> str:
    return f"second factor/{here.transaction.id}"


def enrolment_view(
    form: views.Form,
    *,
    secret: str,
    issuer: str,
    account: str,
    problems: tuple[views.Problem, ...] = (),
    kept: str = "",
) -> views.MfaOtpEnrollmentQr:
    """The page on which somebody sets up their app."""
    return views.MfaOtpEnrollmentQr(
        form=form,
        uri=totp_uri(secret, issuer=issuer, account=account),
        key=" ".join(secret[start : start + 4] for start in range(0, len(secret), 4)),
        kept=kept,
        problems=problems,
    )


def account_of(user: Profile) -> str:
    """What an app calls the account."""
    return user.email or user.username or user.phone_number or user.user_id
