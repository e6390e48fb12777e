"""Authorization codes and sign-ins under way: each is used by exactly one."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from freehold.domain.sessions import (
    CodeOutcome,
    Device,
    RefreshPolicy,
    begin_login,
    consume_code,
    find_code,
    find_login,
    finish_login,
    is_grant_revoked,
    issue_code,
    issue_refresh_token,
    refresh_tokens_of,
    save_login,
)
from freehold.domain.sessions.codes import Code
from freehold.kernel.crypto.sealing import Sealer
from tests.support.people import TenantUnderTest

USER = "auth0|ada"


async def issue(people: TenantUnderTest) -> str:
    async with people.store.transaction() as tx:
        return await issue_code(tx, people.tenant, client_id="app", user_id=USER, payload={"nonce": "n"})


async def consume(people: TenantUnderTest, value: str, client_id: str = "app") -> tuple[CodeOutcome, Code | None]:
    async with people.store.transaction() as tx:
        return await consume_code(tx, people.tenant, value, client_id=client_id)


async def test_a_code_is_redeemed_once_and_a_second_use_revokes_what_it_got(people: TenantUnderTest) -> None:
    """RFC 6749 section 4.1.2"""
    value = await issue(people)
    outcome, code = await consume(people, value)
    assert outcome is CodeOutcome.REDEEMED
    assert code is not None
    assert code.payload == {"nonce": "n"}
    async with people.store.transaction() as tx:
        await issue_refresh_token(
            tx, people.tenant, user_id=USER, client_id="app", connection="db", resource_servers=[],
            policy=RefreshPolicy(), device=Device(), grant_id=code.grant_id,
        )  # fmt: skip

    again, same = await consume(people, value)

    assert again is CodeOutcome.REUSED
    assert same == code
    assert await refresh_tokens_of(people.store, people.tenant, USER) == []
    assert await is_grant_revoked(people.store, people.tenant, code.grant_id)


async def test_of_parallel_redemptions_one_succeeds(people: TenantUnderTest) -> None:
    value = await issue(people)
    outcomes = [outcome for outcome, _ in await asyncio.gather(*(consume(people, value) for _ in range(20)))]
    assert outcomes.count(CodeOutcome.REDEEMED) == 1
    assert outcomes.count(CodeOutcome.REUSED) == 19


async def test_a_code_ends_after_ten_minutes(people: TenantUnderTest) -> None:
    value = await issue(people)
    people.clock.advance(seconds=600)
    assert await consume(people, value) == (CodeOutcome.UNKNOWN, None)


async def test_another_client_can_neither_use_nor_spoil_a_code(people: TenantUnderTest) -> None:
    value = await issue(people)
    assert await consume(people, value, "other") == (CodeOutcome.UNKNOWN, None)
    assert await find_code(people.store, people.tenant, value) is not None
    assert (await consume(people, value))[0] is CodeOutcome.REDEEMED
    assert await find_code(people.store, people.tenant, value) is None


async def test_what_is_no_code_is_unknown(people: TenantUnderTest) -> None:
    for value in ("", "x", "y" * 600, "\u00e9"):
        assert await consume(people, value) == (CodeOutcome.UNKNOWN, None)


SHORT, LONG = {"step": "identifier"}, {"step": "identifier", "state": "x" * 2000}


@pytest.mark.parametrize("asked", [SHORT, LONG], ids=["sealed", "kept in a row"])
async def test_a_step_of_a_sign_in_is_taken_once(people: TenantUnderTest, asked: dict[str, Any]) -> None:
    reference = await begin_login(people.store, people.tenant, asked)
    seen = await find_login(people.store, people.tenant, reference)
    assert seen is not None

    assert await save_login(people.store, people.tenant, seen, {"step": "password"})
    assert not await save_login(people.store, people.tenant, seen, {"step": "other"})

    current = await find_login(people.store, people.tenant, reference)
    assert current is not None
    assert current.payload == {"step": "password"}
    finished = await asyncio.gather(*(finish_login(people.store, people.tenant, current) for _ in range(5)))
    assert sorted(finished) == [False] * 4 + [True]
    assert await find_login(people.store, people.tenant, reference) is None


@pytest.mark.parametrize("asked", [SHORT, LONG], ids=["sealed", "kept in a row"])
async def test_a_sign_in_ends_once_and_stays_over(people: TenantUnderTest, asked: dict[str, Any]) -> None:
    reference = await begin_login(people.store, people.tenant, asked)
    seen = await find_login(people.store, people.tenant, reference)
    assert seen is not None
    assert seen.payload == asked

    finished = await asyncio.gather(*(finish_login(people.store, people.tenant, seen) for _ in range(5)))

    assert sorted(finished) == [False] * 4 + [True]
    assert not await save_login(people.store, people.tenant, seen, {})
    assert await find_login(people.store, people.tenant, reference) is None
    await people.run_jobs(rounds=True)
    assert await find_login(people.store, people.tenant, reference) is None


async def test_a_page_that_nobody_fills_in_leaves_no_row(people: TenantUnderTest) -> None:
    references = [await begin_login(people.store, people.tenant, SHORT) for _ in range(3)]

    assert len(set(references)) == 3
    assert await people.store.one("select count(*) from login_transactions") == (0,)


async def test_a_reference_that_was_changed_or_is_another_tenants_opens_nothing(people: TenantUnderTest) -> None:
    reference = await begin_login(people.store, people.tenant, SHORT)
    stranger = replace(people.tenant, sealer=Sealer(b"\1" * 32))

    assert await find_login(people.store, stranger, reference) is None
    other = f"{reference[:40]}{'A' if reference[40] == 'B' else 'B'}{reference[41:]}"
    for changed in (other, f"{reference}A", reference[:-2], "", "\u00e9" * 20, "x" * 3000):
        assert await find_login(people.store, people.tenant, changed) is None


async def test_a_sign_in_ends_after_an_hour(people: TenantUnderTest) -> None:
    reference = await begin_login(people.store, people.tenant, {})
    people.clock.advance(seconds=3600)
    assert await find_login(people.store, people.tenant, reference) is None
