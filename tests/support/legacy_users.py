"""A customer's own user database behind scripts that really run: an HTTP service in the test's process.

The scripts of a custom database ask it over the sandbox's guarded network; it remembers what it was asked, and refuses,
stumbles or disappears when a test says so.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

PASSWORD = "Legacy-horse-9-battery"
PARAMETERS = {
    "login": "identifier, password",
    "get_user": "identifier",
    "create": "user",
    "verify": "email",
    "change_password": "email, password",
    "change_email": "email, newEmail, verified",
    "change_username": "username, newUsername",
    "delete": "id",
}
_SCRIPT = """function %(function)s(%(parameters)s, callback) {
    fetch(configuration.LEGACY + '/%(name)s', { method: 'POST', body: JSON.stringify([%(parameters)s]) })
        .then((answer) => answer.json())
        .then(({ error, value }) => {
            if (!error) return callback(null, value);
            if (error.type === 'wrong') return callback(new WrongUsernameOrPasswordError(%(first)s, error.message));
            if (error.type === 'validation') return callback(new ValidationError(error.code, error.message));
            if (error.type === 'unauthorized') return callback(new UnauthorizedError(error.message));
            callback(new Error(error.message));
        }, callback);
}"""


def script(name: str, *, parameters: str = "") -> str:
    """The source of a script that asks the service."""
    parameters = parameters or PARAMETERS[name]
    return _SCRIPT % {
        "name": name,
        "function": "remove" if name == "delete" else name,
        "parameters": parameters,
        "first": parameters.partition(",")[0],
    }


@dataclass
class LegacyUsers:
    """What the service knows, and what it was asked."""

    url: str = ""
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By what they sign in with."""
    asked: list[tuple[str, list[Any]]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    """What a script gets in the place of what it should, an `error` or a `value`."""

    def add(self, email: str = "", *, password: str = PASSWORD, **profile: Any) -> str:
        """Somebody new; the address."""
        mark = secrets.token_hex(6)
        email = email or f"u{mark}@example.com"
        self.people[email] = {"password": password, "profile": {"user_id": f"legacy-{mark}", "email": email, **profile}}
        return email

    def id_of(self, email: str) -> str:
        """The id that a user of the service has here."""
        return f"auth0|{self.people[email]['profile']['user_id']}"

    def forget(self) -> None:
        """Begin anew."""
        self.people, self.asked, self.answers = {}, [], {}

    @property
    def scripts_asked(self) -> list[str]:
        """The names of the scripts that ran, in order."""
        return [name for name, _ in self.asked]

    def options(self, *, without: tuple[str, ...] = (), **options: Any) -> dict[str, Any]:
        """Options of a connection whose scripts ask the service."""
        return {
            "enabledDatabaseCustomization": True,
            "customScripts": {name: script(name) for name in PARAMETERS if name not in without},
            "configuration": {"LEGACY": self.url},
            **options,
        }

    def answer(self, name: str, given: list[Any]) -> dict[str, Any]:
        """What the service says."""
        self.asked.append((name, given))
        if name in self.answers:
            found: dict[str, Any] = self.answers[name]
            return found
        value = getattr(self, f"_{name}")(*given)
        return value if isinstance(value, dict) and "error" in value else {"value": value}

    def _login(self, identifier: str, password: str) -> Any:
        known = self.people.get(identifier)
        if known is None or known["password"] != password:
            return {"error": {"type": "wrong", "message": "no"}}
        return known["profile"]

    def _get_user(self, identifier: str) -> Any:
        known = self.people.get(identifier)
        return known["profile"] if known else None

    def _create(self, user: dict[str, Any]) -> Any:
        self.add(user["email"], password=user["password"], user_metadata=user.get("user_metadata", {}))

    def _verify(self, email: str) -> bool:
        self.people[email]["profile"]["email_verified"] = True
        return True

    def _change_password(self, email: str, password: str) -> bool:
        self.people[email]["password"] = password
        return True

    def _change_email(self, email: str, new: str, verified: bool) -> bool:
        self.people[new] = self.people.pop(email)
        self.people[new]["profile"] |= {"email": new, "email_verified": verified}
        return True

    def _change_username(self, username: str, new: str) -> bool:
        for person in self.people.values():
            if person["profile"].get("username") == username:
                person["profile"]["username"] = new
        return True

    def _delete(self, id: str) -> None:  # noqa: A002
        self.people = {name: known for name, known in self.people.items() if known["profile"]["user_id"] != id}


@contextmanager
def serve_legacy_users() -> Iterator[LegacyUsers]:
    """The service on a free port of this machine."""
    legacy = LegacyUsers()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            given = json.loads(self.rfile.read(int(self.headers["content-length"])))
            body = json.dumps(legacy.answer(self.path[1:], given)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    legacy.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield legacy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
