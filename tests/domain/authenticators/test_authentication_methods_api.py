"""`/users/{id}/authentication-methods`, enrollments and resets, in the forms that were recorded."""

from typing import Any
from urllib.parse import parse_qsl

import pytest

from freehold.domain.authenticators import factors_of
from freehold.domain.users import MFA_SECRETS
from freehold.kernel import vault
from tests.support.people import TenantUnderTest

pytestmark = pytest.mark.quick_on("sqlite")

SECRET = "5HCWXIP2MJNSUBGYVUZFLRB2HWIGXR4SYJQXNBQ"


async def ask(people: TenantUnderTest, method: str, path: str, body: Any = None, *, expect: int = 200) -> Any:
    path, _, text = path.partition("?")
    query: dict[str, Any] = dict(parse_qsl(text))
    reply = await people.api(method, path, body, **query)
    assert reply.status == expect, reply.body
    return reply.json() if reply.body else None


async def add(people: TenantUnderTest) -> tuple[str, str]:
    """A new user's id, and the path of their methods."""
    user_id = (await people.add_user())["user_id"]
    return user_id, f"users/{user_id}/authentication-methods"


async def test_an_address_is_shown_with_most_of_it_hidden(people: TenantUnderTest) -> None:
    _, path = await add(people)
    given = {"type": "email", "name": "Test", "email": "chuck334@example.com"}
    made = await ask(people, "POST", path, given, expect=201)
    expected = {"type": "email", "name": "Test", "created_at": made["created_at"], "email": "chuc****@exam*******"}

    assert made == {**expected, "id": made["id"]}
    assert made["id"].startswith("email|dev_")
    listed = await ask(people, "GET", f"{path}?include_totals=true&per_page=50")
    assert listed == {"authenticators": [{**made, "confirmed": True}], "total": 1, "start": 0, "limit": 50}
    assert await ask(people, "GET", f"{path}/{made['id']}") == {**made, "confirmed": True}
    assert await ask(people, "PATCH", f"{path}/{made['id']}", {"name": "Test2"}) == {**made, "name": "Test2"}
    await ask(people, "DELETE", f"{path}/{made['id']}", expect=204)
    assert await ask(people, "GET", f"{path}?include_totals=true&per_page=50") == {
        "authenticators": [],
        "start": 0,
        "limit": 50,
    }


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_all_methods_are_replaced_at_once(people: TenantUnderTest) -> None:
    _, path = await add(people)
    given = [
        {"type": "email", "name": "MyEmail", "email": "foo@example.com"},
        {
            "type": "phone",
            "name": "MyPhone",
            "phone_number": "+44207183875044",
            "preferred_authentication_method": "sms",
        },
        {"type": "totp", "name": "MyTotp", "totp_secret": SECRET},
    ]
    email, phone, totp = await ask(people, "PUT", path, given)

    assert (email["email"], phone["phone_number"]) == ("foo@example.com", "+44207183875044")
    device = phone["id"].partition("|")[2]
    assert phone["authentication_methods"] == [{"id": f"sms|{device}", "type": "sms"}]
    assert totp == {"id": totp["id"], "type": "totp", "name": "MyTotp", "created_at": totp["created_at"]}
    listed = {one["type"]: one for one in await ask(people, "GET", path)}
    assert listed["email"]["email"] == "****@exam*******"
    assert listed["phone"]["phone_number"] == "XXXXXXXXXXX5044"
    assert listed["totp"] == {**totp, "confirmed": True}

    again = await ask(people, "PUT", path, given[2:])
    assert [one["id"] for one in await ask(people, "GET", path)] == [again[0]["id"]]
    assert again[0]["id"] != totp["id"]
    await ask(people, "DELETE", path, expect=204)
    assert await ask(people, "GET", path) == []


async def test_a_totp_secret_comes_back_from_nowhere(people: TenantUnderTest) -> None:
    user_id, path = await add(people)
    made = await people.api("POST", path, {"type": "totp", "totp_secret": SECRET})
    texts = [made.body]
    for seen in (path, f"{path}/{made.json()['id']}", f"users/{user_id}", f"users/{user_id}/enrollments", "logs"):
        texts.append((await people.api("GET", seen)).body)

    assert made.status == 201
    assert not any(SECRET.encode() in text for text in texts)


async def test_what_cannot_be_a_factor_is_refused(people: TenantUnderTest) -> None:
    _, path = await add(people)
    for body in (
        {"type": "totp"},
        {"type": "totp", "totp_secret": "not base32!"},
        {"type": "phone", "phone_number": "0207"},
        {"type": "email", "email": "nobody"},
        {"type": "webauthn-roaming", "key_id": "a", "public_key": "b"},
        {"type": "horoscope"},
    ):
        await ask(people, "POST", path, body, expect=400)
    await ask(people, "POST", "users/auth0|nobody/authentication-methods", {"type": "totp"}, expect=404)
    await ask(people, "GET", f"{path}/totp|dev_nothing", expect=404)
    assert await ask(people, "GET", path) == []


async def test_the_same_factor_twice_is_a_conflict(people: TenantUnderTest) -> None:
    _, path = await add(people)
    for body in ({"type": "totp", "totp_secret": SECRET}, {"type": "phone", "phone_number": "+44207183875044"}):
        await ask(people, "POST", path, body, expect=201)
        refused = await ask(people, "POST", path, body, expect=409)
        assert refused["message"] == "Authentication method already exists."


