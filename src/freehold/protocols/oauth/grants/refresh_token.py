"""Exchanging a refresh token (RFC 6749 section 6, RFC 9700 section 4.14).

User, client, API and grant are looked at anew at every exchange. A token that was exchanged before and comes again
outside the leeway revokes its whole family, and the tenant's log says so.
"""

from typing import Any

from freehold.domain.sessions import Exchange, Outcome, exchange_refresh_token, find_refresh_token
from freehold.domain.users import find_profile
from freehold.protocols.oauth.errors import InvalidGrant, InvalidScope
from freehold.protocols.oauth.token import Grant, TokenRequest, record
from freehold.protocols.oauth.user_tokens import Issue, device, find_api, prepare, refresh_policy

UNKNOWN = "Unknown or invalid refresh token."
NO_USER = "The refresh_token was generated for a user who doesn't exist anymore."


async def redeem(request: TokenRequest) -> dict[str, Any]:
    """New tokens of the same or a smaller scope. Raises InvalidGrant, InvalidScope."""
    store, tenant, client = request.store, request.tenant, request.client
    value = request.required("refresh_token")
    found = await find_refresh_token(store, tenant, value)
    prepared = None
    if found is not None and found.client_id == client.client_id:
        request.notes.update(user_id=found.user_id, connection=found.connection)
        user = await find_profile(store, tenant, found.user_id)
        if user is None:
            raise InvalidGrant(NO_USER)
        if user.blocked:
            raise InvalidGrant("user is blocked")
        granted = found.resource_servers[0]
        scopes = str(granted["scopes"]).split()
        asked = (request.text("scope") or "").split()
        if set(asked) - set(scopes):
            raise InvalidScope("The scopes asked for go beyond those of the refresh token")
        audience = request.text("audience")
        if audience is not None and audience != granted["audience"]:
            raise InvalidGrant(UNKNOWN)
        context = found.context
        prepared = await prepare(
            request,
            Issue(
                user=user,
                api=await find_api(store, tenant, str(granted["audience"])),
                asked=asked or scopes,
                scopes=asked or scopes,
                connection=found.connection,
                sid=found.session_id,
                auth_time=context.get("auth_time"),
                tells_auth_time=bool(context.get("tells_auth_time")),
                amr=tuple(context.get("amr") or ()),
                grant_id=found.grant_id,
                gty="refresh_token",
            ),
        )
    async with store.transaction() as tx:
        exchange = await exchange_refresh_token(
            tx, tenant, value, client_id=client.client_id, policy=refresh_policy(client), device=device(request)
        )
        if prepared is not None and exchange.succeeded:
            await record(tx, request, "sertft")
        elif exchange.outcome is Outcome.REUSED and exchange.token is not None:
            reused = exchange.token
            await record(
                tx, request, "ferrt", user_id=reused.user_id, description="A rotated refresh token was used again",
                details={"familyId": reused.id},
            )  # fmt: skip
    if prepared is None or not exchange.succeeded:
        raise InvalidGrant(UNKNOWN)
    return _answer(prepared.answer, exchange)


def _answer(tokens: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
    """With rotation the new token joins, behind the access token as Auth0 has it."""
    if exchange.value is None:
        return tokens
    return {"access_token": tokens["access_token"], "refresh_token": exchange.value, **tokens}


REFRESH_TOKEN = Grant("refresh_token", redeem, success="sertft", failure="fertft")
