"""What /authorize answers from a session, without one, and in which form."""

import html
import json
import re
from typing import Any
from urllib.parse import parse_qsl

import pytest

from freehold.kernel.crypto.jose import token_hash
from tests.support.applications import CALLBACK, Application, User, make_application, read_claims
from tests.support.hosted_pages import BrowserSession, Page
from tests.support.in_process import Installation


@pytest.fixture(scope="module")
def app(installation: Installation) -> Application:
    return make_application(installation)


@pytest.fixture
def ada(app: Application) -> User:
    return app.add_user()


@pytest.fixture
def browser(app: Application, ada: User) -> BrowserSession:
    """A browser in which Ada is signed in."""
    browser = app.browser()
    assert "code" in app.sign_in(ada, browser=browser).query
    return browser


def message_of(page: Page) -> dict[str, Any]:
    """What a web_message page posts, and to whom."""
    match = re.search(r'<script type="application/json" id="answer">(.*?)</script>', page.response.text, re.DOTALL)
    assert match is not None, page.text
    answer: dict[str, Any] = json.loads(match[1])
    return answer


# --- with and without a session ------------------------------------------------------------------------------------


def test_silently_without_a_session(app: Application) -> None:
    page = app.browser().open(app.authorize_url(prompt="none", state="s"))

    assert page.query == {"error": "login_required", "error_description": "Login required", "state": "s"}
    assert app.events(type="fsa")[0]["description"] == "Login required"


def test_silently_with_a_session(app: Application, browser: BrowserSession, ada: User) -> None:
    page = browser.open(app.authorize_url(prompt="none"))

    assert app.redeem(page).status_code == 200
    assert app.events(type="ssa")[0]["user_id"] == ada.user_id


def test_a_session_serves_other_applications_of_the_same_connection(
    installation: Installation, app: Application, browser: BrowserSession
) -> None:
    other = make_application(installation)
    clients = [{"client_id": other.client_id, "status": False}]
    app.manage("PATCH", f"/connections/{app.connection_id}/clients", clients)
    assert browser.open(other.authorize_url(prompt="none")).query["error"] == "login_required"

    clients = [{"client_id": other.client_id, "status": True}]
    app.manage("PATCH", f"/connections/{app.connection_id}/clients", clients)

    assert "code" in browser.open(other.authorize_url(prompt="none")).query


@pytest.mark.parametrize("prompt", ["login", "select_account", "login consent"])
def test_prompts_that_want_the_user_back(app: Application, browser: BrowserSession, prompt: str) -> None:
    assert browser.open(app.authorize_url(prompt=prompt)).path == "/u/login"


def test_signing_in_again_keeps_the_session_but_not_its_cookie(
    app: Application, browser: BrowserSession, ada: User, installation: Installation
) -> None:
    """No session fixation: the cookie's value changes whenever the user authenticates."""
    cookie = browser.http.cookies["auth0"]
    before = read_claims(app.redeem(browser.open(app.authorize_url(prompt="none"))).json()["id_token"])
    installation.advance(60)

    page = browser.submit(browser.open(app.authorize_url(prompt="login")), username=ada.email, password=ada.password)

    after = read_claims(app.redeem(page).json()["id_token"])
    assert after["sid"] == before["sid"]
    assert browser.http.cookies["auth0"] != cookie
    with app.http(cookies={"auth0": cookie}) as stale:
        assert "login_required" in stale.get(app.authorize_url(prompt="none")).headers["location"]


def test_another_user_signing_in_ends_the_first_ones_session(app: Application, browser: BrowserSession) -> None:
    grace = app.add_user()
    first = browser.http.cookies["auth0"]
    page = browser.open(app.authorize_url(prompt="login"))
    tokens = app.redeem(browser.submit(page, username=grace.email, password=grace.password)).json()

    assert read_claims(tokens["id_token"])["sub"] == grace.user_id
    with app.http(cookies={"auth0": first}) as stale:
        assert "login_required" in stale.get(app.authorize_url(prompt="none")).headers["location"]


def test_max_age_wants_a_recent_sign_in_and_tells_when_it_was(
    app: Application, browser: BrowserSession, ada: User, installation: Installation
) -> None:
    """OpenID Connect Core section 3.1.2.1"""
    began = installation.clock.now_ms() // 1000
    installation.advance(300)

    recent = app.redeem(browser.open(app.authorize_url(prompt="none", max_age="600")))
    assert read_claims(recent.json()["id_token"])["auth_time"] == began
    assert browser.open(app.authorize_url(prompt="none", max_age="299")).query["error"] == "login_required"
    page = browser.open(app.authorize_url(max_age="0"))
    assert page.path == "/u/login"
    fresh = app.browser()
    assert "code" in app.sign_in(ada, browser=fresh).query
    assert fresh.open(app.authorize_url(max_age="0")).path == "/u/login"  # though no second has passed
    again = app.redeem(browser.submit(page, username=ada.email, password=ada.password))
    assert read_claims(again.json()["id_token"])["auth_time"] == began + 300


