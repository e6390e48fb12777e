"""The hosted sign-in, sign-up and recovery as a browser without JavaScript goes through them."""

from typing import Any

import pytest

from tests.support.applications import Application, User, make_application, read_claims
from tests.support.hosted_pages import Page
from tests.support.in_process import Installation

NEW_PASSWORD = "Another-horse-5-battery"


@pytest.fixture(scope="module")
def app(installation: Installation) -> Application:
    return make_application(installation)


@pytest.fixture
def ada(app: Application) -> User:
    return app.add_user()


def mailed(app: Application, to: str, template: str) -> str:
    """The link in the newest mail of this kind."""
    with app.http(ip="127.0.0.1") as http:
        for mail in http.get("/outbox.json").json():
            if (mail["to"], mail["template"]) == (to, template):
                return str(next(word for word in mail["text"].split() if "ticket=" in word))
    raise AssertionError(f"no {template} to {to}")


def test_unknown_user_and_wrong_password_look_the_same(app: Application, ada: User) -> None:
    pages = [app.browser().sign_in(app.authorize_url(), email, "wrong") for email in (ada.email, "nobody@example.com")]
    assert [page.status for page in pages] == [400, 400]
    assert pages[0].alerts == pages[1].alerts == ["Wrong email or password."]
    assert {event["type"] for event in app.events()} >= {"fp", "fu"}


def test_a_blocked_user_is_reported_to_the_application(app: Application, ada: User) -> None:
    app.manage("PATCH", f"/users/{ada.user_id}", {"blocked": True})
    assert app.browser().sign_in(app.authorize_url(), ada.email, "wrong").alerts == ["Wrong email or password."]
    page = app.sign_in(ada, state="s")
    assert (page.query["error"], page.query["error_description"]) == ("unauthorized", "user is blocked")


def test_ten_failures_block_the_page_too(app: Application, ada: User) -> None:
    browser = app.browser()
    page = browser.open(app.authorize_url())
    for _ in range(10):
        page = browser.submit(page, username=ada.email, password="wrong")
    page = browser.submit(page, username=ada.email, password=ada.password)
    assert page.status == 429
    assert page.response.headers["retry-after"]
    assert "Your account has been blocked" in page.alerts[0]


@pytest.mark.parametrize(("fields", "alert"), [
    ({"username": "", "password": "x"}, "Enter your username."),
    ({"username": "x", "password": ""}, "Enter your password."),
])  # fmt: skip
def test_empty_fields_are_asked_for(app: Application, fields: dict[str, Any], alert: str) -> None:
    browser = app.browser()
    page = browser.submit(browser.open(app.authorize_url()), **fields)
    assert page.status == 400
    assert page.alerts == [alert]


def test_a_form_from_elsewhere_is_refused(app: Application, ada: User) -> None:
    browser = app.browser()
    page = browser.open(app.authorize_url())
    values = {**page.form.values, "username": ada.email, "password": ada.password, "action": "default"}
    for headers, changed in (
        ({"origin": "https://evil.test"}, {}),
        ({"sec-fetch-site": "cross-site"}, {}),
        ({}, {"csrf_token": "forged"}),
        ({}, {"csrf_token": ""}),
    ):
        answer = browser.http.post(page.url, data={**values, **changed}, headers=headers)
        assert answer.status_code == 403
    assert "auth0" not in browser.http.cookies


def test_cookies_are_as_narrow_as_they_can_be(app: Application, ada: User) -> None:
    browser = app.browser()
    page = browser.open(app.authorize_url())
    values = {**page.form.values, "username": ada.email, "password": ada.password}
    answer = browser.http.post(page.url, data=values)
    cookies = {line.partition("=")[0]: line.split("; ")[1:] for line in answer.headers.get_list("set-cookie")}
    assert set(cookies) == {"auth0", "auth0_compat"}
    for name, attributes in cookies.items():
        assert {"Secure", "HttpOnly", "Path=/"} <= set(attributes)
        assert not any(attribute.startswith("Domain") for attribute in attributes)
        assert ("SameSite=None" in attributes) is (name == "auth0")


def test_identifier_first(app: Application, ada: User, installation: Installation) -> None:
    browser = app.browser()
    with installation.settings(universal_login={"identifier_first": True}):
        page = browser.open(app.authorize_url())
        assert page.path == "/u/login/identifier"
        assert browser.open(page.url.replace("/identifier", "/password")).path == "/u/login/identifier"
        page = browser.submit(page, username=ada.email)
        assert page.path == "/u/login/password"
        assert browser.submit(page, password="wrong").alerts == ["Wrong email or password."]
        assert "code" in browser.submit(page, password=ada.password).query


def test_a_new_account_is_signed_in_and_verified_by_mail(app: Application, installation: Installation) -> None:
    browser = app.browser()
    page = browser.open(app.authorize_url(screen_hint="signup"))
    callback = browser.submit(page, email="grace@example.com", password=NEW_PASSWORD)
    claims = read_claims(app.redeem(callback).json()["id_token"])
    assert (claims["email"], claims["email_verified"]) == ("grace@example.com", False)
    installation.work()
    link = mailed(app, "grace@example.com", "verify_email")

    page = app.browser().open(link)
    assert app.manage("GET", f"/users/{claims['sub']}")["email_verified"] is False
    other = app.browser()
    assert "confirmed" in other.submit(other.open(link)).text
    assert app.manage("GET", f"/users/{claims['sub']}")["email_verified"] is True
    assert page.status == 200


