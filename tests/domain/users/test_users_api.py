"""Users in the Management API, in the forms and words that were recorded."""

import hashlib

import pytest

from freehold.domain.users import find_for_login, verify_password
from tests.support.people import DATABASE, PASSWORD, TenantUnderTest


async def signs_in(people: TenantUnderTest, identifier: str, password: str = PASSWORD) -> bool:
    found = await find_for_login(people.store, people.tenant, await people.database(), identifier)
    done = await verify_password(people.store, people.tenant, people.services.passwords, found, password)
    return done.ok


async def test_a_new_user_is_answered_as_recorded(people: TenantUnderTest) -> None:
    await people.with_usernames()
    reply = await people.api(
        "POST",
        "users",
        {
            "connection": DATABASE,
            "email": "Chuck782@Example.com",
            "given_name": "Chuck",
            "family_name": "Sanchez",
            "username": "test-user438",
            "nickname": "Chucky",
            "password": "Passwords hide their chuck",
            "user_metadata": {"favourite_attack": "roundhouse_kick"},
            "verify_email": False,
            "app_metadata": {"facts": ["count_to_infinity_twice"]},
            "picture": "https://example-picture-url.jpg",
            "blocked": False,
            "email_verified": True,
        },
    )

    assert reply.status == 201
    user = reply.json()
    own_id = user["user_id"].removeprefix("auth0|")
    assert user == {
        "blocked": False,
        "created_at": "2026-01-01T00:00:00.000Z",
        "email": "chuck782@example.com",
        "email_verified": True,
        "family_name": "Sanchez",
        "given_name": "Chuck",
        "identities": [{"connection": DATABASE, "user_id": own_id, "provider": "auth0", "isSocial": False}],
        "name": "chuck782@example.com",
        "nickname": "Chucky",
        "picture": "https://example-picture-url.jpg",
        "updated_at": "2026-01-01T00:00:00.000Z",
        "user_id": f"auth0|{own_id}",
        "user_metadata": {"favourite_attack": "roundhouse_kick"},
        "username": "test-user438",
        "app_metadata": {"facts": ["count_to_infinity_twice"]},
    }
    assert len(own_id) == 24
    assert (await people.api("GET", f"users/{user['user_id']}")).json() == user
    assert await signs_in(people, "chuck782@example.com", "Passwords hide their chuck")


@pytest.mark.quick_on("sqlite")
async def test_name_nickname_and_picture_follow_from_the_address(people: TenantUnderTest) -> None:
    user = await people.add_user("auzironian@example.com")

    digest = hashlib.md5(b"auzironian@example.com").hexdigest()
    assert (user["name"], user["nickname"], user["email_verified"]) == ("auzironian@example.com", "auzironian", False)
    assert user["picture"] == (
        f"https://s.gravatar.com/avatar/{digest}?s=480&r=pg&d=https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fau.png"
    )


async def test_a_given_id_gets_the_prefix_and_is_unique(people: TenantUnderTest) -> None:
    user = await people.add_user(user_id="x-1")
    assert user["user_id"] == "auth0|x-1"
    body = {"connection": DATABASE, "email": "other@example.com", "password": PASSWORD, "user_id": "x-1"}
    assert (await people.api("POST", "users", body)).status == 409


async def test_the_same_address_clashes_in_any_case(people: TenantUnderTest) -> None:
    await people.add_user("ada@example.com")
    reply = await people.api(
        "POST", "users", {"connection": DATABASE, "email": "ADA@Example.COM", "password": PASSWORD}
    )
    assert reply.status == 409
    assert reply.json() == {
        "statusCode": 409,
        "error": "Conflict",
        "message": "The user already exists.",
        "errorCode": "auth0_idp_error",
    }


async def test_a_user_name_cannot_be_someone_elses_address(people: TenantUnderTest) -> None:
    await people.with_usernames()
    await people.add_user("ada@example.com", username="ada")
    for email, username in (("eve@example.com", "ada@example.com"), ("ADA@x.test", "Ada"), ("eve@x.test", "ＡＤＡ")):
        body = {"connection": DATABASE, "email": email, "username": username, "password": PASSWORD}
        assert (await people.api("POST", "users", body)).status == 409, username
    await people.add_user("bob@example.com", username="carol@example.com")
    body = {"connection": DATABASE, "email": "carol@example.com", "username": "c", "password": PASSWORD}
    assert (await people.api("POST", "users", body)).status == 409