def test_without_max_age_the_time_of_the_sign_in_is_not_told(app: Application, ada: User) -> None:
    assert "auth_time" not in read_claims(app.log_in(ada)["id_token"])


def test_an_idle_session_is_over(app: Application, browser: BrowserSession, installation: Installation) -> None:
    installation.advance(72 * 3600)
    assert browser.open(app.authorize_url(prompt="none")).query["error"] == "login_required"


def test_a_session_that_is_used_ends_after_its_absolute_lifetime(
    app: Application, browser: BrowserSession, installation: Installation
) -> None:
    for _ in range(2):
        installation.advance(71 * 3600)
        assert "code" in browser.open(app.authorize_url(prompt="none")).query
    installation.advance(27 * 3600)
    assert browser.open(app.authorize_url(prompt="none")).query["error"] == "login_required"


def test_a_blocked_user_gets_nothing_more(app: Application, browser: BrowserSession, ada: User) -> None:
    app.manage("PATCH", f"/users/{ada.user_id}", {"blocked": True})

    page = browser.open(app.authorize_url(prompt="none"))

    assert (page.query["error"], page.query["error_description"]) == ("unauthorized", "user is blocked")


def test_a_deleted_users_session_is_over(app: Application, browser: BrowserSession, ada: User) -> None:
    app.manage("DELETE", f"/users/{ada.user_id}")
    assert browser.open(app.authorize_url(prompt="none")).query["error"] == "login_required"


def test_a_connection_that_was_disabled_no_longer_counts(app: Application, browser: BrowserSession) -> None:
    """Zitadel CVE-2025-64717: checked where tokens are issued, not only where pages are shown."""
    clients = f"/connections/{app.connection_id}/clients"
    app.manage("PATCH", clients, [{"client_id": app.client_id, "status": False}])
    try:
        assert browser.open(app.authorize_url(prompt="none")).query["error"] == "login_required"
    finally:
        app.manage("PATCH", clients, [{"client_id": app.client_id, "status": True}])


def test_a_session_of_another_connection_than_the_one_asked_for_does_not_count(
    app: Application, browser: BrowserSession
) -> None:
    assert browser.open(app.authorize_url(prompt="none", connection="other")).query["error"] == "login_required"
    assert "code" in browser.open(app.authorize_url(prompt="none", connection=app.connection)).query


def test_a_hint_at_another_user_does_not_count(app: Application, browser: BrowserSession, ada: User) -> None:
    grace = app.add_user()
    own = app.redeem(browser.open(app.authorize_url(prompt="none"))).json()["id_token"]
    other = app.log_in(grace)["id_token"]

    assert "code" in browser.open(app.authorize_url(prompt="none", id_token_hint=own)).query
    page = browser.open(app.authorize_url(prompt="none", id_token_hint=other))
    assert page.query["error"] == "login_required"


def test_an_application_without_single_sign_on_asks_each_time(app: Application, browser: BrowserSession) -> None:
    app.change(sso_disabled=True)
    try:
        assert browser.open(app.authorize_url()).path == "/u/login"
        assert browser.open(app.authorize_url(prompt="none")).query["error"] == "login_required"
    finally:
        app.change(sso_disabled=False)
    assert "code" in browser.open(app.authorize_url()).query


def test_a_form_that_cannot_work_is_not_shown(installation: Installation, app: Application) -> None:
    other = make_application(installation)
    offered_elsewhere = {"name": "google", "strategy": "google-oauth2", "enabled_clients": [other.client_id]}
    other.manage("POST", "/connections", offered_elsewhere)

    def refusal(of: Application, **params: Any) -> tuple[str, str]:
        query = of.browser().open(of.authorize_url(**params)).query
        return query["error"], query["error_description"]

    assert refusal(app, connection="nowhere") == ("invalid_request", "the connection was not found")
    assert refusal(app, connection=other.connection) == ("invalid_request", "the connection was disabled")
    assert refusal(other, connection="google")[1].startswith("The connection's strategy is not available")
    other.manage("PATCH", f"/connections/{other.connection_id}", {"enabled_clients": []})
    assert refusal(other) == ("invalid_request", "no connections enabled for the client")
    assert refusal(other, prompt="none") == ("login_required", "Login required")


