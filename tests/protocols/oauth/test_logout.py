"""Ending sessions and where the browser goes afterwards (threats: redirect targets)."""

from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.applications import Application, User, make_application
from tests.support.hosted_pages import BrowserSession, Page
from tests.support.in_process import Installation

BYE = "https://app.example.com/bye"


@pytest.fixture(scope="module")
def app(installation: Installation) -> Application:
    return make_application(installation)


@pytest.fixture
def ada(app: Application) -> User:
    return app.add_user()


@pytest.fixture
def browser(app: Application, ada: User) -> BrowserSession:
    browser = app.browser()
    assert "code" in app.sign_in(ada, browser=browser).query
    return browser


def leave(browser: BrowserSession, path: str, **params: str | None) -> Page:
    return browser.open(f"{path}?{urlencode({k: v for k, v in params.items() if v is not None})}")


def is_signed_in(app: Application, browser: BrowserSession) -> bool:
    return "code" in browser.open(app.authorize_url(prompt="none")).query


def test_v2_logout_ends_the_session_and_goes_where_the_client_may_send(
    app: Application, browser: BrowserSession
) -> None:
    page = leave(browser, "/v2/logout", client_id=app.client_id, returnTo=BYE)
    assert page.url == BYE
    assert "auth0" not in browser.http.cookies
    assert not is_signed_in(app, browser)
    assert app.events(type="slo")


def test_the_pages_of_a_logout_speak_the_language_that_is_asked_for(
    installation: Installation, app: Application, browser: BrowserSession
) -> None:
    def language(page: Page) -> str:
        return page.response.text.partition('<html lang="')[2][:2]

    with installation.settings(enabled_locales=["en", "de"]):
        asked = leave(browser, "/oidc/logout", client_id=app.client_id, ui_locales="de")
        assert language(asked) == "de"
        assert language(browser.submit(asked, button="deny")) == "de"
        assert language(browser.submit(asked, button="accept")) == "de"
        assert language(leave(app.browser(), "/v2/logout", ui_locales="de")) == "de"


def test_the_first_registered_url_is_the_default(app: Application, browser: BrowserSession) -> None:
    assert leave(browser, "/v2/logout", client_id=app.client_id).url == BYE
    assert leave(app.browser(), "/v2/logout").status == 200


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.test/",
        "//evil.test/bye",
        "https://app.example.com\\@evil.test/bye",
        "https://app.example.com.evil.test/bye",
        "https://app.example.com/bye/..",
        "https://app.example.com/bye#x",
        "javascript:alert(1)",
        "/bye",
        "https://app.example.com/bye\r\nx: y",
    ],
)
@pytest.mark.parametrize("path", ["/v2/logout", "/oidc/logout"])
def test_no_other_target_is_gone_to(app: Application, browser: BrowserSession, path: str, target: str) -> None:
    """oauth2-proxy CVE-2021-21291; Casdoor CVE-2026-5467"""
    name = "returnTo" if path == "/v2/logout" else "post_logout_redirect_uri"
    page = leave(browser, path, client_id=app.client_id, **{name: target})
    assert page.status == 400
    assert "location" not in page.response.headers
    assert is_signed_in(app, browser)


def test_the_referer_is_no_target(app: Application, browser: BrowserSession) -> None:
    page = browser.open(f"/v2/logout?client_id={app.client_id}", headers={"referer": "https://evil.test/"})
    assert page.url == BYE


def test_a_query_may_be_added(app: Application, browser: BrowserSession) -> None:
    target = f"{BYE}?reason=done"
    assert leave(browser, "/v2/logout", client_id=app.client_id, returnTo=target).url == target


def test_without_a_client_the_tenants_urls_count(
    app: Application, browser: BrowserSession, installation: Installation
) -> None:
    assert leave(browser, "/v2/logout", returnTo=BYE).status == 400
    with installation.settings(allowed_logout_urls=["https://www.example.com/"]):
        assert leave(browser, "/v2/logout", returnTo="https://www.example.com/").url == "https://www.example.com/"
        other = {"client_id": app.client_id, "returnTo": "https://www.example.com/"}
        assert leave(browser, "/v2/logout", **other).status == 400


