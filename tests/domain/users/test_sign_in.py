"""What protocols do with users: finding, checking, noting, signing up."""

from typing import Any

import pytest

from freehold.domain.users import (
    PasswordRefused,
    claims_for,
    create_user,
    find_for_login,
    find_profile,
    prepare_password,
    record_login,
    set_password,
    sign_up,
    verify_password,
)
from freehold.domain.users.credentials import IMPORTED
from freehold.kernel import vault
from freehold.kernel.crypto.passwords import parse_custom_hash
from tests.support.people import PASSWORD, TenantUnderTest


async def import_hash(people: TenantUnderTest, user_id: str, source: dict[str, Any]) -> None:
    async with people.store.transaction() as tx:
        await vault.drop(tx, people.tenant, "password_hashes", user_id)
        stored = parse_custom_hash(source).encode()
        await vault.put(tx, people.tenant, "password_hashes", user_id, stored, name=IMPORTED)


async def test_an_imported_hash_is_checked_and_then_replaced_by_our_own(people: TenantUnderTest) -> None:
    user = await people.add_user()
    sha1: dict[str, Any] = {
        "algorithm": "sha1",
        "hash": {"value": "e358121f34d76c946034452e9b53dadb2cea34d6", "encoding": "hex"},
        "salt": {"value": "abc123", "encoding": "utf8", "position": "suffix"},
    }
    await import_hash(people, user["user_id"], sha1)
    found = await find_for_login(people.store, people.tenant, await people.database(), "ada@example.com")
    pool = people.services.passwords
    assert found is not None
    wrong = await verify_password(people.store, people.tenant, pool, found, "wrong")
    assert (wrong.ok, wrong.imported, wrong.replacement) == (False, True, None)

    right = await verify_password(people.store, people.tenant, pool, found, "Freehold-Passw0rd!")
    assert right.ok
    async with people.store.transaction() as tx:
        await record_login(tx, people.tenant, found, ip="192.0.2.9", verification=right)

    stored = await vault.open_owned(people.store, people.tenant, "password_hashes", user["user_id"])
    assert list(stored) == [""]
    assert stored[""].startswith(b"$2b$04$")
    again = await verify_password(people.store, people.tenant, pool, found, "Freehold-Passw0rd!")
    assert (again.ok, again.replacement, again.imported) == (True, None, False)


async def test_a_sign_in_is_noted_without_touching_the_document(people: TenantUnderTest) -> None:
    user = await people.add_user()
    found = await find_for_login(people.store, people.tenant, await people.database(), "ada@example.com")
    assert found is not None
    for _ in range(2):
        people.clock.advance(seconds=1)
        async with people.store.transaction() as tx:
            await record_login(tx, people.tenant, found, ip="192.0.2.9")

    seen = (await people.api("GET", f"users/{user['user_id']}")).json()

    assert (seen["logins_count"], seen["last_ip"], seen["last_login"]) == (2, "192.0.2.9", "2026-01-01T00:00:02.000Z")
    changed = (await people.api("PATCH", f"users/{user['user_id']}", {"given_name": "Ada"})).json()
    assert changed["logins_count"] == 2
    listed = (await people.api("GET", "users")).json()
    assert listed[0]["logins_count"] == 2


async def test_a_user_is_found_by_whatever_the_connection_takes(people: TenantUnderTest) -> None:
    attributes = {
        "email": {"identifier": {"active": True}, "signup": {"status": "optional"}},
        "username": {"identifier": {"active": True}, "signup": {"status": "optional"}},
        "phone_number": {"identifier": {"active": True}, "signup": {"status": "optional"}},
    }
    await people.configure(attributes=attributes)
    database = await people.database()
    async with people.store.transaction() as tx:
        record = await create_user(
            tx, people.tenant, database, {"email": "ada@example.com", "username": "Ada", "phone_number": "+15550100"}
        )

    for identifier in ("ADA@example.com", " ada@example.com ", "ada", "ADA", "ＡＤＡ", "+15550100"):
        found = await find_for_login(people.store, people.tenant, database, identifier)
        assert found is not None, identifier
        assert found.user.user_id == record.id
    for identifier in ("", "bob", "ada@example.org", "x" * 5000, "ada\0", "+15550101"):
        assert await find_for_login(people.store, people.tenant, database, identifier) is None, identifier


async def test_look_alikes_of_an_address_are_other_addresses(people: TenantUnderTest) -> None:
    """Django CVE-2019-19844: case mapping must not lead to another mailbox."""
    await people.add_user("mike@example.org")
    database = await people.database()
    for identifier in ("mi\u212ae@example.org", "m\u0131ke@example.org"):
        assert await find_for_login(people.store, people.tenant, database, identifier) is None
    other = await people.add_user("mi\u212ae@example.org")
    found = await find_for_login(people.store, people.tenant, database, "mi\u212ae@example.org")
    assert found is not None
    assert found.user.user_id == other["user_id"]
    assert found.user.email == "mi\u212ae@example.org"


async def test_a_domain_is_the_same_in_both_its_spellings(people: TenantUnderTest) -> None:
    user = await people.add_user("ada@m\u00fcller.example")
    found = await find_for_login(people.store, people.tenant, await people.database(), "ada@xn--mller-kva.example")
    assert found is not None
    assert found.user.user_id == user["user_id"]
    assert user["email"] == "ada@m\u00fcller.example"


