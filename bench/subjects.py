"""What is measured: Freehold on each of its databases, and the peer; running servers with a step for each operation.

An operation has the same key in every subject, and a subject leaves out what it does not offer. Everything is reached
from outside, as an application would; all processes of a subject are this program's own. They answer plain HTTP, as
behind a proxy that ends TLS on the same machine: TLS costs everybody the same.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from bench.browser import FORM, SignIn, expect, sign_in
from bench.command import environment
from bench.load import Connection, Step
from tests.support.applications import ALL_GRANTS, CALLBACK, PASSWORD, Application, make_application
from tests.support.programs import find_node, find_node_modules
from tests.support.server import LiveServer

USERS = 60
CHAINS = 16
"""Refresh tokens that are rotated side by side: at least as many as there are connections."""
PEER = "oidc-provider"
BARE = "bare"

ROTATING = {
    "rotation_type": "rotating", "expiration_type": "expiring", "leeway": 0,
    "token_lifetime": 86400, "idle_token_lifetime": 43200,
}  # fmt: skip


@dataclass
class Subject:
    """A running server and what it can be asked to do."""

    name: str
    base_url: str
    pid: int
    steps: dict[str, Step]
    database_pid: int | None = None
    sign_in: SignIn | None = None


@contextmanager
def freehold(
    name: str,
    data: Path,
    *,
    database_url: str | None = None,
    database_pid: int | None = None,
    prepare: Callable[[httpx.Client], None] = lambda api: None,
) -> Iterator[Subject]:
    """A new installation with an application, an API and some users. `prepare` adds to it by the Management API."""
    with running(data, database_url) as server:
        app = make_application(server, refresh_token=ROTATING, grant_types=[*ALL_GRANTS, "password"])
        users = []
        with server.management() as api:
            granted = {"client_id": app.client_id, "audience": app.audience, "scope": ["read:orders"]}
            assert api.post("/client-grants", json=granted).status_code == 201
            assert api.patch("/tenants/settings", json={"default_directory": app.connection}).status_code == 200
            for number in range(USERS):
                user = {"connection": app.connection, "email": email_of(number), "password": PASSWORD}
                users.append(api.post("/users", json=user).json())
            prepare(api)
        known = sign_in_of(app, users[0]["email"], PASSWORD)
        steps = _freehold_steps(server, app, known, users[0]["user_id"])
        yield Subject(name, server.base_url, server.process.pid, steps, database_pid, known)


@contextmanager
def running(data: Path, database_url: str | None = None) -> Iterator[LiveServer]:
    """A server of Freehold on plain HTTP, on a new or an existing data folder."""
    ready, log = data.with_suffix(".ready.json"), data.with_suffix(".log")
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "bench.plain_server", str(data), str(ready)]
    command += [database_url] if database_url else []
    with _process(command, log) as process:
        while not ready.exists():
            if process.poll() is not None:
                raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}")
            time.sleep(0.02)
        yield LiveServer(data, json.loads(ready.read_text()), process, log)


@contextmanager
def bare(folder: Path) -> Iterator[Subject]:
    """The limit of an HTTP answer in Python."""
    with _said([sys.executable, "-m", "bench.bare"], folder / "bare.log") as (process, base_url):
        yield Subject("bare", base_url, process.pid, {BARE: _get("/")})


def email_of(number: int) -> str:
    """The address of one of the users."""
    return f"user{number}@example.com"


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
def peer(folder: Path) -> Iterator[Subject]:
    """npm's oidc-provider, everything in its memory."""
    node, modules = find_node(), find_node_modules()
    assert node is not None
    assert modules is not None
    command = [str(node), str(Path(__file__).with_name("peer.mjs")), str(modules.parent), PASSWORD]
    with _said(command, folder / "peer.log", {"NODE_ENV": "production"}) as (process, base_url):
        known = SignIn("web", "web-secret", CALLBACK, "/auth", "/token", "ada@example.com", PASSWORD)
        yield Subject(PEER, base_url, process.pid, _peer_steps(known))


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


@contextmanager
def _said(
    command: list[str], log: Path, more: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server that prints its base URL as JSON once it answers."""
    with _process(command, log, more) as process:
        said = b""
        while not said.endswith(b"\n"):
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.02)
            said = log.read_bytes()
        yield process, json.loads(said.splitlines()[-1])["base_url"]


@contextmanager
def _process(command: list[str], log: Path, more: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment(**(more or {})))
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
