"""Signing in to the dashboard as a browser without JavaScript does, and what comes of trying otherwise."""

import pytest

from tests.support.administrators import Person, form_to, form_with, invite, make_administrator
from tests.support.hosted_pages import BrowserSession, Page
from tests.support.in_process import Installation


@pytest.fixture(scope="module")
def root(installation: Installation) -> Person:
    return make_administrator(installation, "root@example.com")


def test_an_invitation_leads_to_a_second_factor_and_then_in(installation: Installation) -> None:
    token = invite(installation, "New.Person@Example.com", "viewer")
    newcomer = Person(installation, "new.person@example.com")
    browser = newcomer.browser()
    page = browser.open(f"/admin/invitation?token={token}")
    assert "new.person@example.com" in page.text
    page = browser.submit(page, name="New Person", password=newcomer.password, password_again=newcomer.password)
    assert page.path == "/admin/security"
    assert "Set up a second factor to go on" in page.text
    assert browser.open("/admin").path == "/admin/security"

    page = browser.open("/admin/security/authenticator")
    newcomer.secret = page.response.text.partition('id="totp-secret">')[2].partition("<")[0].replace(" ", "")
    assert page.response.text.count("<svg") >= 1
    wrong = browser.submit(page, form=form_with(page, "code"), code="000000")
    assert wrong.status == 400
    assert "This is not the code" in wrong.alerts[0]
    page = browser.submit(wrong, form=form_with(wrong, "code"), code=newcomer.code())
    assert "Your recovery code" in page.text
    assert browser.open("/admin").path == "/admin"

    assert newcomer.sign_in()[1].path == "/admin"
    again = newcomer.browser().open(f"/admin/invitation?token={token}")
    assert (again.status, "It was used already" in again.text) == (410, True)


def test_password_and_code_open_the_page_one_came_for(root: Person) -> None:
    browser = root.browser()
    page = browser.open("/admin/audit?before=1000")
    assert page.path == "/admin/sign-in"
    page = browser.submit(page, form=form_with(page, "email"), email=" ROOT@example.com", password=root.password)
    assert page.path == "/admin/sign-in/code"
    page = browser.submit(page, form=form_with(page, "code"), code=root.code())
    assert page.url.endswith("/admin/audit?before=1000")
    assert "administrator.signed_in" in page.text


def test_unknown_address_and_wrong_password_look_the_same(root: Person) -> None:
    bodies = []
    for email in (root.email, "nobody@example.com"):
        browser = root.browser(ip="192.0.2.81")
        page = browser.open("/admin/sign-in")
        page = browser.submit(page, form=form_with(page, "email"), email=email, password="wrong wrong wrong")
        assert page.status == 400
        assert page.alerts[0] == "The email address, the password or the code is wrong."
        bodies.append(page.text)
    assert bodies[0] == bodies[1]


def test_the_second_half_is_bound_to_the_browser_that_did_the_first(root: Person) -> None:
    browser, other = root.browser(), root.browser()
    page = browser.open("/admin/sign-in")
    page = browser.submit(page, form=form_with(page, "email"), email=root.email, password=root.password)
    other.open("/admin/sign-in")
    other.http.cookies.set("__Host-freehold-admin-step", browser.http.cookies["__Host-freehold-admin-step"])
    assert other.open("/admin/sign-in/code").path == "/admin/sign-in"
    page = browser.submit(page, form=form_with(page, "code"), code=root.code())
    assert page.path == "/admin"
    assert browser.open("/admin/sign-in/code").path == "/admin"


def test_a_code_is_good_once(root: Person) -> None:
    code = root.code()
    pages = []
    for _ in range(2):
        browser = root.browser()
        page = browser.open("/admin/sign-in")
        page = browser.submit(page, form=form_with(page, "email"), email=root.email, password=root.password)
        pages.append(browser.submit(page, form=form_with(page, "code"), code=code))
    assert [(page.path, page.status) for page in pages] == [("/admin", 200), ("/admin/sign-in/code", 400)]


def test_the_recovery_code_lets_in_once_and_asks_for_a_new_factor(installation: Installation) -> None:
    loser = make_administrator(installation, "loser@example.com")

    def with_recovery(code: str) -> tuple[BrowserSession, Page]:
        browser = loser.browser()
        page = browser.open("/admin/sign-in")
        page = browser.submit(page, form=form_with(page, "email"), email=loser.email, password=loser.password)
        return browser, browser.submit(page, form=form_with(page, "recovery_code"), recovery_code=code)

    written = "-".join(loser.recovery_code[at : at + 4] for at in range(0, 24, 4)).lower()
    browser, page = with_recovery(written)
    assert "You have used your recovery code" in page.text
    following = page.response.text.partition('id="recovery-code">')[2].partition("<")[0]
    assert "does not count" in browser.open("/admin/security").text
    refused = browser.open("/admin/administrators")
    refused = browser.submit(refused, form=form_to(refused, "/admin/administrators/invite"), email="x@example.com")
    assert refused.path == "/admin/authenticate"
    assert browser.open("/admin/security/authenticator").status == 200

    assert with_recovery(written)[1].status == 400
    assert "You have used" in with_recovery(following)[1].text


