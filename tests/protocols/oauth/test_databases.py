"""Sign-up and forgotten password for pages that draw their own forms."""

from typing import Any

import httpx
import pytest

from tests.support.applications import Application, make_application
from tests.support.in_process import Installation

SENT = "We've just sent you an email to reset your password."
INVALID = {
    "name": "BadRequestError",
    "code": "invalid_signup",
    "description": "Invalid sign up",
    "statusCode": 400,
}


@pytest.fixture(scope="module")
def app(installation: Installation) -> Application:
    return make_application(installation)


def sign_up(app: Application, email: str | None, **more: Any) -> httpx.Response:
    body = {"client_id": app.client_id, "connection": app.connection, "email": email, "password": "Good-pass-1"}
    body = {name: value for name, value in {**body, **more}.items() if value is not None}
    with app.http() as http:
        return http.post("/dbconnections/signup", json=body)


def test_a_new_account_is_told_its_id(app: Application) -> None:
    answer = sign_up(app, "grace@example.com", given_name="Grace", user_metadata={"plan": "silver"})
    told = answer.json()
    assert list(told) == ["_id", "email", "email_verified", "given_name", "user_metadata"]
    assert (told["email"], told["email_verified"]) == ("grace@example.com", False)
    assert app.manage("GET", f"/users/auth0|{told['_id']}")["given_name"] == "Grace"
    assert app.events(type="ss")


def test_an_address_that_is_taken(app: Application, installation: Installation) -> None:
    ada = app.add_user()
    taken = sign_up(app, ada.email)
    assert taken.status_code == 400
    assert taken.json() == {**INVALID, "code": "user_exists", "description": "The user already exists."}
    with installation.settings(flags={"enable_public_signup_user_exists_error": False}):
        assert sign_up(app, ada.email).json() == INVALID
    assert app.events(type="fs")


def test_a_weak_password_is_explained(app: Application) -> None:
    answer = sign_up(app, "weak@example.com", password="short")
    told = answer.json()
    assert answer.status_code == 400
    assert (told["name"], told["code"], told["statusCode"]) == ("PasswordStrengthError", "invalid_password", 400)
    assert told["message"] == "Password is too weak"
    assert told["description"]["verified"] is False
    assert told["description"]["rules"][0]["code"] == "lengthAtLeast"
    assert told["policy"].startswith("* At least 8 characters in length")


@pytest.mark.parametrize(
    "more",
    [
        {"email": "no address"},
        {"email": "x" * 400 + "@example.com"},
        {"user_metadata": {str(number): "x" for number in range(11)}},
        {"user_metadata": {"n" * 101: "x"}},
        {"user_metadata": {"n": "x" * 501}},
        {"user_metadata": {"n": {"deep": 1}}},
        {"user_metadata": ["x"]},
        {"nickname": "a\nb"},
        {"username": "grace"},
    ],
)
def test_what_strangers_may_store_is_bounded(app: Application, more: dict[str, Any]) -> None:
    answer = sign_up(app, **{"email": "odd@example.com", **more})
    assert (answer.status_code, answer.json()) == (400, INVALID)


def test_nobody_signs_up_as_more_than_themselves(app: Application) -> None:
    answer = sign_up(
        app, "mallory@example.com", email_verified=True, app_metadata={"admin": True}, blocked=False, user_id="x"
    )
    user = app.manage("GET", f"/users/auth0|{answer.json()['_id']}")
    assert user["email_verified"] is False
    assert "app_metadata" not in user


def test_sign_up_can_be_switched_off(installation: Installation) -> None:
    app = make_application(installation)
    app.change_connection(disable_signup=True)
    assert sign_up(app, "late@example.com").json()["code"] == "unauthorized"


def test_the_connection_must_be_the_clients(app: Application) -> None:
    assert sign_up(app, "x@example.com", connection="nowhere").json()["error"] == "invalid_request"
    assert sign_up(app, "x@example.com", connection="").json()["error"] == "invalid_request"


def test_asking_for_a_new_password_tells_nothing(app: Application, installation: Installation) -> None:
    ada = app.add_user()
    answers = []
    for email in (ada.email, "nobody@example.com"):
        body = {"client_id": app.client_id, "connection": app.connection, "email": email}
        with app.http() as http:
            answers.append(http.post("/dbconnections/change_password", json=body))
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, SENT)] * 2
    assert answers[0].headers["content-type"].startswith("text/html")
    installation.work()
    assert [mail["to"] for mail in mails(app) if mail["template"] == "reset_email"] == [ada.email]


def test_nobodys_inbox_is_flooded(app: Application, installation: Installation) -> None:
    ada = app.add_user()
    with app.http() as http:
        for _ in range(8):
            body = {"client_id": app.client_id, "connection": app.connection, "email": ada.email}
            assert http.post("/dbconnections/change_password", json=body).text == SENT
    installation.work()
    assert len([mail for mail in mails(app) if mail["to"] == ada.email and mail["template"] == "reset_email"]) == 5


def test_links_in_mails_lead_to_the_issuer_only(app: Application, installation: Installation) -> None:
    """Zitadel CVE-2025-64101"""
    ada = app.add_user()
    with app.http() as http:
        body = {"client_id": app.client_id, "connection": app.connection, "email": ada.email}
        forged = {"x-forwarded-host": "evil.test", "forwarded": "host=evil.test"}
        http.post("/dbconnections/change_password", json=body, headers=forged)
    installation.work()
    [text] = [mail["text"] for mail in mails(app) if mail["to"] == ada.email and mail["template"] == "reset_email"]
    assert f"{app.issuer}u/reset-password?ticket=" in text
    assert "evil.test" not in text


def mails(app: Application) -> list[dict[str, Any]]:
    with app.http(ip="127.0.0.1") as http:
        found: list[dict[str, Any]] = http.get("/outbox.json").json()
    return found
