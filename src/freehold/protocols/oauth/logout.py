"""Ending a session: Auth0's `/v2/logout` and RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0).

The target must be one that the client, or without a client the tenant, has registered. As at Auth0 a query may be added
to it, which leads to the same page of the same owner; nothing else may differ.
"""

from urllib.parse import urlencode, urlsplit

from msgspec import UNSET

from freehold import login
from freehold.domain.applications import CLIENTS, Client
from freehold.domain.extensions import oauth2
from freehold.domain.sessions import Session, end_session, find_session
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.users import find_database, find_profile
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, redirect
from freehold.protocols.oauth.authorize_request import PageError
from freehold.protocols.oauth.id_tokens import read_hint
from freehold.protocols.oauth.redirect_uris import is_registered

LONGEST_STATE = 8192


async def v2_logout(request: Request) -> Response:
    """GET /v2/logout: end the session and go to `returnTo`, or say that it is over."""
    query = request.query
    client = await _client(request, query.one("client_id"))
    allowed = await _allowed(request, client)
    target = query.one("returnTo")
    if target:
        _check_target(target, allowed, name="returnTo")
    elif client is not None:
        target = next((url for url in allowed if "*" not in url), None)
    session = await _session(request)
    return await _end(request, await _response(request, query, session, target), client, session)


async def oidc_logout(request: Request) -> Response:
    """GET and POST /oidc/logout. Without proof that the application means this session, the user is asked."""
    # The page that asks posts its answer to an address that repeats the request.
    asked_in_form = request.method == "POST" and not request.scope["query_string"]
    params = await request.form() if asked_in_form else request.query
    session = await _session(request)
    hint, client_id = params.one("id_token_hint"), params.one("client_id")
    hinted = await read_hint(request.services.store, request.tenant, hint) if hint else None
    if hint and hinted is None:
        raise PageError("The id_token_hint is not an ID token of this issuer.")
    if hinted is not None and client_id not in {None, "", hinted[1].client_id}:
        raise PageError("client_id and id_token_hint do not belong together.")
    client = hinted[1] if hinted is not None else await _client(request, client_id)
    target = params.one("post_logout_redirect_uri")
    if target:
        _check_target(target, await _allowed(request, client), name="post_logout_redirect_uri")
        state = params.one("state")
        if state:
            if len(state) > LONGEST_STATE:
                raise PageError("The parameter state is too long.")
            target += ("&" if urlsplit(target).query else "?") + urlencode({"state": state})
    proven = {hinted[0].get("sid")} if hinted is not None else set()
    proven.add(params.one("logout_hint"))
    if session is not None and session.id not in proven and await _asks(request):
        answer = await login.confirmed_logout(request)
        if answer is None:
            return await login.ask_logout(request, params=_plain(params), user_name=await _name(request, session))
        if not answer:
            return await login.stayed(request, ui_locales=params.one("ui_locales"))
    return await _end(request, await _response(request, params, session, target), client, session)


async def _response(request: Request, params: Parameters, session: Session | None, target: str | None) -> Response:
    """To the target, by way of the identity provider where `federated` asks for that; or our own page."""
    store, tenant = request.services.store, request.tenant
    if session is not None and "federated" in params:
        connection = await find_database(store, tenant, session.connection)
        if connection is not None and connection.strategy == oauth2.STRATEGY:
            url = await oauth2.logout_url(
                request.services, tenant, connection, user_id=session.user_id, return_to=target or ""
            )
            if url is not None:
                return redirect(url)
    return redirect(target) if target else await login.logged_out(request, ui_locales=params.one("ui_locales"))


def _check_target(target: str, allowed: list[str], *, name: str) -> None:
    """Check where the browser is sent afterwards. Raises PageError."""
    plain = target.isprintable() and "\\" not in target
    if not plain or not (
        is_registered(target, allowed, native=False)
        or is_registered(target.partition("?")[0], [url for url in allowed if "?" not in url], native=False)
    ):
        raise PageError(f'The "{name}" parameter is not defined as a valid URL in "Allowed Logout URLs".')


async def _client(request: Request, client_id: str | None) -> Client | None:
    if not client_id:
        return None
    client = await documents.cached(request.services.store, request.tenant, CLIENTS, client_id)
    if client is None or client.is_global:
        raise PageError(f"Unknown client: {client_id[:64]}")
    return client


async def _allowed(request: Request, client: Client | None) -> list[str]:
    """The client's own logout URLs, or the tenant's for requests that name no client."""
    if client is not None:
        return [] if client.allowed_logout_urls is UNSET else client.allowed_logout_urls
    settings = await documents.cached_singleton(request.services.store, request.tenant, SETTINGS)
    return settings.allowed_logout_urls


async def _asks(request: Request) -> bool:
    settings = await documents.cached_singleton(request.services.store, request.tenant, SETTINGS)
    return not settings.sessions or settings.sessions.oidc_logout_prompt_enabled


async def _session(request: Request) -> Session | None:
    return await find_session(request.services.store, request.tenant, login.session_cookie(request))


async def _name(request: Request, session: Session) -> str:
    user = await find_profile(request.services.store, request.tenant, session.user_id)
    return (user.email or user.username or user.name or user.user_id) if user else ""


def _plain(params: Parameters) -> dict[str, str]:
    return {name: params.get(name) for name in params}


async def _end(request: Request, response: Response, client: Client | None, session: Session | None) -> Response:
    tenant: TenantScope = request.tenant
    if session is not None:
        async with request.services.store.transaction() as tx:
            await end_session(tx, tenant, session.id)
            await tenant.events.record(
                tx, tenant, "slo", user_id=session.user_id, connection=session.connection,
                client_id=client.client_id if client else None, client_name=client.name if client else None,
                ip=request.client_ip, user_agent=request.headers.get("user-agent"), hostname=request.host,
                details={"session_id": session.id},
            )  # fmt: skip
    login.forget_session(response)
    return response
