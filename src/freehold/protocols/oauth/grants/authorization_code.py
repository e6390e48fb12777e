"""Redeeming a code (RFC 6749 section 4.1.3, OpenID Connect Core section 3.1.3).

Everything that can be refused is looked at before the code is used, so that a mistake does not burn it; using it is one
conditional statement, and a second use revokes what the first one got.
"""

import hmac
from typing import Any

from freehold.domain.applications import Client
from freehold.domain.sessions import Code, CodeOutcome, consume_code, find_code
from freehold.domain.users import find_profile
from freehold.protocols.oauth.audiences import find_api
from freehold.protocols.oauth.custom_code import Custom
from freehold.protocols.oauth.errors import InvalidGrant
from freehold.protocols.oauth.exchange import Grant, TokenRequest, record
from freehold.protocols.oauth.pkce import verify_code_challenge
from freehold.protocols.oauth.user_tokens import Issue, Prepared, issue, may_still_sign_in, prepare, still_consents

WRONG_CODE = "Invalid authorization code"


async def redeem(request: TokenRequest) -> dict[str, Any]:
    """Tokens for the user who got the code. Raises InvalidGrant."""
    value = request.required("code")
    code = await find_code(request.store, request.tenant, value)
    prepared = None
    if code is not None and code.client_id == request.client.client_id:
        prepared = await _prepare(request, code)
    token = prepared.answer["access_token"] if prepared else ""
    async with request.store.transaction() as tx:
        outcome, _ = await consume_code(
            tx, request.tenant, value, client_id=request.client.client_id, access_token=token
        )
        if outcome is CodeOutcome.REDEEMED and prepared is not None:
            await record(tx, request, "seacft", scope=" ".join(prepared.scopes))
            return await issue(tx, request, prepared)
    raise InvalidGrant(WRONG_CODE)


async def _prepare(request: TokenRequest, code: Code) -> Prepared:
    """Check the request against the code, and sign what it stands for. Raises InvalidGrant."""
    store, tenant, client, payload = request.store, request.tenant, request.client, code.payload
    request.notes.update(user_id=code.user_id, connection=payload.get("connection"))
    check_redirect_uri(request.text("redirect_uri"), expected=payload.get("redirect_uri"))
    check_verifier(request.text("code_verifier"), payload, client)
    user = await find_profile(store, tenant, code.user_id)
    connection, scopes = str(payload["connection"]), str(payload.get("scope", "")).split()
    if user is None or not await may_still_sign_in(store, tenant, client, connection):
        raise InvalidGrant(WRONG_CODE)
    request.notes["user_name"] = user.email or user.username or user.user_id
    if user.blocked:
        raise InvalidGrant("user is blocked")
    audience, consented = payload.get("audience"), bool(payload.get("consented"))
    if consented and not await still_consents(
        store, tenant, client, user_id=user.user_id, audience=audience or "", scopes=scopes
    ):
        raise InvalidGrant(WRONG_CODE)
    wanted = Issue(
        user=user,
        api=await find_api(store, tenant, audience),
        asked=str(payload.get("asked", "")).split(),
        scopes=scopes,
        connection=connection,
        nonce=payload.get("nonce"),
        sid=payload.get("sid"),
        auth_time=payload.get("auth_time"),
        tells_auth_time=bool(payload.get("max_age")),
        amr=tuple(payload.get("amr", ())),
        grant_id=code.grant_id,
        consented=consented,
        custom=Custom.of_payload(payload.get("custom")),
    )
    return await prepare(request, wanted)


def check_redirect_uri(given: str | None, *, expected: str | None) -> None:
    """Check that the redirect URI of the authorization request comes again (section 4.1.3). Raises InvalidGrant."""
    if expected is not None and not hmac.compare_digest(expected.encode(), (given or "").encode()):
        raise InvalidGrant("The redirect URI is wrong. You sent another one than in the authorization request.")


def check_verifier(given: str | None, payload: Any, client: Client) -> None:
    """Check PKCE; a client without a secret cannot do without it (RFC 9700 section 2.1.1). Raises InvalidGrant."""
    challenge = payload.get("code_challenge")
    verify_code_challenge(given, challenge=challenge, method=payload.get("code_challenge_method"))
    if challenge is None and client.token_endpoint_auth_method == "none":  # noqa: S105 - a method's name
        raise InvalidGrant("Failed to verify code verifier")


AUTHORIZATION_CODE = Grant("authorization_code", redeem, failure="feacft")
