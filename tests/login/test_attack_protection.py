"""What a tenant's attack protection does to those who guess, over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.support.applications import Application, User
from tests.support.hosted_pages import BrowserSession
from tests.support.in_process import Installation

REALM = "http://auth0.com/oauth/grant-type/password-realm"
SUSPICIOUS = (
    "We have detected suspicious login behavior and further attempts will be blocked. Please contact the administrator."
)


@contextmanager
def protected(app: Application, name: str, **settings: Any) -> Iterator[None]:
    """For a while, with these settings."""
    before = app.manage("GET", f"/attack-protection/{name}")
    app.manage("PATCH", f"/attack-protection/{name}", settings)
    try:
        yield
    finally:
        app.manage("PATCH", f"/attack-protection/{name}", before)


def log_in(app: Application, user: User, password: str | None = None, *, ip: str) -> httpx.Response:
    body = {
        "grant_type": REALM, "realm": app.connection, "username": user.email,
        "password": user.password if password is None else password, **app.credentials(),
    }  # fmt: skip
    with app.installation.client(ip=ip) as http:
        return http.post("/oauth/token", data=body)


def test_an_address_that_guesses_across_accounts_is_stopped(app: Application, installation: Installation) -> None:
    """Also for the accounts it has not tried yet, and for nobody else."""
    ada, ip = app.add_user(), "203.0.113.20"
    with protected(app, "suspicious-ip-throttling", stage={"pre-login": {"max_attempts": 5, "rate": 864000}}):
        for number in range(5):
            assert log_in(app, User("", f"nobody{number}@example.com", "wrong"), ip=ip).status_code == 403

        refused = log_in(app, ada, ip=ip)
        assert (refused.status_code, refused.json()) == (
            429, {"error": "too_many_attempts", "error_description": SUSPICIOUS},
        )  # fmt: skip
        assert int(refused.headers["retry-after"]) > 0
        page = BrowserSession(installation.client(ip=ip)).sign_in(app.authorize_url(), ada.email, ada.password)
        assert page.status == 429
        assert "too many attempts from your network" in page.text
        assert log_in(app, ada, ip="203.0.113.21").status_code == 200
        assert [event["ip"] for event in app.events(type="limit_mu")] == [ip]

        installation.advance(864)
        assert log_in(app, ada, ip=ip).status_code == 200


def test_pages_stop_an_address_too(app: Application, installation: Installation) -> None:
    ip = "203.0.113.22"
    with protected(app, "suspicious-ip-throttling", stage={"pre-login": {"max_attempts": 2, "rate": 864000}}):
        for number, status in enumerate((400, 400, 429)):
            browser = BrowserSession(installation.client(ip=ip))
            assert browser.sign_in(app.authorize_url(), f"no{number}@example.com", "wrong").status == status


def test_who_is_on_the_list_is_let_through(app: Application) -> None:
    stage = {"pre-login": {"max_attempts": 1, "rate": 864000}}
    ada = app.add_user()
    with protected(app, "suspicious-ip-throttling", stage=stage, allowlist=["203.0.113.32/28"]):
        for _ in range(3):
            assert log_in(app, ada, "wrong", ip="203.0.113.33").status_code == 403
        assert log_in(app, ada, ip="203.0.113.33").status_code == 200
        assert log_in(app, ada, "wrong", ip="203.0.113.60").status_code == 403
        assert log_in(app, ada, ip="203.0.113.60").status_code == 429


def test_sign_ups_of_an_address_are_counted(app: Application, installation: Installation) -> None:
    ip = "203.0.113.40"

    def sign_up(number: int) -> httpx.Response:
        body = {
            "client_id": app.client_id, "connection": app.connection, "email": f"new{number}@example.com",
            "password": "Good-pass-1",
        }  # fmt: skip
        with installation.client(ip=ip) as http:
            return http.post("/dbconnections/signup", json=body)

    with protected(
        app, "suspicious-ip-throttling", stage={"pre-user-registration": {"max_attempts": 2, "rate": 60000}}
    ):
        answers = [sign_up(number) for number in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].json()["error_description"] == SUSPICIOUS
        browser = BrowserSession(installation.client(ip=ip))
        page = browser.open(app.authorize_url(screen_hint="signup"))
        page = browser.submit(page, email="new4@example.com", password="Good-pass-1")
        assert page.status == 429
        installation.advance(60)
        assert sign_up(5).status_code == 200


def test_an_account_can_be_locked_wherever_the_tries_come_from(app: Application) -> None:
    ada = app.add_user()
    with protected(app, "brute-force-protection", mode="count_per_identifier", max_attempts=3):
        for number in range(3):
            assert log_in(app, ada, "wrong", ip=f"203.0.113.{50 + number}").status_code == 403
        assert log_in(app, ada, ip="203.0.113.70").status_code == 429
        blocks = app.manage("GET", f"/user-blocks/{ada.user_id}")["blocked_for"]
        assert [block["identifier"] for block in blocks] == [ada.email]
        app.manage("DELETE", f"/user-blocks/{ada.user_id}")
        assert log_in(app, ada, ip="203.0.113.70").status_code == 200


@pytest.mark.parametrize("settings", [{"enabled": False}, {"shields": []}, {"shields": ["user_notification"]}])
def test_protection_can_be_off_or_only_tell(
    app: Application, installation: Installation, settings: dict[str, Any]
) -> None:
    ada = app.add_user()
    with protected(app, "brute-force-protection", max_attempts=2, **settings):
        for _ in range(4):
            assert log_in(app, ada, "wrong", ip="203.0.113.80").status_code == 403
        assert log_in(app, ada, ip="203.0.113.80").status_code == 200
        installation.work()
        with installation.client(ip="127.0.0.1") as http:
            mails = [mail for mail in http.get("/outbox.json").json() if mail["to"] == ada.email]
        told = [mail for mail in mails if mail["template"] == "blocked_account"]
        assert len(told) == (1 if settings.get("shields") else 0)
