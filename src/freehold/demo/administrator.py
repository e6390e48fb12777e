"""An administrator of a tenant who works with a script: joins by an invitation, sets up an authenticator, calls."""

import secrets
import time
from dataclasses import dataclass
from typing import Any

import httpx
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP

from freehold.demo.servers import Server
from freehold.demo.steps import require
from freehold.kernel.crypto.otp import totp_key

STEP_S = 30


@dataclass(slots=True)
class Authenticator:
    """An authenticator app. No code is shown twice: where the next one is not valid yet, it waits."""

    secret: str
    _last: int = 0

    def code(self) -> str:
        """A code that was not used yet: that of now, or the next one, which servers accept half a minute early."""
        while True:
            now = int(time.time()) // STEP_S
            step = max(self._last + 1, now)
            if step <= now + 1:
                break
            time.sleep(0.2)
        self._last = step
        key = totp_key(self.secret)
        return HOTP(key, 6, SHA1(), enforce_key_length=False).generate(step).decode()  # noqa: S303 - as apps do


@dataclass(slots=True)
class Administrator:
    """Somebody with a password, an authenticator, and a session that both have opened."""

    email: str
    password: str
    app: Authenticator
    http: httpx.Client

    @classmethod
    def join(cls, server: Server, invitation_url: str, email: str, name: str) -> "Administrator":
        """Accept an invitation and set up what a ceremony asks of administrators. Raises NotTrue."""
        http, password = server.client(), secrets.token_urlsafe(18)
        given = {"token": invitation_url.partition("token=")[2], "name": name, "email": email, "password": password}
        person = cls(email, password, Authenticator(""), http)
        person.call("POST", "invitations/accept", given, status=201)
        person._hold(person.call("POST", "sessions", {"email": email, "password": password}, status=201))
        person.app.secret = person.call("POST", "me/totp", {}, status=201)["secret"]
        person._hold(person.call("POST", "me/totp/confirm", {"otp": person.app.code()}))
        return person

    def sign_in(self, server: Server) -> "Administrator":
        """The same person on another server, with the same password and app. Raises NotTrue."""
        there = Administrator(self.email, self.password, self.app, server.client())
        there._hold(
            there.call(
                "POST", "sessions", {"email": self.email, "password": self.password, "otp": self.app.code()}, status=201
            )
        )
        return there

    def call(self, method: str, path: str, body: Any = None, *, status: int = 200) -> dict[str, Any]:
        """Call the dashboard's JSON interface. Raises NotTrue."""
        answer = self.send(method, path, body, status=status)
        found: dict[str, Any] = answer.json()
        return found

    def send(self, method: str, path: str, body: Any = None, *, status: int = 200) -> httpx.Response:
        """The same for answers that are files; bytes are sent as they are. Raises NotTrue."""
        url = f"/admin/api/{path}"
        if isinstance(body, bytes):
            answer = self.http.request(method, url, content=body)
        else:
            answer = self.http.request(method, url, json=body)
        require(answer.status_code == status, f"{method} {path} answers {answer.status_code}: {answer.text[:500]}")
        return answer

    def _hold(self, opened: dict[str, Any]) -> None:
        self.http.headers["authorization"] = f"Bearer {opened['token']}"
