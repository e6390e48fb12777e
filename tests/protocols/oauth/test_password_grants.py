"""Password grants, what guessing leads to, and what strangers can learn (threats: enumeration, lockout)."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.applications import Application, User, make_application, read_claims
from tests.support.in_process import Installation

REALM = "http://auth0.com/oauth/grant-type/password-realm"
WRONG = {"error": "invalid_grant", "error_description": "Wrong email or password."}
BLOCKED = {
    "error": "too_many_attempts",
    "error_description": "Your account has been blocked after multiple consecutive login attempts. We've sent you a "
    "notification via your preferred contact method with instructions on how to unblock it.",
}


@pytest.fixture(scope="module")
def app(installation: Installation) -> Application:
    return make_application(installation)


@pytest.fixture
def ada(app: Application) -> User:
    return app.add_user()


def log_in(app: Application, user: User, password: str | None = None, **params: Any) -> httpx.Response:
    """The realm grant."""
    given = {"username": user.email, "password": password or user.password, "realm": app.connection, **params}
    return app.token(REALM, **given)


def from_address(app: Application, ip: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    full = {"grant_type": REALM, "realm": app.connection, **app.credentials(), **body}
    with app.http(ip=ip) as http:
        return http.post("/oauth/token", data=full, headers=headers)


def test_a_realm_names_the_connection(app: Application, ada: User) -> None:
    answer = log_in(app, ada, scope="openid email offline_access", audience=app.audience)

    tokens = answer.json()
    assert list(tokens) == ["access_token", "refresh_token", "id_token", "scope", "expires_in", "token_type"]
    claims = read_claims(tokens["access_token"])
    assert (claims["sub"], claims["gty"], claims["azp"]) == (ada.user_id, "password", app.client_id)
    assert read_claims(tokens["id_token"])["email"] == ada.email
    assert app.refresh(tokens["refresh_token"]).status_code == 200
    event = app.events(type="sepft")[0]
    assert (event["user_id"], event["connection"], event["strategy"]) == (ada.user_id, app.connection, "auth0")


def test_the_password_grant_uses_the_default_directory(app: Application, ada: User, installation: Installation) -> None:
    refused = app.token("password", username=ada.email, password=ada.password)
    assert refused.json() == {
        "error": "access_denied",
        "error_description": "Authorization server not configured with default connection.",
    }
    with installation.settings(default_directory=app.connection):
        answer = app.token("password", username=ada.email, password=ada.password)
    assert answer.status_code == 200
    assert answer.json()["scope"] == "openid profile email address phone"


def test_without_scope_the_application_gets_what_there_is(app: Application, ada: User) -> None:
    answer = log_in(app, ada, audience=app.audience)
    assert answer.json()["scope"] == "openid profile email address phone read:orders write:orders"


def test_a_successful_sign_in_is_noted_with_the_user(app: Application, ada: User) -> None:
    log_in(app, ada)
    log_in(app, ada)
    shown = app.manage("GET", f"/users/{ada.user_id}")
    assert shown["logins_count"] == 2
    assert shown["last_ip"] == "192.0.2.7"


@pytest.mark.parametrize(
    ("params", "description"),
    [
        ({"username": None}, "Missing required parameter: username"),
        ({"password": None}, "Missing required parameter: password"),
        ({"realm": None}, "Missing required parameter: realm"),
        ({"realm": "nowhere"}, "the connection was not found"),
        ({"username": "u" * 9000}, "username parameter is too long"),
        ({"password": "p" * 9000}, "password parameter is too long"),
    ],
)
def test_a_bad_request(app: Application, ada: User, params: dict[str, Any], description: str) -> None:
    answer = app.token(REALM, **{"username": ada.email, "password": "x", "realm": app.connection, **params})
    assert (answer.status_code, answer.json()) == (
        400, {"error": "invalid_request", "error_description": description},
    )  # fmt: skip


def test_a_connection_that_is_not_the_clients(app: Application, installation: Installation) -> None:
    other = make_application(installation)
    clients = [{"client_id": app.client_id, "status": False}]
    other.manage("PATCH", f"/connections/{other.connection_id}/clients", clients)
    answer = app.token(REALM, username="x", password="x", realm=other.connection)
    assert answer.json() == {"error": "invalid_request", "error_description": "the connection was disabled"}


def test_unknown_user_and_wrong_password_are_the_same(app: Application, ada: User) -> None:
    wrong = log_in(app, ada, "wrong")
    unknown = app.token(REALM, username="nobody@example.com", password="wrong", realm=app.connection)

    assert (wrong.status_code, wrong.json()) == (403, WRONG)
    assert (unknown.status_code, unknown.json()) == (403, WRONG)
    volatile = {"x-request-id", "date"}
    assert {k: v for k, v in wrong.headers.items() if k not in volatile} == {
        k: v for k, v in unknown.headers.items() if k not in volatile
    }
    assert app.events(type="fepft")[0]["description"] == "Wrong email or password."


def test_unknown_users_cost_a_hash_as_well(app: Application, installation: Installation) -> None:
    """In equal time: what is counted is the work, not the clock."""
    from freehold.kernel.crypto import passwords

    pool, seen = installation.services.passwords, []
    original = pool.verify

    async def verify(stored: str, password: str) -> bool:
        seen.append(stored)
        return await original(stored, password)

    pool.verify = verify  # type: ignore[method-assign]
    try:
        app.token(REALM, username="nobody2@example.com", password="wrong", realm=app.connection)
    finally:
        pool.verify = original  # type: ignore[method-assign]
    assert seen == [passwords.dummy_of(passwords.HashPolicy(cost=installation.services.settings.bcrypt_cost))]


def test_a_blocked_user_is_told_so_only_with_the_right_password(app: Application, ada: User) -> None:
    app.manage("PATCH", f"/users/{ada.user_id}", {"blocked": True})
    assert log_in(app, ada, "wrong").json() == WRONG
    right = log_in(app, ada)
    assert (right.status_code, right.json()) == (
        403, {"error": "unauthorized", "error_description": "user is blocked"},
    )  # fmt: skip


@pytest.mark.parametrize("spelling", ["upper", "spaces"])
def test_the_address_is_found_however_it_is_typed(app: Application, ada: User, spelling: str) -> None:
    typed = {"upper": ada.email.upper(), "spaces": f"  {ada.email} "}[spelling]
    assert app.token(REALM, username=typed, password=ada.password, realm=app.connection).status_code == 200


# --- guessing ------------------------------------------------------------------------------------------------------


def test_ten_wrong_passwords_block_the_place_even_for_the_right_one(app: Application, ada: User) -> None:
    for _ in range(10):
        assert log_in(app, ada, "wrong").json() == WRONG

    blocked = log_in(app, ada)

    assert (blocked.status_code, blocked.json()) == (429, BLOCKED)
    assert int(blocked.headers["retry-after"]) > 0
    assert app.events(type="limit_wc")[0]["user_id"] == ada.user_id
    elsewhere = from_address(app, "198.51.100.9", {"username": ada.email, "password": ada.password})
    assert elsewhere.status_code == 200


def test_a_user_who_does_not_exist_is_blocked_alike(app: Application) -> None:
    """A block must not tell who has an account."""
    nobody = User("", "nobody3@example.com", "wrong")
    answers = [log_in(app, nobody) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [403] * 10 + [429]
    assert answers[-1].json() == BLOCKED


def test_other_spellings_of_a_name_are_the_same_name(app: Application, ada: User) -> None:
    name, _, domain = ada.email.partition("@")
    spellings = [ada.email, ada.email.upper(), f" {ada.email}", f"{ada.email}  ", f"{name}@{domain.upper()}"]
    for number in range(10):
        log_in(app, User("", spellings[number % 5], "wrong"))
    assert log_in(app, ada).status_code == 429


def test_addresses_of_one_ipv6_network_are_one_place(app: Application, ada: User) -> None:
    for number in range(10):
        from_address(app, f"2001:db8::{number:x}", {"username": ada.email, "password": "wrong"})

    body = {"username": ada.email, "password": ada.password}
    assert from_address(app, "2001:db8::ffff:1", body).status_code == 429
    assert from_address(app, "2001:db8:0:1::1", body).status_code == 200


def test_forwarded_addresses_of_strangers_do_not_count(app: Application, ada: User) -> None:
    """authentik CVE-2024-47070"""
    for number in range(10):
        forged = {"x-forwarded-for": f"203.0.113.{number}", "x-real-ip": f"203.0.113.{number}",
                  "auth0-forwarded-for": f"203.0.113.{number}"}  # fmt: skip
        from_address(app, "192.0.2.8", {"username": ada.email, "password": "wrong"}, **forged)
    assert from_address(app, "192.0.2.8", {"username": ada.email, "password": ada.password}).status_code == 429


def test_a_trusted_application_says_where_the_user_is(installation: Installation) -> None:
    app = make_application(installation, is_token_endpoint_ip_header_trusted=True)
    ada = app.add_user()
    for _ in range(10):
        from_address(app, "192.0.2.8", {"username": ada.email, "password": "wrong"}, **{
            "auth0-forwarded-for": "203.0.113.5"})  # fmt: skip
    body = {"username": ada.email, "password": ada.password}
    assert from_address(app, "192.0.2.8", body, **{"auth0-forwarded-for": "203.0.113.5"}).status_code == 429
    assert from_address(app, "192.0.2.8", body, **{"auth0-forwarded-for": "203.0.113.6"}).status_code == 200


def test_a_right_password_makes_failures_count_from_nothing(app: Application, ada: User) -> None:
    for _ in range(9):
        log_in(app, ada, "wrong")
    assert log_in(app, ada).status_code == 200
    for _ in range(9):
        log_in(app, ada, "wrong")
    assert log_in(app, ada).status_code == 200


def test_guesses_sent_at_once_gain_nothing(app: Application, ada: User) -> None:
    """Devise CVE-2019-5421: the place is taken before the password is looked at; each process may exceed by one."""
    with ThreadPoolExecutor(20) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _: log_in(app, ada, "wrong"), range(30))]
    assert 10 <= statuses.count(403) <= 11
    assert statuses.count(429) == 30 - statuses.count(403)


def test_right_passwords_sent_at_once_all_count(app: Application, ada: User) -> None:
    with ThreadPoolExecutor(9) as pool:
        statuses = {answer.status_code for answer in pool.map(lambda _: log_in(app, ada), range(9))}
    assert statuses == {200}
    assert log_in(app, ada).status_code == 200


def test_a_block_ends_after_thirty_days(app: Application, installation: Installation) -> None:
    bob = app.add_user()
    for _ in range(10):
        log_in(app, bob, "wrong")
    installation.advance(30 * 86_400 - 1)
    assert log_in(app, bob).status_code == 429
    installation.advance(1)
    assert log_in(app, bob).status_code == 200


def test_a_new_password_unblocks(app: Application, ada: User) -> None:
    for _ in range(10):
        log_in(app, ada, "wrong")
    app.manage("PATCH", f"/users/{ada.user_id}", {"password": "Brand-new-6-battery"})
    assert log_in(app, ada, "Brand-new-6-battery").status_code == 200


def test_the_link_in_the_mail_unblocks(app: Application, ada: User, installation: Installation) -> None:
    for _ in range(11):
        log_in(app, ada, "wrong")
    installation.work()
    [mail] = [one for one in outbox(app) if one["to"] == ada.email and one["template"] == "blocked_account"]
    link = next(word for word in mail["text"].split() if "ticket=" in word)
    browser = app.browser()

    page = browser.open(link)
    assert log_in(app, ada).status_code == 429
    page = browser.submit(page)

    assert "unblocked" in page.text
    assert log_in(app, ada).status_code == 200
    assert browser.open(link).text.startswith("This link does not work")


def test_a_connection_can_do_without_protection(installation: Installation) -> None:
    app = make_application(installation)
    app.change_connection(brute_force_protection=False)
    ada = app.add_user()
    for _ in range(12):
        assert log_in(app, ada, "wrong").json() == WRONG
    assert log_in(app, ada).status_code == 200


def outbox(app: Application) -> list[dict[str, Any]]:
    """The mails, as somebody at the machine reads them."""
    with app.http(ip="127.0.0.1") as http:
        mails: list[dict[str, Any]] = http.get("/outbox.json").json()
    return mails