@pytest.mark.quick_on("sqlite")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"connection": "nowhere"}, "Connection does not exist."),
        ({"connection": None}, "Payload validation error: 'Missing required property: connection'."),
        ({"password": None}, "Payload validation error: 'Missing required property: password'."),
        ({"email": None}, "Payload validation error: 'Missing required property: email'."),
        ({"username": "ada"}, "Cannot set username for connection without requires_username."),
        ({"surprise": 1}, "Payload validation error: 'Additional properties not allowed: surprise'."),
        ({"email": "not an address"}, "Payload validation error: 'Object didn't pass validation for format email: "
         "not an address' on property email."),
        ({"blocked": "yes"}, "Payload validation error: 'Expected type boolean but found type string' on property "
         "blocked."),
        ({"phone_number": "123"}, r"Payload validation error: 'String does not match pattern ^\+[0-9]{1,15}$' on "
         "property phone_number."),
        ({"user_id": "a b"}, r"Payload validation error: 'String does not match pattern ^\S*$' on property user_id."),
        ({"given_name": ""}, "Payload validation error: 'String is too short, minimum 1' on property given_name."),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_a_new_user_is_said(
    people: TenantUnderTest, change: dict[str, object], message: str
) -> None:
    body = {"connection": DATABASE, "email": "ada@example.com", "password": PASSWORD, **change}
    reply = await people.api("POST", "users", {name: value for name, value in body.items() if value is not None})
    assert (reply.status, reply.json()["message"]) == (400, message)
    assert await people.store.all("select 1 from users") == []


async def test_a_connection_that_no_application_uses_takes_no_users(people: TenantUnderTest) -> None:
    made = await people.api("POST", "connections", {"name": "lonely", "strategy": "auth0"})
    assert made.status == 201, made.body
    reply = await people.api("POST", "users", {"connection": "lonely", "email": "a@b.test", "password": PASSWORD})
    assert (reply.status, reply.json()["message"]) == (400, "Connection is disabled.")


@pytest.mark.quick_on("sqlite")
async def test_a_weak_password_is_refused_in_auth0s_words(people: TenantUnderTest) -> None:
    body = {"connection": DATABASE, "email": "ada@example.com", "password": "short"}
    reply = await people.api("POST", "users", body)
    assert (reply.status, reply.json()["message"]) == (400, "PasswordStrengthError: Password is too weak")


@pytest.mark.quick_on("sqlite")
@pytest.mark.parametrize("password", ["ä" * 37 + "A1", "Ab1" + "x" * 70, "Ab1\0xxxxxxx"])
async def test_a_password_that_bcrypt_would_cut_is_refused(people: TenantUnderTest, password: str) -> None:
    body = {"connection": DATABASE, "email": "ada@example.com", "password": password}
    assert (await people.api("POST", "users", body)).status == 400


async def test_metadata_merges_one_level_and_null_removes(people: TenantUnderTest) -> None:
    user = await people.add_user(user_metadata={"a": {"x": 1}, "b": 2, "gone": None})
    assert user["user_metadata"] == {"a": {"x": 1}, "b": 2}
    path = f"users/{user['user_id']}"

    changed = (await people.api("PATCH", path, {"user_metadata": {"a": {"y": 1}, "b": None, "c": 3}})).json()
    assert changed["user_metadata"] == {"a": {"y": 1}, "c": 3}
    fresh = (await people.api("PATCH", path, {"app_metadata": {"plan": "pro", "none": None}})).json()
    assert fresh["app_metadata"] == {"plan": "pro"}
    emptied = (await people.api("PATCH", path, {"user_metadata": {}})).json()
    assert emptied["user_metadata"] == {}


