"""Keys of connections that authenticate by private_key_jwt."""

from typing import Any

import pytest

from freehold.domain.connections import CONNECTIONS
from freehold.domain.connections.keys import create_keys, list_keys, rotate_keys
from freehold.kernel import vault
from freehold.kernel.errors import BadRequest, Conflict
from tests.support.configuration import Configured

SIGNING = {"client_id": "c", "token_endpoint_auth_method": "private_key_jwt"}


async def states(configured: Configured, connection: str) -> list[tuple[str, str]]:
    keys: list[dict[str, Any]] = await configured.call(list_keys, params={"id": connection})
    names = ("current", "previous", "next")
    return [(next(name for name in names if key.get(name)), key["kid"]) for key in keys]


async def test_a_connection_that_signs_has_a_current_and_a_next_key(configured: Configured) -> None:
    made = await configured.create(CONNECTIONS, {"name": "idp", "strategy": "oidc", "options": SIGNING})

    (first, current), (second, following) = await states(configured, made["id"])
    private = await vault.open_one(configured.store, configured.tenant, "private_keys", current)

    assert (first, second) == ("current", "next")
    assert current != following
    assert private is not None
    assert b"PRIVATE KEY" in private
    with pytest.raises(Conflict):
        await configured.call(create_keys, params={"id": made["id"]})


async def test_rotation_moves_every_key_on(configured: Configured) -> None:
    """Recorded: next becomes current, current previous, and the answer is the new next."""
    made = await configured.create(CONNECTIONS, {"name": "idp", "strategy": "oidc", "options": SIGNING})
    (_, current), (_, following) = await states(configured, made["id"])

    answer = await configured.call(rotate_keys, params={"id": made["id"]})
    once = await states(configured, made["id"])
    await configured.call(rotate_keys, params={"id": made["id"]})
    twice = await states(configured, made["id"])

    assert once == [("current", following), ("previous", current), ("next", answer["kid"])]
    assert [kid for _, kid in twice][:2] == [answer["kid"], following]
    assert await vault.open_one(configured.store, configured.tenant, "private_keys", current) is None


async def test_other_connections_have_no_keys(configured: Configured) -> None:
    made = await configured.create(CONNECTIONS, {"name": "db", "strategy": "auth0"})

    with pytest.raises(BadRequest, match="keys are not available for this connection"):
        await configured.call(list_keys, params={"id": made["id"]})
    with pytest.raises(BadRequest):
        await configured.call(rotate_keys, params={"id": made["id"]})


async def test_keys_go_with_the_connection(configured: Configured) -> None:
    made = await configured.create(CONNECTIONS, {"name": "idp", "strategy": "oidc", "options": SIGNING})

    await configured.delete(CONNECTIONS, made["id"])

    assert await configured.store.all("select * from connection_keys") == []
    assert await configured.store.all("select * from vault where kind = 'private_keys'") == []
