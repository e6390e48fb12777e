"""`/client/CLIENT_ID.js`: what the Lock widget draws itself from, before anybody has signed in.

It is public, so it says no more than the sign-in page would: which connections there are, and what their forms ask.
"""

from typing import Any

import msgspec

from freehold.domain.applications import CLIENTS, Client
from freehold.domain.connections import Connection, enabled_connections
from freehold.domain.users import database_of
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.errors import NotFound
from freehold.kernel.http.prepared import Prepared
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response

_CACHE = "public, max-age=15"
_SCRIPT = "application/javascript; charset=utf-8"
_ENDING = ".js"


async def script(request: Request) -> Response:
    """GET /client/{file}. Raises NotFound."""
    tenant: TenantScope = request.tenant
    store = request.services.store
    name = request.params["file"]
    client_id = name.removesuffix(_ENDING)
    client = await documents.cached(store, tenant, CLIENTS, client_id) if name.endswith(_ENDING) else None
    if client is None or client.is_global:
        raise NotFound("Not Found")
    entries = tenant.cached(store.cache_epoch(tenant.id))
    prepared: Prepared | None = entries.get(("client script", client_id))
    if prepared is None:
        connections = await enabled_connections(store, tenant, client_id)
        encoded = msgspec.json.encode(_described(tenant, client, connections)).decode()
        # Both are line ends to older readers of JavaScript, and none to JSON.
        encoded = encoded.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
        body = f"Auth0.setClient({encoded});".encode()
        prepared = Prepared(body, content_type=_SCRIPT, cache_control=_CACHE)
        entries["client script", client_id] = prepared
    response = prepared.answer(request)
    response.headers.append(("cross-origin-resource-policy", "cross-origin"))
    return response


def _described(tenant: TenantScope, client: Client, connections: list[Connection]) -> dict[str, Any]:
    strategies: dict[str, list[dict[str, Any]]] = {}
    for connection in connections:
        strategies.setdefault(connection.strategy, []).append(_shown(connection))
    callbacks = client.callbacks if isinstance(client.callbacks, list) else []
    return {
        "id": client.client_id,
        "tenant": tenant.name,
        "callback": callbacks[0] if callbacks else "",
        "strategies": [{"name": name, "connections": found} for name, found in strategies.items()],
    }


def _shown(connection: Connection) -> dict[str, Any]:
    described: dict[str, Any] = {"name": connection.name}
    if isinstance(connection.display_name, str):
        described["display_name"] = connection.display_name
    database = database_of(connection)
    if not database.has_passwords:
        return described
    options = connection.options or {}
    least, most = database.username_bounds
    described |= {
        "showSignup": database.allows_sign_up,
        "showForgot": database.offers_reset,
        "requires_username": database.takes_username,
        "validation": {"username": {"min": least, "max": most}},
    }
    for name in ("passwordPolicy", "password_complexity_options"):
        if options.get(name):
            described[name] = options[name]
    return described
