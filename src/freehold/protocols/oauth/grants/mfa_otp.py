"""The code of an authenticator app, behind a password grant; or the first code of one that was just associated."""

from typing import Any

from freehold.domain.authenticators import AlreadyEnrolled, confirm_pending, factors_of, guardian_of, verify_totp
from freehold.kernel.store import UniqueViolation
from freehold.protocols.oauth.errors import InvalidGrant
from freehold.protocols.oauth.exchange import Grant, TokenRequest
from freehold.protocols.oauth.mfa_exchange import facts_of, finish, waiting_for, waiting_to_enrol

WRONG = "Invalid otp_code."


async def redeem(request: TokenRequest) -> dict[str, Any]:
    """Tokens for whoever shows the code. Raises InvalidGrant, TooManyCodes."""
    code = request.required("otp")
    enrolling = await waiting_to_enrol(request)
    waiting, user = enrolling or await waiting_for(request)
    store, tenant, facts = request.store, request.tenant, facts_of(request)
    guardian = await guardian_of(store, tenant)
    try:
        async with store.transaction() as tx:
            known = await factors_of(tx, tenant, user.user_id)
            if enrolling is None and known.totp:
                used = await verify_totp(tx, tenant, user.user_id, code, facts=facts)
            elif (enrolling is not None or not known.enrolled) and guardian.offers_totp:
                used = await confirm_pending(tx, tenant, user.user_id, code, facts=facts)
            else:
                used = None
    except (AlreadyEnrolled, UniqueViolation):
        used = None
    if used is None:
        raise InvalidGrant(WRONG)
    return await finish(request, waiting, user, event="seotpft")


MFA_OTP = Grant("http://auth0.com/oauth/grant-type/mfa-otp", redeem, failure="feotpft")
