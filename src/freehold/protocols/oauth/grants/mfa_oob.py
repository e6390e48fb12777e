"""Codes and confirmations that come another way (SMS, e-mail, push): this server sends none yet, and says so."""

from typing import Any

from freehold.protocols.oauth.errors import InvalidGrant
from freehold.protocols.oauth.exchange import Grant, TokenRequest
from freehold.protocols.oauth.mfa_exchange import waiting_for


async def redeem(request: TokenRequest) -> dict[str, Any]:
    """Always refused: no `oob_code` was ever given out. Raises InvalidGrant."""
    request.required("oob_code")
    await waiting_for(request)
    raise InvalidGrant("Invalid oob_code: the user has no factor that works out of band.")


MFA_OOB = Grant("http://auth0.com/oauth/grant-type/mfa-oob", redeem, failure="feoobft")
