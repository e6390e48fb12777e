"""Redeeming a code (RFC 6749 section 4.1.3, OpenID Connect Core section 3.1.3).

Everything that can be refused is looked at before the code is used, so that a mistake does not burn it; using it is one
conditional statement, and a second use revokes what the first one got.
"""

import hmac
from typing import Any

from freehold.domain.sessions import CodeOutcome, consume_code, find_code
from freehold.domain.users import find_profile
from freehold.protocols.oauth.errors import InvalidGrant
from freehold.protocols.oauth.pkce import verify_code_challenge
from freehold.protocols.oauth.token import Grant, TokenRequest, record
from freehold.protocols.oauth.user_tokens import Issue, find_api, issue, prepare

WRONG_CODE = "Invalid authorization code"


async def redeem(request: TokenRequest) -> dict[str, Any]:
    """Tokens for the user who got the code. Raises InvalidGrant."""
    store, tenant, client = request.store, request.tenant, request.client
    value = request.required("code")
    code = await find_code(store, tenant, value)
    if code is not None and code.client_id == client.client_id:
        payload = code.payload
        expected = payload.get("redirect_uri")
        if expected is not None and not hmac.compare_digest(expected, request.text("redirect_uri") or ""):
            raise InvalidGrant("The redirect URI is wrong. You sent another one than in the authorization request.")
        verify_code_challenge(
            request.text("code_verifier"),
            challenge=payload.get("code_challenge"),
            method=payload.get("code_challenge_method"),
        )
        if payload.get("code_challenge") is None and client.token_endpoint_auth_method == "none":  # noqa: S105
            raise InvalidGrant("Failed to verify code verifier")
        request.notes.update(user_id=code.user_id, connection=payload.get("connection"))
        user = await find_profile(store, tenant, code.user_id)
        if user is None or user.blocked:
            raise InvalidGrant(WRONG_CODE)
        api = await find_api(store, tenant, payload.get("audience"))
        wanted = Issue(
            user=user,
            api=api,
            asked=str(payload.get("asked", "")).split(),
            scopes=str(payload["scope"]).split(),
            connection=str(payload.get("connection", "")),
            nonce=payload.get("nonce"),
            sid=payload.get("sid"),
            auth_time=payload.get("auth_time"),
            tells_auth_time=bool(payload.get("max_age")),
            amr=tuple(payload.get("amr", ())),
            grant_id=code.grant_id,
        )
        prepared = await prepare(request, wanted)
    async with store.transaction() as tx:
        outcome, used = await consume_code(tx, tenant, value, client_id=client.client_id)
        if outcome is CodeOutcome.REDEEMED and code is not None and used is not None:
            await record(tx, request, "seacft")
            return await issue(tx, request, prepared)
    raise InvalidGrant(WRONG_CODE)


AUTHORIZATION_CODE = Grant("authorization_code", redeem, success="seacft", failure="feacft")