async def test_how_codes_reach_a_phone_is_kept(people: TenantUnderTest) -> None:
    _, path = await add(people)
    given = {"type": "phone", "phone_number": "+44207183875044", "preferred_authentication_method": "voice"}
    made = await ask(people, "POST", path, given, expect=201)
    device = made["id"].partition("|")[2]
    assert made["authentication_methods"] == [{"id": f"voice|{device}", "type": "voice"}]
    changed = await ask(people, "PATCH", f"{path}/{made['id']}", {"preferred_authentication_method": "sms"})
    assert (changed["preferred_authentication_method"], changed["phone_number"]) == ("sms", "XXXXXXXXXXX5044")


async def test_a_user_cannot_be_given_factors_without_end(people: TenantUnderTest) -> None:
    _, path = await add(people)
    for number in range(20):
        await ask(people, "POST", path, {"type": "email", "email": f"a{number}@example.com"}, expect=201)
    refused = await ask(people, "POST", path, {"type": "email", "email": "b@example.com"}, expect=400)
    assert refused["errorCode"] == "too_many_authentication_methods"


async def test_enrollments_are_the_apps_under_other_names(people: TenantUnderTest) -> None:
    user_id, path = await add(people)
    assert await ask(people, "GET", f"users/{user_id}/enrollments") == []
    made = await ask(people, "POST", path, {"type": "totp", "name": "App", "totp_secret": SECRET}, expect=201)
    device = made["id"].partition("|")[2]

    shown = await ask(people, "GET", f"guardian/enrollments/{device}")
    assert shown == {"id": device, "status": "confirmed", "name": "App", "enrolled_at": made["created_at"]}
    assert await ask(people, "GET", f"users/{user_id}/enrollments") == [
        {**shown, "type": "totp", "auth_method": "authenticator"}
    ]
    await ask(people, "DELETE", f"guardian/enrollments/{device}", expect=204)
    assert await ask(people, "GET", path) == []


async def test_the_profile_says_that_there_is_a_second_factor(people: TenantUnderTest) -> None:
    user_id, path = await add(people)
    await ask(people, "POST", path, {"type": "totp", "totp_secret": SECRET}, expect=201)
    assert (await ask(people, "GET", f"users/{user_id}"))["multifactor"] == ["guardian"]
    await ask(people, "DELETE", f"users/{user_id}/multifactor/google-authenticator", expect=204)
    assert (await ask(people, "GET", f"users/{user_id}"))["multifactor"] == []
    assert await ask(people, "GET", path) == []


async def test_a_reset_takes_everything(people: TenantUnderTest) -> None:
    user_id, path = await add(people)
    await ask(people, "POST", path, {"type": "totp", "totp_secret": SECRET}, expect=201)
    await ask(people, "POST", f"users/{user_id}/recovery-code-regeneration", {})
    await ask(people, "DELETE", f"users/{user_id}/authenticators", expect=204)

    assert await ask(people, "GET", path) == []
    assert await vault.names_of(people.store, people.tenant, MFA_SECRETS.name, user_id) == []
    assert "gd_unenroll" in await people.log_types()


async def test_the_last_apps_recovery_code_goes_with_it(people: TenantUnderTest) -> None:
    user_id, path = await add(people)
    one = await ask(people, "POST", path, {"type": "totp", "totp_secret": SECRET}, expect=201)
    two = await ask(people, "POST", path, {"type": "totp", "totp_secret": SECRET[1:]}, expect=201)
    await ask(people, "POST", f"users/{user_id}/recovery-code-regeneration", {})

    await ask(people, "DELETE", f"{path}/{one['id']}", expect=204)
    assert {method["type"] for method in await ask(people, "GET", path)} == {"totp", "recovery-code"}
    await ask(people, "DELETE", f"{path}/{two['id']}", expect=204)
    assert await ask(people, "GET", path) == []


async def test_a_recovery_code_is_shown_once_and_kept_as_a_hash(people: TenantUnderTest) -> None:
    user_id, _ = await add(people)
    path = f"users/{user_id}/recovery-code-regeneration"
    one, two = [(await ask(people, "POST", path, {}))["recovery_code"] for _ in range(2)]
    stored = await vault.open_owned(people.store, people.tenant, MFA_SECRETS.name, user_id)

    assert one != two
    assert len(one) == 24
    assert list(stored) == ["recovery_code"]
    assert stored["recovery_code"].startswith(b"$2b$04$")
    await ask(people, "POST", "users/auth0|nobody/recovery-code-regeneration", {}, expect=404)


async def test_imported_factors_are_listed_with_ids_that_stay(people: TenantUnderTest) -> None:
    user_id, path = await add(people)
    async with people.store.transaction() as tx:
        for name, content in (
            ("totp", b'{"secret":"GEZDGNBVGY3TQOJQ"}'),
            ("otp", b'{"type":"otp","secret":"GEZDGNBVGY3TQOJQ"}'),
            ("recovery-code", b'{"type":"recovery-code","hash":"$2b$10$x"}'),
            ("phone", b'{"value":"+44207183875044"}'),
        ):
            await vault.put(tx, people.tenant, MFA_SECRETS.name, user_id, content, name=name)
    first = await ask(people, "GET", path)

    assert sorted(one["type"] for one in first) == ["phone", "recovery-code", "totp", "totp"]
    assert all(one["confirmed"] and "|dev_" in one["id"] for one in first)
    assert len({one["id"] for one in first}) == 4
    assert await ask(people, "GET", path) == first
    renamed = next(one["id"] for one in first if one["type"] == "phone")
    await ask(people, "PATCH", f"{path}/{renamed}", {"name": "Work"})
    assert (await ask(people, "GET", f"{path}/{renamed}"))["name"] == "Work"
    for one in first:
        if one["type"] != "recovery-code":
            await ask(people, "DELETE", f"{path}/{one['id']}", expect=204)
    assert (await factors_of(people.store, people.tenant, user_id)).all == ()