def test_a_hint_that_names_the_session_needs_no_question(app: Application, ada: User) -> None:
    """OpenID Connect RP-Initiated Logout 1.0 section 2"""
    browser = app.browser()
    hint = app.log_in(ada, browser=browser)["id_token"]
    page = leave(browser, "/oidc/logout", id_token_hint=hint, post_logout_redirect_uri=BYE, state="s")
    assert page.url == f"{BYE}?state=s"
    assert not is_signed_in(app, browser)


def test_a_hint_that_has_expired_still_names_it(app: Application, ada: User, installation: Installation) -> None:
    browser = app.browser()
    hint = app.log_in(ada, browser=browser)["id_token"]
    installation.advance(40_000)
    assert leave(browser, "/oidc/logout", id_token_hint=hint, post_logout_redirect_uri=BYE).url == BYE


def test_an_hs256_hint_is_read_with_the_clients_secret(installation: Installation) -> None:
    app = make_application(installation, jwt_configuration={"alg": "HS256"})
    browser = app.browser()
    hint = app.log_in(app.add_user(), browser=browser)["id_token"]
    assert leave(browser, "/oidc/logout", id_token_hint=hint, post_logout_redirect_uri=BYE).url == BYE


@pytest.mark.parametrize("button", ["accept", "deny"])
def test_without_a_hint_the_user_is_asked(app: Application, browser: BrowserSession, button: str) -> None:
    """Logging somebody out by a link of one's own is a nuisance they can decline."""
    page = leave(browser, "/oidc/logout", client_id=app.client_id, post_logout_redirect_uri=BYE, state="s")
    assert page.status == 200
    assert is_signed_in(app, browser)

    after = browser.submit(page, button=button)

    assert is_signed_in(app, browser) is (button == "deny")
    assert (after.url == f"{BYE}?state=s") is (button == "accept")


def test_the_question_cannot_be_answered_from_elsewhere(app: Application, browser: BrowserSession) -> None:
    page = leave(browser, "/oidc/logout", client_id=app.client_id)
    with app.http(cookies=dict(browser.http.cookies)) as http:
        answer = http.post(page.url, data={"action": "accept"})
        forged = http.post(page.url, data={**page.forms[0].values, "action": "accept"},
                           headers={"origin": "https://evil.test"})  # fmt: skip
    assert answer.status_code == forged.status_code == 403
    assert is_signed_in(app, browser)


def test_a_tenant_may_do_without_the_question(
    app: Application, browser: BrowserSession, installation: Installation
) -> None:
    with installation.settings(sessions={"oidc_logout_prompt_enabled": False}):
        assert leave(browser, "/oidc/logout", client_id=app.client_id, post_logout_redirect_uri=BYE).url == BYE


def test_what_is_no_id_token_is_no_hint(app: Application, browser: BrowserSession, ada: User) -> None:
    access = app.log_in(ada, audience=app.audience, scope="openid")["access_token"]
    for hint in (access, "x", "a.b.c"):
        page = leave(browser, "/oidc/logout", id_token_hint=hint, post_logout_redirect_uri=BYE)
        assert page.status == 400
    assert is_signed_in(app, browser)


def test_hint_and_client_must_agree(app: Application, ada: User, installation: Installation) -> None:
    other = make_application(installation)
    browser = app.browser()
    hint = app.log_in(ada, browser=browser)["id_token"]
    page = leave(browser, "/oidc/logout", id_token_hint=hint, client_id=other.client_id)
    assert page.status == 400


def test_an_unknown_client_stays_on_our_page(browser: BrowserSession) -> None:
    for path in ("/v2/logout", "/oidc/logout"):
        page = leave(browser, path, client_id="nobody")
        assert page.status == 400
        assert "Unknown client: nobody" in page.text


def test_refresh_tokens_outlive_a_logout(app: Application, ada: User) -> None:
    browser = app.browser()
    tokens: dict[str, Any] = app.log_in(ada, browser=browser, scope="openid offline_access")
    leave(browser, "/v2/logout", client_id=app.client_id)
    assert app.refresh(tokens["refresh_token"]).status_code == 200
