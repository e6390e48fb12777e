"""Tickets: one use, one user, one address, and no use at all once their purpose is over."""

import asyncio
from urllib.parse import parse_qs, urlsplit

import pytest

from freehold.domain.tickets import find_ticket, use_ticket
from freehold.domain.tickets.tickets import Kind
from tests.support.people import TenantUnderTest


async def ticket(people: TenantUnderTest, kind: Kind, **body: object) -> str:
    path = {"email_verification": "tickets/email-verification", "password_change": "tickets/password-change"}[kind]
    reply = await people.api("POST", path, body)
    assert reply.status == 201, reply.body
    link: str = reply.json()["ticket"]
    assert link.startswith(people.tenant.issuer + "u/")
    assert link.endswith("#")
    return parse_qs(urlsplit(link).query)["ticket"][0]


async def use(people: TenantUnderTest, value: str, kind: Kind) -> bool:
    async with people.store.transaction() as tx:
        return await use_ticket(tx, people.tenant, value, kind)


@pytest.mark.parametrize("kind", ["email_verification", "password_change"])
async def test_of_parallel_uses_one_succeeds(people: TenantUnderTest, kind: Kind) -> None:
    user = await people.add_user()
    value = await ticket(people, kind, user_id=user["user_id"])
    for _ in range(3):  # scanners look at links
        assert (await find_ticket(people.store, people.tenant, value, kind))[0] == "open"

    used = await asyncio.gather(*(use(people, value, kind) for _ in range(10)))

    assert sorted(used) == [False] * 9 + [True]
    assert (await find_ticket(people.store, people.tenant, value, kind))[0] == "used"


async def test_a_ticket_is_good_for_its_own_purpose_only(people: TenantUnderTest) -> None:
    user = await people.add_user()
    value = await ticket(people, "email_verification", user_id=user["user_id"])
    assert not await use(people, value, "password_change")
    assert await use(people, value, "email_verification")


async def test_a_ticket_ends_with_its_time(people: TenantUnderTest) -> None:
    user = await people.add_user()
    value = await ticket(people, "password_change", user_id=user["user_id"], ttl_sec=60)
    people.clock.advance(seconds=60)
    assert not await use(people, value, "password_change")


async def test_a_new_password_makes_links_to_set_one_worthless(people: TenantUnderTest) -> None:
    user = await people.add_user()
    values = [await ticket(people, "password_change", user_id=user["user_id"]) for _ in range(2)]
    verification = await ticket(people, "email_verification", user_id=user["user_id"])

    changed = await people.api("PATCH", f"users/{user['user_id']}", {"password": "Another-Horse-99"})

    assert changed.status == 200
    for value in values:
        assert not await use(people, value, "password_change")
    assert await use(people, verification, "email_verification")


async def test_the_value_is_not_stored(people: TenantUnderTest) -> None:
    user = await people.add_user()
    value = await ticket(people, "password_change", user_id=user["user_id"])
    assert value not in str(await people.store.all("select * from tickets"))


@pytest.mark.parametrize("value", ["", "x", "y" * 500])
async def test_what_is_no_ticket_is_unknown(people: TenantUnderTest, value: str) -> None:
    assert (await find_ticket(people.store, people.tenant, value, "password_change"))[0] == "unknown"
    assert not await use(people, value, "password_change")


async def test_tickets_go_with_their_user(people: TenantUnderTest) -> None:
    user = await people.add_user()
    value = await ticket(people, "password_change", user_id=user["user_id"])
    await people.api("DELETE", f"users/{user['user_id']}")
    assert not await use(people, value, "password_change")


async def test_an_unknown_user_gets_no_ticket(people: TenantUnderTest) -> None:
    for path in ("tickets/email-verification", "tickets/password-change"):
        assert (await people.api("POST", path, {"user_id": "auth0|nobody"})).status == 404
