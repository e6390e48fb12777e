"""Issuing tokens for a user: the steps that all grants with a user share.

Signing needs no transaction and is done before it; inside it only the refresh token is written, with what the grant
itself writes, so that both are durable before the answer or neither is.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from freehold.domain.access import ResourceServer, consented_scopes
from freehold.domain.applications import Client
from freehold.domain.authenticators import MFA
from freehold.domain.connections import enabled_connections
from freehold.domain.extensions.post_login import Verdict
from freehold.domain.sessions import RefreshPolicy, issue_refresh_token
from freehold.domain.sessions.adjusting import Commands, adjust_refresh_token, revoke
from freehold.domain.users import Profile
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store, Transaction
from freehold.login import device_of
from freehold.protocols.oauth.access_tokens import sign_user_access_token
from freehold.protocols.oauth.audiences import granted_scopes, scopes_for_users
from freehold.protocols.oauth.custom_code import Custom, Occasion, carry_out, custom_of, decide
from freehold.protocols.oauth.errors import CodeRefused, OAuthError
from freehold.protocols.oauth.exchange import TokenRequest
from freehold.protocols.oauth.id_tokens import sign_id_token
from freehold.protocols.oauth.primary_user import primary_of


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """What tokens are for."""

    user: Profile
    api: ResourceServer | None
    asked: Sequence[str]
    """The scopes the client asked for."""
    scopes: Sequence[str]
    """The most that may be granted."""
    connection: str
    nonce: str | None = None
    sid: str | None = None
    auth_time: int | None = None
    tells_auth_time: bool = False
    amr: Sequence[str] = ()
    grant_id: str | None = None
    gty: str | None = None
    consented: bool = False
    """The user was asked for consent; without it no token is issued any more."""
    refreshable: bool = True
    refresh_token: dict[str, Any] | None = None
    """What code is told of the refresh token that is exchanged."""
    custom: Custom | None = None
    """What code added when the sign-in was decided; None asks code now."""


class SecondFactorDemanded(OAuthError):
    """Code wants a second factor, which has not been shown."""

    status, code = 403, "mfa_required"


class Prepared(msgspec.Struct, frozen=True):
    """Signed tokens, and what the refresh token will hold."""

    wanted: Issue
    answer: dict[str, Any]
    scopes: list[str]
    refreshable: bool
    verdict: Verdict | None = None
    refresh: Commands = ()
    """What code asked for the refresh token."""


async def prepare(request: TokenRequest, wanted: Issue) -> Prepared:
    """Sign what will be handed out. Scopes are granted anew: a role that was taken away no longer counts.

    Raises AccessDenied when the client may not have tokens of the API any more.
    """
    store, tenant, client, api = request.store, request.tenant, request.client, wanted.api
    allowed = await scopes_for_users(store, tenant, client, api) if api is not None else frozenset[str]()
    scopes, permissions = await granted_scopes(
        store, tenant, api, allowed=allowed, user_id=wanted.user.user_id, asked=wanted.scopes
    )
    custom, verdict = wanted.custom, None
    if custom is None:
        verdict = await _ask_code(request, wanted, scopes)
        custom = custom_of(verdict, scopes, tenant=tenant, audience=api.identifier if api is not None else None)
        primary = await primary_of(
            store, tenant, wanted.user, verdict, methods=[{"name": name} for name in wanted.amr],
            audience=api.identifier if api is not None else None,
        )  # fmt: skip
        if primary is not None:
            wanted = replace(wanted, user=primary)
            scopes, permissions = await granted_scopes(
                store, tenant, api, allowed=allowed, user_id=primary.user_id, asked=wanted.scopes
            )
    scopes = custom.scopes(scopes)
    refreshable = wanted.refreshable and "offline_access" in scopes and "refresh_token" in client.grant_types
    if "offline_access" in scopes and not refreshable and wanted.refreshable:
        scopes.remove("offline_access")
    token, lifetime_s = await sign_user_access_token(
        store, tenant, client, api, user_id=wanted.user.user_id, scopes=scopes, permissions=permissions,
        gty=wanted.gty, grant_id=wanted.grant_id, custom=custom.access_token, of_id_token=custom.id_token,
    )  # fmt: skip
    answer: dict[str, Any] = {"access_token": token}
    if "openid" in scopes:
        answer["id_token"] = await sign_id_token(
            store, tenant, client, wanted.user, scopes=scopes, nonce=wanted.nonce, sid=wanted.sid,
            auth_time=wanted.auth_time if wanted.tells_auth_time else None, amr=wanted.amr, custom=custom.id_token,
        )  # fmt: skip
    if scopes and ("openid" in scopes or list(wanted.asked) != scopes):
        answer["scope"] = " ".join(scopes)
    answer["expires_in"] = lifetime_s
    answer["token_type"] = "Bearer"  # noqa: S105 - not a secret
    return Prepared(wanted, answer, scopes, refreshable, verdict, custom.refresh)


async def settle(tx: Transaction, request: TokenRequest, prepared: Prepared) -> None:
    """Store what code decided along with these tokens; the log entry of the exchange names the records."""
    details = await carry_out(tx, request.tenant, prepared.wanted.user.user_id, prepared.verdict)
    if details:
        request.notes["details"] = details


async def _ask_code(request: TokenRequest, wanted: Issue, scopes: Sequence[str]) -> Verdict | None:
    """What rules and actions say to a grant without a page. Raises CodeRefused, SecondFactorDemanded."""
    occasion = Occasion(
        http=request.http, user=wanted.user, client=request.client, api=wanted.api, connection=wanted.connection,
        protocol="oauth2-refresh-token" if wanted.gty == "refresh_token" else "oauth2-password", scopes=scopes,
        ip=request.ip, body=request.params, amr=wanted.amr, transaction={"requested_scopes": list(wanted.asked)},
        refresh_token=wanted.refresh_token,
    )  # fmt: skip
    verdict = await decide(occasion)
    if verdict is None:
        return None
    demanded = verdict.multifactor is not None and MFA not in wanted.amr
    if verdict.denied is not None or demanded:
        async with request.store.transaction() as tx:
            await revoke(
                tx, request.tenant, user_id=wanted.user.user_id, session_id=wanted.sid,
                token_id=(wanted.refresh_token or {}).get("id"), session=verdict.session,
                refresh_token=verdict.refresh_token,
            )  # fmt: skip
            request.notes["details"] = await carry_out(tx, request.tenant, wanted.user.user_id, verdict)
        if verdict.denied is not None:
            raise CodeRefused(*verdict.denied)
        raise SecondFactorDemanded("Multifactor authentication required")
    return verdict


async def issue(tx: Transaction, request: TokenRequest, prepared: Prepared) -> dict[str, Any]:
    """Write the refresh token, when there is to be one; the answer in the order of Auth0's members."""
    wanted, answer = prepared.wanted, prepared.answer
    await settle(tx, request, prepared)
    if not prepared.refreshable:
        return answer
    scope = " ".join(prepared.scopes)
    token, value = await issue_refresh_token(
        tx,
        request.tenant,
        user_id=wanted.user.user_id,
        client_id=request.client.client_id,
        connection=wanted.connection,
        resource_servers=[{"audience": wanted.api.identifier, "scopes": scope}] if wanted.api else [],
        policy=refresh_policy(request.client),
        device=device_of(request.http),
        session_id=wanted.sid,
        grant_id=wanted.grant_id,
        context={
            "scope": scope,
            "auth_time": wanted.auth_time,
            "tells_auth_time": wanted.tells_auth_time,
            "amr": list(wanted.amr),
            "consented": wanted.consented,
        },
    )
    await adjust_refresh_token(tx, request.tenant, token, prepared.refresh)
    return {"access_token": answer["access_token"], "refresh_token": value, **answer}