@pytest.mark.quick_on("sqlite")
@pytest.mark.parametrize(
    ("body", "pair"),
    [
        ({"password": "Another-Horse-9-Battery", "email": "b@x.test"}, "password and email"),
        ({"password": "Another-Horse-9-Battery", "email_verified": True}, "password and email_verified"),
        ({"username": "u", "email": "b@x.test"}, "username and email"),
        ({"username": "u", "email_verified": True}, "username and email_verified"),
        ({"username": "u", "password": "Another-Horse-9-Battery"}, "username and password"),
    ],
)
async def test_what_cannot_change_together(people: TenantUnderTest, body: dict[str, object], pair: str) -> None:
    user = await people.add_user()
    reply = await people.api("PATCH", f"users/{user['user_id']}", body)
    assert (reply.status, reply.json()["message"]) == (400, f"Cannot update {pair} simultaneously")


async def test_a_new_address_is_unverified_and_names_follow_it(people: TenantUnderTest) -> None:
    user = await people.add_user("ada@example.com", email_verified=True)
    path = f"users/{user['user_id']}"

    changed = (await people.api("PATCH", path, {"email": "Lovelace@Example.com"})).json()

    assert (changed["email"], changed["email_verified"]) == ("lovelace@example.com", False)
    assert (changed["name"], changed["nickname"]) == ("lovelace@example.com", "lovelace")
    assert await signs_in(people, "lovelace@example.com")
    assert not await signs_in(people, "ada@example.com")
    kept = (await people.api("PATCH", path, {"email": "third@example.com", "email_verified": True})).json()
    assert kept["email_verified"] is True


async def test_a_changed_address_must_be_free(people: TenantUnderTest) -> None:
    await people.add_user("ada@example.com")
    bob = await people.add_user("bob@example.com")
    reply = await people.api("PATCH", f"users/{bob['user_id']}", {"email": "ADA@example.com"})
    assert reply.status == 409


async def test_a_new_password_works_and_closes_what_the_old_one_opened(people: TenantUnderTest) -> None:
    from freehold.domain.sessions import Device, RefreshPolicy, create_session, issue_refresh_token

    user = await people.add_user()
    async with people.store.transaction() as tx:
        await create_session(
            tx, people.tenant, user_id=user["user_id"], connection=DATABASE, client_id="app", device=Device()
        )
        await issue_refresh_token(
            tx, people.tenant, user_id=user["user_id"], client_id="app", connection=DATABASE, resource_servers=[],
            policy=RefreshPolicy(), device=Device(),
        )  # fmt: skip
    people.clock.advance(seconds=5)

    body = {"connection": DATABASE, "password": "I don't need one", "app_metadata": {"foo": "bar"}}
    changed = await people.api("PATCH", f"users/{user['user_id']}", body)

    assert changed.status == 200
    assert changed.json()["last_password_reset"] == changed.json()["updated_at"] == "2026-01-01T00:00:05.000Z"
    assert changed.json()["app_metadata"] == {"foo": "bar"}
    assert not await signs_in(people, "ada@example.com")
    assert await signs_in(people, "ada@example.com", "I don't need one")
    assert await people.store.all("select 1 from sessions") == []
    assert await people.store.all("select 1 from refresh_tokens") == []


@pytest.mark.quick_on("sqlite")
async def test_earlier_passwords_are_refused_while_the_connection_remembers_them(people: TenantUnderTest) -> None:
    await people.configure(password_history={"enable": True, "size": 2}, passwordPolicy="good")
    user = await people.add_user()
    path = f"users/{user['user_id']}"

    again = await people.api("PATCH", path, {"password": PASSWORD})
    assert (again.status, again.json()["message"]) == (
        400,
        "PasswordHistoryError: Password has previously been used",
    )
    for password in ("Second-Horse-9", "Third-Horse-99"):
        assert (await people.api("PATCH", path, {"password": password})).status == 200
    assert (await people.api("PATCH", path, {"password": "Second-Horse-9"})).status == 400
    assert (await people.api("PATCH", path, {"password": PASSWORD})).status == 200


async def test_names_can_be_removed(people: TenantUnderTest) -> None:
    user = await people.add_user(given_name="Ada", family_name="L")
    changed = (await people.api("PATCH", f"users/{user['user_id']}", {"given_name": None})).json()
    assert "given_name" not in changed
    assert changed["family_name"] == "L"


async def test_the_last_identifier_cannot_be_removed(people: TenantUnderTest) -> None:
    user = await people.add_user()
    assert (await people.api("PATCH", f"users/{user['user_id']}", {"email": None})).status == 400