def test_asking_for_the_head_of_an_answer_is_asking(app: Application, browser: BrowserSession) -> None:
    """Scanners of links do so; they are not told that the request is malformed."""
    answer = browser.http.head(app.authorize_url(prompt="none"))
    assert (answer.status_code, answer.content) == (302, b"")
    assert "code=" in answer.headers["location"]


@pytest.mark.parametrize(("hint", "path"), [("signup", "/u/signup"), ("reset-password", "/u/reset-password/request")])
def test_a_screen_hint_chooses_the_first_page(app: Application, hint: str, path: str) -> None:
    assert app.browser().open(app.authorize_url(screen_hint=hint)).path == path


def test_a_login_hint_fills_in_the_identifier(app: Application) -> None:
    page = app.browser().open(app.authorize_url(login_hint="ada@example.com"))
    assert page.form.values["username"] == "ada@example.com"


def test_the_pages_of_a_sign_in_work_in_the_browser_that_began_it_only(app: Application, ada: User) -> None:
    """Login CSRF: nobody can lure a victim into a sign-in of theirs."""
    attacker, victim = app.browser(), app.browser()
    page = attacker.open(app.authorize_url())

    assert victim.open(page.url).status == 400
    victim.open(app.authorize_url())
    assert victim.open(page.url).status == 400
    resumed = page.url.replace("/u/login", "/authorize/resume")
    assert victim.open(resumed).status == 400
    signed_in = attacker.submit(page, username=ada.email, password=ada.password)
    assert "code" in signed_in.query


def test_a_sign_in_is_resumed_once(app: Application, ada: User) -> None:
    browser = app.browser()
    page = browser.open(app.authorize_url())
    resume = page.url.replace("/u/login", "/authorize/resume")
    assert browser.open(resume).path == "/u/login"
    assert "code" in browser.submit(page, username=ada.email, password=ada.password).query

    again = browser.open(resume)

    assert again.status == 400
    assert "This sign-in is over" in again.text


def test_a_sign_in_that_takes_an_hour_is_over(app: Application, ada: User, installation: Installation) -> None:
    browser = app.browser()
    page = browser.open(app.authorize_url())
    installation.advance(3600)
    assert browser.submit(page, username=ada.email, password=ada.password).status == 400


def test_two_tabs_can_sign_in_beside_each_other(app: Application, ada: User) -> None:
    browser = app.browser()
    first, second = (browser.open(app.authorize_url(state=state)) for state in ("one", "two"))

    for page, state in ((second, "two"), (first, "one")):
        assert browser.submit(page, username=ada.email, password=ada.password).query["state"] == state


# --- response types and modes --------------------------------------------------------------------------------------


def test_the_implicit_flow_puts_tokens_into_the_fragment(app: Application, browser: BrowserSession, ada: User) -> None:
    url = app.authorize_url(
        pkce=False, response_type="token id_token", nonce="n-1", state="s-1", audience=app.audience,
        scope="openid email read:orders offline_access",
    )  # fmt: skip
    page = browser.open(url)

    assert page.query == {}
    answer = page.fragment
    assert answer["scope"] == "openid email read:orders"
    assert (answer["token_type"], answer["expires_in"], answer["state"]) == ("Bearer", "7200", "s-1")
    claims = read_claims(answer["id_token"])
    assert claims["nonce"] == "n-1"
    assert claims["at_hash"] == token_hash(answer["access_token"])
    assert claims["email"] == ada.email
    assert "c_hash" not in claims
    assert read_claims(answer["access_token"])["aud"] == [app.audience, f"{app.issuer}userinfo"]


def test_the_hybrid_flow_binds_the_code_to_the_id_token(app: Application, browser: BrowserSession) -> None:
    """OpenID Connect Core section 3.3.2.11"""
    page = browser.open(app.authorize_url(response_type="code id_token token", nonce="n-1"))

    claims = read_claims(page.fragment["id_token"])
    assert claims["c_hash"] == token_hash(page.fragment["code"])
    assert claims["at_hash"] == token_hash(page.fragment["access_token"])
    assert page.fragment["expires_in"] == "86400"
    assert app.redeem(page).status_code == 200


def test_an_opaque_implicit_token_lives_two_hours(
    app: Application, browser: BrowserSession, installation: Installation
) -> None:
    page = browser.open(app.authorize_url(pkce=False, response_type="token", scope="openid"))
    token = page.fragment["access_token"]

    assert page.fragment["expires_in"] == "7200"
    assert app.userinfo(token).status_code == 200
    installation.advance(7200)
    assert app.userinfo(token).status_code == 401


