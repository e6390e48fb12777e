"""The authorization endpoint (RFC 6749 section 3.1, OpenID Connect Core section 3.1.2).

`/authorize` checks the request and answers at once where a session allows it; otherwise it begins a sign-in and sends
the browser to the login pages. These `conclude` when a code is all that is left to make, and else send the browser to
`/authorize/resume`. Consent is asked for where it is needed, and only then codes and tokens are made. What was true
when the user came is checked again when they are issued.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from freehold import login
from freehold.domain.access import ResourceServer, consented_scopes
from freehold.domain.applications import CLIENTS, Client
from freehold.domain.authenticators import (
    MFA,
    REMEMBERED,
    Demand,
    Unmet,
    check_possible,
    demand_for,
    factors_of,
    guardian_of,
)
from freehold.domain.connections import CONNECTIONS, enabled_connections
from freehold.domain.extensions.post_login import Verdict, has_code
from freehold.domain.sessions import (
    LoginTransaction,
    Session,
    find_login,
    find_session,
    finish_login,
    issue_code,
    touch_session,
)
from freehold.domain.sessions.adjusting import adjust_session, hand_over, revoke
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.users import Profile, find_profile, record_return
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.kernel.store import Store, Transaction
from freehold.protocols.oauth.access_tokens import sign_user_access_token
from freehold.protocols.oauth.audiences import (
    OPENID_SCOPES,
    NotGranted,
    default_audience,
    find_api,
    granted_scopes,
    scopes_for_users,
)
from freehold.protocols.oauth.authorize_request import Authorize, AuthorizeError, PageError, read_rest, read_target
from freehold.protocols.oauth.custom_code import Occasion, carry_out, custom_of, decide, kept, read_kept
from freehold.protocols.oauth.errors import OAuthError
from freehold.protocols.oauth.id_tokens import read_hint, sign_id_token
from freehold.protocols.oauth.primary_user import primary_of
from freehold.protocols.oauth.redirect_uris import is_localhost
from freehold.protocols.oauth.responses import respond, respond_error
from freehold.protocols.oauth.user_tokens import may_still_sign_in

OVER = "This sign-in is over. Go back to the application and sign in again."
MULTI_FACTOR_REQUIRED = "Multifactor authentication required"
"""With login_required what auth0-spa-js compares, to go on with a popup."""


@dataclass(slots=True, kw_only=True)
class Arrival:
    """Everything a decision needs: the request, its client, the API asked for, and who is signed in."""

    http: Request
    request: Authorize
    client: Client
    api: ResourceServer | None
    allowed: frozenset[str]
    """The scopes of the API that the client may ask for."""
    session: Session | None
    user: Profile | None
    transaction: LoginTransaction | None = None
    """The sign-in that the user has just come through, when there was one."""

    @property
    def store(self) -> Store:
        """The store."""
        store: Store = self.http.services.store
        return store

    @property
    def tenant(self) -> TenantScope:
        """The tenant."""
        tenant: TenantScope = self.http.tenant
        return tenant

    @property
    def is_silent(self) -> bool:
        """Whether the user must not see a page."""
        return "none" in self.request.prompts


async def authorize(http: Request) -> Response:
    """GET and POST /authorize."""
    store, tenant = http.services.store, http.tenant
    params: Parameters = await http.form() if http.method == "POST" else http.query
    request, client = await read_target(params, store=store, tenant=tenant)
    try:
        read_rest(params, request, client)
        await _choose_audience(params, request, store=store, tenant=tenant)
        return await _decide(await _arrive(http, request, client))
    except OAuthError as error:
        if "none" in request.prompts:
            async with store.transaction() as tx:
                await _record(tx, http, client, "fsa", description=error.message, scope=request.scope)
        return _refuse(http, request, error)


async def resume(http: Request) -> Response:
    """GET /authorize/resume: the user has been through the login pages of a sign-in."""
    transaction = await find_login(http.services.store, http.tenant, http.query.one("state"))
    if transaction is None or not login.is_bound_to(http, transaction):
        raise PageError(OVER)
    custom = transaction.payload.get("custom")
    if custom and not custom.get("decided"):
        raise PageError(OVER)  # who was sent elsewhere comes back to /continue
    return await _resume(http, transaction)


async def _resume(http: Request, transaction: LoginTransaction) -> Response:
    store, tenant = http.services.store, http.tenant
    request = msgspec.convert(transaction.payload["authorize"], Authorize)
    client = await documents.cached(store, tenant, CLIENTS, request.client_id)
    if client is None:
        raise PageError(OVER)
    try:
        denied = transaction.payload.get("error")
        if denied:
            raise AuthorizeError(str(denied["code"]), str(denied["description"]))
        arrival = await _arrive(http, request, client, transaction)
        if arrival.session is None or arrival.session.id != transaction.payload.get("session_id"):
            return login.begin(http)
        if await _lacks_second_factor(arrival):
            await _check_second_factor_possible(arrival)
            return login.ask_second_factor(http)
        if await _asks_consent(arrival):
            return login.ask_consent(http)
        return await _issue(arrival)
    except OAuthError as error:
        async with store.transaction() as tx:
            if not await finish_login(tx, tenant, transaction):
                raise PageError(OVER) from None
            if not transaction.payload.get("error_recorded"):
                await _record(tx, http, client, "f", description=error.message, scope=request.scope)
        return _refuse(http, request, error)


async def conclude(
    http: Request, transaction: LoginTransaction, client: Client, user: Profile, connection: str
) -> login.End | None:
    """How to end a sign-in for the user who has just signed in from a connection, in the transaction that notes it.

    None when anything but a code is wanted, or the user has to be asked or refused: `resume` sees to that.
    """
    store, tenant = http.services.store, http.tenant
    request = msgspec.convert(transaction.payload["authorize"], Authorize)
    if request.wants != {"code"} or await has_code(store, tenant):
        return None
    try:
        api = await find_api(store, tenant, request.audience)
        allowed = await scopes_for_users(store, tenant, client, api) if api is not None else frozenset[str]()
        arrival = Arrival(
            http=http, request=request, client=client, api=api, allowed=allowed, session=None, user=user,
            transaction=transaction,
        )  # fmt: skip
        if await _asks_consent(arrival) or not await may_still_sign_in(store, tenant, client, connection):
            return None
        scopes, _ = await granted_scopes(
            store, tenant, api, allowed=allowed, user_id=user.user_id, asked=request.scopes
        )
        consented = await _needs_consent(arrival)
        demand = await _demand(arrival, user)
    except OAuthError:
        return None

    async def end(tx: Transaction, session: Session) -> Response:
        if not demand.is_met(session.methods):
            raise PageError(OVER)
        if not await finish_login(tx, tenant, transaction):
            raise PageError(OVER)
        payload = _code_payload(arrival, session, scopes, consented=consented)
        code = await issue_code(tx, tenant, client_id=client.client_id, user_id=user.user_id, payload=payload)
        return respond(http, request, {"code": code})

    return end


async def _arrive(
    http: Request, request: Authorize, client: Client, transaction: LoginTransaction | None = None
) -> Arrival:
    """Look up what the decision needs. Raises AccessDenied for an API that the client cannot have tokens of."""
    store, tenant = http.services.store, http.tenant
    api = await find_api(store, tenant, request.audience)
    allowed = await scopes_for_users(store, tenant, client, api) if api is not None else frozenset[str]()
    session = await find_session(store, tenant, login.session_cookie(http))
    user = await find_profile(store, tenant, session.user_id) if session else None
    return Arrival(
        http=http, request=request, client=client, api=api, allowed=allowed, session=session, user=user,
        transaction=transaction,
    )  # fmt: skip


async def _choose_audience(params: Parameters, request: Authorize, *, store: Store, tenant: TenantScope) -> None:
    """The API asked for, or the tenant's default; `resource` (RFC 8707) where the tenant reads it as `audience`."""
    if request.audience is None and params.get("resource"):
        settings = await documents.cached_singleton(store, tenant, SETTINGS)
        if settings.resource_parameter_profile == "compatibility":
            request.audience = params.get("resource")
    if request.audience is None:
        request.audience = await default_audience(store, tenant)


