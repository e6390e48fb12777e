"""`/attack-protection/*` and `/anomaly/blocks/ips/*`, in the forms that were recorded."""

from typing import Any

import pytest

from freehold.domain.protection import AddressThrottled, LoginGuard, admit_sign_up
from tests.support.people import DATABASE, TenantUnderTest

pytestmark = pytest.mark.quick_on("sqlite")
READ, UPDATE = {"read:attack_protection"}, {"update:attack_protection"}
DEFAULTS: dict[str, Any] = {
    "brute-force-protection": {
        "enabled": True,
        "shields": ["block", "user_notification"],
        "mode": "count_per_identifier_and_ip",
        "allowlist": [],
        "max_attempts": 10,
    },
    "suspicious-ip-throttling": {
        "enabled": True,
        "shields": ["admin_notification", "block"],
        "allowlist": [],
        "stage": {
            "pre-login": {"max_attempts": 100, "rate": 864000},
            "pre-user-registration": {"max_attempts": 50, "rate": 1200},
            "pre-custom-token-exchange": {"max_attempts": 10, "rate": 600000},
        },
    },
    "breached-password-detection": {
        "enabled": False,
        "shields": [],
        "admin_notification_frequency": [],
        "method": "standard",
        "stage": {"pre-user-registration": {"shields": []}, "pre-change-password": {"shields": []}},
    },
    "bot-detection": {
        "challenge_password_policy": "never",
        "challenge_passwordless_policy": "never",
        "challenge_password_reset_policy": "never",
        "allowlist": [],
        "bot_detection_level": "medium",
        "monitoring_mode_enabled": False,
    },
}


@pytest.mark.parametrize("name", DEFAULTS)
async def test_a_new_tenant_has_auth0s_defaults(people: TenantUnderTest, name: str) -> None:
    reply = await people.api("GET", f"attack-protection/{name}", scopes=READ)
    assert (reply.status, reply.json()) == (200, DEFAULTS[name])
    refused = await people.api("GET", f"attack-protection/{name}", scopes=UPDATE)
    assert refused.status == 403


async def test_a_stage_is_changed_without_the_other(people: TenantUnderTest) -> None:
    change = {"stage": {"pre-login": {"max_attempts": 3, "rate": 60000}}}
    reply = await people.api("PATCH", "attack-protection/suspicious-ip-throttling", change, scopes=UPDATE)
    assert reply.status == 200, reply.body
    assert reply.json()["stage"] == {
        "pre-login": {"max_attempts": 3, "rate": 60000},
        "pre-user-registration": {"max_attempts": 50, "rate": 1200},
        "pre-custom-token-exchange": {"max_attempts": 10, "rate": 600000},
    }
    assert reply.json()["enabled"] is True


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("brute-force-protection", {"max_attempts": 0}, "max_attempts"),
        ("brute-force-protection", {"max_attempts": 101}, "max_attempts"),
        ("brute-force-protection", {"mode": "count"}, "mode"),
        ("brute-force-protection", {"allowlist": ["10.0.0.0/8", "nowhere"]}, "allowlist[1]"),
        ("suspicious-ip-throttling", {"stage": {"pre-login": {"rate": 5}}}, "rate"),
        ("suspicious-ip-throttling", {"stage": {"pre-something": {}}}, "pre-something"),
        ("bot-detection", {"bot_detection_level": "huge"}, "bot_detection_level"),
    ],
)
async def test_what_does_not_fit_is_refused_by_name(
    people: TenantUnderTest, name: str, change: dict[str, Any], said: str
) -> None:
    reply = await people.api("PATCH", f"attack-protection/{name}", change, scopes=UPDATE)
    assert reply.status == 400
    assert said in reply.json()["message"]
    kept = await people.api("GET", f"attack-protection/{name}", scopes=READ)
    assert kept.json() == DEFAULTS[name]


async def test_an_address_that_is_blocked_is_shown_and_let_in_again(people: TenantUnderTest) -> None:
    change = {"stage": {"pre-user-registration": {"max_attempts": 2, "rate": 60000}}}
    await people.api("PATCH", "attack-protection/suspicious-ip-throttling", change)
    path, read, delete = "anomaly/blocks/ips/203.0.113.9", {"read:anomaly_blocks"}, {"delete:anomaly_blocks"}
    free = await people.api("GET", path, scopes=read)
    assert (free.status, free.json()["message"]) == (404, "IP address specified is not currently blocked.")
    for _ in range(2):
        await admit_sign_up(people.services, people.tenant, "203.0.113.9")
    for _ in range(2):
        with pytest.raises(AddressThrottled):
            await admit_sign_up(people.services, people.tenant, "203.0.113.9")
    await admit_sign_up(people.services, people.tenant, "203.0.113.10")

    assert (await people.api("GET", path, scopes=read)).status == 200
    assert (await people.log_types()).count("limit_mu") == 1
    assert (await people.api("DELETE", path, scopes=delete)).status == 204
    assert (await people.api("GET", path, scopes=read)).status == 404
    await admit_sign_up(people.services, people.tenant, "203.0.113.9")
    assert (await people.api("GET", "anomaly/blocks/ips/nowhere", scopes=read)).status == 400


async def test_tries_come_back_one_by_one(people: TenantUnderTest) -> None:
    change = {"stage": {"pre-login": {"max_attempts": 3, "rate": 60000}}}
    await people.api("PATCH", "attack-protection/suspicious-ip-throttling", change)
    guard, number = LoginGuard(), iter(range(100))

    async def fail() -> bool:
        one = guard.attempt(
            people.store, people.tenant, connection=DATABASE, subject=f"nobody-{next(number)}", ip="203.0.113.9"
        )
        async with one as attempt, people.store.transaction() as tx:
            await attempt.failed(tx)
            return attempt.throttles

    assert [await fail() for _ in range(3)] == [False, False, True]
    with pytest.raises(AddressThrottled):
        await fail()
    people.clock.advance(seconds=61)
    await fail()
    with pytest.raises(AddressThrottled):
        await fail()
    people.clock.advance(seconds=3 * 60)
    for _ in range(3):
        await fail()
    with pytest.raises(AddressThrottled):
        await fail()
