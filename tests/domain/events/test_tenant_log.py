"""The tenant log: written with what it tells about, read in pages or behind the last entry seen."""

from datetime import timedelta

import pytest

from freehold.domain.events import EVENT_TYPES
from freehold.domain.events.retention import forget_old
from tests.support.people import TenantUnderTest


async def record(people: TenantUnderTest, count: int = 1, *, type_: str = "seccft", **fields: object) -> None:
    for _ in range(count):
        people.clock.advance(seconds=1)
        async with people.store.transaction() as tx:
            await people.tenant.events.record(tx, people.tenant, type_, **fields)


async def test_an_entry_has_every_member_of_auth0s_record(people: TenantUnderTest) -> None:
    await record(people, client_id="abc", audience="https://api/", scope="a b", user_agent="Mozilla (iPhone) Mobile")

    entry = (await people.api("GET", "logs", per_page=1)).json()[0]

    assert entry["_id"] == entry["log_id"]
    assert entry["date"] == "2026-01-01T00:00:01.000Z"
    assert (entry["type"], entry["client_id"], entry["scope"], entry["isMobile"]) == ("seccft", "abc", "a b", True)
    for member in ("connection", "details", "user_id", "user_name", "strategy", "strategy_type", "location_info"):
        assert entry[member] is None
    assert (await people.api("GET", f"logs/{entry['log_id']}")).json() == entry


async def test_pages_come_newest_first_and_can_be_turned_round(people: TenantUnderTest) -> None:
    await record(people, 5)

    page = (await people.api("GET", "logs", per_page=2, page=1, include_totals="true")).json()
    dates = [entry["date"][17:19] for entry in page["logs"]]

    assert (page["start"], page["limit"], page["length"], page["total"]) == (2, 2, 2, 5)
    assert dates == ["03", "02"]
    turned = (await people.api("GET", "logs", per_page=2, sort="date:1")).json()
    assert [entry["date"][17:19] for entry in turned] == ["01", "02"]


async def test_a_consumer_follows_without_missing_an_entry(people: TenantUnderTest) -> None:
    await record(people, 5)
    first = (await people.api("GET", "logs", take=2)).json()
    second = (await people.api("GET", "logs", take=2, from_=first[-1]["log_id"])).json()
    third = (await people.api("GET", "logs", take=2, from_=second[-1]["log_id"])).json()

    seen = [entry["date"][17:19] for entry in first + second + third]
    assert seen == ["01", "02", "03", "04", "05"]


async def test_a_users_entries_are_listed_with_the_user(people: TenantUnderTest) -> None:
    await record(people, user_id="auth0|a")
    await record(people, user_id="auth0|b")

    entries = (await people.api("GET", "users/auth0|a/logs")).json()

    assert [entry["user_id"] for entry in entries] == ["auth0|a"]


async def test_fields_are_chosen(people: TenantUnderTest) -> None:
    await record(people, client_id="abc")
    assert (await people.api("GET", "logs", fields="type,client_id")).json() == [{"type": "seccft", "client_id": "abc"}]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ('type:"s"', 2),
        ("type:s OR type:fp", 3),
        ('ip:"192.0.2.1"', 1),
        ("ip:192.0.2.*", 2),
        ("user_id:auth0*", 1),
        ('user_name:"ada@example.com" AND type:s', 1),
        ("_exists_:user_name", 2),
        ("date:[2026-01-01T00:00:02Z TO *]", 2),
        ("nothing", 0),
    ],
)
async def test_entries_are_found_by_what_they_say(people: TenantUnderTest, query: str, count: int) -> None:
    await record(people, type_="s", ip="192.0.2.1", user_name="ada@example.com", user_id="auth0|a")
    await record(people, type_="s", ip="192.0.2.2")
    await record(people, type_="fp", user_name="ada@example.com")

    assert len((await people.api("GET", "logs", q=query)).json()) == count


async def test_an_unknown_entry_is_not_found(people: TenantUnderTest) -> None:
    assert (await people.api("GET", "logs/900")).status == 404


async def test_only_the_first_thousand_can_be_paged_through(people: TenantUnderTest) -> None:
    reply = await people.api("GET", "logs", page=10, per_page=100)
    assert reply.status == 400
    assert reply.json()["message"].startswith("You can only page through the first 1000 records.")


async def test_what_did_not_happen_is_not_in_the_log(people: TenantUnderTest) -> None:
    with pytest.raises(RuntimeError):
        async with people.store.transaction() as tx:
            await people.tenant.events.record(tx, people.tenant, "s", user_id="auth0|a")
            raise RuntimeError
    assert await people.log_types() == []


async def test_an_unknown_type_is_a_mistake(people: TenantUnderTest) -> None:
    with pytest.raises(ValueError, match="nonsense"):
        await record(people, type_="nonsense")
    assert EVENT_TYPES["fp"].category == "auth-login-fail"


async def test_hostile_text_is_kept_and_bounded(people: TenantUnderTest) -> None:
    await record(people, user_name="a\0b\ud7ff" + "x" * 5000, details={"prompt": "\0"})

    entry = (await people.api("GET", "logs", per_page=1)).json()[0]

    assert entry["user_name"].startswith("a\ufffdb")
    assert len(entry["user_name"]) == 1024


async def test_entries_of_another_tenant_are_not_there(people: TenantUnderTest) -> None:
    other = await people.services.tenants.create("other", "other.example.com")
    async with people.store.transaction() as tx:
        await other.events.record(tx, other, "s", user_id="auth0|a")
    row = await people.store.one("select log_id from logs where tenant_id = :id", id=other.id)
    assert row is not None
    assert (await people.api("GET", f"logs/{row[0]}")).status == 404
    assert (await people.api("GET", "logs")).json() == []


async def test_old_entries_are_forgotten(people: TenantUnderTest) -> None:
    await record(people, 3)
    people.clock.advance(seconds=timedelta(days=20).total_seconds())
    await record(people, 2)

    forgotten = await forget_old(people.store, people.tenant, retention=timedelta(days=10))

    assert forgotten == 3
    assert len((await people.api("GET", "logs")).json()) == 2


async def test_entries_are_kept_as_long_as_the_installation_says(people: TenantUnderTest) -> None:
    await record(people)
    days = people.services.settings.event_retention_days
    people.clock.advance(seconds=(days - 1) * 86400)
    await people.run_jobs(rounds=True)
    assert await people.log_types() == ["seccft"]
    people.clock.advance(seconds=2 * 86400)
    await people.run_jobs(rounds=True)
    assert await people.log_types() == []
