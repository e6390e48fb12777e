"""Members of a connection that are made up when it is read."""

from typing import Any

from freehold.kernel.declare import Link, Scopes, TenantScope, relations
from freehold.kernel.store import Reader

CONNECTION_CLIENTS = Link(
    table="connection_clients",
    left="connections",
    right="clients",
    left_path="connections/{id}/clients",
    left_scopes=Scopes(("read:connections",)),
    left_fields=("client_id",),
    left_operations=frozenset({"list"}),
    left_paging=frozenset({"checkpoint"}),
    right_path="clients/{id}/connections",
    right_scopes=Scopes(("read:connections", "read:clients")),
    right_operations=frozenset({"list"}),
)


async def enabled_clients(reader: Reader, tenant: TenantScope, document: dict[str, Any]) -> list[str]:
    """The clients that may use the connection; kept as a link, so that none outlives its client."""
    return await relations.related_ids(reader, tenant, CONNECTION_CLIENTS, document["id"])
