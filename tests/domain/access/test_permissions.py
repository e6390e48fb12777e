"""Permissions of roles and users, and what they add up to."""

from typing import Any

import pytest
from msgspec.structs import replace

from freehold.domain.access import RESOURCE_SERVERS, ROLE_USERS, ROLES, permissions, permissions_of, roles_of
from freehold.kernel.declare import Actor, relations
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import Forbidden, NotFound
from tests.support.configuration import USERS, Configured

API = "https://api.example.com/"


def body(*names: str, identifier: str = API) -> permissions.Permissions:
    return permissions.Permissions([permissions.Permission(identifier, name) for name in names])


class People:
    """A user, a role, and an API with three scopes."""

    def __init__(self, configured: Configured, user: str, role: str, api: str) -> None:
        self.configured, self.user, self.role, self.api = configured, user, role, api

    async def of_user(self) -> Any:
        return await self.configured.call(permissions.list_of_user, params={"id": self.user})

    async def give_role(self) -> None:
        async with self.configured.store.transaction() as tx:
            await relations.relate(tx, self.configured.tenant, ROLE_USERS, [(self.role, self.user)])

    async def effective(self) -> set[str]:
        return await permissions_of(self.configured.store, self.configured.tenant, self.user, API)


@pytest.fixture
async def people(configured: Configured) -> People:
    scopes = [{"value": "read", "description": "Read all"}, {"value": "write"}, {"value": "delete"}]
    api = await configured.create(RESOURCE_SERVERS, {"identifier": API, "name": "API", "scopes": scopes})
    role = await configured.create(ROLES, {"name": "editor"})
    return People(configured, await configured.user("ada"), role["id"], api["id"])


async def test_a_user_has_what_was_given_directly_and_by_role(configured: Configured, people: People) -> None:
    await configured.call(permissions.add_to_user, params={"id": people.user}, body=body("read"))
    await configured.call(permissions.add_to_role, params={"id": people.role}, body=body("read", "write"))
    assert await people.effective() == {"read"}

    await people.give_role()

    assert await people.effective() == {"read", "write"}
    assert await roles_of(configured.store, configured.tenant, people.user) == [(people.role, "editor")]


async def test_a_users_permissions_say_where_they_come_from(configured: Configured, people: People) -> None:
    await configured.call(permissions.add_to_user, params={"id": people.user}, body=body("read"))
    await configured.call(permissions.add_to_role, params={"id": people.role}, body=body("read"))
    await people.give_role()

    assert await people.of_user() == [
        {
            "permission_name": "read",
            "description": "Read all",
            "resource_server_name": "API",
            "resource_server_identifier": API,
            "sources": [
                {"source_id": "", "source_name": "", "source_type": "DIRECT"},
                {"source_id": people.role, "source_name": "editor", "source_type": "ROLE"},
            ],
        }
    ]


async def test_giving_twice_and_taking_what_is_not_there_change_nothing(configured: Configured, people: People) -> None:
    for _ in range(2):
        await configured.call(permissions.add_to_role, params={"id": people.role}, body=body("read"))
    listed = await configured.call(permissions.list_of_role, params={"id": people.role})
    for _ in range(2):
        await configured.call(permissions.remove_from_role, params={"id": people.role}, body=body("read", "write"))

    assert [item["permission_name"] for item in listed] == ["read"]
    assert await configured.call(permissions.list_of_role, params={"id": people.role}) == []


async def test_what_the_api_does_not_have_cannot_be_given(configured: Configured, people: People) -> None:
    with pytest.raises(InvalidBody):
        await configured.call(permissions.add_to_role, params={"id": people.role}, body=body("fly"))
    with pytest.raises(NotFound, match="The resource server does not exist"):
        unknown = body("read", identifier="https://nowhere.example/")
        await configured.call(permissions.add_to_role, params={"id": people.role}, body=unknown)


async def test_a_role_or_user_that_is_not_there_is_said_to_be_missing(configured: Configured, people: People) -> None:
    with pytest.raises(NotFound, match=r"The role does not exist\."):
        await configured.call(permissions.list_of_role, params={"id": "rol_none"})
    with pytest.raises(NotFound, match=r"The user does not exist\."):
        await configured.call(permissions.add_to_user, params={"id": "auth0|none"}, body=body("read"))


async def test_nobody_gives_management_permissions_they_lack(configured: Configured, people: People) -> None:
    """Threats: a token cannot grant above itself (roles)."""
    wanted = body("delete:users", identifier="https://acme.test/api/v2/")
    caller = Actor("api", scopes=frozenset({"update:roles", "update:users"}))

    with pytest.raises(Forbidden):
        await configured.call(permissions.add_to_role, params={"id": people.role}, body=wanted, actor=caller)
    with pytest.raises(Forbidden):
        await configured.call(permissions.add_to_user, params={"id": people.user}, body=wanted, actor=caller)


@pytest.mark.parametrize("gone", ["user", "role", "api"])
async def test_permissions_go_with_user_role_and_api(configured: Configured, people: People, gone: str) -> None:
    await configured.call(permissions.add_to_user, params={"id": people.user}, body=body("read"))
    await configured.call(permissions.add_to_role, params={"id": people.role}, body=body("write"))
    await people.give_role()

    holders: dict[str, Any] = {"user": USERS, "role": ROLES, "api": RESOURCE_SERVERS}
    await configured.delete(holders[gone], getattr(people, gone))

    left = {"user": set(), "role": {"read"}, "api": set()}[gone]
    assert await people.effective() == left


async def test_permissions_of_another_tenant_do_not_count(configured: Configured, people: People) -> None:
    await configured.call(permissions.add_to_user, params={"id": people.user}, body=body("read"))
    other = replace(configured.tenant, id="t2")

    assert await permissions_of(configured.store, other, people.user, API) == set()
