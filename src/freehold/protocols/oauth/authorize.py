"""The authorization endpoint (RFC 6749 section 3.1, OpenID Connect Core section 3.1.2).

`/authorize` checks the request and answers at once where a session allows it; otherwise it begins a sign-in and sends
the browser to the login pages. These `conclude` when a code is all that is left to make, and else send the browser to
`/authorize/resume`. Consent is asked for where it is needed, and only then codes and tokens are made. What was true
when the user came is checked again when they are issued.
"""

import msgspec

from freehold import login
from freehold.domain.applications import CLIENTS, Client
from freehold.domain.connections import CONNECTIONS, enabled_connections
from freehold.domain.extensions.post_login import has_code
from freehold.domain.sessions import LoginTransaction, Session, find_login, find_session, finish_login, issue_code
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.users import Profile, find_profile
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.kernel.store import Store, Transaction
from freehold.protocols.oauth.audiences import NotGranted, default_audience, find_api, granted_scopes, scopes_for_users
from freehold.protocols.oauth.authorize_arrival import (
    MULTI_FACTOR_REQUIRED,
    OVER,
    Arrival,
    asks_consent,
    check_second_factor_possible,
    lacks_second_factor,
    needs_consent,
    record,
    second_factor_demand,
)
from freehold.protocols.oauth.authorize_issue import code_payload, issue
from freehold.protocols.oauth.authorize_request import Authorize, AuthorizeError, PageError, read_rest, read_target
from freehold.protocols.oauth.errors import OAuthError
from freehold.protocols.oauth.id_tokens import read_hint
from freehold.protocols.oauth.responses import respond, respond_error
from freehold.protocols.oauth.user_tokens import may_still_sign_in


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
                await record(tx, http, client, "fsa", description=error.message, scope=request.scope)
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


async def come_back(http: Request) -> Response:
    """GET and POST /continue: the user returns from where code sent them."""
    params: Parameters = await http.form() if http.method == "POST" else http.query
    state = http.query.one("state") or params.one("state")
    transaction = await find_login(http.services.store, http.tenant, state)
    if transaction is None or not login.is_bound_to(http, transaction) or "custom" not in transaction.payload:
        raise PageError(OVER)
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
        if await lacks_second_factor(arrival):
            await check_second_factor_possible(arrival)
            return login.ask_second_factor(http)
        if await asks_consent(arrival):
            return login.ask_consent(http)
        return await issue(arrival)
    except OAuthError as error:
        async with store.transaction() as tx:
            if not await finish_login(tx, tenant, transaction):
                raise PageError(OVER) from None
            if not transaction.payload.get("error_recorded"):
                await record(tx, http, client, "f", description=error.message, scope=request.scope)
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
        if await asks_consent(arrival) or not await may_still_sign_in(store, tenant, client, connection):
            return None
        scopes, _ = await granted_scopes(
            store, tenant, api, allowed=allowed, user_id=user.user_id, asked=request.scopes
        )
        consented = await needs_consent(arrival)
        demand = await second_factor_demand(arrival, user)
    except OAuthError:
        return None

    async def end(tx: Transaction, session: Session) -> Response:
        if not demand.is_met(session.methods):
            raise PageError(OVER)
        if not await finish_login(tx, tenant, transaction):
            raise PageError(OVER)
        payload = code_payload(arrival, session, scopes, consented=consented)
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
        if await lacks_second_factor(arrival):
            raise AuthorizeError("login_required", MULTI_FACTOR_REQUIRED)
        if await asks_consent(arrival):
            raise AuthorizeError("consent_required", "Consent required")
        return await issue(arrival)
    if not signed_in or request.prompts & {"login", "select_account"}:
        await _check_connection(arrival)
        return await login.start(arrival.http, request=msgspec.to_builtins(request))
    if await lacks_second_factor(arrival):
        await check_second_factor_possible(arrival)
        return await login.start(
            arrival.http, request=msgspec.to_builtins(request), session=arrival.session, second_factor=True
        )
    if await asks_consent(arrival):
        return await login.start(arrival.http, request=msgspec.to_builtins(request), session=arrival.session)
    return await issue(arrival)


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


def _refuse(http: Request, request: Authorize, error: OAuthError) -> Response:
    """Tell the application; what is 403 at the token endpoint has another code here (authentication-api.md)."""
    code = "invalid_request" if isinstance(error, NotGranted) else error.code
    return respond_error(http, request, code=code, description=error.message)
