"""A real server in a process of its own, on a free port, and small helpers to talk to it.

`server` is one installation for the whole session, on SQLite; tests that need a tenant of their own ask for `tenant`,
which is reset before each test. `start_server` starts another with other options.
"""

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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One server for the session."""
    with start_server(tmp_path_factory.mktemp("server") / "data") as live:
        yield live


@pytest.fixture
def tenant(server: LiveServer) -> LiveServer:
    """The session's server with its tenant put back to new."""
    server.freehold("tenants", "reset", str(server.facts["tenant"]), "--yes")
    return server


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
