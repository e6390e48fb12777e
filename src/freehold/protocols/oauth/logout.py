"""Ending a session: Auth0's `/v2/logout` and RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0).

The target must be one the client, or without a client the tenant, has registered, byte for byte.
"""

from urllib.parse import urlencode, urlsplit

from freehold import login
from freehold.domain import keys
from freehold.domain.applications import CLIENTS, Client
from freehold.domain.sessions import Session, end_session, find_session
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.users import find_profile
from freehold.kernel.crypto import jose
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, redirect
from freehold.protocols.oauth.authorize_request import PageError
from freehold.protocols.oauth.redirect_uris import is_registered


async def v2_logout(request: Request) -> Response:
    """GET /v2/logout: end the session and go to `returnTo`, or say that it is over."""
    query = request.query
    client = await _client(request, query.one("client_id"))
    target = query.one("returnTo")
    allowed = await _allowed(request, client)
    if target is None and client is not None:
        target = next((url for url in allowed if "*" not in url), None)
    elif target is not None and not _is_allowed(target, allowed):
        raise PageError(
            f'The "returnTo" querystring parameter "{target[:200]}" is not defined as a valid URL '
            'in "Allowed Logout URLs".'
        )
    response = redirect(target) if target else login.logged_out(request)
    return await _end(request, response, client, await _session(request))


async def oidc_logout(request: Request) -> Response:
    """GET and POST /oidc/logout. Without proof that the application means this session, the user is asked."""
    # The page that asks posts its answer to an address that repeats the request.
    params = request.query if request.method == "GET" or request.scope["query_string"] else await request.form()
    tenant: TenantScope = request.tenant
    session = await _session(request)
    hint = params.one("id_token_hint")
    claims = await _hint_claims(request, hint) if hint else None
    client_id = params.one("client_id")
    if claims is not None:
        audience = jose.audiences_of(claims)
        if client_id is not None and client_id not in audience:
            raise PageError("client_id and id_token_hint do not belong together.")
        client_id = client_id or audience[0]
    client = await _client(request, client_id)
    target = params.one("post_logout_redirect_uri")
    if target is not None:
        if not _is_allowed(target, await _allowed(request, client)):
            raise PageError("The post_logout_redirect_uri is not registered as an allowed logout URL.")
        state = params.one("state")
        if state:
            target += ("&" if urlsplit(target).query else "?") + urlencode({"state": state})
    means_it = session is None or (claims is not None and claims.get("sid") == session.id)
    means_it = means_it or (session is not None and params.one("logout_hint") == session.id)
    settings = await documents.cached_singleton(request.services.store, tenant, SETTINGS)
    asks = getattr(settings.sessions, "oidc_logout_prompt_enabled", True) is not False
    if session is not None and not means_it and asks:
        answer = await login.confirmed_logout(request)
        if answer is None:
            user = await find_profile(request.services.store, tenant, session.user_id)
            name = (user.email or user.user_id) if user else ""
            return login.ask_logout(request, params=_plain(params), user_name=name)
        if not answer:
            return login.stayed(request)
    response = redirect(target) if target else login.logged_out(request)
    return await _end(request, response, client, session)


def _is_allowed(target: str, allowed: list[str]) -> bool:
    """A registered URL, also with a query added to it, as Auth0 takes it; never anything with a backslash."""
    if "\\" in target or not target.isprintable():
        return False
    return is_registered(target, allowed, native=False) or is_registered(
        target.partition("?")[0], allowed, native=False
    )


async def _client(request: Request, client_id: str | None) -> Client | None:
    if not client_id:
        return None
    client = await documents.cached(request.services.store, request.tenant, CLIENTS, client_id)
    if client is None:
        raise PageError(f"Unknown client: {client_id[:64]}")
    return client


async def _allowed(request: Request, client: Client | None) -> list[str]:
    settings = await documents.cached_singleton(request.services.store, request.tenant, SETTINGS)
    urls = client.allowed_logout_urls if client is not None else settings.allowed_logout_urls
    tenant_wide = settings.allowed_logout_urls
    found = list(urls) if isinstance(urls, list) else []
    return found + (list(tenant_wide) if client is not None and isinstance(tenant_wide, list) else [])


async def _session(request: Request) -> Session | None:
    return await find_session(request.services.store, request.tenant, login.session_cookie(request))


async def _hint_claims(request: Request, hint: str) -> dict[str, object]:
    """The claims of an ID token of ours, also one that has expired. Raises PageError."""
    tenant: TenantScope = request.tenant
    try:
        return jose.verify_jwt(
            hint,
            keys=await keys.verification_keys(request.services.store, tenant),
            algorithms=("RS256", "PS256", "RS512"),
            issuer=tenant.issuer,
            audience=None,
            now=tenant.clock.now(),
            types=("JWT",),
            expired_ok=True,
        )
    except jose.InvalidToken:
        raise PageError("The id_token_hint is not an ID token of this issuer.") from None


def _plain(params: Parameters) -> dict[str, str]:
    return {name: params.get(name) or "" for name in params}


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
