"""A server whose sandbox may reach a customer's own user database, and an application over it."""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.applications import Application, make_application
from tests.support.legacy_users import PASSWORD, LegacyUsers, serve_legacy_users
from tests.support.server import LiveServer, start_server

REALM = "http://auth0.com/oauth/grant-type/password-realm"


@dataclass
class Custom:
    """An application whose users are in a database of the tenant's own."""

    app: Application
    legacy: LegacyUsers
    server: LiveServer

    def sign_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        """Sign in with a password grant."""
        return self.app.token(REALM, username=email, password=password, realm=self.app.connection, scope="openid")

    def sign_up(self, email: str, **members: Any) -> httpx.Response:
        """Sign up as a page does that draws its own form."""
        body = {"client_id": self.app.client_id, "connection": self.app.connection, "email": email}
        with self.app.http() as http:
            return http.post("/dbconnections/signup", json={**body, "password": PASSWORD, **members})

    def create(self, email: str, **members: Any) -> httpx.Response:
        """Make a user through the Management API."""
        body = {"connection": self.app.connection, "email": email, "password": PASSWORD, **members}
        with self.server.management() as api:
            return api.post("/users", json=body)

    def api(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """A call of the Management API, whatever its answer."""
        with self.server.management() as api:
            return api.request(method, path, json=body)

    def user(self, email: str) -> dict[str, Any] | None:
        """What is kept here of somebody."""
        found = self.app.manage("GET", f"/users-by-email?email={email}")
        return found[0] if found else None

    def mailed(self, to: str, template: str) -> str:
        """The link in a mail that was sent."""
        with self.app.http() as http:
            for _ in range(100):
                for mail in http.get("/outbox.json").json():
                    if (mail["to"], mail["template"]) == (to, template):
                        return next(str(word) for word in mail["text"].split() if "ticket=" in word)
                time.sleep(0.05)
        raise AssertionError("no mail")

    def ask_for_reset(self, email: str) -> None:
        """Ask for a mail to set a new password."""
        body = {"client_id": self.app.client_id, "connection": self.app.connection, "email": email}
        with self.app.http() as http:
            assert http.post("/dbconnections/change_password", json=body).status_code == 200

    def reset(self, email: str, password: str) -> Any:
        """Set a new password through the mail; the page that says how it went."""
        self.ask_for_reset(email)
        browser = self.app.browser()
        page = browser.open(self.mailed(email, "reset_email"))
        return browser.submit(page, password_reset=password, re_enter_password=password)

    def events(self, code: str) -> list[dict[str, Any]]:
        """Entries of the tenant's log of one type, in this connection."""
        found: list[dict[str, Any]] = self.app.manage("GET", f"/logs?q=type:{code}&per_page=100")
        return [entry for entry in found if entry.get("connection") == self.app.connection]


@pytest.fixture(scope="session")
def legacy_service() -> Iterator[LegacyUsers]:
    with serve_legacy_users() as legacy:
        yield legacy


@pytest.fixture(scope="session")
def open_server(tmp_path_factory: pytest.TempPathFactory, legacy_service: LegacyUsers) -> Iterator[LiveServer]:
    allowed = {"FREEHOLD_SANDBOX_OUTBOUND_ALLOW": urlsplit(legacy_service.url).netloc}
    with start_server(tmp_path_factory.mktemp("custom-databases") / "data", env=allowed) as live:
        yield live


@pytest.fixture
def custom(open_server: LiveServer, legacy_service: LegacyUsers) -> Callable[..., Custom]:
    """Makes an application over the service; `options` are the connection's."""
    legacy_service.forget()

    def make(*, without: tuple[str, ...] = (), **options: Any) -> Custom:
        app = make_application(open_server)
        app.change_connection(**legacy_service.options(without=without, **options))
        return Custom(app, legacy_service, open_server)

    return make


@pytest.fixture
def newcomer() -> str:
    """An address that nobody has."""
    return f"new{secrets.token_hex(6)}@example.com"
