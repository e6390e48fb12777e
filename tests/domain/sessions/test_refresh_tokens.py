"""Refresh tokens: rotation, leeway and reuse (RFC 9700 section 4.14.2), and their Management API."""

import asyncio
from datetime import timedelta

import pytest

from freehold.domain.sessions import (
    Device,
    Exchange,
    Outcome,
    RefreshPolicy,
    exchange_refresh_token,
    find_refresh_token,
    is_grant_revoked,
    issue_refresh_token,
    refresh_tokens_of,
    revoke_grant,
)
from tests.support.people import TenantUnderTest

ROTATING = RefreshPolicy(rotating=True, lifetime=timedelta(days=30), idle_lifetime=timedelta(days=15))
LENIENT = RefreshPolicy(rotating=True, leeway=timedelta(seconds=10))
STEADY = RefreshPolicy()
USER = "auth0|ada"


async def issue(people: TenantUnderTest, policy: RefreshPolicy = ROTATING, **given: str) -> str:
    async with people.store.transaction() as tx:
        _, value = await issue_refresh_token(
            tx,
            people.tenant,
            user_id=given.get("user_id", USER),
            client_id="app",
            connection="db",
            resource_servers=[{"audience": "https://api/", "scopes": "read offline_access"}],
            policy=policy,
            device=Device(ip="192.0.2.1", user_agent="test"),
            session_id=given.get("session_id"),
            grant_id=given.get("grant_id"),
        )
    return value


async def exchange(
    people: TenantUnderTest, value: str, policy: RefreshPolicy = ROTATING, client_id: str = "app"
) -> Exchange:
    async with people.store.transaction() as tx:
        return await exchange_refresh_token(tx, people.tenant, value, client_id=client_id, policy=policy)


async def test_each_exchange_answers_a_new_token_of_the_same_family(people: TenantUnderTest) -> None:
    first = await issue(people)

    second = await exchange(people, first)
    third = await exchange(people, second.value or "")

    assert (second.outcome, third.outcome) == (Outcome.ROTATED, Outcome.ROTATED)
    assert len({first, second.value, third.value}) == 3
    assert second.token is not None
    assert third.token is not None
    assert second.token.id == third.token.id


async def test_a_reused_token_revokes_its_family(people: TenantUnderTest) -> None:
    first = await issue(people)
    second = await exchange(people, first)

    reused = await exchange(people, first)

    assert reused.outcome is Outcome.REUSED
    assert reused.token is not None
    assert (await exchange(people, second.value or "")).outcome is Outcome.UNKNOWN


async def test_a_token_from_long_ago_is_recognised_as_reused(people: TenantUnderTest) -> None:
    first = value = await issue(people)
    for _ in range(5):
        value = (await exchange(people, value)).value or ""

    assert (await exchange(people, first)).outcome is Outcome.REUSED
    assert (await exchange(people, value)).outcome is Outcome.UNKNOWN


async def test_within_the_leeway_the_last_token_works_again_and_both_successors_do(people: TenantUnderTest) -> None:
    first = await issue(people, LENIENT)
    second = await exchange(people, first, LENIENT)
    people.clock.advance(seconds=9)

    again = await exchange(people, first, LENIENT)

    assert again.outcome is Outcome.WITHIN_LEEWAY
    assert (await exchange(people, second.value or "", LENIENT)).outcome is Outcome.ROTATED
    assert (await exchange(people, again.value or "", LENIENT)).outcome is Outcome.ROTATED


async def test_using_the_old_token_again_does_not_prolong_its_leeway(people: TenantUnderTest) -> None:
    first = await issue(people, LENIENT)
    await exchange(people, first, LENIENT)
    people.clock.advance(seconds=9)
    await exchange(people, first, LENIENT)
    people.clock.advance(seconds=2)

    assert (await exchange(people, first, LENIENT)).outcome is Outcome.REUSED


async def test_the_token_before_the_last_never_works_again(people: TenantUnderTest) -> None:
    first = await issue(people, LENIENT)
    second = await exchange(people, first, LENIENT)
    await exchange(people, second.value or "", LENIENT)

    assert (await exchange(people, first, LENIENT)).outcome is Outcome.REUSED


async def test_of_parallel_exchanges_one_wins_and_the_family_does_not_survive(people: TenantUnderTest) -> None:
    value = await issue(people)

    outcomes = [done.outcome for done in await asyncio.gather(*(exchange(people, value) for _ in range(10)))]

    assert outcomes.count(Outcome.ROTATED) == 1
    assert outcomes.count(Outcome.REUSED) == 1
    assert outcomes.count(Outcome.UNKNOWN) == 8
    assert await refresh_tokens_of(people.store, people.tenant, USER) == []


async def test_a_steady_token_works_on_and_its_use_is_written_once_a_minute(people: TenantUnderTest) -> None:
    value = await issue(people, STEADY)
    first = await exchange(people, value, STEADY)
    people.clock.advance(seconds=30)
    second = await exchange(people, value, STEADY)
    people.clock.advance(seconds=31)
    third = await exchange(people, value, STEADY)

    assert [done.outcome for done in (first, second, third)] == [Outcome.EXCHANGED] * 3
    assert first.value is None
    exchanged = [done.token.last_exchanged_at_ms for done in (first, second, third) if done.token]
    assert exchanged[0] == exchanged[1]
    assert exchanged[2] == (exchanged[0] or 0) + 61_000


