"""A real server in a process of its own, on a free port, and small helpers to talk to it.

`server` is one installation for the whole session, on SQLite; tests that want its tenant as new ask for `tenant`, which
is reset before each test. `start_server` starts another with other options.
"""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from freehold.cli.options import opened, settings_for
from freehold.domain.tenants import lifecycle

SOURCE = Path(__file__).parents[2] / "src"
START_TIMEOUT_S = 60


@dataclass
class LiveServer:
    """A running server and what its ready-file says."""

    data: Path
    facts: dict[str, Any]
    process: subprocess.Popen[bytes]
    log: Path
    _tokens: dict[str, str] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return str(self.facts["base_url"])

    @property
    def issuer(self) -> str:
        return str(self.facts["issuer"])

    @property
    def ca_file(self) -> str:
        return str(self.facts["ca_file"])

    def client(self, **options: Any) -> httpx.Client:
        """An HTTP client that trusts the server's authority and follows no redirects."""
        context = ssl.create_default_context(cafile=self.ca_file)
        return httpx.Client(base_url=self.base_url, verify=context, timeout=30, **options)

    def management_token(self) -> str:
        """An access token with every scope."""
        if "management" not in self._tokens:
            known = self.facts["management"]
            with self.client() as http:
                answer = http.post("/oauth/token", json={"grant_type": "client_credentials", **known})
            assert answer.status_code == 200, answer.text
            self._tokens["management"] = answer.json()["access_token"]
        return self._tokens["management"]

    def forget_tokens(self) -> None:
        """Ask for new tokens from now on."""
        self._tokens.clear()

    def management(self) -> httpx.Client:
        """A client of the Management API, with every scope."""
        context = ssl.create_default_context(cafile=self.ca_file)
        return httpx.Client(
            base_url=f"{self.base_url}/api/v2",
            verify=context,
            timeout=30,
            headers={"authorization": f"Bearer {self.management_token()}"},
        )

    def freehold(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the freehold command on this installation's data folder."""
        own = () if "--data" in arguments else ("--data", str(self.data))
        return run_freehold(*arguments, *own, check=check)

    def reset(self) -> None:
        """Put its tenant back to new, as `freehold tenants reset` does beside the running server."""
        asyncio.run(_reset(self))

    def stop(self) -> None:
        """Ask the server to stop and wait for it."""
        self.process.terminate()
        self.process.wait(timeout=30)


def run_freehold(
    *arguments: str, check: bool = True, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the freehold command; with `check`, a failure shows what it said."""
    command = [sys.executable, "-m", "freehold.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(env), timeout=300, check=False)
    assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done


@contextmanager
def start_server(data: Path, *arguments: str, env: dict[str, str] | None = None) -> Iterator[LiveServer]:
    """A server on this data folder and, unless given, a free port."""
    ready = data.parent / f"{data.name}.ready.json"
    log = data.parent / f"{data.name}.log"
    options = ["--data", str(data), "--ready-file", str(ready), "--quiet", *arguments]
    if "--port" not in arguments:
        options += ["--port", "0"]
    ready.unlink(missing_ok=True)
    with log.open("ab") as output:
        command = [sys.executable, "-m", "freehold.cli", "up", *options]
        process = subprocess.Popen(command, stdout=output, stderr=output, env=_environment(env))
    try:
        facts = _wait_for(ready, process, log)
        yield LiveServer(data, facts, process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One server for the session; tests ask for `server`."""
    quick = {"FREEHOLD_BCRYPT_COST": "4"}
    with start_server(tmp_path_factory.mktemp("server") / "data", env=quick) as live:
        yield live


@pytest.fixture(scope="module")
def server(shared_server: LiveServer) -> Iterator[LiveServer]:
    """The session's server. A module that changes how its tenant signs people in has to put that back."""
    before = _ways_in(shared_server)
    yield shared_server
    shared_server.forget_tokens()  # keys that were rotated twice end them
    after = _ways_in(shared_server)
    if after != before:
        shared_server.reset()
    assert after == before, "what this module leaves changes the sign-ins of the next one's tests"


@pytest.fixture(scope="module")
def _new_afterwards(server: LiveServer) -> Iterator[None]:
    yield
    server.reset()


@pytest.fixture
def tenant(server: LiveServer, _new_afterwards: None) -> LiveServer:
    """The session's server with its tenant put back to new, before the test and after its module."""
    server.reset()
    return server


def _ways_in(server: LiveServer) -> dict[str, Any]:
    paths = ["tenants/settings", "guardian/factors", "guardian/policies", "rules", "hooks"]
    paths += [f"actions/triggers/{trigger}/bindings" for trigger in ("post-login", "pre-user-registration")]
    with server.management() as api:
        found = {path: api.get(path).raise_for_status().json() for path in paths}
    del found["tenants/settings"]["flags"]["enable_client_connections"]  # put off with every application
    return found


async def _reset(server: LiveServer) -> None:
    async with opened(settings_for(server.data, None), upgrade=False) as installation:
        await lifecycle.reset(installation.store, await installation.tenants.by_name(str(server.facts["tenant"])))


def _wait_for(ready: Path, process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if ready.exists():
            facts: dict[str, Any] = json.loads(ready.read_text())
            return facts
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"the server did not start:\n{log.read_text()[-4000:]}")


def _environment(extra: dict[str, str] | None) -> dict[str, str]:
    path = os.pathsep.join(part for part in (str(SOURCE), os.environ.get("PYTHONPATH", "")) if part)
    return {**os.environ, "PYTHONPATH": path, **(extra or {})}
