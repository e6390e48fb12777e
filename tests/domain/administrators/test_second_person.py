"""When two administrators are two persons."""

import pytest

from freehold.domain.administrators import (
    Administrator,
    add_administrator,
    get_administrator,
    owner_of,
    remove_administrator,
    same_person,
)
from freehold.domain.administrators.management import reset_factors
from freehold.domain.administrators.records import Who
from freehold.kernel import vault
from tests.support.people import TenantUnderTest

pytestmark = pytest.mark.quick_on("sqlite")

HOUR_S = 3600


@pytest.fixture
async def root(people: TenantUnderTest) -> Administrator:
    return await made(people, "root@example.com", "operator")


async def made(people: TenantUnderTest, email: str, by: str) -> Administrator:
    async with people.store.transaction() as tx:
        return await add_administrator(tx, people.tenant, email=email, name="", role="admin", created_by=by)


async def why(people: TenantUnderTest, a: Administrator, b: Administrator) -> str | None:
    there = await same_person(people.store, people.tenant, a, b, min_age_h=72)
    back = await same_person(people.store, people.tenant, b, a, min_age_h=72)
    assert (there is None) == (back is None)
    return there


@pytest.mark.parametrize(
    ("email", "same"),
    [("root+second@example.com", True), ("ROOT+x@example.com", True), ("toor@example.com", False)],
)
async def test_one_mailbox_is_one_person(people: TenantUnderTest, root: Administrator, email: str, same: bool) -> None:
    other = await made(people, email, "operator")
    assert ((await why(people, root, other)) is not None) is same
    assert await why(people, root, root) is not None


async def test_one_authenticator_is_one_person(people: TenantUnderTest, root: Administrator) -> None:
    other = await made(people, "other@example.com", "operator")
    async with people.store.transaction() as tx:
        for person in (root, other):
            await vault.put(tx, people.tenant, "mfa_secrets", owner_of(person.id), b"JBSWY3DP", name="totp")
    assert await why(people, root, other) == "Both have the same authenticator."


async def test_one_passkey_is_one_person(people: TenantUnderTest, root: Administrator) -> None:
    other = await made(people, "other@example.com", "operator")
    async with people.store.transaction() as tx:
        for number, person in enumerate((root, other)):
            await tx.run(
                """insert into administrator_passkeys (tenant_id, credential_id, administrator_id, name, public_key,
                sign_count, transports, aaguid, created_at_ms)
                values (:tenant_id, :credential_id, :id, 'k', 'the-same', 0, '[]', '', 1)""",
                tenant_id=people.tenant.id,
                credential_id=f"c{number}",
                id=person.id,
            )
    assert await why(people, root, other) == "Both have the same passkey."


async def test_whom_one_made_counts_only_after_a_while(people: TenantUnderTest, root: Administrator) -> None:
    child = await made(people, "child@example.com", root.id)
    grandchild = await made(people, "grandchild@example.com", child.id)
    assert "invited by root@example.com" in (await why(people, root, child) or "")
    assert "invited by root@example.com" in (await why(people, root, grandchild) or "")

    people.clock.advance(seconds=72 * HOUR_S - 1)
    assert await why(people, root, child) is not None
    people.clock.advance(seconds=2)
    assert await why(people, root, child) is None
    assert await why(people, root, grandchild) is None


async def test_an_intermediary_who_is_gone_hides_nothing(people: TenantUnderTest, root: Administrator) -> None:
    between = await made(people, "between@example.com", root.id)
    made_by_them = await made(people, "last@example.com", between.id)
    async with people.store.transaction() as tx:
        await remove_administrator(tx, people.tenant, between.id)
    assert await why(people, root, made_by_them) is not None
    people.clock.advance(seconds=73 * HOUR_S)
    assert await why(people, root, made_by_them) is None


async def test_whom_the_operator_made_counts_at_once(people: TenantUnderTest, root: Administrator) -> None:
    assert await why(people, root, await made(people, "other@example.com", "operator")) is None


async def test_whose_factors_one_took_away_counts_only_after_a_while(
    people: TenantUnderTest, root: Administrator
) -> None:
    other = await made(people, "other@example.com", "operator")
    async with people.store.transaction() as tx:
        who = Who(kind="administrator", id=root.id, email=root.email)
        await reset_factors(tx, people.tenant, who, other.id)
    other = await get_administrator(people.store, people.tenant, other.id)
    assert "factors of other@example.com were taken away" in (await why(people, root, other) or "")
    people.clock.advance(seconds=73 * HOUR_S)
    assert await why(people, root, other) is None


async def test_a_helper_one_made_takes_nothing_away_unnoticed(people: TenantUnderTest, root: Administrator) -> None:
    helper = await made(people, "helper@example.com", root.id)
    other = await made(people, "other@example.com", "operator")
    async with people.store.transaction() as tx:
        who = Who(kind="administrator", id=helper.id, email=helper.email)
        await reset_factors(tx, people.tenant, who, other.id)
    other = await get_administrator(people.store, people.tenant, other.id)
    assert await why(people, root, other) is not None
    async with people.store.transaction() as tx:
        await remove_administrator(tx, people.tenant, helper.id)
    assert await why(people, root, other) is not None