def test_a_code_can_come_in_the_fragment(app: Application, browser: BrowserSession) -> None:
    page = browser.open(app.authorize_url(response_mode="fragment"))
    assert page.query == {}
    assert app.redeem(page).status_code == 200


def test_one_policy_says_what_the_receiver_of_a_form_learns_of_us(app: Application, browser: BrowserSession) -> None:
    """Two Referrer-Policy headers in one answer would leave it to the browser."""
    for mode, policy in (("form_post", "origin"), ("web_message", "same-origin")):
        page = browser.open(app.authorize_url(response_mode=mode))
        assert page.response.headers.get_list("referrer-policy") == [policy]


def test_form_post_is_a_page_that_submits_itself(app: Application, browser: BrowserSession) -> None:
    """OAuth 2.0 Form Post Response Mode"""
    page = browser.open(app.authorize_url(response_mode="form_post", state='"><script>'))

    assert page.form.action == CALLBACK
    assert page.form.method == "POST"
    assert set(page.form.values) == {"code", "state"}
    assert page.form.values["state"] == '"><script>'
    assert "HTMLFormElement.prototype.submit" in page.response.text
    assert '"><script>' not in page.response.text
    assert html.escape('"><script>').replace("&quot;", "&#34;") in page.response.text
    policy = page.response.headers["content-security-policy"]
    assert "form-action 'self' https:" in policy
    assert "'unsafe-inline'" not in policy


def test_a_web_message_is_posted_to_the_applications_origin(app: Application, browser: BrowserSession) -> None:
    page = browser.open(app.authorize_url(response_mode="web_message", prompt="none", state="</script>"))

    answer = message_of(page)
    assert answer["origin"] == "https://app.example.com"
    assert answer["message"]["type"] == "authorization_response"
    assert set(answer["message"]["response"]) == {"code", "state"}
    assert answer["message"]["response"]["state"] == "</script>"
    assert "x-frame-options" not in page.response.headers
    assert "frame-ancestors" not in page.response.headers["content-security-policy"]
    assert "cross-origin-opener-policy" not in page.response.headers


def test_a_web_message_has_numbers_where_numbers_are_meant(app: Application, browser: BrowserSession) -> None:
    url = app.authorize_url(
        pkce=False, response_type="token id_token", response_mode="web_message", prompt="none", nonce="n"
    )
    assert message_of(browser.open(url))["message"]["response"]["expires_in"] == 7200


def test_errors_are_posted_too_where_they_are_waited_for(app: Application) -> None:
    """The SPA SDK waits for a minute if nothing comes."""
    browser = app.browser()
    silent = browser.open(app.authorize_url(response_mode="web_message", prompt="none", state="s"))
    mistake = browser.open(app.authorize_url(response_mode="web_message", prompt="none", response_type="magic"))

    assert message_of(silent)["message"]["response"] == {
        "error": "login_required", "error_description": "Login required", "state": "s",
    }  # fmt: skip
    assert message_of(mistake)["message"]["response"]["error"] == "unsupported_response_type"


def test_a_callback_with_a_query_keeps_it(installation: Installation) -> None:
    app = make_application(installation, callbacks=[f"{CALLBACK}?tenant=one"])
    app.callback = f"{CALLBACK}?tenant=one"
    page = app.browser().open(app.authorize_url(prompt="none"))

    assert dict(parse_qsl(page.url.partition("?")[2]))["tenant"] == "one"
    assert page.query["error"] == "login_required"


def test_an_app_scheme_is_redirected_to(installation: Installation) -> None:
    app = make_application(
        installation, app_type="native", token_endpoint_auth_method="none", callbacks=["com.example.app://cb"]
    )
    app.callback = "com.example.app://cb"
    page = app.sign_in(app.add_user())

    assert page.url.startswith("com.example.app://cb?code=")
    assert app.redeem(page).status_code == 200


def test_answers_are_kept_by_no_cache(app: Application, browser: BrowserSession) -> None:
    for url in (app.authorize_url(prompt="none"), app.authorize_url(prompt="login")):
        assert browser.open(url).response.headers["cache-control"] == "no-store"


# --- consent -------------------------------------------------------------------------------------------------------


@pytest.fixture
def stranger(installation: Installation) -> Application:
    """A third party's application."""
    return make_application(installation, is_first_party=False)


