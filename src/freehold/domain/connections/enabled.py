"""Which connections a client's users may come from; asked at every sign-in, so it is kept with the tenant's cache."""

from freehold.domain.connections.connections import CONNECTIONS
from freehold.domain.connections.documents import Connection
from freehold.domain.connections.shown import CONNECTION_CLIENTS
from freehold.kernel.declare import TenantScope, documents, relations
from freehold.kernel.store import Store


async def enabled_connections(store: Store, tenant: TenantScope, client_id: str) -> list[Connection]:
    """The client's connections, ordered by name."""
    entries = tenant.cached(store.cache_epoch(tenant.id))
    key = ("enabled connections", client_id)
    found: list[Connection] | None = entries.get(key)
    if found is None:
        ids = await relations.related_ids(store, tenant, CONNECTION_CLIENTS, client_id, reverse=True)
        connections = [await documents.get(store, tenant, CONNECTIONS, id_) for id_ in ids]
        found = entries[key] = sorted(connections, key=lambda connection: connection.name)
    return found
