"""What several do at the same moment, on both databases: one wins, and nothing is left without an administrator."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from freehold.domain.administrators import (
    Administrator,
    LastAdministrator,
    add_administrator,
    change_role,
    get_administrator,
    list_administrators,
    remove_administrator,
    set_blocked,
)
from freehold.domain.administrators.factors import (
    accept_totp,
    check_totp,
    offer_totp,
    prepare_recovery,
    store_recovery,
    use_recovery,
)
from freehold.domain.administrators.links import LinkOver, issue_first_invitation, issue_invitation
from freehold.domain.administrators.management import accept_invitation
from freehold.domain.administrators.people import AddressTaken
from freehold.domain.administrators.sign_in import Place
from freehold.kernel.store import Transaction
from tests.support.administrators import PASSWORD, code_at
from tests.support.people import TenantUnderTest

PLACE = Place(ip="192.0.2.1", user_agent="Firefox", via="browser")


async def made(people: TenantUnderTest, email: str) -> Administrator:
    async with people.store.transaction() as tx:
        return await add_administrator(
            tx, people.tenant, email=email, name="", role="admin", created_by="operator"
        )  # fmt: skip


async def outcomes(*work: Awaitable[Any]) -> list[Any]:
    """What each came to, errors by their class."""
    results = await asyncio.gather(*work, return_exceptions=True)
    return [type(result) if isinstance(result, BaseException) else result for result in results]


@pytest.mark.parametrize("way", ["role", "block", "remove"])
async def test_two_administrators_cannot_take_each_other_away(people: TenantUnderTest, way: str) -> None:
    one, two = await made(people, "one@example.com"), await made(people, "two@example.com")

    async def take_away(person: Administrator) -> str:
        async with people.store.transaction() as tx:
            match way:
                case "role":
                    await change_role(tx, people.tenant, person.id, "viewer")
                case "block":
                    await set_blocked(tx, people.tenant, person.id, blocked=True)
                case "remove":
                    await remove_administrator(tx, people.tenant, person.id)
        return "done"

    results = await outcomes(take_away(one), take_away(two))
    assert sorted(map(str, results)) == sorted(map(str, ["done", LastAdministrator]))
    left = await list_administrators(people.store, people.tenant)
    assert [person for person in left if person.role == "admin" and not person.blocked]


async def test_one_invitation_makes_one_account(people: TenantUnderTest) -> None:
    async with people.store.transaction() as tx:
        _, value = await issue_invitation(
            tx, people.tenant, email="new@example.com", role="viewer", issued_by="operator",
            lifetime=timedelta(hours=1),
        )  # fmt: skip
    results = await outcomes(*(accepting(people, value) for _ in range(4)))
    assert sorted(map(str, results)) == sorted(map(str, ["done", *[LinkOver] * 3]))
    assert len(await list_administrators(people.store, people.tenant)) == 1


async def test_there_is_one_first_administrator(people: TenantUnderTest) -> None:
    async with people.store.transaction() as tx:
        older = await issue_first_invitation(tx, people.tenant, lifetime=timedelta(hours=1))
        url = await issue_first_invitation(tx, people.tenant, lifetime=timedelta(hours=1))
    assert older is not None
    assert url is not None
    value = url.partition("token=")[2]
    assert await outcomes(accepting(people, older.partition("token=")[2], "a@example.com")) == [LinkOver]
    results = await outcomes(*(accepting(people, value, f"{name}@example.com") for name in "abc"))
    assert sorted(map(str, results)) == sorted(map(str, ["done", *[LinkOver] * 2]))
    async with people.store.transaction() as tx:
        assert await issue_first_invitation(tx, people.tenant, lifetime=timedelta(hours=1)) is None


async def accepting(people: TenantUnderTest, value: str, email: str = "") -> str:
    await accept_invitation(
        people.services, people.tenant, token=value, name="New", password=PASSWORD, place=PLACE, email=email
    )
    return "done"


async def test_an_address_is_taken_once(people: TenantUnderTest) -> None:
    results = await outcomes(made(people, "Ada@example.com"), made(people, "ada@EXAMPLE.com"))
    assert AddressTaken in results
    assert len(await list_administrators(people.store, people.tenant)) == 1


async def test_a_code_and_a_recovery_code_are_used_once(people: TenantUnderTest) -> None:
    person = await made(people, "ada@example.com")
    async with people.store.transaction() as tx:
        secret = await offer_totp(tx, people.tenant, person)
        assert await accept_totp(tx, people.tenant, person, code_at(secret, people.clock.now()))
        await store_recovery(tx, people.tenant, person.id, await prepare_recovery(people.services.passwords))
    people.clock.advance(seconds=60)
    person = await get_administrator(people.store, people.tenant, person.id)
    code = code_at(secret, people.clock.now())
    following = await prepare_recovery(people.services.passwords)

    async def each(check: Callable[[Transaction], Awaitable[bool]]) -> bool:
        async with people.store.transaction() as tx:
            return await check(tx)

    def by_code(tx: Transaction) -> Awaitable[bool]:
        return check_totp(tx, people.tenant, person, code)

    def by_recovery(tx: Transaction) -> Awaitable[bool]:
        return use_recovery(tx, people.tenant, person, following)

    for check in (by_code, by_recovery):
        assert sorted(await outcomes(*(each(check) for _ in range(5)))) == [False] * 4 + [True]
    for seconds in (-30, 0):
        earlier = code_at(secret, people.clock.now() + timedelta(seconds=seconds))
        async with people.store.transaction() as tx:
            assert not await check_totp(tx, people.tenant, person, earlier)
