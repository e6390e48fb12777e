"""Signing in to the dashboard as a browser without JavaScript does, and what comes of trying otherwise."""

import pytest

from tests.support.administrators import Person, form_with, invite, make_administrator
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
