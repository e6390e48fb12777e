"""Searching users as Auth0's documentation describes it, over the real table."""

import pytest

from freehold.domain.users import find_for_login, record_login
from tests.support.people import TenantUnderTest


async def populate(people: TenantUnderTest) -> None:
    await people.with_usernames()
    await people.add_user(
        "jane@example.com", username="Jane", name="Jane Doe", email_verified=True, blocked=True,
        user_metadata={"colour": "blue", "tags": ["a", "b"], "depth": {"x": 3}},
        app_metadata={"plan": "pro", "seats": 5},
    )  # fmt: skip
    people.clock.advance(seconds=40 * 86400)
    await people.add_user("john@other.test", username="john", name="John Élan", user_metadata={"colour": "red"})
    found = await find_for_login(people.store, people.tenant, await people.database(), "john@other.test")
    assert found is not None
    async with people.store.transaction() as tx:
        await record_login(tx, people.tenant, found, ip="192.0.2.1")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ('email:"JANE@example.com"', ["Jane"]),
        ('email.domain:"other.test"', ["john"]),
        ("email:*@example.com", ["Jane"]),
        ('username:"Jane"', ["Jane"]),
        ('username:"jane"', []),
        ('name:"jane doe"', ["Jane"]),
        ('name:"John Élan"', ["john"]),
        ("name:jo*", ["john"]),
        ("email_verified:true", ["Jane"]),
        ("blocked:true", ["Jane"]),
        ("NOT blocked:true", ["john"]),
        ('user_metadata.colour:"red"', ["john"]),
        ('user_metadata.tags:"b"', ["Jane"]),
        ("user_metadata.depth.x:3", ["Jane"]),
        ("app_metadata.seats:[4 TO *]", ["Jane"]),
        ('identities.connection:"Username-Password-Authentication"', ["Jane", "john"]),
        ("_exists_:last_login", ["john"]),
        ("logins_count:1", ["john"]),
        ("last_login:[2026-02 TO 2026-02]", ["john"]),
        ("last_login:{* TO 2026-02}", []),
        ("created_at:[2026-01-01 TO 2026-01-31]", ["Jane"]),
        ("jane", ["Jane"]),  # the nickname that follows from the address
        ("doe", []),
        ('"jane@example.com" OR "john@other.test"', ["Jane", "john"]),
        ("unknown_field:x", []),
        ("", ["Jane", "john"]),
    ],
)
async def test_a_query_finds_whom_it_describes(people: TenantUnderTest, query: str, names: list[str]) -> None:
    await populate(people)

    reply = await people.api("GET", "users", q=query, search_engine="v3", include_totals="true")

    assert reply.status == 200, reply.body
    assert sorted(user["username"] for user in reply.json()["users"]) == names
    assert reply.json()["total"] == len(names)


async def test_results_are_sorted(people: TenantUnderTest) -> None:
    await populate(people)
    for sort, names in (
        ("created_at:-1", ["john", "Jane"]),
        ("email:1", ["Jane", "john"]),
        ("logins_count:-1", ["john", "Jane"]),
    ):
        users = (await people.api("GET", "users", sort=sort)).json()
        assert [user["username"] for user in users] == names, sort
    assert (await people.api("GET", "users", sort="user_metadata.colour:1")).status == 400


@pytest.mark.parametrize(
    "query", ["email:", "user_metadata.colour:r*", "(" * 200, "ix_email:x) or (1=1", "a:/x/", "x~2"]
)
async def test_a_query_that_cannot_be_answered_is_refused_or_finds_nobody(people: TenantUnderTest, query: str) -> None:
    await populate(people)
    reply = await people.api("GET", "users", q=query)
    assert reply.status == 400 or reply.json() == []


async def test_roles_can_be_searched_for(people: TenantUnderTest) -> None:
    await populate(people)
    role = (await people.api("POST", "roles", {"name": "admin"})).json()
    user = (await people.api("GET", "users", q='username:"Jane"')).json()[0]
    assert (await people.api("POST", f"users/{user['user_id']}/roles", {"roles": [role["id"]]})).status == 204

    found = (await people.api("GET", "users", q=f'roles:"{role["id"]}"')).json()

    assert [one["username"] for one in found] == ["Jane"]