@pytest.mark.parametrize(
    ("fields", "alert"),
    [
        ({"email": "", "password": NEW_PASSWORD}, "Enter your email address."),
        ({"email": "x", "password": NEW_PASSWORD}, "That does not look like an email address."),
        ({"email": "new@example.com", "password": "short"}, "That password does not meet the rules below."),
    ],
)
def test_a_sign_up_that_is_not_right(app: Application, fields: dict[str, Any], alert: str) -> None:
    browser = app.browser()
    page = browser.submit(browser.open(app.authorize_url(screen_hint="signup")), **fields)
    assert page.status == 400
    assert page.alerts == [alert]


def test_a_forgotten_password(app: Application, ada: User, installation: Installation) -> None:
    session = app.browser()
    assert "code" in app.sign_in(ada, browser=session).query
    browser = app.browser()
    page = browser.open(app.authorize_url())
    page = browser.open(page.link("/u/reset-password/request"))
    known = browser.submit(page, email=ada.email)
    unknown = browser.submit(page, email="nobody@example.com")
    assert known.text.replace(ada.email, "") == unknown.text.replace("nobody@example.com", "")
    installation.work()
    link = mailed(app, ada.email, "reset_email")

    page = browser.open(link)
    mismatch = browser.submit(page, password_reset=NEW_PASSWORD, re_enter_password="other")
    assert mismatch.alerts == ["The two passwords are not the same."]
    done = browser.submit(page, password_reset=NEW_PASSWORD, re_enter_password=NEW_PASSWORD)

    assert done.status == 200
    assert app.manage("GET", f"/users/{ada.user_id}")["email_verified"] is True
    assert session.open(app.authorize_url(prompt="none")).query["error"] == "login_required"
    assert app.sign_in(ada).alerts == ["Wrong email or password."]
    assert "code" in app.sign_in(User(ada.user_id, ada.email, NEW_PASSWORD)).query
    again = browser.open(link)
    assert not again.forms


def test_a_reset_link_holds_for_the_address_it_was_mailed_to(
    app: Application, ada: User, installation: Installation
) -> None:
    """Devise CVE-2026-32700"""
    ticket = request_reset(app, ada, installation)
    app.manage("PATCH", f"/users/{ada.user_id}", {"email": f"new-{ada.email}"})
    assert not app.browser().open(ticket).forms


@pytest.mark.parametrize("value", ["", "x", "null", "a" * 200])
def test_a_blank_or_made_up_ticket_is_refused(app: Application, value: str) -> None:
    """Devise CVE-2019-16109"""
    for path in ("/u/reset-password", "/u/email-verification", "/u/unblock"):
        assert not app.browser().open(f"{path}?ticket={value}").forms


def test_a_connection_may_offer_no_way_to_a_forgotten_password(app: Application) -> None:
    app.change_connection(disable_self_service_change_password=True)
    try:
        browser = app.browser()
        page = browser.open(app.authorize_url())
        assert not [link for link in page.links if "reset-password" in link]
        asked = browser.submit(browser.open(app.authorize_url(screen_hint="reset-password")), email="a@example.com")
        assert asked.status == 403
        with app.http() as http:
            assert '"showForgot":false' in http.get(f"/client/{app.client_id}.js").text
    finally:
        app.change_connection(disable_self_service_change_password=False)


def test_a_connection_may_take_no_new_passwords(app: Application) -> None:
    app.change_connection(authentication_methods={"password": {"enabled": True, "signup_behavior": "block"}})
    try:
        page = app.browser().open(app.authorize_url())
        assert not [link for link in page.links if "/u/signup" in link]
        body = {"connection": app.connection, "email": "new@example.com", "password": "Correct-horse-4-battery"}
        with app.http() as http:
            assert http.post("/dbconnections/signup", json=body).json()["code"] == "unauthorized"
    finally:
        app.change_connection(authentication_methods={"password": {"enabled": True, "signup_behavior": "allow"}})


def test_a_reset_link_lives_a_day(app: Application, ada: User, installation: Installation) -> None:
    ticket = request_reset(app, ada, installation)
    installation.advance(86_400)
    assert not app.browser().open(ticket).forms


def test_the_outbox_is_for_those_at_the_machine(app: Application) -> None:
    for ip, headers in (("192.0.2.7", {}), ("127.0.0.1", {"x-forwarded-for": "192.0.2.7"})):
        with app.http(ip=ip) as http:
            for path in ("/outbox", "/outbox.json"):
                assert http.get(path, headers=headers).status_code == 404


def test_pages_that_people_bookmark(app: Application, installation: Installation) -> None:
    with app.http() as http:
        assert http.get("/login").headers["location"] == "/"
        with installation.settings(default_redirection_uri="https://www.example.com/start"):
            assert http.get("/login").headers["location"] == "https://www.example.com/start"
        assert "Disallow: /" in http.get("/robots.txt").text
        stale = http.get("/u/login?state=gone")
    assert stale.status_code == 400
    assert "This sign-in is over" in stale.text


def test_the_language_of_the_visitor(app: Application, installation: Installation) -> None:
    german = {"accept-language": "de-AT,de;q=0.9"}
    with app.http(headers=german) as http:
        assert 'lang="de"' in http.get("/authorize?client_id=nobody").text
    with installation.settings(enabled_locales=["en", "de"]):
        page: Page = app.browser().open(app.authorize_url(ui_locales="de"))
    assert 'lang="de"' in page.response.text


def request_reset(app: Application, user: User, installation: Installation) -> str:
    browser = app.browser()
    page = browser.open(app.authorize_url(screen_hint="reset-password"))
    browser.submit(page, email=user.email)
    installation.work()
    return mailed(app, user.email, "reset_email")
