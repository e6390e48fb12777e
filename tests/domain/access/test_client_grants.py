"""Client grants: only what the API knows, and never more than the one who grants has."""

import pytest

from freehold.domain.access import CLIENT_GRANTS, RESOURCE_SERVERS, granted_scopes
from freehold.domain.access.client_grants import delete_grant
from freehold.domain.applications import CLIENTS
from freehold.kernel.declare import Actor
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import BadRequest, Conflict, Forbidden, NotFound
from tests.support.configuration import Configured

MANAGEMENT = "https://acme.test/api/v2/"
API = "https://api.example.com/"


async def client_and_api(configured: Configured) -> str:
    await configured.create(RESOURCE_SERVERS, {"identifier": API, "scopes": [{"value": "read"}, {"value": "write"}]})
    client = await configured.create(CLIENTS, {"name": "worker", "app_type": "non_interactive"})
    return str(client["client_id"])


async def test_a_grant_is_for_the_client_itself_unless_it_says_otherwise(configured: Configured) -> None:
    client = await client_and_api(configured)

    made = await configured.create(CLIENT_GRANTS, {"client_id": client, "audience": API, "scope": ["read"]})

    assert made.pop("id").startswith("cgr_")
    assert made == {"client_id": client, "audience": API, "scope": ["read"], "subject_type": "client"}
    assert await granted_scopes(configured.store, configured.tenant, client, API) == {"read"}
    assert await granted_scopes(configured.store, configured.tenant, client, API, subject_type="user") is None


async def test_all_scopes_means_those_the_api_has_at_the_time(configured: Configured) -> None:
    client = await client_and_api(configured)

    await configured.create(CLIENT_GRANTS, {"client_id": client, "audience": API, "allow_all_scopes": True})

    assert await granted_scopes(configured.store, configured.tenant, client, API) == {"read", "write"}


async def test_a_scope_that_the_api_does_not_have_yet_is_taken(configured: Configured) -> None:
    """Recorded: TestClientGrantManager_Update."""
    client = await client_and_api(configured)
    made = await configured.create(CLIENT_GRANTS, {"client_id": client, "audience": API, "scope": ["read"]})

    updated = await configured.update(CLIENT_GRANTS, made["id"], {"scope": ["read", "delete"]})

    assert updated["scope"] == ["read", "delete"]


async def test_all_scopes_excludes_a_list_and_system_apis(configured: Configured) -> None:
    client = await client_and_api(configured)

    for audience, scope in ((API, ["read"]), (MANAGEMENT, [])):
        given = {"client_id": client, "audience": audience, "scope": scope, "allow_all_scopes": True}
        with pytest.raises(InvalidBody, match="allow_all_scopes"):
            await configured.create(CLIENT_GRANTS, given)


async def test_a_grant_names_a_client_and_an_api_that_exist(configured: Configured) -> None:
    client = await client_and_api(configured)

    with pytest.raises(NotFound, match="The resource server does not exist"):
        await configured.create(CLIENT_GRANTS, {"client_id": client, "audience": "https://nowhere.example/"})
    with pytest.raises(NotFound, match="The client does not exist"):
        await configured.create(CLIENT_GRANTS, {"client_id": "nobody", "audience": API})
    with pytest.raises(InvalidBody, match="Exactly one of client_id and default_for"):
        await configured.create(CLIENT_GRANTS, {"audience": API})


async def test_a_client_has_one_grant_for_each_api_and_kind_of_subject(configured: Configured) -> None:
    client = await client_and_api(configured)
    grant = {"client_id": client, "audience": API, "scope": ["read"]}
    await configured.create(CLIENT_GRANTS, grant)
    await configured.create(CLIENT_GRANTS, {**grant, "subject_type": "user"})

    with pytest.raises(Conflict):
        await configured.create(CLIENT_GRANTS, grant)


async def test_a_token_grants_no_management_scope_that_it_lacks(configured: Configured) -> None:
    """Threats: a token cannot grant above itself."""
    client = await client_and_api(configured)
    caller = Actor("api", scopes=frozenset({"create:client_grants", "update:client_grants", "read:users"}))
    own = await configured.create(
        CLIENT_GRANTS, {"client_id": client, "audience": MANAGEMENT, "scope": ["read:users"]}, actor=caller
    )

    with pytest.raises(Forbidden):
        await configured.update(CLIENT_GRANTS, own["id"], {"scope": ["read:users", "delete:users"]}, actor=caller)


async def test_a_token_may_leave_what_was_granted_by_others(configured: Configured) -> None:
    client = await client_and_api(configured)
    grant = {"client_id": client, "audience": MANAGEMENT, "scope": ["read:users", "delete:users"]}
    made = await configured.create(CLIENT_GRANTS, grant)

    caller = Actor("api", scopes=frozenset({"update:client_grants"}))
    updated = await configured.update(CLIENT_GRANTS, made["id"], {"scope": ["delete:users"]}, actor=caller)

    assert updated["scope"] == ["delete:users"]


async def test_a_grant_goes_with_its_client_and_with_its_api(configured: Configured) -> None:
    client = await client_and_api(configured)
    made = await configured.create(CLIENT_GRANTS, {"client_id": client, "audience": API, "scope": []})

    await configured.delete(CLIENTS, client)

    assert await configured.read(CLIENT_GRANTS, made["id"]) is None


async def test_null_takes_a_member_away(configured: Configured) -> None:
    client = await client_and_api(configured)
    given = {"client_id": client, "audience": API, "scope": ["read"], "organization_usage": "allow"}
    made = await configured.create(CLIENT_GRANTS, given)

    updated = await configured.update(CLIENT_GRANTS, made["id"], {"scope": None, "organization_usage": None})

    assert updated["scope"] == []
    assert "organization_usage" not in updated


async def test_the_grant_of_an_express_client_comes_and_goes_with_it(configured: Configured) -> None:
    """Recorded: a client of type express_configuration takes no other grant."""
    await client_and_api(configured)
    express = await configured.create(CLIENTS, {"name": "express", "app_type": "express_configuration"})
    rows = await configured.store.all("select id from client_grants where ix_client_id = :id", id=express["client_id"])

    with pytest.raises(BadRequest, match="Client of type express_configuration cannot be used") as refused:
        await configured.create(CLIENT_GRANTS, {"client_id": express["client_id"], "audience": API, "scope": ["read"]})
    with pytest.raises(BadRequest, match="System client grants"):
        await configured.call(delete_grant, params={"id": rows[0][0]})
    await configured.delete(CLIENTS, express["client_id"], actor=Actor("api"))

    assert refused.value.code == "validation_error"
    assert await configured.read(CLIENT_GRANTS, rows[0][0]) is None
