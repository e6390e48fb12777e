"""The authorization endpoint (RFC 6749 section 3.1, OpenID Connect Core section 3.1.2).

`/authorize` checks the request and answers at once where a session allows it; otherwise it begins a sign-in and sends
the browser to the login pages, which come back to `/authorize/resume`. Consent is asked for where it is needed, and
only then codes and tokens are made. What was true when the user came is checked again when they are issued.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from freehold import login
from freehold.domain.access import CONSENTS, RESOURCE_SERVERS, ResourceServer
from freehold.domain.applications import CLIENTS, Client
from freehold.domain.sessions import (
    Device,
    Lifetimes,
    Session,
    find_login,
    find_session,
    finish_login,
    issue_code,
    touch_session,
)
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.users import Profile, find_profile
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.kernel.store import Store
from freehold.protocols.oauth.authorize_request import Authorize, AuthorizeError, PageError, read_authorize
from freehold.protocols.oauth.redirect_uris import is_localhost
from freehold.protocols.oauth.responses import respond, respond_error
from freehold.protocols.oauth.tokens import OPENID_SCOPES, granted_scopes, sign_id_token, sign_user_access_token


class Arrival(msgspec.Struct, kw_only=True):
    """Everything a decision needs: the request, its client, the API asked for, and who is signed in."""

    http: Any
    request: Authorize
    client: Any
    api: Any = None
    session: Any = None
    user: Any = None
    fresh: bool = False
    """The user has just come through the login pages."""

    @property
    def store(self) -> Store:
        store: Store = self.http.services.store
        return store

    @property
    def tenant(self) -> TenantScope:
        tenant: TenantScope = self.http.tenant
        return tenant


async def authorize(http: Request) -> Response:
    """GET and POST /authorize."""
    store, tenant = http.services.store, http.tenant
    params: Parameters = http.query if http.method == "GET" else await http.form()
    client: Client | None = None
    try:
        request, client = await read_authorize(params, store=store, tenant=tenant)
        api = await _api(store, tenant, request)
        session = await find_session(store, tenant, login.session_cookie(http))
        user = await find_profile(store, tenant, session.user_id) if session else None
        arrival = Arrival(http=http, request=request, client=client, api=api, session=session, user=user)
        return await _decide(arrival)
    except AuthorizeError as error:
        if client is None:
            client = await documents.cached(store, tenant, CLIENTS, error.request.client_id)
        if client is None:
            raise PageError("Unknown client") from None
        if error.code in {"login_required", "consent_required", "interaction_required"}:
            await _record(http, "fsa", client, description=error.message)
        return respond_error(http, error, client)


async def resume(http: Request) -> Response:
    """GET /authorize/resume: the user has been through the login pages of a sign-in."""
    store, tenant = http.services.store, http.tenant
    transaction = await find_login(store, tenant, http.query.one("state"))
    if transaction is None or not login.is_bound_to(http, transaction):
        raise PageError("This sign-in is over. Go back to the application and sign in again.")
    request = msgspec.convert(transaction.payload["authorize"], Authorize)
    client = await documents.cached(store, tenant, CLIENTS, request.client_id)
    if client is None:
        raise PageError("Unknown client")
    try:
        denied = transaction.payload.get("error")
        if denied:
            raise AuthorizeError(request, str(denied["code"]), str(denied["description"]))
        session = await find_session(store, tenant, login.session_cookie(http))
        if session is None or session.id != transaction.payload.get("session_id"):
            return login.begin(http, transaction)
        user = await find_profile(store, tenant, session.user_id)
        api = await _api(store, tenant, request)
        arrival = Arrival(http=http, request=request, client=client, api=api, session=session, user=user, fresh=True)
        if await _needs_consent(arrival) and not transaction.payload.get("consented"):
            return login.ask_consent(http, transaction)
        async with store.transaction() as tx:
            if not await finish_login(tx, tenant, transaction):
                raise PageError("This sign-in is over. Go back to the application and sign in again.")
        return await _issue(arrival)
    except AuthorizeError as error:
        return respond_error(http, error, client)


async def _decide(arrival: Arrival) -> Response:
    """Answer from the session, or send the user to the login pages; with prompt=none only the first is possible."""
    request, session, user = arrival.request, arrival.session, arrival.user
    prompts = frozenset((request.prompt or "").split())
    signed_in = session is not None and user is not None and not user.blocked
    if signed_in and _is_stale(arrival.tenant, request, session):
        signed_in = False
    if signed_in and request.connection and session.connection != request.connection:
        signed_in = False
    if "none" in prompts:
        if not signed_in:
            raise AuthorizeError(request, "login_required", "Login required")
        if await _needs_consent(arrival):
            raise AuthorizeError(request, "consent_required", "Consent required")
        await _touch(arrival)
        return await _issue(arrival, silent=True)
    if not signed_in or prompts & {"login", "select_account"} or request.screen_hint in {"signup", "reset-password"}:
        return await login.start(arrival.http, request=msgspec.to_builtins(request), client=arrival.client)
    if "consent" in prompts or await _needs_consent(arrival):
        return await login.start(
            arrival.http, request=msgspec.to_builtins(request), client=arrival.client, session=session
        )
    await _touch(arrival)
    return await _issue(arrival)


def _is_stale(tenant: TenantScope, request: Authorize, session: Session) -> bool:
    """Whether the user authenticated longer ago than max_age allows."""
    if request.max_age is None:
        return False
    return tenant.clock.now_ms() // 1000 - session.auth_time > request.max_age


async def _api(store: Store, tenant: TenantScope, request: Authorize) -> ResourceServer | None:
    """The API asked for, or the tenant's default. Raises AuthorizeError for one that does not exist."""
    audience = request.audience
    if audience is None:
        settings = await documents.cached_singleton(store, tenant, SETTINGS)
        audience = settings.default_audience if isinstance(settings.default_audience, str) else None
    if not audience or audience == f"{tenant.issuer}userinfo":
        return None
    api = await documents.cached_by(store, tenant, RESOURCE_SERVERS, identifier=audience)
    if api is None:
        raise AuthorizeError(request, "access_denied", f"Service not found: {audience[:200]}")
    request.audience = audience
    return api