async def _decide(arrival: Arrival) -> Response:
    """Answer from the session, or send the user to the login pages; with prompt=none only the first is possible."""
    request = arrival.request
    signed_in = await _is_signed_in(arrival)
    if arrival.is_silent:
        if arrival.user is not None and arrival.user.blocked:
            raise AuthorizeError("unauthorized", "user is blocked")
        if not signed_in:
            raise AuthorizeError("login_required", "Login required")
        if await _lacks_second_factor(arrival):
            raise AuthorizeError("login_required", MULTI_FACTOR_REQUIRED)
        if await _asks_consent(arrival):
            raise AuthorizeError("consent_required", "Consent required")
        return await _issue(arrival)
    if not signed_in or request.prompts & {"login", "select_account"}:
        await _check_connection(arrival)
        return await login.start(arrival.http, request=msgspec.to_builtins(request))
    if await _lacks_second_factor(arrival):
        await _check_second_factor_possible(arrival)
        return await login.start(
            arrival.http, request=msgspec.to_builtins(request), session=arrival.session, second_factor=True
        )
    if await _asks_consent(arrival):
        return await login.start(arrival.http, request=msgspec.to_builtins(request), session=arrival.session)
    return await _issue(arrival)


async def _is_signed_in(arrival: Arrival) -> bool:
    """Whether the browser's session counts for this request and this client."""
    request, session, user = arrival.request, arrival.session, arrival.user
    if session is None or user is None or user.blocked:
        return False
    if request.max_age is not None:
        age_s = arrival.tenant.clock.now_ms() // 1000 - session.auth_time
        if age_s > request.max_age or request.max_age == 0:  # 0 asks for a new sign-in, however quick the last one was
            return False
    if arrival.client.sso_disabled:
        return False
    if request.connection is not None and session.connection != request.connection:
        return False
    if not await may_still_sign_in(arrival.store, arrival.tenant, arrival.client, session.connection):
        return False
    if request.id_token_hint is not None:
        hint = await read_hint(arrival.store, arrival.tenant, request.id_token_hint)
        if hint is not None and hint[0].get("sub") != user.user_id:
            return False
    return True


