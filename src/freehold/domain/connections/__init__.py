"""Connections: where a tenant's users come from, and which applications may use which."""

from freehold.domain.applications import CLIENTS, DEFAULT_CLIENT
from freehold.domain.connections import connections, keys
from freehold.domain.connections.configuration import WRITE_ONLY_SECRETS
from freehold.domain.connections.connections import CONNECTIONS
from freehold.domain.connections.documents import Connection
from freehold.domain.connections.enabled import enabled_connections
from freehold.domain.connections.keys import CONNECTION_KEYS
from freehold.domain.connections.options import DATABASE
from freehold.domain.connections.password_policy import PasswordPolicy, broken_rules, password_policy
from freehold.domain.connections.shown import CONNECTION_CLIENTS
from freehold.kernel.declare import Package, TenantScope, documents
from freehold.kernel.store import Transaction

DEFAULT_CONNECTION = "Username-Password-Authentication"


async def bootstrap(tx: Transaction, tenant: TenantScope) -> None:
    """A new tenant has a database of users, enabled for the client to try things with."""
    clients = [
        record for record in await documents.select(tx, tenant, CLIENTS) if record.document["name"] == DEFAULT_CLIENT
    ]
    given = {
        "name": DEFAULT_CONNECTION,
        "strategy": DATABASE,
        "enabled_clients": [client.id for client in clients],
        "options": {"disable_self_service_change_password": False},
    }
    await documents.create(tx, tenant, CONNECTIONS, given)


PACKAGE = Package(
    name="connections",
    declarations=(CONNECTIONS, CONNECTION_CLIENTS, CONNECTION_KEYS, WRITE_ONLY_SECRETS),
    operations=connections.OPERATIONS + keys.OPERATIONS,
    bootstrap=bootstrap,
)

__all__ = [
    "CONNECTIONS",
    "CONNECTION_CLIENTS",
    "CONNECTION_KEYS",
    "DATABASE",
    "DEFAULT_CONNECTION",
    "PACKAGE",
    "WRITE_ONLY_SECRETS",
    "Connection",
    "PasswordPolicy",
    "broken_rules",
    "enabled_connections",
    "password_policy",
]  # fmt: skip