async def test_an_unknown_user_is_not_found_in_recorded_words(people: TenantUnderTest) -> None:
    expected = {
        "statusCode": 404,
        "error": "Not Found",
        "message": "The user does not exist.",
        "errorCode": "inexistent_user",
    }
    assert (await people.api("GET", "users/auth0|nobody")).json() == expected
    assert (await people.api("PATCH", "users/auth0|nobody", {"name": "x"})).json() == expected
    assert (await people.api("DELETE", "users/auth0|nobody")).status == 204


async def test_a_deleted_user_is_gone_and_the_address_free(people: TenantUnderTest) -> None:
    user = await people.add_user()
    reply = await people.api("DELETE", f"users/{user['user_id']}")
    assert (reply.status, reply.body) == (204, b"")
    assert (await people.api("GET", f"users/{user['user_id']}")).status == 404
    assert not await signs_in(people, "ada@example.com")
    again = await people.add_user()
    assert again["user_id"] != user["user_id"]
    assert "sdu" in await people.log_types()


async def test_users_by_email_is_exact(people: TenantUnderTest) -> None:
    user = await people.add_user("auzironian@example.com")
    assert (await people.api("GET", "users-by-email", email="auzironian@example.com")).json() == [user]
    assert (await people.api("GET", "users-by-email", email="AUZIRONIAN@example.com")).json() == []
    assert (await people.api("GET", "users-by-email")).status == 400


async def test_users_are_listed_in_pages_with_chosen_fields(people: TenantUnderTest) -> None:
    for number in range(3):
        await people.add_user(f"u{number}@example.com")

    page = (await people.api("GET", "users", per_page=2, include_totals="true", fields="email")).json()
    rest = (await people.api("GET", "users", per_page=2, page=1, fields="email,name", include_fields="false")).json()

    assert page == {
        "start": 0, "limit": 2, "length": 2, "total": 3,
        "users": [{"email": "u0@example.com"}, {"email": "u1@example.com"}],
    }  # fmt: skip
    assert [("email" in user, "user_id" in user) for user in rest] == [(False, True)]
    assert (await people.api("GET", "users", connection="other")).json() == []


@pytest.mark.quick_on("sqlite")
async def test_old_search_engines_are_refused(people: TenantUnderTest) -> None:
    reply = await people.api("GET", "users", search_engine="v2")
    assert reply.json()["message"] == "You are not allowed to use search_engine=v2. Use search_engine=v3 instead."


@pytest.mark.quick_on("sqlite")
async def test_a_users_own_token_reaches_only_that_user(people: TenantUnderTest) -> None:
    ada = (await people.add_user("ada@example.com"))["user_id"]
    bob = (await people.add_user("bob@example.com"))["user_id"]
    own = {"read:current_user", "update:current_user_metadata"}

    assert (await people.api("GET", f"users/{ada}", scopes=own, subject=ada)).status == 200
    refused = await people.api("GET", f"users/{bob}", scopes=own, subject=ada)
    assert (refused.status, refused.json()["message"]) == (
        403,
        "User to be acted on does not match subject in bearer token.",
    )
    change = {"user_metadata": {"theme": "dark"}}
    assert (await people.api("PATCH", f"users/{ada}", change, scopes=own, subject=ada)).status == 200
    assert (await people.api("PATCH", f"users/{bob}", change, scopes=own, subject=ada)).status == 403
    assert (await people.api("PATCH", f"users/{ada}", {"blocked": False}, scopes=own, subject=ada)).status == 403
    narrow = {"update:users_app_metadata"}
    assert (await people.api("PATCH", f"users/{bob}", {"app_metadata": {"a": 1}}, scopes=narrow)).status == 200
    assert (await people.api("PATCH", f"users/{bob}", {"email": "x@y.test"}, scopes=narrow)).status == 403


async def test_password_hashes_are_in_no_answer(people: TenantUnderTest) -> None:
    user = await people.add_user()
    bodies = [
        (await people.api("GET", path)).body
        for path in (f"users/{user['user_id']}", "users", "logs", f"users/{user['user_id']}/logs")
    ]
    rows = [
        str(row)
        for table in ("users", "logs", "work_queue")
        for row in await people.store.all(f"select * from {table}")
    ]
    for text in [*map(str, bodies), *rows]:
        assert "$2b$" not in text
        assert PASSWORD not in text


