"""Issuing tokens for a user: the steps that all grants with a user share.

Signing needs no transaction and is done before it; inside it only the refresh token is written, with what the grant
itself writes, so that both are durable before the answer or neither is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from freehold.domain.access import RESOURCE_SERVERS, ResourceServer
from freehold.domain.applications import Client
from freehold.domain.sessions import RefreshPolicy, issue_refresh_token
from freehold.domain.users import Profile
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.store import Store, Transaction
from freehold.protocols.oauth.errors import AccessDenied
from freehold.protocols.oauth.token import TokenRequest
from freehold.protocols.oauth.tokens import granted_scopes, sign_id_token, sign_user_access_token


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
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
    refreshable: bool = True


@dataclass(frozen=True, slots=True)
class Prepared:
    """Signed tokens, and what the refresh token will hold."""

    wanted: Issue
    answer: dict[str, Any]
    scopes: list[str]
    refreshable: bool


async def find_api(store: Store, tenant: TenantScope, audience: str | None) -> ResourceServer | None:
    """The API of an audience; None without one and for /userinfo. Raises AccessDenied for one that does not exist."""
    if not audience or audience == f"{tenant.issuer}userinfo":
        return None
    api = await documents.cached_by(store, tenant, RESOURCE_SERVERS, identifier=audience)
    if api is None:
        raise AccessDenied(f"Service not found: {audience[:200]}")
    return api


async def prepare(request: TokenRequest, wanted: Issue) -> Prepared:
    """Sign what will be handed out. Scopes are granted anew: a role that was taken away no longer counts."""
    store, tenant, client = request.store, request.tenant, request.client
    scopes, permissions = await granted_scopes(
        store, tenant, wanted.api, user_id=wanted.user.user_id, asked=wanted.scopes
    )
    grants = client.grant_types if isinstance(client.grant_types, list) else []
    refreshable = wanted.refreshable and "offline_access" in scopes and "refresh_token" in grants
    if "offline_access" in scopes and not refreshable and wanted.refreshable:
        scopes.remove("offline_access")
    token, lifetime_s = await sign_user_access_token(
        store, tenant, client, wanted.api, user_id=wanted.user.user_id, scopes=scopes, permissions=permissions,
        gty=wanted.gty, grant_id=wanted.grant_id,
    )  # fmt: skip
    answer: dict[str, Any] = {"access_token": token}
    if "openid" in scopes:
        answer["id_token"] = await sign_id_token(
            store, tenant, client, wanted.user, scopes=scopes, nonce=wanted.nonce, sid=wanted.sid,
            auth_time=wanted.auth_time if wanted.tells_auth_time else None, amr=wanted.amr,
        )  # fmt: skip
    if "openid" in scopes or list(wanted.asked) != scopes:
        answer["scope"] = " ".join(scopes)
    answer |= {"expires_in": lifetime_s, "token_type": "Bearer"}
    return Prepared(wanted, answer, scopes, refreshable)


async def issue(tx: Transaction, request: TokenRequest, prepared: Prepared) -> dict[str, Any]:
    """Write the refresh token, when there is to be one; the answer in the order of Auth0's members."""
    wanted, answer = prepared.wanted, prepared.answer
    if not prepared.refreshable:
        return answer
    audience = wanted.api.identifier if wanted.api else f"{request.tenant.issuer}userinfo"
    _, value = await issue_refresh_token(
        tx,
        request.tenant,
        user_id=wanted.user.user_id,
        client_id=request.client.client_id,
        connection=wanted.connection,
        resource_servers=[{"audience": audience, "scopes": " ".join(prepared.scopes)}],
        policy=refresh_policy(request.client),
        device=device(request),
        session_id=wanted.sid,
        grant_id=wanted.grant_id,
        context={
            "auth_time": wanted.auth_time,
            "tells_auth_time": wanted.tells_auth_time,
            "amr": list(wanted.amr),
            "gty": wanted.gty,
        },
    )
    return {"access_token": answer["access_token"], "refresh_token": value, **answer}


def refresh_policy(client: Client) -> RefreshPolicy:
    """The client's `refresh_token` settings."""
    settings = client.refresh_token
    if settings is None or isinstance(settings, msgspec.UnsetType):
        return RefreshPolicy()
    endless = settings.expiration_type == "non-expiring"
    lifetime = None if endless or settings.infinite_token_lifetime is True else _span(settings.token_lifetime)
    idle = None if endless or settings.infinite_idle_token_lifetime is True else _span(settings.idle_token_lifetime)
    leeway = _span(settings.leeway) or timedelta(0)
    return RefreshPolicy(
        rotating=settings.rotation_type == "rotating", leeway=leeway, lifetime=lifetime, idle_lifetime=idle
    )


def device(request: TokenRequest) -> Any:
    """Where the request comes from."""
    from freehold.protocols.oauth.authorize import device_of

    return device_of(request.http)


def _span(seconds: object) -> timedelta | None:
    return timedelta(seconds=seconds) if isinstance(seconds, int) else None