def test_a_session_changes_its_cookie_and_ends_by_itself(installation: Installation, root: Person) -> None:
    browser = root.browser()
    browser.http.cookies.set("__Host-freehold-admin", "A" * 43, domain="tenant.example.com")
    browser, page = root.sign_in(browser)
    first = browser.http.cookies["__Host-freehold-admin"]
    assert first != "A" * 43
    installation.advance(400)
    page = root.confirm(browser, browser.open("/admin/security/authenticator"))
    assert page.path == "/admin/security/authenticator"
    second = browser.http.cookies["__Host-freehold-admin"]
    assert second != first
    stale = root.browser()
    stale.http.cookies.set("__Host-freehold-admin", first, domain="tenant.example.com")
    assert stale.open("/admin").path == "/admin/sign-in"

    for _ in range(3):
        installation.advance(20 * 60)
        assert browser.open("/admin").path == "/admin"
    installation.advance(31 * 60)
    assert browser.open("/admin").path == "/admin/sign-in"
    browser, page = root.sign_in(browser)
    for _ in range(26):
        installation.advance(29 * 60)
        page = browser.open("/admin")
    assert page.path == "/admin/sign-in"


def test_one_sees_and_ends_ones_own_sessions(root: Person) -> None:
    mine, _ = root.sign_in()
    theirs, _ = root.sign_in(root.browser(ip="198.51.100.9"))
    page = mine.open("/admin/security")
    assert "198.51.100.9" in page.text
    mine.submit(page, form=form_to(page, "/admin/security/sessions", session="others"))
    assert theirs.open("/admin").path == "/admin/sign-in"
    assert mine.open("/admin").path == "/admin"
    page = mine.open("/admin")
    assert mine.submit(page, form=form_to(page, "/admin/sign-out")).path == "/admin/sign-in"
    assert mine.open("/admin").path == "/admin/sign-in"


def test_a_forgotten_password_is_set_by_a_mailed_link_and_ends_every_session(installation: Installation) -> None:
    person = make_administrator(installation, "forgetful@example.com")
    inside, _ = person.sign_in()
    answers = []
    for email in (person.email, "nobody@example.com"):
        browser = person.browser()
        page = browser.open("/admin/forgotten-password")
        answers.append(browser.submit(page, email=email).text)
    assert answers[0] == answers[1]
    installation.work()
    with installation.client(ip="127.0.0.1") as http:
        mails = [mail for mail in http.get("/outbox.json").json() if mail["template"] == "admin_new_password"]
    assert [mail["to"] for mail in mails] == [person.email]
    link = next(word for word in mails[0]["text"].split() if "token=" in word)

    page = browser.open(link)
    for weak, said in (("short", "too short"), ("forgetful-forgetful", "your name or your address")):
        page = browser.submit(page, form=form_with(page, "password"), password=weak, password_again=weak)
        assert said in page.alerts[0]
    again = "another good passphrase"
    page = browser.submit(page, form=form_with(page, "password"), password=again, password_again=again)
    assert "Your password is set" in page.text
    assert browser.open(link).status == 410
    assert inside.open("/admin").path == "/admin/sign-in"
    person.password = again
    assert person.sign_in()[1].path == "/admin"


def test_a_new_device_causes_a_notice(installation: Installation) -> None:
    person = make_administrator(installation, "mover@example.com")

    def notices() -> int:
        installation.work()
        with installation.client(ip="127.0.0.1") as http:
            mails = http.get("/outbox.json").json()
        return sum(mail["to"] == person.email and mail["template"] == "admin_new_device" for mail in mails)

    before = notices()
    browser, _ = person.sign_in()
    assert notices() == before + 1
    page = browser.open("/admin")
    browser.submit(page, form=form_to(page, "/admin/sign-out"))
    person.sign_in(browser)
    assert notices() == before + 1


def test_ten_wrong_passwords_keep_a_place_out_and_ten_wrong_codes_everybody(installation: Installation) -> None:
    person = make_administrator(installation, "target@example.com")
    for email in (person.email, "no-such-target@example.com"):
        with installation.client(ip="203.0.113.5") as http:
            tries = [
                http.post("/admin/api/sessions", json={"email": email, "password": "wrong"}).status_code
                for _ in range(11)
            ]
        assert tries == [401] * 10 + [429]
    with installation.client(ip="203.0.113.6") as http:
        right = {"email": person.email, "password": person.password}
        assert http.post("/admin/api/sessions", json=right).json()["errorCode"] == "code_required"
    for number in range(10):
        with installation.client(ip=f"203.0.113.{number + 10}") as http:
            assert http.post("/admin/api/sessions", json=right | {"otp": "000000"}).status_code == 401
    with installation.client(ip="203.0.113.99") as http:
        answer = http.post("/admin/api/sessions", json=right | {"otp": person.code()})
        assert (answer.status_code, "retry-after" in answer.headers) == (429, True)
    installation.advance(3700)
    with installation.client(ip="203.0.113.99") as http:
        assert http.post("/admin/api/sessions", json=right | {"otp": person.code()}).status_code == 201


