"""Sessions: how long they live, when they are written, who ends them."""

from datetime import timedelta

import pytest

from freehold.domain.sessions import (
    Device,
    Lifetimes,
    RefreshPolicy,
    Session,
    create_session,
    end_sessions_of,
    find_session,
    find_session_by_id,
    issue_refresh_token,
    reauthenticate,
    refresh_tokens_of,
    touch_session,
)
from tests.support.people import TenantUnderTest

HERE = Device(ip="192.0.2.1", user_agent="Browser")


async def begin(people: TenantUnderTest, user_id: str = "auth0|ada") -> tuple[Session, str]:
    async with people.store.transaction() as tx:
        return await create_session(
            tx, people.tenant, user_id=user_id, connection="db", client_id="app", device=HERE,
            lifetimes=Lifetimes(idle=timedelta(hours=1), absolute=timedelta(hours=3)),
        )  # fmt: skip


async def touch(people: TenantUnderTest, session: Session, client_id: str = "app") -> Session:
    lifetimes = Lifetimes(idle=timedelta(hours=1), absolute=timedelta(hours=3))
    return await touch_session(
        people.store, people.tenant, session, client_id=client_id, device=HERE, lifetimes=lifetimes
    )  # fmt: skip


async def test_a_session_is_found_by_its_cookie_and_by_its_id(people: TenantUnderTest) -> None:
    session, cookie = await begin(people)

    assert await find_session(people.store, people.tenant, cookie) == session
    assert await find_session_by_id(people.store, people.tenant, session.id) == session
    assert await find_session(people.store, people.tenant, session.id) is None
    assert await find_session(people.store, people.tenant, None) is None
    row = await people.store.one("select * from sessions")
    assert cookie not in str(row)


@pytest.mark.parametrize(("minutes", "alive"), [(59, True), (60, False)])
async def test_a_session_ends_when_it_is_idle(people: TenantUnderTest, minutes: int, alive: bool) -> None:
    _, cookie = await begin(people)
    people.clock.advance(seconds=minutes * 60)
    assert (await find_session(people.store, people.tenant, cookie) is not None) is alive


async def test_use_prolongs_a_session_but_not_beyond_its_lifetime(people: TenantUnderTest) -> None:
    session, cookie = await begin(people)
    for _ in range(4):
        people.clock.advance(seconds=44 * 60)
        session = await touch(people, session)
    assert await find_session(people.store, people.tenant, cookie) is not None
    people.clock.advance(seconds=5 * 60)
    assert await find_session(people.store, people.tenant, cookie) is None


async def test_a_session_is_written_once_a_minute_or_for_another_application(people: TenantUnderTest) -> None:
    session, _ = await begin(people)
    people.clock.advance(seconds=59)
    assert await touch(people, session) is session
    joined = await touch(people, session, "other")
    assert joined.clients == ("app", "other")
    people.clock.advance(seconds=60)
    assert (await touch(people, joined)).last_interacted_at_ms == people.clock.now_ms()


async def test_authenticating_again_changes_the_cookie(people: TenantUnderTest) -> None:
    session, cookie = await begin(people)
    people.clock.advance(seconds=60)
    async with people.store.transaction() as tx:
        renewed = await reauthenticate(
            tx, people.tenant, session, connection="db", client_id="other", device=HERE,
            lifetimes=Lifetimes(idle=timedelta(hours=1), absolute=timedelta(hours=3)),
        )  # fmt: skip

    assert renewed is not None
    assert await find_session(people.store, people.tenant, cookie) is None
    found = await find_session(people.store, people.tenant, renewed[1])
    assert found is not None
    assert (found.id, found.auth_time) == (session.id, session.auth_time + 60)
    assert found.clients == ("app", "other")
    assert found.expires_at_ms == session.expires_at_ms + 60_000


async def test_the_api_shows_a_session_and_ends_it(people: TenantUnderTest) -> None:
    session, cookie = await begin(people)
    path = f"sessions/{session.id}"

    shown = (await people.api("GET", path)).json()

    assert shown["authenticated_at"] == "2026-01-01T00:00:00.000Z"
    assert shown["clients"] == [{"client_id": "app"}]
    assert shown["authentication"]["methods"][0]["name"] == "pwd"
    assert shown["device"]["initial_ip"] == "192.0.2.1"
    changed = (await people.api("PATCH", path, {"session_metadata": {"k": "v"}})).json()
    assert changed["session_metadata"] == {"k": "v"}
    gone = await people.api("DELETE", path)
    assert (gone.status, gone.json()) == (202, {})
    assert await find_session(people.store, people.tenant, cookie) is None
    assert (await people.api("GET", path)).status == 404