async def _check_connection(arrival: Arrival) -> None:
    """Check that there is a way to sign in, so that nobody is shown a form that cannot work. Raises AuthorizeError."""
    store, tenant, wanted = arrival.store, arrival.tenant, arrival.request.connection
    enabled = await enabled_connections(store, tenant, arrival.client.client_id)
    offered = {one.name for one in enabled if one.strategy in login.STRATEGIES}
    if not offered:
        raise AuthorizeError("invalid_request", "no connections enabled for the client")
    if wanted is None or wanted in offered:
        return
    known = await documents.cached_by(store, tenant, CONNECTIONS, name=wanted)
    if known is None:
        raise AuthorizeError("invalid_request", "the connection was not found")
    if known.strategy not in login.STRATEGIES:
        raise AuthorizeError("invalid_request", "The connection's strategy is not available on this server yet")
    raise AuthorizeError("invalid_request", "the connection was disabled")


async def _demand(arrival: Arrival, user: Profile) -> Demand:
    """What the sign-in must have shown for this request."""
    request = arrival.request
    return await demand_for(
        arrival.store, arrival.tenant, user.user_id, acr_values=request.acr_values, audience=request.audience
    )


async def _lacks_second_factor(arrival: Arrival) -> bool:
    """Whether the session has not shown enough."""
    session, user = arrival.session, arrival.user
    if session is None or user is None:
        return True
    return not (await _demand(arrival, user)).is_met(session.methods)