def test_many_wrong_passwords_for_many_accounts_keep_the_network_out(installation: Installation) -> None:
    with installation.client(ip="203.0.113.200") as http:
        for number in range(50):
            given = {"email": f"guess{number}@example.com", "password": "wrong"}
            assert http.post("/admin/api/sessions", json=given).status_code == 401
        assert http.post("/admin/api/sessions", json=given | {"email": "fresh@example.com"}).status_code == 429


def test_what_was_tried_is_in_the_records(installation: Installation, root: Person) -> None:
    with installation.client(ip="203.0.113.77") as http:
        for email in (root.email, "stranger@example.com"):
            http.post("/admin/api/sessions", json={"email": email, "password": "wrong"})
    installation.work()
    entries = root.api().get("/admin/api/audit").json()
    failed = [entry for entry in entries if entry["action"] == "administrator.sign_in_failed"]
    assert failed[0]["actor"]["email"] == root.email
    assert failed[0]["actor"]["ip"] == "203.0.113.77"
    assert "stranger" not in str(entries)


@pytest.mark.parametrize("target", [
    "https://evil.test/", "//evil.test", "/\\evil.test", "/admin//evil.test", "/u/login", "/administrators.evil",
    "javascript:alert(1)", "/admin/../u/login", "/admin/sign-out", "/admin\r\nset-cookie: a=b", "/adm\tin", "\\admin",
])  # fmt: skip
def test_one_is_sent_nowhere_but_into_the_dashboard(root: Person, target: str) -> None:
    browser, _ = root.sign_in()
    answer = browser.http.get("/admin/sign-in", params={"return_to": target})
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin")
    page = browser.open("/admin/authenticate")
    typed = {"return_to": target, "password": root.password, "code": root.code()}
    values = form_with(page, "password").values | typed
    answer = browser.http.post("/admin/authenticate", data=values)
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin")


def test_forms_from_elsewhere_are_refused_signed_in_or_not(installation: Installation, root: Person) -> None:
    browser = root.browser()
    page = browser.open("/admin/sign-in")
    values = {**form_with(page, "email").values, "email": root.email, "password": root.password}
    browser_in, _ = root.sign_in()
    security = browser_in.open("/admin/security")
    ending = {"session": "others", "csrf_token": security.forms[0].values["csrf_token"]}
    for headers, changed in (
        ({"origin": "https://evil.test"}, {}),
        ({"sec-fetch-site": "cross-site"}, {}),
        ({"sec-fetch-site": "same-site"}, {}),
        ({}, {"csrf_token": "forged"}),
        ({}, {"csrf_token": ""}),
    ):
        assert browser.http.post("/admin/sign-in", data={**values, **changed}, headers=headers).status_code == 403
        answer = browser_in.http.post("/admin/security/sessions", data={**ending, **changed}, headers=headers)
        assert answer.status_code == 403
        answer = browser_in.http.post("/admin/passkey-options", json={"purpose": "authenticate"}, headers=headers)
        assert answer.status_code == 403
    assert "__Host-freehold-admin" not in browser.http.cookies


def test_pages_cannot_be_framed_kept_or_made_to_run_foreign_scripts(root: Person) -> None:
    browser, _ = root.sign_in()
    for at in ("/admin/sign-in?x=1", "/admin", "/admin/security", "/admin/administrators", "/admin/audit"):
        http = root.browser().http if "sign-in" in at else browser.http
        answer = http.get(at)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "style=" not in answer.text
        assert "onclick" not in answer.text


def test_cookies_are_as_narrow_as_they_can_be(root: Person) -> None:
    browser = root.browser()
    page = browser.open("/admin/sign-in")
    values = {**form_with(page, "email").values, "email": root.email, "password": root.password}
    lines = browser.http.post("/admin/sign-in", data=values).headers.get_list("set-cookie")
    page = browser.open("/admin/sign-in/code")
    values = {**form_with(page, "code").values, "code": root.code()}
    lines += browser.http.post("/admin/sign-in/code", data=values).headers.get_list("set-cookie")
    names = {line.partition("=")[0] for line in lines}
    assert names == {"__Host-freehold-admin", "__Host-freehold-admin-step", "__Host-freehold-admin-device"}
    for line in lines:
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(line.split("; ")[1:])
        assert "Domain" not in line
