"""A second factor in the hosted sign-in, as a browser without JavaScript goes through it."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from freehold.domain.authenticators import MULTI_FACTOR
from tests.support.applications import Application, User, make_application, read_claims
from tests.support.hosted_pages import BrowserSession, Page
from tests.support.in_process import Installation
from tests.support.second_factors import (
    App,
    asked_for,
    confirm_code,
    enrol,
    give_app,
    key_on,
    recovery_code_on,
)

CHALLENGE, ENROLMENT = "/u/mfa-otp-challenge", "/u/mfa-otp-enrollment-qr"
RECOVERY = "/u/mfa-recovery-code-challenge"
NEW_CODE = "/u/mfa-recovery-code-enrollment"


@pytest.fixture(scope="module")
def app(installation: Installation) -> Application:
    return make_application(installation)


@pytest.fixture
def ada(app: Application) -> User:
    return app.add_user()


@pytest.fixture
def always(installation: Installation) -> Iterator[None]:
    with asked_for(installation, "all-applications"):
        yield


def sign_in(app: Application, user: User, browser: BrowserSession | None = None, **params: Any) -> Page:
    return (browser or app.browser()).sign_in(app.authorize_url(**params), user.email, user.password)


def id_token(app: Application, callback: Page) -> dict[str, Any]:
    answer = app.redeem(callback)
    assert answer.status_code == 200, answer.text
    return read_claims(answer.json()["id_token"])


def code_of(installation: Installation, held: App) -> str:
    return held.code(installation.clock.now())


# --- setting one up ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("always")
def test_a_user_without_a_factor_sets_one_up_and_is_signed_in(
    installation: Installation, app: Application, ada: User
) -> None:
    browser = app.browser()
    page = sign_in(app, ada, browser)
    assert page.path == ENROLMENT
    assert "auth0" not in browser.http.cookies
    assert re.search(r'<svg [^>]*class="qr"', page.response.text)
    assert "style=" not in re.sub(r"<style.*?</style>", "", page.response.text, flags=re.DOTALL)
    held = key_on(page)
    assert key_on(browser.open(page.url)).secret == held.secret

    shown = browser.submit(page, code=code_of(installation, held))
    code = recovery_code_on(shown)
    assert shown.path == NEW_CODE
    saved = browser.submit(shown, button="download")
    assert saved.response.text == f"{code}\n"
    assert saved.response.headers["content-disposition"] == 'attachment; filename="recovery-code.txt"'
    assert browser.submit(shown, button="default").alerts == ["Please confirm that you have kept the code."]
    claims = id_token(app, confirm_code(browser, shown))
    assert (claims["amr"], claims["acr"]) == (["mfa"], MULTI_FACTOR)
    methods = app.manage("GET", f"/users/{ada.user_id}/authentication-methods")
    assert sorted(one["type"] for one in methods) == ["recovery-code", "totp"]
    assert {"gd_start_enroll", "gd_enrollment_complete", "s"} <= {event["type"] for event in app.events()}


@pytest.mark.usefixtures("always")
def test_a_page_left_before_the_end_has_stored_nothing(installation: Installation, app: Application, ada: User) -> None:
    browser = app.browser()
    page = sign_in(app, ada, browser)
    shown = browser.submit(page, code=code_of(installation, key_on(page)))

    assert shown.path == NEW_CODE
    assert app.manage("GET", f"/users/{ada.user_id}/authentication-methods") == []
    assert sign_in(app, ada).path == ENROLMENT


@pytest.mark.usefixtures("always")
def test_a_wrong_code_sets_up_nothing(app: Application, ada: User) -> None:
    browser = app.browser()
    page = sign_in(app, ada, browser)
    for code, alert in (("", "Enter the code that the app shows."), ("000000", "That code is not right. Check")):
        again = browser.submit(page, code=code)
        assert again.status == 400
        assert again.alerts[0].startswith(alert)
        assert key_on(again).secret == key_on(page).secret


@pytest.mark.usefixtures("always")
def test_who_signs_up_sets_one_up_too(installation: Installation, app: Application) -> None:
    browser = app.browser()
    page = browser.open(app.authorize_url(screen_hint="signup"))
    page = browser.submit(page, email="new-here@example.com", password="Correct-horse-4-battery")

    assert page.path == ENROLMENT
    page = browser.submit(page, code=code_of(installation, key_on(page)))
    assert id_token(app, confirm_code(browser, page))["amr"] == ["mfa"]


def test_without_recovery_codes_the_app_is_all_there_is(
    installation: Installation, app: Application, ada: User
) -> None:
    with asked_for(installation, "all-applications", factors=("otp",)):
        browser = app.browser()
        page = sign_in(app, ada, browser)
        claims = id_token(app, browser.submit(page, code=code_of(installation, key_on(page))))
        assert claims["amr"] == ["mfa"]
        page = sign_in(app, ada)
        assert page.path == CHALLENGE
        assert not [link for link in page.links if RECOVERY in link]


# --- being asked ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("always")
def test_a_user_with_an_app_is_asked_for_its_code(installation: Installation, app: Application, ada: User) -> None:
    held = give_app(app, ada)
    browser = app.browser()
    page = sign_in(app, ada, browser)
    assert page.path == CHALLENGE
    assert "auth0" not in browser.http.cookies
    wrong = browser.submit(page, code="000000")
    assert (wrong.status, len(wrong.alerts)) == (400, 1)

    claims = id_token(app, browser.submit(wrong, code=code_of(installation, held)))
    assert claims["amr"] == ["mfa"]
    types = [event["type"] for event in app.events()]
    assert {"gd_start_auth", "gd_auth_failed", "gd_auth_succeed", "s"} <= set(types)


def test_without_a_policy_nobody_is_asked(installation: Installation, app: Application, ada: User) -> None:
    give_app(app, ada)
    with asked_for(installation):
        claims = id_token(app, sign_in(app, ada))
    assert "amr" not in claims
    assert "acr" not in claims


def test_without_any_factor_a_policy_asks_for_nothing(installation: Installation, app: Application, ada: User) -> None:
    with asked_for(installation, "all-applications", factors=()):
        assert "amr" not in id_token(app, sign_in(app, ada))


def test_by_confidence_only_those_with_a_factor_are_asked(
    installation: Installation, app: Application, ada: User
) -> None:
    with asked_for(installation, "confidence-score"):
        assert "amr" not in id_token(app, sign_in(app, ada))
        give_app(app, ada)
        assert sign_in(app, ada).path == CHALLENGE


@pytest.mark.usefixtures("always")
def test_a_code_signs_in_once(installation: Installation, app: Application, ada: User) -> None:
    held = give_app(app, ada)
    browsers = [app.browser(), app.browser()]
    pages = [sign_in(app, ada, browser) for browser in browsers]
    code = code_of(installation, held)
    assert "code" in browsers[0].submit(pages[0], code=code).query

    again = browsers[1].submit(pages[1], code=code)
    assert again.status == 400
    installation.clock.advance(seconds=30)
    again = browsers[1].submit(again, code=code)
    assert again.status == 400
    assert "code" in browsers[1].submit(again, code=code_of(installation, held)).query


@pytest.mark.usefixtures("always")
def test_a_code_that_set_up_the_app_does_not_sign_in(installation: Installation, app: Application, ada: User) -> None:
    held, _, done = enrol(installation, app, ada, app.browser())
    assert "code" in done.query
    browser = app.browser()
    page = sign_in(app, ada, browser)
    assert browser.submit(page, code=code_of(installation, held)).status == 400


@pytest.mark.usefixtures("always")
def test_ten_wrong_codes_block_the_right_one_for_a_while(
    installation: Installation, app: Application, ada: User
) -> None:
    held = give_app(app, ada)
    browser = app.browser()
    page = sign_in(app, ada, browser)
    for number in range(10):
        page = browser.submit(page, code=f"{number:06}")
        assert page.status == 400
    blocked = browser.submit(page, code=code_of(installation, held))
    assert (blocked.status, blocked.response.headers["retry-after"]) == (429, "3600")
    elsewhere = app.browser()
    assert elsewhere.submit(sign_in(app, ada, elsewhere), code=code_of(installation, held)).status == 429
    assert len(app.events(type="gd_otp_rate_limit_exceed")) == 1
    installation.work()
    with app.http(ip="127.0.0.1") as http:
        mails = [mail for mail in http.get("/outbox.json").json() if mail["template"] == "too_many_codes"]
    assert [mail["to"] for mail in mails] == [ada.email]

    installation.advance(3_601)
    page = sign_in(app, ada, browser)
    assert "code" in browser.submit(page, code=code_of(installation, held)).query


@pytest.mark.usefixtures("always")
def test_an_administrator_resets_a_user(installation: Installation, app: Application, ada: User) -> None:
    give_app(app, ada)
    assert sign_in(app, ada).path == CHALLENGE
    app.manage("DELETE", f"/users/{ada.user_id}/authenticators")
    assert sign_in(app, ada).path == ENROLMENT


# --- nothing without it --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("always")
def test_no_way_leads_around_the_second_factor(installation: Installation, app: Application, ada: User) -> None:
    held = give_app(app, ada)
    browser = app.browser()
    page = sign_in(app, ada, browser)
    state = page.query["state"]
    for path in ("/authorize/resume", "/u/consent", ENROLMENT, NEW_CODE, "/u/login"):
        there = browser.open(f"{path}?state={state}")
        assert "code" not in there.query, path
        assert there.path in {"/u/login", "/u/login/identifier", CHALLENGE, "/u/consent"}, path
    silent = browser.open(app.authorize_url(prompt="none"))
    assert silent.query["error"] == "login_required"
    assert app.events(type="s") == [event for event in app.events(type="s") if event["user_id"] != ada.user_id]
    assert "code" in browser.submit(page, code=code_of(installation, held)).query


def test_a_session_from_before_the_policy_is_asked_once(
    installation: Installation, app: Application, ada: User
) -> None:
    held = give_app(app, ada)
    browser = app.browser()
    assert "code" in sign_in(app, ada, browser).query
    with asked_for(installation, "all-applications"):
        silent = browser.open(app.authorize_url(prompt="none"))
        assert silent.query["error"] == "login_required"
        assert silent.query["error_description"] == "Multifactor authentication required"
        before = browser.http.cookies["auth0"]
        page = browser.open(app.authorize_url())
        assert page.path == CHALLENGE
        assert "code" not in browser.open(f"/authorize/resume?state={page.query['state']}").query
        claims = id_token(app, browser.submit(page, code=code_of(installation, held)))
        assert claims["amr"] == ["mfa"]
        assert browser.http.cookies["auth0"] != before
        assert id_token(app, browser.open(app.authorize_url(prompt="none")))["amr"] == ["mfa"]


@pytest.mark.parametrize("response_type", ["code", "id_token", "token id_token"])
def test_an_application_asks_for_more_by_acr_values(
    installation: Installation, app: Application, ada: User, response_type: str
) -> None:
    held = give_app(app, ada)
    wanted: dict[str, Any] = {"acr_values": f"x {MULTI_FACTOR}", "response_type": response_type, "nonce": "n"}
    with asked_for(installation):
        browser = app.browser()
        assert "code" in sign_in(app, ada, browser).query
        silent = browser.open(app.authorize_url(prompt="none", **wanted))
        assert (silent.query or silent.fragment)["error"] == "login_required"
        page = browser.open(app.authorize_url(**wanted))
        assert page.path == CHALLENGE
        done = browser.submit(page, code=code_of(installation, held))
    claims = id_token(app, done) if response_type == "code" else read_claims(done.fragment["id_token"])
    assert (claims["amr"], claims["acr"]) == (["mfa"], MULTI_FACTOR)


def test_more_than_there_is_is_refused(installation: Installation, app: Application, ada: User) -> None:
    for browser, go in ((app.browser(), sign_in), (app.browser(), None)):
        if go is None:
            sign_in(app, ada, browser)
            page = browser.open(app.authorize_url(acr_values=MULTI_FACTOR))
        else:
            page = sign_in(app, ada, browser, acr_values=MULTI_FACTOR)
        assert page.query["error"] == "access_denied", page.url
    with asked_for(installation, "all-applications", factors=("sms",)):
        assert sign_in(app, ada).query["error"] == "access_denied"


@pytest.mark.usefixtures("always")
def test_who_has_a_factor_that_cannot_be_asked_for_may_not_just_set_up_another(app: Application, ada: User) -> None:
    body = {"type": "phone", "phone_number": "+44207183875044"}
    app.manage("POST", f"/users/{ada.user_id}/authentication-methods", body)
    page = sign_in(app, ada)
    assert page.query["error"] == "access_denied"
    assert "administrator" in page.query["error_description"]


@pytest.mark.usefixtures("always")
def test_a_blocked_user_gets_no_further(installation: Installation, app: Application, ada: User) -> None:
    held = give_app(app, ada)
    browser = app.browser()
    page = sign_in(app, ada, browser)
    app.manage("PATCH", f"/users/{ada.user_id}", {"blocked": True})
    refused = browser.submit(page, code=code_of(installation, held))
    assert (refused.status, "code" in refused.query) == (400, False)


@pytest.mark.usefixtures("always")
def test_the_pages_belong_to_the_browser_that_began(installation: Installation, app: Application, ada: User) -> None:
    held = give_app(app, ada)
    browser = app.browser()
    page = sign_in(app, ada, browser)
    assert app.browser().open(page.url).status == 400
    values = {**page.form.values, "code": code_of(installation, held)}
    for headers, changed in (
        ({"origin": "https://evil.test"}, {}),
        ({}, {"csrf_token": "forged"}),
    ):
        answer = browser.http.post(page.url, data={**values, **changed}, headers=headers)
        assert answer.status_code == 403


# --- remembered browsers -------------------------------------------------------------------------------------------


def remember(installation: Installation, app: Application, user: User, held: App, browser: BrowserSession) -> Page:
    page = sign_in(app, user, browser)
    page.form.values["rememberBrowser"] = "true"
    return browser.submit(page, code=code_of(installation, held))


@pytest.mark.usefixtures("always")
def test_a_remembered_browser_is_not_asked_for_thirty_days(
    installation: Installation, app: Application, ada: User
) -> None:
    held, browser = give_app(app, ada), app.browser()
    assert "code" in remember(installation, app, ada, held, browser).query
    value = browser.http.cookies["auth0-mf"]
    claims = id_token(app, sign_in(app, ada, browser, prompt="login"))
    assert "amr" not in claims
    assert "code" in browser.open(app.authorize_url(prompt="none")).query

    assert sign_in(app, ada).path == CHALLENGE
    other = app.add_user()
    give_app(app, other)
    stranger = app.browser()
    stranger.http.cookies.set("auth0-mf", value)
    assert sign_in(app, other, stranger).path == CHALLENGE
    installation.advance(30 * 86_400 + 1)
    assert sign_in(app, ada, browser, prompt="login").path == CHALLENGE


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("way", ["invalidate", "reset"])
def test_an_administrator_has_every_browser_asked_again(
    installation: Installation, app: Application, ada: User, way: str
) -> None:
    held, browser = give_app(app, ada), app.browser()
    remember(installation, app, ada, held, browser)
    if way == "invalidate":
        app.manage("POST", f"/users/{ada.user_id}/multifactor/actions/invalidate-remember-browser")
    else:
        app.manage("DELETE", f"/users/{ada.user_id}/authenticators")
        give_app(app, ada)
    assert sign_in(app, ada, browser, prompt="login").path == CHALLENGE


@pytest.mark.usefixtures("always")
def test_an_application_that_asks_for_more_is_not_put_off_with_a_remembered_browser(
    installation: Installation, app: Application, ada: User
) -> None:
    held, browser = give_app(app, ada), app.browser()
    remember(installation, app, ada, held, browser)
    sign_in(app, ada, browser, prompt="login")
    page = browser.open(app.authorize_url(acr_values=MULTI_FACTOR))
    assert page.path == CHALLENGE


# --- recovery ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("always")
def test_a_recovery_code_signs_in_once_and_gives_the_next(
    installation: Installation, app: Application, ada: User
) -> None:
    _, first, _ = enrol(installation, app, ada, app.browser())

    def recover(code: str) -> tuple[BrowserSession, Page]:
        browser = app.browser()
        page = browser.open(sign_in(app, ada, browser).link(RECOVERY))
        return browser, browser.submit(page, code=code)

    browser, shown = recover(f"{first[:6].lower()}-{first[6:]}")
    second = recovery_code_on(shown)
    assert second != first
    assert id_token(app, confirm_code(browser, shown))["amr"] == ["mfa"]
    for code in (first, "", "A" * 24):
        assert recover(code)[1].status == 400
    browser, shown = recover(second)
    assert "code" in confirm_code(browser, shown).query
    assert {"gd_recovery_succeed", "gd_recovery_failed"} <= {event["type"] for event in app.events()}


@pytest.mark.usefixtures("always")
def test_of_two_who_use_one_recovery_code_one_gets_in(installation: Installation, app: Application, ada: User) -> None:
    _, code, _ = enrol(installation, app, ada, app.browser())
    shown = []
    for browser in (app.browser(), app.browser()):
        page = browser.open(sign_in(app, ada, browser).link(RECOVERY))
        shown.append((browser, browser.submit(page, code=code)))
    done = [confirm_code(*one) for one in shown]
    assert "code" in done[0].query
    assert (done[1].status, "code" in done[1].query) == (400, False)


@pytest.mark.usefixtures("always")
def test_a_recovery_code_given_out_anew_ends_one_that_was_typed(
    installation: Installation, app: Application, ada: User
) -> None:
    _, code, _ = enrol(installation, app, ada, app.browser())
    browser = app.browser()
    page = browser.submit(browser.open(sign_in(app, ada, browser).link(RECOVERY)), code=code)
    app.manage("POST", f"/users/{ada.user_id}/recovery-code-regeneration", {})
    assert "code" not in confirm_code(browser, page).query


@pytest.mark.usefixtures("always")
def test_ten_wrong_recovery_codes_block_the_right_one(installation: Installation, app: Application, ada: User) -> None:
    _, code, _ = enrol(installation, app, ada, app.browser())
    browser = app.browser()
    page = browser.open(sign_in(app, ada, browser).link(RECOVERY))
    for number in range(10):
        page = browser.submit(page, code=f"{number:024}")
    assert browser.submit(page, code=code).status == 429
    assert len(app.events(type="gd_recovery_rate_limit_exceed")) == 1


# --- tickets -------------------------------------------------------------------------------------------------------


def test_a_ticket_sets_up_an_app_without_a_sign_in(installation: Installation, app: Application, ada: User) -> None:
    with asked_for(installation, "confidence-score"):
        url = app.manage("POST", "/guardian/enrollments/ticket", {"user_id": ada.user_id})["ticket_url"]
        browser = app.browser()
        page = browser.open(url)
        held = key_on(page)
        page = browser.submit(page, code="000000")
        assert (page.status, key_on(page).secret) == (400, held.secret)
        page = browser.submit(page, code=code_of(installation, held))
        assert recovery_code_on(page)
        assert browser.submit(page, button="default").status == 400
        done = confirm_code(browser, page)
        assert "set up" in done.text
        assert "does not work" in app.browser().open(url).text
        assert "does not work" in confirm_code(browser, page).text
        installation.clock.advance(seconds=30)
        page = sign_in(app, ada, browser)
        assert "code" in browser.submit(page, code=code_of(installation, held)).query


def test_a_ticket_is_for_who_has_no_app_unless_it_says_so(
    installation: Installation, app: Application, ada: User
) -> None:
    give_app(app, ada)
    with asked_for(installation):
        for several in (False, True):
            body = {"user_id": ada.user_id, "allow_multiple_enrollments": several}
            page = app.browser().open(app.manage("POST", "/guardian/enrollments/ticket", body)["ticket_url"])
            assert ("does not work" not in page.text) == several
    assert "does not work" in app.browser().open("/u/mfa-enrollment?ticket=made-up").text


def test_what_a_ticket_page_holds_back_cannot_be_made_up_or_moved(
    installation: Installation, app: Application, ada: User
) -> None:
    bob = app.add_user()
    with asked_for(installation):
        urls = [
            app.manage("POST", "/guardian/enrollments/ticket", {"user_id": user.user_id})["ticket_url"]
            for user in (ada, bob)
        ]
        browser = app.browser()
        mine, other = (browser.open(url) for url in urls)
        for kept in (mine.form.values["kept"], "AAAA", "not base64 ü"):
            other.form.values["kept"] = kept
            assert "does not work" in browser.submit(other, code=code_of(installation, key_on(mine))).text