@pytest.mark.parametrize(("days", "alive"), [(14, True), (15, False)])
async def test_a_token_ends_when_it_is_idle(people: TenantUnderTest, days: int, alive: bool) -> None:
    value = await issue(people)
    people.clock.advance(seconds=timedelta(days=days).total_seconds())

    assert (await exchange(people, value)).succeeded is alive


async def test_rotation_does_not_prolong_the_lifetime(people: TenantUnderTest) -> None:
    value = await issue(people)
    for _ in range(2):
        people.clock.advance(seconds=timedelta(days=14).total_seconds())
        value = (await exchange(people, value)).value or ""
    people.clock.advance(seconds=timedelta(days=2).total_seconds())

    assert (await exchange(people, value)).outcome is Outcome.UNKNOWN


async def test_a_foreign_client_gets_nothing_and_harms_nothing(people: TenantUnderTest) -> None:
    value = await issue(people)

    assert (await exchange(people, value, client_id="other")).outcome is Outcome.UNKNOWN
    assert (await exchange(people, value)).outcome is Outcome.ROTATED


@pytest.mark.parametrize(
    "mangle", [lambda v: v[:-1], lambda v: v + "A", lambda v: "", lambda v: "x" * 10_000, str.lower]
)
async def test_only_the_exact_token_is_one(people: TenantUnderTest, mangle: object) -> None:
    value = mangle(await issue(people))  # type: ignore[operator]
    assert await find_refresh_token(people.store, people.tenant, value) is None


async def test_neither_the_token_nor_its_handle_is_stored(people: TenantUnderTest) -> None:
    value = await issue(people)
    row = await people.store.one("select * from refresh_tokens")
    assert row is not None
    assert value not in str(row)
    assert value[:16] not in str(row)


async def test_what_a_code_got_is_revoked_with_its_grant(people: TenantUnderTest) -> None:
    value = await issue(people, grant_id="g1")
    async with people.store.transaction() as tx:
        await revoke_grant(tx, people.tenant, user_id=USER, grant_id="g1")

    assert (await exchange(people, value)).outcome is Outcome.UNKNOWN
    assert await is_grant_revoked(people.store, people.tenant, "g1")
    assert not await is_grant_revoked(people.store, people.tenant, "g2")


async def test_a_users_tokens_are_listed_a_page_at_a_time_and_revoked(people: TenantUnderTest) -> None:
    user = await people.add_user()
    path = f"users/{user['user_id']}/refresh-tokens"
    for _ in range(3):
        await issue(people, user_id=user["user_id"])

    first = (await people.api("GET", path, take=2, include_totals="true")).json()
    second = (await people.api("GET", path, take=2, from_=first["next"])).json()

    assert (len(first["tokens"]), first["total"], len(second["tokens"])) == (2, 3, 1)
    assert "next" not in second
    shown = first["tokens"][0]
    assert shown["resource_servers"] == [{"audience": "https://api/", "scopes": "read offline_access"}]
    assert (shown["rotating"], shown["session_id"], shown["client_id"]) == (True, None, "app")
    assert (await people.api("DELETE", path)).status == 202
    assert (await people.api("GET", path)).json() == {"tokens": []}


async def test_one_token_is_read_changed_and_revoked_by_its_id(people: TenantUnderTest) -> None:
    value = await issue(people)
    token = await find_refresh_token(people.store, people.tenant, value)
    assert token is not None
    path = f"refresh-tokens/{token.id}"

    changed = await people.api("PATCH", path, {"refresh_token_metadata": {"a": 1}})

    assert changed.json()["refresh_token_metadata"] == {"a": 1}
    assert (await people.api("GET", path)).json() == changed.json()
    assert (await people.api("DELETE", path)).status == 202
    gone = await people.api("GET", path)
    assert (gone.status, gone.json()["message"]) == (404, "The refresh token does not exist.")
    assert (await exchange(people, value)).outcome is Outcome.UNKNOWN


async def test_an_unknown_user_has_no_list(people: TenantUnderTest) -> None:
    reply = await people.api("GET", "users/auth0|nobody/refresh-tokens")
    assert (reply.status, reply.json()["errorCode"]) == (404, "inexistent_user")


async def test_tokens_of_another_tenant_are_unknown(people: TenantUnderTest) -> None:
    value = await issue(people)
    other = await people.services.tenants.create("other", "other.example.com")
    assert await find_refresh_token(people.store, other, value) is None


async def test_revoking_by_user_and_by_ids(people: TenantUnderTest) -> None:
    user = (await people.add_user())["user_id"]
    kept = await issue(people)
    gone = await issue(people, user_id=user)
    assert (await people.api("POST", "refresh-tokens/revoke", {"user_id": user})).status == 202
    assert (await exchange(people, gone)).outcome is Outcome.UNKNOWN
    token = await find_refresh_token(people.store, people.tenant, kept)
    assert token is not None
    assert (await people.api("POST", "refresh-tokens/revoke", {"ids": [token.id]})).status == 202
    assert (await exchange(people, kept)).outcome is Outcome.UNKNOWN
    assert (await people.api("POST", "refresh-tokens/revoke", {"client_id": "app"})).status == 400