async def _check_second_factor_possible(arrival: Arrival) -> None:
    """Check that the user can show a second factor here. Raises AuthorizeError."""
    assert arrival.user is not None  # who is signed in
    store, tenant = arrival.store, arrival.tenant
    try:
        check_possible(await guardian_of(store, tenant), await factors_of(store, tenant, arrival.user.user_id))
    except Unmet as unmet:
        raise AuthorizeError("access_denied", unmet.reason) from None


async def _asks_consent(arrival: Arrival) -> bool:
    """Whether the user has yet to be asked."""
    if arrival.transaction is not None and arrival.transaction.payload.get("consented"):
        return False
    if "consent" in arrival.request.prompts:
        return True
    if not await _needs_consent(arrival):
        return False
    user = arrival.user
    if user is None:
        return True
    given = await consented_scopes(
        arrival.store,
        arrival.tenant,
        user_id=user.user_id,
        client_id=arrival.client.client_id,
        audience=arrival.request.audience or "",
    )
    return given is None or not given >= set(arrival.request.scopes)


async def _needs_consent(arrival: Arrival) -> bool:
    """Whether tokens rest on the user's consent.

    First-party clients need none, except for an API that asks for it, and where the callback is the user's own
    machine, because there any program can pose as the client.
    """
    request, client, api = arrival.request, arrival.client, arrival.api
    if not client.is_first_party:
        return True
    if api is None or not [scope for scope in request.scopes if scope not in OPENID_SCOPES]:
        return False
    if not api.skip_consent_for_verifiable_first_party_clients:
        return True
    if not is_localhost(request.redirect_uri):
        return False
    settings = await documents.cached_singleton(arrival.store, arrival.tenant, SETTINGS)
    trusted = (
        client.skip_non_verifiable_callback_uri_confirmation_prompt,
        settings.skip_non_verifiable_callback_uri_confirmation_prompt,
    )
    return next((choice for choice in trusted if choice is not UNSET and choice is not None), False) is not True


async def _issue(arrival: Arrival) -> Response:
    """Make what the response types ask for and deliver it."""
    request, client, session, user = arrival.request, arrival.client, arrival.session, arrival.user
    store, tenant = arrival.store, arrival.tenant
    if session is None or user is None or user.blocked:
        raise AuthorizeError("unauthorized", "user is blocked")
    if not await may_still_sign_in(store, tenant, client, session.connection):
        raise AuthorizeError("access_denied", "The connection is not enabled for this application.")
    if await _lacks_second_factor(arrival):
        raise AuthorizeError("login_required", MULTI_FACTOR_REQUIRED)
    scopes, permissions = await granted_scopes(
        store, tenant, arrival.api, allowed=arrival.allowed, user_id=user.user_id, asked=request.scopes
    )
    verdict = await _ask_code(arrival, session, user, scopes)
    if verdict is not None:
        elsewhere = await _follow(arrival, session, verdict)
        if elsewhere is not None:
            return elsewhere
    custom = custom_of(verdict, scopes, tenant=tenant, audience=request.audience if arrival.api is not None else None)
    primary = await primary_of(store, tenant, user, verdict, methods=session.methods, audience=request.audience)
    if primary is not None:
        user = primary
        scopes, permissions = await granted_scopes(
            store, tenant, arrival.api, allowed=arrival.allowed, user_id=user.user_id, asked=request.scopes
        )
    scopes = custom.scopes(scopes)
    payload = _code_payload(arrival, session, scopes, consented=await _needs_consent(arrival))
    if verdict is not None:
        payload["custom"] = custom.as_payload()
    members: dict[str, Any] = {}
    async with store.transaction() as tx:
        if arrival.transaction is not None and not await finish_login(tx, tenant, arrival.transaction):
            raise PageError(OVER)
        if primary is not None:
            value = login.session_cookie(arrival.http)
            session = await hand_over(tx, tenant, session, user_id=user.user_id, value=value)
        details = await carry_out(tx, tenant, user.user_id, verdict)
        if "code" in request.wants:
            members["code"] = await issue_code(
                tx, tenant, client_id=client.client_id, user_id=user.user_id, payload=payload
            )
        await _note_visit(tx, arrival, session, user, details)
        adjusted = await adjust_session(tx, tenant, session, verdict.session if verdict is not None else ())
    front = [scope for scope in scopes if scope != "offline_access"]
    if "token" in request.wants:
        members["access_token"], members["expires_in"] = await sign_user_access_token(
            store, tenant, client, arrival.api, user_id=user.user_id, scopes=front, permissions=permissions,
            in_browser=arrival.api is not None or "code" not in request.wants, custom=custom.access_token,
            of_id_token=custom.id_token,
        )  # fmt: skip
        members["scope"] = " ".join(front) or None
        members["token_type"] = "Bearer"  # noqa: S105 - not a secret
    if "id_token" in request.wants:
        members["id_token"] = await sign_id_token(
            store, tenant, client, user, scopes=scopes, nonce=request.nonce, sid=session.id,
            auth_time=session.auth_time if request.max_age is not None else None, amr=amr_of(session),
            access_token=members.get("access_token"), code=members.get("code"), custom=custom.id_token,
        )  # fmt: skip
    response = respond(arrival.http, request, members)
    value = login.session_cookie(arrival.http)
    if value and (adjusted.persistent, adjusted.expires_at_ms) != (session.persistent, session.expires_at_ms):
        login.set_session(response, adjusted, value, now_ms=tenant.clock.now_ms())
    return response


