"""Tokens that a script of a custom database answers with a profile: sealed with the identity, and in no record."""

from freehold.domain.connections import CONNECTIONS
from freehold.domain.extensions import databases, executions
from freehold.domain.users import adopt
from freehold.domain.users.databases import find_database
from freehold.domain.users.provider_tokens import keep_tokens, tokens_of
from freehold.kernel.declare import documents
from tests.domain.extensions.conftest import Extended

LOGIN = """function login(name, password, callback) { callback(null, {
    user_id: 'ada', email: 'ada@example.com', access_token: 'token-of-theirs', refresh_token: 'longer-token' }); }"""


async def test_a_script_s_tokens_are_sealed_with_the_identity(extended: Extended) -> None:
    services, tenant = extended.services, extended.tenant
    store = services.store
    options = {"enabledDatabaseCustomization": True, "customScripts": {"login": LOGIN}}
    await extended.make(CONNECTIONS, {"name": "legacy", "strategy": "auth0", "options": options})
    database = await find_database(store, tenant, "legacy")
    assert database is not None

    user = await databases.log_in(services, tenant, database, "ada", "a password")
    assert user is not None
    async with store.transaction() as tx:
        await adopt(tx, tenant, database, user, password=None)

    kept = {"access_token": "token-of-theirs", "refresh_token": "longer-token"}
    assert await tokens_of(store, tenant, "auth0|ada") == kept
    (record,) = await executions.records_of(store, tenant)
    assert record.results[0]["answered"][0]["access_token"] == "[secret]"
    assert "of-theirs" not in str(record.results)
    (user_record,) = await documents.select(store, tenant, tenant.registry.collection("users"))
    assert "token" not in str(user_record.document)


async def test_a_refresh_token_stays_until_there_is_a_newer_one(extended: Extended) -> None:
    store, tenant = extended.services.store, extended.tenant
    async with store.transaction() as tx:
        await keep_tokens(tx, tenant, "oauth2|x|1", {"access_token": "one", "refresh_token": "r", "token_type": "b"})
        await keep_tokens(tx, tenant, "oauth2|x|1", {"access_token": "two", "expires_in": 60})
        await keep_tokens(tx, tenant, "oauth2|x|1", {"id_token": "x"})

    assert await tokens_of(store, tenant, "oauth2|x|1") == {
        "access_token": "two", "refresh_token": "r", "expires_in": 60,
    }  # fmt: skip