async def may_still_sign_in(store: Store, tenant: TenantScope, client: Client, connection: str) -> bool:
    """Whether the client's users may still come from a connection."""
    return any(enabled.name == connection for enabled in await enabled_connections(store, tenant, client.client_id))


async def still_consents(
    store: Store, tenant: TenantScope, client: Client, *, user_id: str, audience: str, scopes: Sequence[str]
) -> bool:
    """Whether a consent that was asked for has not been taken back."""
    given = await consented_scopes(store, tenant, user_id=user_id, client_id=client.client_id, audience=audience)
    return given is not None and given >= set(scopes)


def refresh_policy(client: Client) -> RefreshPolicy:
    """The client's `refresh_token` settings."""
    settings = client.refresh_token
    if not settings:
        return RefreshPolicy()
    endless = settings.expiration_type == "non-expiring"
    lifetime = None if endless or settings.infinite_token_lifetime is True else _span(settings.token_lifetime)
    idle = None if endless or settings.infinite_idle_token_lifetime is True else _span(settings.idle_token_lifetime)
    return RefreshPolicy(
        rotating=settings.rotation_type == "rotating",
        leeway=_span(settings.leeway) or timedelta(0),
        lifetime=lifetime,
        idle_lifetime=idle,
    )


def _span(seconds: object) -> timedelta | None:
    return None if seconds is UNSET or not isinstance(seconds, int) else timedelta(seconds=seconds)