async def _ask_code(arrival: Arrival, session: Session, user: Profile, scopes: Sequence[str]) -> Verdict | None:
    """What rules and actions say to this sign-in; what they said before the user was elsewhere is gone on with."""
    request, transaction = arrival.request, arrival.transaction
    before: dict[str, Any] = (transaction.payload.get("custom") if transaction is not None else None) or {}
    if before.get("decided"):
        return read_kept(before)
    asked = {
        "requested_scopes": request.scopes, "redirect_uri": request.redirect_uri, "state": request.state,
        "login_hint": request.login_hint, "prompt": sorted(request.prompts), "response_type": sorted(request.wants),
    }  # fmt: skip
    occasion = Occasion(
        http=arrival.http, user=user, client=arrival.client, api=arrival.api, connection=session.connection,
        protocol="oidc-basic-profile" if "code" in request.wants else "oidc-implicit-profile", scopes=scopes,
        session=session, can_redirect=not arrival.is_silent, body=await _form_of(arrival.http),
        transaction={name: value for name, value in asked.items() if value},
    )  # fmt: skip
    if before:
        resume_at = before.get("resume_at")
        verdict = read_kept(before) if resume_at is not None else None
        return await decide(occasion, verdict=verdict, resume_at=resume_at, came_back=True)
    return await decide(occasion)


async def _follow(arrival: Arrival, session: Session, verdict: Verdict) -> Response | None:
    """Refuse, or send the user where code wants them first; None when nothing stands in the way.

    Raises AuthorizeError in the words of the code.
    """
    if verdict.denied is not None:
        async with arrival.store.transaction() as tx:
            await revoke(
                tx, arrival.tenant, user_id=session.user_id, session_id=session.id, token_id=None,
                session=verdict.session, refresh_token=(),
            )  # fmt: skip
            details = await carry_out(tx, arrival.tenant, session.user_id, verdict)
            if arrival.transaction is None and not arrival.is_silent:
                await _record(
                    tx, arrival.http, arrival.client, "f", description=verdict.denied[1], user_id=session.user_id,
                    connection=session.connection, details=details,
                )  # fmt: skip
        raise AuthorizeError(*verdict.denied)
    if verdict.redirect is not None:
        return await login.send_elsewhere(
            arrival.http, arrival.transaction, request=msgspec.to_builtins(arrival.request), session=session,
            target=verdict.redirect, custom=kept(verdict, resume_at=verdict.resume_at),
        )  # fmt: skip
    if verdict.multifactor is not None and not _has_shown(session, verdict.multifactor):
        if arrival.is_silent:
            raise AuthorizeError("login_required", MULTI_FACTOR_REQUIRED)
        await _check_second_factor_possible(arrival)
        return await login.ask_more(
            arrival.http, arrival.transaction, request=msgspec.to_builtins(arrival.request), session=session,
            custom=kept(verdict, decided=True),
        )  # fmt: skip
    return None