async def _needs_consent(arrival: Arrival) -> bool:
    """First-party clients need none, except for an API that asks for it, and where the callback is the user's own
    machine, because there any program can pose as the client."""
    request, client, api = arrival.request, arrival.client, arrival.api
    if client.is_first_party:
        if api is None:
            return False
        if api.skip_consent_for_verifiable_first_party_clients is True and not is_localhost(request.redirect_uri):
            return False
        if not [scope for scope in request.scopes if scope not in OPENID_SCOPES]:
            return False
    if arrival.user is None:
        return True
    given = await documents.select(arrival.store, arrival.tenant, CONSENTS, user_id=arrival.user.user_id)
    audience = request.audience or ""
    for record in given:
        consent = record.document
        if consent.get("clientID") == client.client_id and (consent.get("audience") or "") == audience:
            return not set(request.scopes) <= set(consent.get("scope", ()))
    return True


async def _touch(arrival: Arrival) -> None:
    await touch_session(
        arrival.store,
        arrival.tenant,
        arrival.session,
        client_id=arrival.client.client_id,
        device=device_of(arrival.http),
        lifetimes=await session_lifetimes(arrival.store, arrival.tenant),
    )


async def _issue(arrival: Arrival, *, silent: bool = False) -> Response:
    """Make what the response types ask for and deliver it."""
    http, request, client, session = arrival.http, arrival.request, arrival.client, arrival.session
    store, tenant, user = arrival.store, arrival.tenant, arrival.user
    if user is None or user.blocked:
        raise AuthorizeError(request, "unauthorized", "user is blocked")
    scopes, permissions = await granted_scopes(store, tenant, arrival.api, user_id=user.user_id, asked=request.scopes)
    members: dict[str, Any] = {}
    if "code" in request.wants:
        async with store.transaction() as tx:
            members["code"] = await issue_code(
                tx,
                tenant,
                client_id=client.client_id,
                user_id=user.user_id,
                payload=_code_payload(arrival, scopes),
            )
            if silent:
                await _record_in(tx, http, "ssa", client, user=user)
    elif silent:
        await _record(http, "ssa", client, user=user)
    if "token" in request.wants:
        token, lifetime_s = await sign_user_access_token(
            store, tenant, client, arrival.api, user_id=user.user_id,
            scopes=[scope for scope in scopes if scope != "offline_access"], permissions=permissions, web=True,
        )  # fmt: skip
        members["access_token"] = token
        members["scope"] = " ".join(scope for scope in scopes if scope != "offline_access")
        members["expires_in"] = lifetime_s
        members["token_type"] = "Bearer"  # noqa: S105
    if "id_token" in request.wants:
        members["id_token"] = await sign_id_token(
            store, tenant, client, user, scopes=scopes, nonce=request.nonce, sid=session.id,
            auth_time=session.auth_time if request.max_age is not None else None, amr=amr_of(session),
            access_token=members.get("access_token"), code=members.get("code"),
        )  # fmt: skip
    return respond(http, request, client, members)


def _code_payload(arrival: Arrival, scopes: Sequence[str]) -> dict[str, Any]:
    request, session = arrival.request, arrival.session
    payload = {
        "redirect_uri": request.redirect_uri if request.redirect_uri_given else None,
        "scope": " ".join(scopes),
        "asked": request.scope,
        "nonce": request.nonce,
        "audience": request.audience,
        "code_challenge": request.code_challenge,
        "code_challenge_method": request.code_challenge_method,
        "sid": session.id,
        "connection": session.connection,
        "auth_time": session.auth_time,
        "max_age": request.max_age is not None,
        "amr": amr_of(session),
    }
    return {name: value for name, value in payload.items() if value is not None}


def amr_of(session: Session) -> list[str]:
    """The `amr` claim: only a second factor is worth telling, as at Auth0."""
    return ["mfa"] if any(method.get("name") == "mfa" for method in session.methods) else []


def device_of(http: Request) -> Device:
    """Where a request comes from."""
    return Device(ip=http.client_ip, user_agent=http.headers.get("user-agent", ""))


async def session_lifetimes(store: Store, tenant: TenantScope) -> Lifetimes:
    """The tenant's session lifetimes."""
    settings = await documents.cached_singleton(store, tenant, SETTINGS)
    idle, absolute = settings.idle_session_lifetime, settings.session_lifetime
    return Lifetimes(
        idle=timedelta(hours=idle) if isinstance(idle, int | float) else timedelta(hours=72),
        absolute=timedelta(hours=absolute) if isinstance(absolute, int | float) else timedelta(hours=168),
    )


async def _record(http: Request, event: str, client: Client, **facts: Any) -> None:
    async with http.services.store.transaction() as tx:
        await _record_in(tx, http, event, client, **facts)


async def _record_in(
    tx: Any, http: Request, event: str, client: Client, *, user: Profile | None = None, **facts: Any
) -> None:
    await http.tenant.events.record(
        tx,
        http.tenant,
        event,
        client_id=client.client_id,
        client_name=client.name,
        ip=http.client_ip,
        user_agent=http.headers.get("user-agent"),
        hostname=http.host,
        user_id=user.user_id if user else None,
        user_name=(user.email or user.user_id) if user else None,
        **facts,
    )
