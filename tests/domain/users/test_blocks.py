"""User blocks: who is kept out after too many failures, and letting them in again."""

from typing import Any

import pytest

from freehold.domain.protection import LoginGuard, TooManyAttempts
from freehold.domain.protection.settings import BruteForce
from tests.support.people import DATABASE, TenantUnderTest

MAX_FAILURES = BruteForce().max_attempts


async def fail(people: TenantUnderTest, subject: str, *, ip: str = "10.0.0.1", times: int = MAX_FAILURES) -> None:
    guard = LoginGuard()
    for _ in range(times):
        one = guard.attempt(people.store, people.tenant, connection=DATABASE, subject=subject, ip=ip)
        async with one as attempt, people.store.transaction() as tx:
            await attempt.failed(tx)


async def blocked_for(people: TenantUnderTest, path: str = "user-blocks", **query: Any) -> list[dict[str, str]]:
    reply = await people.api("GET", path, scopes={"read:users"}, **query)
    assert reply.status == 200, reply.body
    assert set(reply.json()) == {"blocked_for"}
    found: list[dict[str, str]] = reply.json()["blocked_for"]
    return found


async def test_a_user_is_not_blocked_before_the_last_failure(people: TenantUnderTest) -> None:
    """As recorded: an empty list for somebody who never failed."""
    ada = await people.add_user("ada@example.com")
    await fail(people, "ada@example.com", times=MAX_FAILURES - 1)

    assert await blocked_for(people, f"user-blocks/{ada['user_id']}") == []
    assert await blocked_for(people, identifier="ada@example.com") == []


async def test_a_block_names_identifier_address_and_connection(people: TenantUnderTest) -> None:
    await people.with_usernames()
    ada = await people.add_user("Ada@Example.com", username="ada")
    await fail(people, "ada@example.com")
    await fail(people, "ada@example.com", ip="10.0.0.2")
    await fail(people, "bob@example.com")

    block = {"identifier": "ada@example.com", "ip": "10.0.0.1", "connection": DATABASE}
    expected = [block, {**block, "ip": "10.0.0.2"}]
    assert await blocked_for(people, f"user-blocks/{ada['user_id']}") == expected
    assert await blocked_for(people, identifier="ADA@example.com") == expected
    assert await blocked_for(people, identifier="ada") == expected
    assert [block["identifier"] for block in await blocked_for(people, identifier="bob@example.com")] == [
        "bob@example.com"
    ]


@pytest.mark.parametrize("by_identifier", [True, False])
async def test_who_is_unblocked_may_try_again(people: TenantUnderTest, by_identifier: bool) -> None:
    ada = await people.add_user("ada@example.com")
    await fail(people, "ada@example.com")
    await fail(people, "bob@example.com")
    with pytest.raises(TooManyAttempts):
        await fail(people, "ada@example.com")

    path = "user-blocks" if by_identifier else f"user-blocks/{ada['user_id']}"
    query: dict[str, Any] = {"identifier": "ada@example.com"} if by_identifier else {}
    assert (await people.api("DELETE", path, scopes={"update:users"}, **query)).status == 204

    assert await blocked_for(people, identifier="ada@example.com") == []
    assert len(await blocked_for(people, identifier="bob@example.com")) == 1
    await fail(people, "ada@example.com", times=1)


async def test_blocks_that_protection_no_longer_upholds_can_be_left_out(people: TenantUnderTest) -> None:
    await fail(people, "ada@example.com")
    asked = {"identifier": "ada@example.com", "consider_brute_force_enablement": "true"}
    assert len(await blocked_for(people, **asked)) == 1

    await people.configure(brute_force_protection=False)

    assert await blocked_for(people, **asked) == []
    assert len(await blocked_for(people, identifier="ada@example.com")) == 1


async def test_a_block_is_over_after_thirty_days_without_a_failure(people: TenantUnderTest) -> None:
    await fail(people, "ada@example.com")
    people.clock.advance(seconds=30 * 86_400)

    assert await blocked_for(people, identifier="ada@example.com") == []


async def test_what_is_asked_wrongly_is_refused(people: TenantUnderTest) -> None:
    ada = await people.add_user("ada@example.com")

    assert (await people.api("GET", "user-blocks")).status == 400
    assert (await people.api("DELETE", "user-blocks")).status == 400
    unknown = await people.api("GET", "user-blocks/auth0|nobody")
    assert (unknown.status, unknown.json()["errorCode"]) == (404, "inexistent_user")
    assert (await people.api("DELETE", "user-blocks/auth0|nobody")).status == 404
    for method, scope in (("GET", "update:users"), ("DELETE", "read:users")):
        path = f"user-blocks/{ada['user_id']}"
        assert (await people.api(method, path, scopes={scope})).status == 403
    stranger = await people.api("GET", f"user-blocks/{ada['user_id']}", scopes={"read:users"}, subject="auth0|eve")
    assert stranger.status == 403
