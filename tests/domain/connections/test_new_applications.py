"""Which connections an application has from the start."""

import pytest

from freehold.domain.applications import CLIENTS
from freehold.domain.connections import CONNECTION_CLIENTS, CONNECTIONS
from freehold.domain.tenants.settings import SETTINGS
from freehold.kernel.declare import Actor, documents, relations
from tests.support.configuration import Configured

ADMINISTRATOR = Actor("api", scopes=frozenset({"create:clients"}))


async def connections_of(configured: Configured, client_id: str) -> list[str]:
    ids = await relations.related_ids(configured.store, configured.tenant, CONNECTION_CLIENTS, client_id, reverse=True)
    found = [await documents.get(configured.store, configured.tenant, CONNECTIONS, id_) for id_ in ids]
    return [connection.name for connection in found]


@pytest.fixture
async def with_two_connections(configured: Configured) -> Configured:
    for name in ("staff", "customers"):
        await configured.create(CONNECTIONS, {"name": name, "strategy": "auth0"})
    return configured


async def test_a_new_application_may_use_every_connection(with_two_connections: Configured) -> None:
    made = await with_two_connections.create(CLIENTS, {"name": "app"}, actor=ADMINISTRATOR)
    assert {"staff", "customers"} <= set(await connections_of(with_two_connections, made["client_id"]))


async def test_a_third_partys_application_may_use_none(with_two_connections: Configured) -> None:
    given = {"name": "app", "is_first_party": False}
    made = await with_two_connections.create(CLIENTS, given, actor=ADMINISTRATOR)
    assert await connections_of(with_two_connections, made["client_id"]) == []


async def test_a_tenant_may_want_to_enable_connections_itself(with_two_connections: Configured) -> None:
    flags = {"flags": {"enable_client_connections": False}}
    await with_two_connections.update(SETTINGS, documents.SINGLETON_ID, flags)
    made = await with_two_connections.create(CLIENTS, {"name": "app"}, actor=ADMINISTRATOR)
    assert await connections_of(with_two_connections, made["client_id"]) == []


async def test_an_import_says_itself_what_is_enabled(with_two_connections: Configured) -> None:
    made = await with_two_connections.create(CLIENTS, {"name": "app"})
    assert await connections_of(with_two_connections, made["client_id"]) == []
