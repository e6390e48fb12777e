"""What is measured: Freehold on each of its databases, and the peer; running servers with a step for each operation.

An operation has the same key in every subject, and a subject leaves out what it does not offer. Everything is reached
from outside, over HTTPS, as an application would; all processes of a subject are this program's own.
"""

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from bench.browser import FORM, SignIn, expect, sign_in
from bench.load import Connection, Step
from tests.support.applications import Application, make_application
from tests.support.programs import find_node, find_node_modules
from tests.support.server import LiveServer, start_server

USERS = 60
CHAINS = 16
"""Refresh tokens that are rotated side by side: at least as many as there are connections."""
PEER = "oidc-provider"

ROTATING = {
    "rotation_type": "rotating", "expiration_type": "expiring", "leeway": 0,
    "token_lifetime": 86400, "idle_token_lifetime": 43200,
}  # fmt: skip


@dataclass
class Subject:
    """A running server and what it can be asked to do."""

    name: str
    base_url: str
    ca_file: str
    pid: int
    steps: dict[str, Step]
    database_pid: int | None = None
    sign_in: SignIn | None = None


@contextmanager
def freehold(
    name: str, data: Path, *, database_url: str | None = None, database_pid: int | None = None
) -> Iterator[Subject]:
    """A new installation with an application, an API and some users."""
    arguments = ["--database", database_url] if database_url else []
    with start_server(data, *arguments, env={"FREEHOLD_MANAGEMENT_RATE_LIMIT": "1000000"}) as server:
        app = make_application(server, refresh_token=ROTATING)
        app.manage("POST", "/client-grants",
                   {"client_id": app.client_id, "audience": app.audience, "scope": ["read:orders"]})  # fmt: skip
        users = [app.add_user(f"user{number}", given_name="Ada") for number in range(USERS)]
        known = sign_in_of(app, users[0].email, users[0].password)
        yield Subject(
            name, server.base_url, server.ca_file, server.process.pid,
            _freehold_steps(server, app, known, users[0].user_id), database_pid, known,
        )  # fmt: skip


def sign_in_of(app: Application, username: str, password: str) -> SignIn:
    """What an application of Freehold needs for a sign-in of this user."""
    return SignIn(
        app.client_id, app.client_secret or "", app.callback, "/authorize", "/oauth/token", username, password
    )


def _freehold_steps(server: LiveServer, app: Application, known: SignIn, user_id: str) -> dict[str, Step]:
    def tokens(scope: str) -> dict[str, Any]:
        answer = app.token("password", username=known.username, password=known.password, audience=app.audience,
                           scope=scope)  # fmt: skip
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    by_password = {"grant_types": [*app.manage("GET", f"/clients/{app.client_id}")["grant_types"], "password"]}
    app.change(**by_password)
    tenant = app.manage("PATCH", "/tenants/settings", {"default_directory": app.connection})
    assert tenant["default_directory"] == app.connection
    access_token = tokens("openid profile email")["access_token"]
    chains = [tokens("openid offline_access read:orders")["refresh_token"] for _ in range(CHAINS)]
    manage = {"authorization": f"Bearer {server.management_token()}"}
    users = "/api/v2/users"
    return {
        "client_credentials": _post("/oauth/token", {
            "grant_type": "client_credentials", "audience": app.audience, **app.credentials(),
        }),
        "refresh": _refresh("/oauth/token", app.credentials(), chains),
        "sign_in": sign_in_step(known),
        "userinfo": _get("/userinfo", {"authorization": f"Bearer {access_token}"}),
        "discovery": _get("/.well-known/openid-configuration"),
        "jwks": _get("/.well-known/jwks.json"),
        "get": _get(f"{users}/{quote(user_id, safe='')}", manage),
        "list": _get(f"{users}?per_page=50", manage),
    }  # fmt: skip


@contextmanager
def peer(authority: Path) -> Iterator[Subject]:
    """npm's oidc-provider, with the certificate of a Freehold installation."""
    node, modules = find_node(), find_node_modules()
    assert node is not None
    assert modules is not None
    script, password = Path(__file__).with_name("peer.mjs"), "Correct-horse-4-battery"
    command: list[str | Path] = [
        node,
        script,
        modules.parent,
        authority / "server.pem",
        authority / "server.key",
        password,
    ]
    environment = {**os.environ, "NODE_ENV": "production"}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                errors.seek(0)
                raise RuntimeError(f"the peer did not start: {errors.read().decode()[-2000:]}")
            threading.Thread(target=process.stdout.read, daemon=True).start()
            known = SignIn("web", "web-secret", "https://app.example.com/callback", "/auth", "/token",
                           "ada@example.com", password)  # fmt: skip
            base_url = json.loads(line)["base_url"]
            yield Subject(PEER, base_url, str(authority / "ca.pem"), process.pid, _peer_steps(known))
        finally:
            process.terminate()
            process.wait()


def _peer_steps(known: SignIn) -> dict[str, Step]:
    api = {"resource": "https://api.example.com/"}
    access_tokens: list[str] = []
    chains: list[str] = []
    web = {"client_id": known.client_id, "client_secret": known.client_secret}

    async def userinfo(connection: Connection) -> None:
        if not access_tokens:
            access_tokens.append((await sign_in(connection, known))["access_token"])
        expect(await connection.send("GET", "/me", {"authorization": f"Bearer {access_tokens[0]}"}), 200)

    async def refresh(connection: Connection) -> None:
        if not chains:
            fresh = replace(known, scope="openid read:orders", extra=api)
            chains.append((await sign_in(connection, fresh))["refresh_token"])
        await rotate(connection)

    rotate = _refresh("/token", {**web, **api}, chains)
    return {
        "client_credentials": _post("/token", {
            "grant_type": "client_credentials", "client_id": "machine", "client_secret": "machine-secret", **api,
        }),
        "refresh": refresh,
        "sign_in": sign_in_step(known),
        "userinfo": userinfo,
        "discovery": _get("/.well-known/openid-configuration"),
        "jwks": _get("/jwks"),
    }  # fmt: skip


def _get(path: str, headers: dict[str, str] | None = None) -> Step:
    async def step(connection: Connection) -> None:
        expect(await connection.send("GET", path, headers), 200)

    return step


def _post(path: str, form: dict[str, str]) -> Step:
    body = urlencode(form).encode()

    async def step(connection: Connection) -> None:
        expect(await connection.send("POST", path, FORM, body), 200)

    return step


def _refresh(path: str, known: dict[str, str], chains: list[str]) -> Step:
    """Rotate one of the refresh tokens that nobody else is rotating."""

    async def step(connection: Connection) -> None:
        form = {"grant_type": "refresh_token", "refresh_token": chains.pop(), **known}
        answer = json.loads(expect(await connection.send("POST", path, FORM, urlencode(form).encode()), 200))
        assert "id_token" in answer
        assert answer["access_token"].count(".") == 2
        chains.append(answer["refresh_token"])

    return step


def sign_in_step(known: SignIn) -> Step:
    """Sign in as this user."""

    async def step(connection: Connection) -> None:
        await sign_in(connection, known)

    return step