async def test_revoking_a_session_takes_its_refresh_tokens_along(people: TenantUnderTest) -> None:
    session, _ = await begin(people)
    async with people.store.transaction() as tx:
        for session_id in (session.id, "another"):
            await issue_refresh_token(
                tx, people.tenant, user_id=session.user_id, client_id="app", connection="db", resource_servers=[],
                policy=RefreshPolicy(), device=HERE, session_id=session_id,
            )  # fmt: skip

    assert (await people.api("POST", f"sessions/{session.id}/revoke")).status == 202

    left = await refresh_tokens_of(people.store, people.tenant, session.user_id)
    assert [token.session_id for token in left] == ["another"]


async def test_a_users_sessions_end_except_the_one_that_is_kept(people: TenantUnderTest) -> None:
    kept, _ = await begin(people)
    await begin(people)
    await begin(people, "auth0|bob")

    assert await end_sessions_of(people.store, people.tenant, "auth0|ada", but=kept.id) == 1

    assert await find_session_by_id(people.store, people.tenant, kept.id) is not None


async def test_a_users_sessions_are_listed_and_deleted(people: TenantUnderTest) -> None:
    user_id = (await people.add_user())["user_id"]
    for _ in range(3):
        await begin(people, user_id)
    path = f"users/{user_id}/sessions"

    first = (await people.api("GET", path, take=2)).json()
    rest = (await people.api("GET", path, take=2, from_=first["next"])).json()

    assert (len(first["sessions"]), len(rest["sessions"])) == (2, 1)
    assert (await people.api("DELETE", path)).status == 202
    assert (await people.api("GET", path)).json() == {"sessions": []}
    assert (await people.api("GET", "users/auth0|nobody/sessions")).status == 404


async def test_a_deleted_user_leaves_no_session_token_or_device_behind(people: TenantUnderTest) -> None:
    user_id = (await people.add_user())["user_id"]
    await begin(people, user_id)
    async with people.store.transaction() as tx:
        await issue_refresh_token(
            tx, people.tenant, user_id=user_id, client_id="app", connection="db", resource_servers=[],
            policy=RefreshPolicy(), device=HERE,
        )  # fmt: skip
    device = {"device_name": "Phone", "device_id": "ab-12", "type": "public_key", "value": "KEY", "client_id": "app"}
    assert (await people.api("POST", "device-credentials", device, subject=user_id)).status == 201

    assert (await people.api("DELETE", f"users/{user_id}")).status == 204

    for table in ("sessions", "refresh_tokens", "device_credentials"):
        assert await people.store.all(f"select 1 from {table}") == [], table
    hashes = await people.store.all("select 1 from vault where kind = 'password_hashes'")
    assert hashes == []


async def test_device_credentials_show_keys_and_refresh_tokens(people: TenantUnderTest) -> None:
    user_id = (await people.add_user())["user_id"]
    device = {"device_name": "Phone", "device_id": "ab-12", "type": "public_key", "value": "KEY", "client_id": "app"}
    created = await people.api("POST", "device-credentials", device, subject=user_id)
    assert (await people.api("POST", "device-credentials", device, subject=user_id)).status == 409
    async with people.store.transaction() as tx:
        await issue_refresh_token(
            tx, people.tenant, user_id=user_id, client_id="app", connection="db", resource_servers=[],
            policy=RefreshPolicy(rotating=True), device=HERE,
        )  # fmt: skip

    listed = (await people.api("GET", "device-credentials", user_id=user_id, include_totals="true")).json()

    assert [(one["type"], "value" in one) for one in listed["device_credentials"]] == [
        ("public_key", False),
        ("rotating_refresh_token", False),
    ]
    assert listed["total"] == 2
    for one in (created.json()["id"], listed["device_credentials"][1]["id"]):
        assert (await people.api("DELETE", f"device-credentials/{one}")).status == 204
    assert (await people.api("GET", "device-credentials", user_id=user_id)).json() == []