async def test_changes_are_in_the_log(people: TenantUnderTest) -> None:
    user = await people.add_user()
    await people.api("PATCH", f"users/{user['user_id']}", {"email": "b@example.com"})
    assert await people.log_types() == ["ss", "sapi", "sce", "sapi"]
    entries = (await people.api("GET", "logs", per_page=10)).json()
    assert [entry["description"] for entry in entries if entry["type"] == "sapi"] == ["Update a User", "Create a User"]


async def test_odd_user_ids_are_found_when_they_are_encoded(people: TenantUnderTest) -> None:
    for own_id in ("a%b", "x?y#z", "ü", "|", "a+b"):
        email = f"u{abs(hash(own_id))}@example.com"
        user = await people.add_user(email, user_id=own_id)
        assert (await people.api("GET", f"users/{user['user_id']}")).json()["email"] == email


@pytest.mark.quick_on("sqlite")
async def test_the_second_factor_of_the_older_kind_is_taken_off(people: TenantUnderTest) -> None:
    user = await people.add_user()
    path = f"users/{user['user_id']}/multifactor"
    assert (await people.api("DELETE", f"{path}/google-authenticator")).status == 204
    assert (await people.api("DELETE", f"{path}/sms")).status == 400
    assert (await people.api("POST", f"{path}/actions/invalidate-remember-browser")).status == 204
    assert (await people.api("DELETE", "users/auth0|nobody/multifactor/duo")).status == 404


async def test_a_user_is_removed_from_a_database_by_address(people: TenantUnderTest) -> None:
    user = await people.add_user("a@example.com")
    database = (await people.api("GET", "connections")).json()[0]["id"]
    for address in ("A@Example.com", "nobody@example.com"):
        assert (await people.api("DELETE", f"connections/{database}/users", email=address)).status == 204
    assert (await people.api("GET", f"users/{user['user_id']}")).status == 404
    assert (await people.api("DELETE", f"connections/{database}/users")).status == 400
    missing = await people.api("DELETE", "connections/con_0000000000000000/users", email="a@example.com")
    assert (missing.status, missing.json()["message"]) == (400, "The connection does not exist")


async def test_a_change_counts_only_for_the_version_its_sender_has_seen(people: TenantUnderTest) -> None:
    """RFC 9110 section 13.1.1: of two administrators who change one user at once, one is told."""
    user = await people.add_user()
    path = f"users/{user['user_id']}"
    etag = (await people.api("GET", path)).header("etag")
    assert etag is not None

    first = await people.api("PATCH", path, {"given_name": "Ada"}, headers={"if-match": etag})
    second = await people.api("PATCH", path, {"given_name": "Bob"}, headers={"if-match": etag})

    assert (first.status, second.status) == (200, 412)
    assert (await people.api("GET", path)).json()["given_name"] == "Ada"


async def test_users_go_with_their_connection(people: TenantUnderTest) -> None:
    clients = (await people.api("GET", "clients")).json()
    body = {"name": "old", "strategy": "auth0", "enabled_clients": [clients[0]["client_id"]]}
    made = (await people.api("POST", "connections", body)).json()
    await people.add_user("ada@example.com", connection="old")
    await people.add_user("bob@example.com")

    assert (await people.api("DELETE", f"connections/{made['id']}")).status == 202
    people.clock.advance(seconds=1)
    await people.api("POST", "connections", body)
    fresh = await people.add_user("new@example.com", connection="old")
    await people.run_jobs()

    left = [user["email"] for user in (await people.api("GET", "users")).json()]
    assert sorted(left) == ["bob@example.com", fresh["email"]]


@pytest.mark.quick_on("sqlite")
@pytest.mark.parametrize(
    "raw",
    [
        b'{"connection":"x","connection":"y"}',
        b'{"user_metadata":{"a":"\\u0000"}}',
        b'{"user_metadata":' + b'{"a":' * 200 + b"1" + b"}" * 201,
        b'{"email":"\\ud800"}',
        b"[1]",
        b"{",
        b"\xff",
    ],
)
async def test_a_body_that_readers_would_read_differently_is_refused(people: TenantUnderTest, raw: bytes) -> None:
    assert (await people.api("POST", "users", raw=raw)).status == 400
