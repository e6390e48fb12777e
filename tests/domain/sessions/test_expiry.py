"""What has ended by time is forgotten; what has not stays."""

from datetime import timedelta

from freehold.domain.sessions import (
    Device,
    Lifetimes,
    RefreshPolicy,
    begin_login,
    consume_code,
    create_session,
    issue_code,
    issue_refresh_token,
    revoke_grant,
)
from tests.support.people import TenantUnderTest

TABLES = ("sessions", "refresh_tokens", "authorization_codes", "login_transactions", "revoked_grants")


async def populate(people: TenantUnderTest) -> None:
    async with people.store.transaction() as tx:
        for policy in (RefreshPolicy(), RefreshPolicy(lifetime=timedelta(hours=1))):
            await issue_refresh_token(
                tx, people.tenant, user_id="auth0|a", client_id="app", connection="db", resource_servers=[],
                policy=policy, device=Device(),
            )  # fmt: skip
        for hours in (1, 1000):
            await create_session(
                tx, people.tenant, user_id="auth0|a", connection="db", client_id="app", device=Device(),
                lifetimes=Lifetimes(idle=timedelta(hours=hours), absolute=timedelta(hours=hours)),
            )  # fmt: skip
        code = await issue_code(tx, people.tenant, client_id="app", user_id="auth0|a", payload={})
        await consume_code(tx, people.tenant, code, client_id="app")
        await revoke_grant(tx, people.tenant, user_id="auth0|a", grant_id="g")
    await begin_login(people.store, people.tenant, {"state": "too long to be sealed " * 100})


async def counts(people: TenantUnderTest) -> list[int]:
    found = []
    for table in TABLES:
        row = await people.store.one(f"select count(*) from {table}")
        assert row is not None
        found.append(row[0])
    return found


async def test_only_what_has_ended_is_forgotten(people: TenantUnderTest) -> None:
    await populate(people)
    assert await counts(people) == [2, 2, 1, 1, 1]

    await people.run_jobs(rounds=True)
    assert await counts(people) == [2, 2, 1, 1, 1]

    people.clock.advance(seconds=2 * 3600)
    await people.run_jobs(rounds=True)
    assert await counts(people) == [1, 1, 1, 0, 1]

    people.clock.advance(seconds=24 * 3600)
    await people.run_jobs(rounds=True)
    assert await counts(people) == [1, 1, 0, 0, 1]

    people.clock.advance(seconds=32 * 24 * 3600)
    await people.run_jobs(rounds=True)
    assert await counts(people) == [1, 1, 0, 0, 0]


async def test_the_log_is_kept_as_long_as_the_installation_says(people: TenantUnderTest) -> None:
    async with people.store.transaction() as tx:
        await people.tenant.events.record(tx, people.tenant, "s")
    people.clock.advance(seconds=89 * 86400)
    await people.run_jobs(rounds=True)
    assert await people.log_types() == ["s"]
    people.clock.advance(seconds=2 * 86400)
    await people.run_jobs(rounds=True)
    assert await people.log_types() == []
