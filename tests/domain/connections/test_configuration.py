"""Values for database scripts: written once, shown as handles, kept in the vault."""

from freehold.domain.connections import CONNECTIONS
from freehold.domain.connections.configuration import values
from tests.support.configuration import Configured


async def database(configured: Configured, **configuration: str | None) -> dict[str, str]:
    made = await configured.create(
        CONNECTIONS, {"name": "db", "strategy": "auth0", "options": {"configuration": configuration}}
    )
    return {"id": made["id"], **made["options"]["configuration"]}


async def test_a_value_is_shown_as_a_handle_that_says_nothing(configured: Configured) -> None:
    made = await database(configured, url="canary", other="canary")

    row = await configured.store.one("select document, secrets from connections where id = :id", id=made["id"])

    assert row is not None
    assert "canary" not in str(row[0])
    assert made["url"] != made["other"]
    assert await values(configured.store, configured.tenant, made["id"]) == {"url": "canary", "other": "canary"}


async def test_a_handle_that_comes_back_means_as_it_was(configured: Configured) -> None:
    """Recorded: the deploy CLI sends what it read."""
    made = await database(configured, url="secret", old="x")

    configuration = {"url": made["url"], "renamed": made["old"], "new": "value"}
    await configured.update(CONNECTIONS, made["id"], {"options": {"configuration": configuration}})

    assert await values(configured.store, configured.tenant, made["id"]) == {
        "url": "secret", "renamed": "x", "new": "value",
    }  # fmt: skip


async def test_options_without_configuration_drop_it(configured: Configured) -> None:
    made = await database(configured, url="secret")

    kept = await configured.update(CONNECTIONS, made["id"], {"display_name": "x"})
    gone = await configured.update(CONNECTIONS, made["id"], {"options": {}})

    assert kept["options"]["configuration"] == {"url": made["url"]}
    assert "configuration" not in gone["options"]
    assert await values(configured.store, configured.tenant, made["id"]) == {}


async def test_values_go_with_the_connection(configured: Configured) -> None:
    made = await database(configured, url="secret")

    await configured.delete(CONNECTIONS, made["id"])

    assert await configured.store.all("select * from vault where kind = 'write_only_secrets'") == []