async def _form_of(http: Request) -> dict[str, str] | None:
    """What was sent to `/continue` as a form."""
    return dict((await http.form()).pairs()) if http.method == "POST" else None


def _has_shown(session: Session, wanted: dict[str, Any]) -> bool:
    """Whether the session has shown a second factor, or a browser that is remembered where code allows that."""
    names = {method.get("name") for method in session.methods}
    return MFA in names or (wanted.get("allowRememberBrowser", True) is not False and REMEMBERED in names)


async def come_back(http: Request) -> Response:
    """GET and POST /continue: the user returns from where code sent them."""
    params: Parameters = await http.form() if http.method == "POST" else http.query
    state = http.query.one("state") or params.one("state")
    transaction = await find_login(http.services.store, http.tenant, state)
    if transaction is None or not login.is_bound_to(http, transaction) or "custom" not in transaction.payload:
        raise PageError(OVER)
    return await _resume(http, transaction)


async def _note_visit(
    tx: Transaction, arrival: Arrival, session: Session, user: Profile, details: dict[str, Any]
) -> None:
    """Write down that a session was used. Who has just come through the login pages is in the log already."""
    device = login.device_of(arrival.http)
    lifetimes, _ = await login.session_rules(arrival.store, arrival.tenant)
    await touch_session(
        tx, arrival.tenant, session, client_id=arrival.client.client_id, device=device,
        lifetimes=lifetimes[session.persistent],
    )  # fmt: skip
    if arrival.transaction is not None and arrival.transaction.payload.get("signed_in"):
        return
    await record_return(tx, arrival.tenant, user.user_id, ip=device.ip)
    await _record(
        tx, arrival.http, arrival.client, "ssa" if arrival.is_silent else "s", scope=arrival.request.scope,
        user_id=user.user_id, user_name=user.email or user.username or user.user_id, connection=session.connection,
        details={"session_id": session.id, **details},
    )  # fmt: skip


def _code_payload(arrival: Arrival, session: Session, scopes: Sequence[str], *, consented: bool) -> dict[str, Any]:
    request = arrival.request
    payload = {
        "redirect_uri": request.redirect_uri if request.redirect_uri_given else None,
        "scope": " ".join(scopes),
        "asked": request.scope,
        "nonce": request.nonce,
        "audience": request.audience if arrival.api is not None else None,
        "code_challenge": request.code_challenge,
        "code_challenge_method": request.code_challenge_method,
        "sid": session.id,
        "connection": session.connection,
        "auth_time": session.auth_time,
        "max_age": request.max_age is not None,
        "amr": amr_of(session),
        "consented": consented,
    }
    return {name: value for name, value in payload.items() if value}


def amr_of(session: Session) -> list[str]:
    """The `amr` claim: only a second factor is worth telling, as at Auth0."""
    return [MFA] if any(method.get("name") == MFA for method in session.methods) else []


def _refuse(http: Request, request: Authorize, error: OAuthError) -> Response:
    """Tell the application; what is 403 at the token endpoint has another code here (authentication-api.md)."""
    code = "invalid_request" if isinstance(error, NotGranted) else error.code
    return respond_error(http, request, code=code, description=error.message)


async def _record(tx: Transaction, http: Request, client: Client, event: str, **facts: Any) -> None:
    await http.tenant.events.record(
        tx,
        http.tenant,
        event,
        client_id=client.client_id,
        client_name=client.name,
        ip=http.client_ip,
        user_agent=http.headers.get("user-agent"),
        hostname=http.host,
        **facts,
    )
