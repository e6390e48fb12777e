"""May this application have access? Asked of third parties, and where anybody could pose as the application."""

from msgspec import UNSET

from freehold.domain.access import RESOURCE_SERVERS, record_consent
from freehold.domain.sessions import Session, find_session
from freehold.domain.users import find_profile
from freehold.kernel.declare import documents
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.login import cookies, flow, views
from freehold.login.flow import SignInOver, Visit, visit

_STANDARD = ("openid", "profile", "email", "phone", "address", "offline_access")


async def show_page(http: Request) -> Response:
    """GET /u/consent."""
    here = await visit(http)
    return await _show(here, await _session(here))


async def submit(http: Request) -> Response:
    """POST /u/consent."""
    here = await visit(http)
    session = await _session(here)
    action = here.field("action")
    if action not in {"accept", "deny"}:
        return await _show(here, session, views.Problem("invalid-action"))
    async with here.store.transaction() as tx:
        if action == "accept":
            await record_consent(
                tx, here.tenant, user_id=session.user_id, client_id=here.client.client_id,
                audience=str(here.authorize.get("audience") or ""), scopes=set(_scopes(here)),
            )  # fmt: skip
            await here.save(tx, consented=True)
        else:
            await here.save(tx, error={"code": "access_denied", "description": "User did not authorize the request"})
    return here.resume()


async def _show(here: Visit, session: Session, *problems: views.Problem) -> Response:
    user = await find_profile(here.store, here.tenant, session.user_id)
    audience = here.authorize.get("audience")
    api = None
    if audience:
        api = await documents.cached_by(here.store, here.tenant, RESOURCE_SERVERS, identifier=str(audience))
    described: dict[str, str] = {}
    if api is not None and api.scopes is not UNSET:
        described = {scope.value: scope.description or "" for scope in api.scopes}
    scopes = _scopes(here)
    view = views.Consent(
        form=here.page_form(flow.CONSENT),
        scopes=tuple(views.Scope(scope) for scope in scopes if scope in _STANDARD),
        user_name=(user.email or user.username or user.name or user.user_id) if user else "",
        client_logo_url=here.client.logo_uri or "",
        api_name=(api.name or api.identifier) if api is not None else "",
        api_scopes=tuple(views.Scope(scope, described[scope]) for scope in scopes if scope in described),
        third_party=not here.client.is_first_party,
        problems=problems,
    )
    return await here.show(view)


def _scopes(here: Visit) -> list[str]:
    return list(dict.fromkeys(str(here.authorize.get("scope", "")).split()))


async def _session(here: Visit) -> Session:
    """Who is asked: the user of this browser's session, which this sign-in is for. Raises SignInOver."""
    session = await find_session(here.store, here.tenant, cookies.session_cookie(here.http))
    if session is None or session.id != here.transaction.payload.get("session_id"):
        raise SignInOver
    return session
