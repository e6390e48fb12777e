"""Exchanging a refresh token (RFC 6749 section 6, RFC 9700 section 4.14).

User, client, connection, API and consent are looked at anew at every exchange. A token that was exchanged before and
comes again outside the leeway revokes its whole family, and the tenant's log says so.
"""

from typing import Any

from freehold.domain.sessions import (
    Exchange,
    Outcome,
    RefreshToken,
    belonged_to_deleted_user,
    exchange_refresh_token,
    find_refresh_token,
)
from freehold.domain.sessions.adjusting import adjust_refresh_token
from freehold.domain.users import find_profile
from freehold.kernel.clock import iso
from freehold.login import device_of
from freehold.protocols.oauth.audiences import find_api
from freehold.protocols.oauth.errors import InvalidGrant
from freehold.protocols.oauth.exchange import Grant, TokenRequest, record
from freehold.protocols.oauth.mfa_exchange import ask_for_more
from freehold.protocols.oauth.mfa_tokens import Waiting
from freehold.protocols.oauth.user_tokens import (
    Issue,
    Prepared,
    SecondFactorDemanded,
    may_still_sign_in,
    prepare,
    refresh_policy,
    settle,
    still_consents,
)

UNKNOWN = "Unknown or invalid refresh token."
NO_USER = "The refresh_token was generated for a user who doesn't exist anymore."


async def redeem(request: TokenRequest) -> dict[str, Any]:
    """New tokens of the same or a smaller scope. Raises InvalidGrant."""
    tenant, client = request.tenant, request.client
    value = request.required("refresh_token")
    policy = refresh_policy(client)
    found = await find_refresh_token(request.store, tenant, value, policy=policy)
    prepared = None
    if found is not None and found.client_id == client.client_id:
        prepared = await _prepare(request, found)
    async with request.store.transaction() as tx:
        exchange = await exchange_refresh_token(
            tx, tenant, value, client_id=client.client_id, policy=policy, device=device_of(request.http), seen=found
        )
        if exchange.succeeded:
            if prepared is None:  # it changed meanwhile: nothing is used up
                raise InvalidGrant(UNKNOWN)
            await settle(tx, request, prepared)
            if exchange.token is not None:
                await adjust_refresh_token(tx, tenant, exchange.token, prepared.refresh)
            await record(tx, request, "sertft", scope=" ".join(prepared.scopes))
            return _answer(prepared.answer, exchange)
        if exchange.outcome is Outcome.REUSED and exchange.token is not None:
            await record(
                tx, request, "ferrt", user_id=exchange.token.user_id, connection=exchange.token.connection,
                description="Reused rotating refresh token", details={"familyId": exchange.token.id},
            )  # fmt: skip
    if exchange.outcome is Outcome.UNKNOWN and await belonged_to_deleted_user(request.store, tenant, value):
        raise InvalidGrant(NO_USER)
    raise InvalidGrant(UNKNOWN)


async def _prepare(request: TokenRequest, found: RefreshToken) -> Prepared:
    """Check that the grant still holds, and sign what it stands for. Raises InvalidGrant, MfaRequired.

    Scopes that were never granted are left out rather than refused: applications repeat what they asked for at first,
    and may not have got all of it.
    """
    store, tenant, client, context = request.store, request.tenant, request.client, found.context
    request.notes.update(user_id=found.user_id, connection=found.connection)
    user = await find_profile(store, tenant, found.user_id)
    if user is None or not await may_still_sign_in(store, tenant, client, found.connection):
        raise InvalidGrant(UNKNOWN)
    request.notes["user_name"] = user.email or user.username or user.user_id
    if user.blocked:
        raise InvalidGrant("user is blocked")
    audience = str(found.resource_servers[0]["audience"]) if found.resource_servers else ""
    if request.text("audience") not in {None, audience or f"{tenant.issuer}userinfo"}:
        raise InvalidGrant(UNKNOWN)
    granted = str(context["scope"]).split()
    if context.get("consented") and not await still_consents(
        store, tenant, client, user_id=user.user_id, audience=audience, scopes=granted
    ):
        raise InvalidGrant(UNKNOWN)
    api = await find_api(store, tenant, audience)
    if api is not None and not api.allow_offline_access:
        raise InvalidGrant(UNKNOWN)
    asked = (request.text("scope") or "").split()
    scopes = [scope for scope in granted if scope in asked] if asked else granted
    wanted = Issue(
        user=user,
        api=api,
        asked=asked or granted,
        scopes=scopes,
        connection=found.connection,
        sid=found.session_id,
        auth_time=context.get("auth_time"),
        tells_auth_time=bool(context.get("tells_auth_time")),
        amr=tuple(context.get("amr") or ()),
        grant_id=found.grant_id,
        gty="refresh_token",
        refreshable=False,
        refresh_token=_facts(found),
    )
    try:
        return await prepare(request, wanted)
    except SecondFactorDemanded:
        # The token is not used up; with the second factor there is a new one beside it, where offline_access is asked.
        waiting = Waiting(
            user_id=user.user_id, identity_id=user.user_id, client_id=client.client_id, connection=found.connection,
            audience=audience or None, scope=" ".join(scopes), asked=True, sid=found.session_id,
            grant_id=found.grant_id, consented=bool(context.get("consented")),
        )  # fmt: skip
        await ask_for_more(request, waiting)


def _facts(found: RefreshToken) -> dict[str, Any]:
    ends = {"expires_at": found.expires_at_ms, "idle_expires_at": found.idle_expires_at_ms}
    return {
        "id": found.id, "user_id": found.user_id, "client_id": found.client_id, "session_id": found.session_id,
        "created_at": iso(found.created_at_ms), "rotating": found.rotating, "device": dict(found.device),
        "resource_servers": [dict(each) for each in found.resource_servers], "metadata": dict(found.metadata or {}),
        **{name: iso(value) for name, value in ends.items() if value is not None},
    }  # fmt: skip


def _answer(tokens: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
    """With rotation the new token joins, behind the access token as Auth0 has it."""
    if exchange.value is None:
        return tokens
    return {"access_token": tokens["access_token"], "refresh_token": exchange.value, **tokens}


REFRESH_TOKEN = Grant("refresh_token", redeem, failure="fertft")
