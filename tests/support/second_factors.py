"""An authenticator app as tests hold it, and a tenant that asks for second factors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from freehold.kernel.crypto.otp import totp_key
from tests.support.applications import Application, User
from tests.support.hosted_pages import BrowserSession, Page
from tests.support.in_process import Installation


class App:
    """What shows a new code every 30 seconds."""

    def __init__(self, secret: str) -> None:
        self.secret = re.sub(r"\s", "", secret)
        self._totp = TOTP(totp_key(self.secret), 6, SHA1(), 30, enforce_key_length=False)

    def code(self, now: datetime) -> str:
        return self._totp.generate(int(now.timestamp())).decode()


@contextmanager
def asked_for(
    installation: Installation, *policies: str, factors: tuple[str, ...] = ("otp", "recovery-code")
) -> Iterator[None]:
    """For a while, the tenant has these factors on and asks for them."""
    with installation.management() as api:
        for name in factors:
            assert api.put(f"/guardian/factors/{name}", json={"enabled": True}).status_code == 200
        assert api.put("/guardian/policies", json=list(policies)).status_code == 200
    try:
        yield
    finally:
        with installation.management() as api:
            for name in factors:
                assert api.put(f"/guardian/factors/{name}", json={"enabled": False}).status_code == 200
            assert api.put("/guardian/policies", json=[]).status_code == 200


def give_app(app: Application, user: User) -> App:
    """Let an administrator give a user an authenticator app."""
    held = App("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    app.manage("POST", f"/users/{user.user_id}/authentication-methods", {"type": "totp", "totp_secret": held.secret})
    return held


def key_on(page: Page) -> App:
    """The app that took the key of an enrolment page."""
    found = re.search(r"((?:[A-Z2-7]{4} ){7}[A-Z2-7]{4})", page.text)
    assert found is not None, page.text
    return App(found[1])


def recovery_code_on(page: Page) -> str:
    """The recovery code that a page shows."""
    found = re.search(r"\b[A-Z0-9]{24}\b", page.text)
    assert found is not None, page.text
    return found[0]


def confirm_code(browser: BrowserSession, page: Page) -> Page:
    """Say that the recovery code is written down."""
    form = next(form for form in page.forms if ("action", "default") in form.buttons)
    form.values["confirmed"] = "true"
    return browser.submit(page, form=form)


def enrol(installation: Installation, app: Application, user: User, browser: BrowserSession) -> tuple[App, str, Page]:
    """Sign in where a second factor is asked for and set one up; the app, the recovery code, and where that led."""
    page = browser.sign_in(app.authorize_url(), user.email, user.password)
    held = key_on(page)
    page = browser.submit(page, code=held.code(installation.clock.now()))
    return held, recovery_code_on(page), confirm_code(browser, page)
