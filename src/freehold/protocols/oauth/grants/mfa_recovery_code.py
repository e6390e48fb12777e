"""The recovery code, behind a password grant: it is used up, and the next one is in the answer."""

from typing import Any

from freehold.domain.authenticators import factors_of, fresh_recovery, guardian_of, prove_recovery, use_recovery
from freehold.kernel.store import Transaction
from freehold.protocols.oauth.errors import InvalidGrant
from freehold.protocols.oauth.exchange import Grant, TokenRequest
from freehold.protocols.oauth.mfa_exchange import facts_of, finish, waiting_for

WRONG = "Invalid recovery code."


async def redeem(request: TokenRequest) -> dict[str, Any]:
    """Tokens and a new code for whoever has the old one. Raises InvalidGrant, TooManyCodes."""
    code = request.required("recovery_code")
    waiting, user = await waiting_for(request)
    store, tenant, pool, facts = request.store, request.tenant, request.services.passwords, facts_of(request)
    known, guardian = await factors_of(store, tenant, user.user_id), await guardian_of(store, tenant)
    proved = None
    if known.enrolled and guardian.offers_recovery:
        proved = await prove_recovery(store, tenant, pool, user.user_id, code, facts=facts)
    if proved is None:
        raise InvalidGrant(WRONG)
    following, stored = await fresh_recovery(pool)

    async def use(tx: Transaction) -> bool:
        return await use_recovery(tx, tenant, user.user_id, proved, replacement=stored, facts=facts)

    tokens = await finish(request, waiting, user, event="sercft", also=use)
    return {**tokens, "recovery_code": following}


MFA_RECOVERY_CODE = Grant("http://auth0.com/oauth/grant-type/mfa-recovery-code", redeem, failure="fercft")
