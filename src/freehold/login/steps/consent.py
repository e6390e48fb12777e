"""May this application have access? Asked of third parties, and where anybody could pose as the application."""

from freehold.domain.access import CONSENTS, RESOURCE_SERVERS
from freehold.domain.sessions import find_session
from freehold.domain.users import find_profile
from freehold.kernel.declare import documents
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.login import cookies, views
from freehold.login.flow import SignInOver, Visit, visit

_STANDARD = ("openid", "profile", "email", "phone", "address", "offline_access")


async def show_page(http: Request) -> Response:
    """GET /u/consent."""
    here = await visit(http)
    user_id = await _user_id(here)
    user = await find_profile(here.store, here.tenant, user_id)
    scopes = str(here.authorize.get("scope", "")).split()
    audience = here.authorize.get("audience")
    api = (
        await documents.cached_by(here.store, here.tenant, RESOURCE_SERVERS, identifier=audience) if audience else None
    )
    described = (
        {scope.value: scope.description or "" for scope in api.scopes} if api and isinstance(api.scopes, list) else {}
    )
    view = views.Consent(
        form=here.page_form("/u/consent"),
        scopes=tuple(views.Scope(scope) for scope in scopes if scope in _STANDARD),
        user_name=(user.email or user.name or user.user_id) if user else "",
        client_logo_url=here.client.logo_uri if isinstance(here.client.logo_uri, str) else "",
        api_name=(api.name if isinstance(api.name, str) else api.identifier) if api else "",
        api_scopes=tuple(views.Scope(scope, str(described[scope])) for scope in scopes if scope in described),
        third_party=not here.client.is_first_party,
    )
    return await here.show(view)


async def submit(http: Request) -> Response:
    """POST /u/consent."""
    here = await visit(http)
    user_id = await _user_id(here)
    async with here.store.transaction() as tx:
        if here.field("action") != "accept":
            await here.save(tx, error={"code": "access_denied", "description": "User did not authorize the request"})
            return here.resume()
        audience = str(here.authorize.get("audience") or "")
        scopes = str(here.authorize.get("scope", "")).split()
        for record in await documents.select(tx, here.tenant, CONSENTS, user_id=user_id):
            if record.document["clientID"] == here.client.client_id and record.document["audience"] == audience:
                scopes = list(dict.fromkeys([*record.document.get("scope", ()), *scopes]))
                await documents.delete(tx, here.tenant, CONSENTS, record.id)
        given = {"clientID": here.client.client_id, "user_id": user_id, "audience": audience, "scope": scopes}
        await documents.create(tx, here.tenant, CONSENTS, given)
        await here.save(tx, consented=True)
    return here.resume()


async def _user_id(here: Visit) -> str:
    """Who is asked: the user of this browser's session, which this sign-in made. Raises SignInOver."""
    session = await find_session(here.store, here.tenant, cookies.session_cookie(here.http))
    if session is None or session.id != here.transaction.payload.get("session_id"):
        raise SignInOver
    return session.user_id
