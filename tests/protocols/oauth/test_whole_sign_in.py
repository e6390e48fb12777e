"""The main roads from end to end, over HTTPS against a server in a process of its own."""

import time

import httpx
import pytest

from tests.support.applications import Application, make_application, read_claims, read_header
from tests.support.server import LiveServer


@pytest.fixture(scope="module")
def app(server: LiveServer) -> Application:
    return make_application(
        server,
        refresh_token={"rotation_type": "rotating", "expiration_type": "expiring", "leeway": 0, "token_lifetime": 3600,
                       "idle_token_lifetime": 1800},
    )  # fmt: skip


def test_code_with_pkce_userinfo_refresh_and_logout(app: Application) -> None:
    ada, browser = app.add_user(), app.browser()

    callback = app.sign_in(ada, browser=browser, scope="openid profile email offline_access", nonce="n-1", state="s-1")
    assert callback.url.startswith(app.callback + "?")
    assert callback.query["state"] == "s-1"
    answer = app.redeem(callback)
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    assert list(tokens) == ["access_token", "refresh_token", "id_token", "scope", "expires_in", "token_type"]
    claims = read_claims(tokens["id_token"])
    assert (claims["iss"], claims["aud"], claims["sub"]) == (app.issuer, app.client_id, ada.user_id)
    assert (claims["nonce"], claims["email"]) == ("n-1", ada.email)
    assert read_header(tokens["id_token"])["alg"] == "RS256"

    assert app.userinfo(tokens["access_token"]).json()["email"] == ada.email

    refreshed = app.refresh(tokens["refresh_token"])
    assert refreshed.status_code == 200, refreshed.text
    assert refreshed.json()["refresh_token"] != tokens["refresh_token"]
    assert app.refresh(tokens["refresh_token"]).status_code == 403

    silent = browser.open(app.authorize_url(prompt="none"))
    assert "code" in silent.query, silent.url
    gone = browser.open(f"/v2/logout?client_id={app.client_id}&returnTo=https://app.example.com/bye")
    assert gone.url == "https://app.example.com/bye"
    assert browser.open(app.authorize_url(prompt="none")).query["error"] == "login_required"


def test_password_realm(app: Application) -> None:
    ada = app.add_user()
    grant = "http://auth0.com/oauth/grant-type/password-realm"

    answer = app.token(grant, username=ada.email, password=ada.password, realm=app.connection, audience=app.audience,
                       scope="openid read:orders")  # fmt: skip

    assert answer.status_code == 200, answer.text
    claims = read_claims(answer.json()["access_token"])
    assert claims["aud"] == [app.audience, f"{app.issuer}userinfo"]
    assert (claims["gty"], claims["scope"]) == ("password", "openid read:orders")
    wrong = app.token(grant, username=ada.email, password="wrong", realm=app.connection)
    assert wrong.status_code == 403
    assert wrong.json() == {"error": "invalid_grant", "error_description": "Wrong email or password."}


def test_sign_up_and_a_new_password_by_mail(app: Application) -> None:
    browser = app.browser()
    page = browser.open(app.authorize_url(screen_hint="signup"))
    callback = browser.submit(page, email="grace@example.com", password="Correct-horse-4-battery")
    assert "code" in callback.query, callback.url

    other = app.browser()
    page = other.open(app.authorize_url())
    page = other.open(page.link("/u/reset-password/request"))
    page = other.submit(page, email="grace@example.com")
    assert page.status == 200
    link = _mailed_link(other.http, "grace@example.com", "reset_email")
    page = other.open(link)
    page = other.submit(page, password_reset="Another-horse-5-battery", re_enter_password="Another-horse-5-battery")
    assert page.status == 200, page.text

    old = app.browser().sign_in(app.authorize_url(), "grace@example.com", "Correct-horse-4-battery")
    assert old.status == 400
    assert old.alerts
    new = app.browser().sign_in(app.authorize_url(), "grace@example.com", "Another-horse-5-battery")
    assert "code" in new.query


def _mailed_link(http: httpx.Client, to: str, template: str) -> str:
    for _ in range(100):
        for mail in http.get("/outbox.json").json():
            if (mail["to"], mail["template"]) == (to, template):
                link: str = next(word for word in mail["text"].split() if "ticket=" in word)
                return link
        time.sleep(0.05)
    raise AssertionError("no mail")