@pytest.mark.quick_on("sqlite")
async def test_nobody_costs_as_much_as_a_wrong_password(
    people: TenantUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    pool = people.services.passwords
    verify = pool.verify

    async def counted(stored: str, password: str) -> bool:
        checked.append(stored[:7])
        return await verify(stored, password)

    monkeypatch.setattr(pool, "verify", counted)
    await people.add_user()
    database = await people.database()
    for identifier in ("ada@example.com", "nobody@example.com"):
        found = await find_for_login(people.store, people.tenant, database, identifier)
        assert not (await verify_password(people.store, people.tenant, pool, found, "wrong")).ok
    assert checked == ["$2b$04$", "$2b$04$"]


async def test_signing_up_makes_a_user_and_an_entry(people: TenantUnderTest) -> None:
    database = await people.database()
    password = await prepare_password(
        people.store, people.tenant, people.services.passwords, database, password=PASSWORD, profile={}
    )
    async with people.store.transaction() as tx:
        record = await sign_up(
            tx, people.tenant, database, {"email": "ada@example.com", "user_metadata": {"a": "b"}}, password=password,
            client_id="app", ip="192.0.2.1",
        )  # fmt: skip

    found = await find_for_login(people.store, people.tenant, database, "ada@example.com")
    assert found is not None
    assert found.user.user_id == record.id
    assert await people.log_types() == ["ss"]


async def test_setting_a_password_keeps_only_the_session_it_is_told_to(people: TenantUnderTest) -> None:
    from freehold.domain.sessions import Device, create_session, sessions

    user = await people.add_user()
    async with people.store.transaction() as tx:
        kept, _ = await create_session(
            tx, people.tenant, user_id=user["user_id"], connection="db", client_id="a", device=Device()
        )
        await create_session(
            tx, people.tenant, user_id=user["user_id"], connection="db", client_id="a", device=Device()
        )
    database = await people.database()
    password = await prepare_password(
        people.store, people.tenant, people.services.passwords, database, password="Another-Horse-77", profile=user
    )
    async with people.store.transaction() as tx:
        await set_password(
            tx,
            people.tenant,
            user_id=user["user_id"],
            identity=user["user_id"],
            password=password,
            keep_session=kept.id,
        )

    left = await sessions.sessions_of(people.store, people.tenant, user["user_id"])
    assert [session.id for session in left] == [kept.id]


@pytest.mark.quick_on("sqlite")
@pytest.mark.parametrize(
    ("options", "password", "name"),
    [
        ({"passwordPolicy": "good"}, "alllowercase", "PasswordStrengthError"),
        ({"passwordPolicy": "fair"}, "NODIGITSNOLOWER1", "PasswordStrengthError"),
        ({"passwordPolicy": "excellent"}, "Aaaa-1234567", "PasswordStrengthError"),
        ({"passwordPolicy": "low"}, "short", "PasswordStrengthError"),
        (
            {"passwordPolicy": "low", "password_dictionary": {"enable": True, "dictionary": ["freehold"]}},
            "FreeHold",
            "PasswordDictionaryError",
        ),
        ({"passwordPolicy": "low", "password_dictionary": {"enable": True}}, "sunshine", "PasswordDictionaryError"),
        (
            {"passwordPolicy": "low", "password_no_personal_info": {"enable": True}},
            "xxLovelacexx",
            "PasswordNoUserInfoError",
        ),
    ],
)
async def test_a_password_that_breaks_a_rule_is_refused_by_name(
    people: TenantUnderTest, options: dict[str, Any], password: str, name: str
) -> None:
    await people.configure(**options)
    with pytest.raises(PasswordRefused) as refusal:
        await prepare_password(
            people.store, people.tenant, people.services.passwords, await people.database(), password=password,
            profile={"name": "Ada Lovelace", "email": "countess@example.com"},
        )  # fmt: skip
    assert refusal.value.name == name


@pytest.mark.quick_on("sqlite")
async def test_the_strength_refusal_says_which_rules_were_met(people: TenantUnderTest) -> None:
    await people.configure(passwordPolicy="good")
    with pytest.raises(PasswordRefused) as refusal:
        await prepare_password(
            people.store, people.tenant, people.services.passwords, await people.database(), password="abc", profile={}
        )
    description = refusal.value.description
    assert description["verified"] is False
    length, types = description["rules"]
    assert length == {
        "message": "At least %d characters in length", "format": [8], "code": "lengthAtLeast", "verified": False,
    }  # fmt: skip
    assert (types["code"], types["format"], types["verified"]) == ("containsAtLeast", [3, 4], False)
    assert [item["verified"] for item in types["items"] if item["code"] == "lowerCase"] == [True]
    assert refusal.value.policy.startswith("* At least 8 characters in length\n")


@pytest.mark.quick_on("sqlite")
async def test_claims_follow_the_scopes(people: TenantUnderTest) -> None:
    user = await people.add_user(given_name="Ada", email_verified=True)
    profile = await find_profile(people.store, people.tenant, user["user_id"])
    assert profile is not None

    assert claims_for(profile, {"openid"}) == {}
    assert claims_for(profile, {"email"}) == {"email": "ada@example.com", "email_verified": True}
    assert set(claims_for(profile, {"profile"})) == {"name", "given_name", "nickname", "picture", "updated_at"}
    assert claims_for(profile, {"phone", "address"}) == {}
