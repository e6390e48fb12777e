"""APIs: defaults, the tenant's own APIs, and what hangs on a scope."""

import json

import pytest

from freehold.domain.access import RESOURCE_SERVERS, ROLE_PERMISSIONS, ROLES
from freehold.domain.access.permissions import give
from freehold.kernel.declare import Actor, documents
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import BadRequest, Conflict
from tests.support.configuration import Configured

CALLER = Actor("api", scopes=frozenset({"update:resource_servers", "delete:resource_servers"}))
API = {
    "identifier": "https://api.example.com/",
    "name": "API",
    "scopes": [{"value": "read:all"}, {"value": "write:all"}],
}


async def test_a_new_api_has_the_recorded_defaults(configured: Configured) -> None:
    made = await configured.create(RESOURCE_SERVERS, {"identifier": "https://api.example.com/"})

    assert len(made.pop("id")) == 24
    assert made == {
        "identifier": "https://api.example.com/",
        "name": "https://api.example.com/",
        "signing_alg": "RS256",
        "allow_offline_access": False,
        "skip_consent_for_verifiable_first_party_clients": False,
        "token_lifetime": 86_400,
        "token_lifetime_for_web": 7_200,
    }


async def test_an_identifier_is_taken_once(configured: Configured) -> None:
    await configured.create(RESOURCE_SERVERS, API)

    with pytest.raises(Conflict, match=r"A resource server with the same identifier already exists\."):
        await configured.create(RESOURCE_SERVERS, API)


async def test_an_api_is_found_by_its_identifier_too(configured: Configured) -> None:
    made = await configured.create(RESOURCE_SERVERS, API)

    async def resolve(text: str) -> str:
        return await documents.resolve(configured.store, configured.tenant, RESOURCE_SERVERS, text)

    assert await resolve("https://api.example.com/") == made["id"]
    assert await resolve(made["id"]) == made["id"]


async def test_the_secret_of_an_hs256_api_is_made_and_not_in_the_stored_text(configured: Configured) -> None:
    made = await configured.create(RESOURCE_SERVERS, {**API, "signing_alg": "HS256"})

    row = await configured.store.one("select document from resource_servers where id = :id", id=made["id"])
    assert row is not None
    assert len(made["signing_secret"]) == 64
    assert "signing_secret" not in json.loads(row[0])


async def test_a_scope_is_named_once(configured: Configured) -> None:
    with pytest.raises(InvalidBody, match="not unique"):
        await configured.create(RESOURCE_SERVERS, {**API, "scopes": [{"value": "a"}, {"value": "a"}]})


async def test_the_identifier_cannot_be_changed(configured: Configured) -> None:
    made = await configured.create(RESOURCE_SERVERS, API)

    with pytest.raises(InvalidBody, match="Additional properties not allowed: identifier"):
        await configured.update(RESOURCE_SERVERS, made["id"], {"identifier": "https://other.example.com/"})


async def test_the_management_api_can_be_neither_changed_nor_deleted(configured: Configured) -> None:
    api = await documents.find_by(
        configured.store, configured.tenant, RESOURCE_SERVERS, identifier="https://acme.test/api/v2/"
    )
    assert api is not None

    with pytest.raises(BadRequest, match=r"System resource servers cannot be patched\."):
        await configured.update(RESOURCE_SERVERS, api.id, {"name": "mine"}, actor=CALLER)
    with pytest.raises(BadRequest, match=r"System resource servers cannot be deleted\."):
        await configured.delete(RESOURCE_SERVERS, api.id, actor=CALLER)


async def test_asking_for_a_system_api_activates_it_in_its_own_shape(configured: Configured) -> None:
    made = await configured.create(
        RESOURCE_SERVERS, {"identifier": "https://acme.test/me/", "name": "mine"}, actor=CALLER
    )

    assert (made["name"], made["is_system"], made["token_lifetime"]) == ("Auth0 My Account API", True, 600)
    assert made["subject_type_authorization"]["client"] == {"policy": "deny_all"}
    assert await configured.delete(RESOURCE_SERVERS, made["id"], actor=CALLER)


async def test_the_userinfo_endpoint_is_no_api(configured: Configured) -> None:
    with pytest.raises(BadRequest, match=r"The selected identifier is reserved\."):
        await configured.create(RESOURCE_SERVERS, {"identifier": "https://acme.test/userinfo"}, actor=CALLER)


async def test_a_scope_that_goes_is_taken_from_every_role(configured: Configured) -> None:
    api = await configured.create(RESOURCE_SERVERS, API)
    role = await configured.create(ROLES, {"name": "r"})
    async with configured.store.transaction() as tx:
        permissions = [(api["id"], "read:all"), (api["id"], "write:all")]
        await give(tx, configured.tenant, ROLE_PERMISSIONS, role["id"], permissions)

    await configured.update(RESOURCE_SERVERS, api["id"], {"scopes": [{"value": "read:all"}]})

    rows = await configured.store.all("select permission from role_permissions")
    assert [row[0] for row in rows] == ["read:all"]