def test_a_third_party_asks_for_consent_once(stranger: Application) -> None:
    ada, browser = stranger.add_user(), stranger.browser()
    url: dict[str, Any] = {"audience": stranger.audience, "scope": "openid email read:orders"}

    page = stranger.sign_in(ada, browser=browser, **url)
    assert page.path == "/u/consent"
    assert "Read your orders" in page.text
    assert "Application" in page.text
    callback = browser.submit(page, button="accept")

    assert stranger.redeem(callback).status_code == 200
    assert "code" in browser.open(stranger.authorize_url(prompt="none", **url)).query
    [given] = stranger.manage("GET", f"/grants?user_id={ada.user_id}")
    assert (given["clientID"], given["audience"]) == (stranger.client_id, stranger.audience)
    more = browser.open(stranger.authorize_url(prompt="none", audience=stranger.audience, scope="openid write:orders"))
    assert (more.query["error"], more.query["error_description"]) == ("consent_required", "Consent required")


def test_a_user_who_declines_is_reported_as_such(stranger: Application) -> None:
    ada, browser = stranger.add_user(), stranger.browser()
    page = stranger.sign_in(ada, browser=browser, state="s-1")
    callback = browser.submit(page, button="deny")

    assert callback.query["error"] == "access_denied"
    assert callback.query["state"] == "s-1"
    assert stranger.manage("GET", f"/grants?user_id={ada.user_id}") == []
    assert stranger.events(type="f")[0]["description"] == "User did not authorize the request"


def test_consent_cannot_be_skipped_by_going_on(stranger: Application) -> None:
    ada, browser = stranger.add_user(), stranger.browser()
    page = stranger.sign_in(ada, browser=browser)

    assert browser.open(page.url.replace("/u/consent", "/authorize/resume")).path == "/u/consent"
    assert browser.submit(page, form=page.forms[0], button="neither").status == 400


def test_consent_that_was_taken_back_ends_the_tokens_it_gave(stranger: Application) -> None:
    ada, browser = stranger.add_user(), stranger.browser()
    page = stranger.sign_in(ada, browser=browser, scope="openid offline_access")
    tokens = stranger.redeem(browser.submit(page, button="accept")).json()
    assert stranger.refresh(tokens["refresh_token"]).status_code == 200

    [given] = stranger.manage("GET", f"/grants?user_id={ada.user_id}")
    stranger.manage("DELETE", f"/grants/{given['id']}")

    refused = stranger.refresh(tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (403, "invalid_grant")


def test_the_clients_name_cannot_deceive_on_the_consent_page(installation: Installation) -> None:
    """Doorkeeper CVE-2018-1000088"""
    app = make_application(installation, is_first_party=False, name='"&quot; onload=alert(1)')
    page = app.sign_in(app.add_user())

    assert page.path == "/u/consent"
    assert '" onload=' not in page.response.text
    assert page.response.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in page.response.headers["content-security-policy"]


def test_prompt_consent_asks_also_where_nothing_needs_it(app: Application, browser: BrowserSession) -> None:
    page = browser.open(app.authorize_url(prompt="consent"))
    assert page.path == "/u/consent"
    assert "code" in browser.submit(page, button="accept").query


@pytest.mark.parametrize(
    ("settings", "api", "asked"),
    [
        ({"callbacks": ["http://localhost:3000/cb"]}, True, True),
        ({"callbacks": ["http://localhost:3000/cb"]}, False, False),
        ({"callbacks": ["http://localhost:3000/cb"], "skip_non_verifiable_callback_uri_confirmation_prompt": True},
         True, False),
        ({}, True, False),
    ],
)  # fmt: skip
def test_a_callback_on_the_users_own_machine_is_anybodys(
    installation: Installation, settings: dict[str, Any], api: bool, asked: bool
) -> None:
    app = make_application(installation, **settings)
    app.callback = settings.get("callbacks", [CALLBACK])[0]
    params: dict[str, Any] = {"audience": app.audience, "scope": "openid read:orders"} if api else {}
    page = app.sign_in(app.add_user(), **params)

    assert (page.path == "/u/consent") is asked


def test_an_api_may_want_consent_for_first_parties_too(app: Application, installation: Installation) -> None:
    app = make_application(installation)
    [api] = [one for one in app.manage("GET", "/resource-servers") if one["identifier"] == app.audience]
    app.manage("PATCH", f"/resource-servers/{api['id']}", {"skip_consent_for_verifiable_first_party_clients": False})

    page = app.sign_in(app.add_user(), audience=app.audience, scope="openid read:orders")

    assert page.path == "/u/consent"
