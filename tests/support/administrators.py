"""Administrators of a tenant for tests: invited by the operator, accepted and signed in through the public door.

Benches and demonstrations use it too, so it knows nothing of pytest.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP

from freehold.domain.administrators import management
from freehold.domain.administrators.people import Role
from freehold.domain.administrators.records import THE_OPERATOR
from freehold.kernel.crypto.otp import totp_key
from tests.support.hosted_pages import BrowserSession, Page
from tests.support.in_process import Installation

PASSWORD = "seven-green-Teapots"


def code_at(secret: str, at: datetime) -> str:
    """What an authenticator app shows."""
    return HOTP(totp_key(secret), 6, SHA1(), enforce_key_length=False).generate(int(at.timestamp()) // 30).decode()


@dataclass
class Person:
    """An administrator with a password and, once enrolled, an authenticator."""

    installation: Installation
    email: str
    id: str = ""
    password: str = PASSWORD
    secret: str = ""
    recovery_code: str = ""
    _used: set[str] = field(default_factory=set)

    def code(self) -> str:
        """A code that was not used yet; time passes until there is one."""
        while (code := code_at(self.secret, self.installation.clock.now())) in self._used:
            self.installation.advance(30)
        self._used.add(code)
        return code

    # --- with a browser ------------------------------------------------------------------------------------------

    def browser(self, *, ip: str = "192.0.2.7") -> BrowserSession:
        """A new browser profile."""
        return BrowserSession(self.installation.client(ip=ip))

    def sign_in(self, browser: BrowserSession | None = None, *, at: str = "/admin") -> tuple[BrowserSession, Page]:
        """Sign in with password and code, and go on to a page."""
        browser = browser or self.browser()
        page = browser.submit(
            browser.open(at), form=form_to(browser.open(at), "/admin/sign-in"), email=self.email, password=self.password
        )
        if self.secret:
            page = browser.submit(page, form=form_with(page, "code"), code=self.code())
        return browser, page

    def confirm(self, browser: BrowserSession, page: Page) -> Page:
        """Answer the page that asks for a fresh confirmation, if this is it."""
        if page.path != "/admin/authenticate":
            return page
        fields = {"password": self.password}
        if self.secret and "code" in form_with(page, "password").values:
            fields["code"] = self.code()
        return browser.submit(page, form=form_with(page, "password"), **fields)

    # --- with a script -------------------------------------------------------------------------------------------

    def api(self, *, ip: str = "192.0.2.7") -> httpx.Client:
        """A client with a session opened by password and, if there is one, a code."""
        http = self.installation.client(ip=ip)
        given = {"email": self.email, "password": self.password}
        answer = http.post("/admin/api/sessions", json=given | ({"otp": self.code()} if self.secret else {}))
        assert answer.status_code == 201, answer.text
        http.headers["authorization"] = f"Bearer {answer.json()['token']}"
        return http

    def enrol(self) -> "Person":
        """Set up an authenticator."""
        http = self.api()
        self.secret = http.post("/admin/api/me/totp", json={}).json()["secret"]
        answer = http.post("/admin/api/me/totp/confirm", json={"otp": self.code()})
        assert answer.status_code == 200, answer.text
        self.recovery_code = answer.json()["recovery_code"]
        return self


def invite(installation: Installation, email: str, role: Role = "admin") -> str:
    """Have the operator invite somebody; the token of the link."""

    async def run() -> str:
        async with installation.services.store.transaction() as tx:
            _, url = await management.invite(
                tx, await installation.services.tenants.by_name("main"), THE_OPERATOR, email=email, role=role,
                lifetime=timedelta(hours=72),
            )  # fmt: skip
        return url.partition("token=")[2]

    return installation.run(run())


def accept(installation: Installation, token: str, email: str) -> Person:
    """Accept an invitation."""
    with installation.client() as http:
        given = {"token": token, "name": email.partition("@")[0].title(), "password": PASSWORD}
        answer = http.post("/admin/api/invitations/accept", json=given)
    assert answer.status_code == 201, answer.text
    return Person(installation, email, answer.json()["id"])


def make_administrator(
    installation: Installation, email: str, role: Role = "admin", *, enrolled: bool = True
) -> Person:
    """An administrator with a password and, unless told otherwise, an authenticator."""
    person = accept(installation, invite(installation, email, role), email)
    return person.enrol() if enrolled else person


def form_to(page: Page, action: str, **values: str) -> Any:
    """The first form of a page that goes there, with these hidden values."""
    for form in page.forms:
        if form.action == action and all(form.values.get(name) == value for name, value in values.items()):
            return form
    raise AssertionError(f"no form to {action} on {page.url}: {[form.action for form in page.forms]} {page.text[:300]}")


def form_with(page: Page, name: str) -> Any:
    """The first form of a page with this input."""
    for form in page.forms:
        if name in form.values:
            return form
    raise AssertionError(f"no form with {name} on {page.url}: {page.text[:300]}")


def utc(ms: int) -> datetime:
    """Milliseconds since 1970 as a moment."""
    return datetime.fromtimestamp(ms / 1000, UTC)
