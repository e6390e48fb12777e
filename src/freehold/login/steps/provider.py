"""Signing in with a provider of the tenant's own: to its page, and back at `/login/callback`.

The `state` that travels is the sign-in's reference with a value that is used once; the browser that comes back must be
the one that left, and the connection is the one it left for, whatever the answer says.
"""

import hmac
from typing import Any

from freehold.domain.connections import enabled_connections
from freehold.domain.extensions import oauth2
from freehold.domain.extensions.databases import ScriptFailed
from freehold.domain.sessions import find_login
from freehold.domain.users import Database, arrive, database_of
from freehold.kernel.crypto.ids import new_token
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import NotFound
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, redirect
from freehold.kernel.outbound import Outbound, OutboundError
from freehold.login import second_factor, views
from freehold.login.flow import SignInOver, Visit, visit, visit_of
from freehold.login.steps.sign_in import complete, event, finish, show_first_page

CALLBACK = "/login/callback"


async def leave(http: Request) -> Response:
    """GET /u/login/provider: to the provider's page. Raises NotFound."""
    here = await visit(http)
    connection = await _connection(here, http.query.one("connection") or "")
    once, verifier = new_token(), new_token(48)
    async with here.store.transaction() as tx:
        await here.save(tx, provider={"connection": connection.name, "once": once, "verifier": verifier})
    return redirect(
        oauth2.authorization_url(
            connection.options, redirect_uri=_redirect_uri(here), state=f"{once}.{here.reference}", verifier=verifier,
            asked=here.authorize,
        )
    )  # fmt: skip


async def come_back(http: Request) -> Response:
    """GET /login/callback: the provider's answer. Raises SignInOver for one that nobody here asked for."""
    once, _, reference = (http.query.one("state") or "").partition(".")
    here = await visit_of(http, reference, await find_login(http.services.store, http.tenant, reference))
    left: dict[str, Any] | None = here.transaction.payload.get("provider")
    if not left or not hmac.compare_digest(str(left["once"]).encode(), once.encode()):
        raise SignInOver
    # Whatever comes of it, this answer is used up.
    async with here.store.transaction() as tx:
        await here.save(tx, provider=None)
    http_again = await find_login(http.services.store, http.tenant, reference)
    here = await visit_of(http, reference, http_again)
    connection = await _connection(here, str(left["connection"]))
    code = http.query.one("code")
    if not code:
        said = http.query.one("error_description") or http.query.one("error") or "no code"
        return await _failed(here, connection, said[:300])
    outbound = Outbound(allow=http.services.settings.outbound_allow)
    try:
        tokens = await oauth2.redeem(
            outbound, connection.options, code=code, redirect_uri=_redirect_uri(here), verifier=left["verifier"]
        )
        user = await oauth2.fetch_profile(http.services, here.tenant, connection, tokens)
        async with here.store.transaction() as tx:
            found = await arrive(tx, here.tenant, connection, user)
    except OutboundError as error:
        return await _failed(here, connection, error.detail or error.reason)
    except (ScriptFailed, InvalidBody) as error:
        return await _failed(here, connection, error.message)
    finally:
        await outbound.close()
    if found.user.blocked:
        return await _failed(here, connection, "user is blocked")
    demand = await second_factor.demand_of(here, found.user.user_id)
    if demand.needed:
        return await finish(here, connection, found)
    return await complete(here, connection, found, methods=())


async def _connection(here: Visit, name: str) -> Database:
    for connection in await enabled_connections(here.store, here.tenant, here.client.client_id):
        if connection.name == name and connection.strategy == oauth2.STRATEGY:
            return database_of(connection)
    raise NotFound("There is no such connection.")


async def _failed(here: Visit, connection: Database, reason: str) -> Response:
    async with here.store.transaction() as tx:
        await event(tx, here, "f", database=connection, description=reason)
    return await show_first_page(here, views.Problem("authentication-failure"))


def _redirect_uri(here: Visit) -> str:
    return f"{here.tenant.issuer.rstrip('/')}{CALLBACK}"
