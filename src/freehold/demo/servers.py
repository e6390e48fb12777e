"""Servers and commands of a demonstration, each in a process of its own, and an application that uses them."""

import base64
import json
import os
import secrets
import ssl
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from authlib.deprecate import AuthlibDeprecationWarning
from joserfc import jwt
from joserfc.jwk import KeySet

from freehold.demo.auth0_export import AUDIENCE, WEB_CLIENT, WEB_SECRET
from freehold.demo.browser import sign_in
from freehold.demo.steps import NotTrue, require

with warnings.catch_warnings():
    # Authlib would rather have the successor of httpx, which is too young to depend on.
    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from authlib.integrations.httpx_client import OAuth2Client

CALLBACK = "https://shop.acme.example/callback"
SCOPE = "openid profile email offline_access"
START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0


@dataclass(slots=True)
class Server:
    """A server in a process of its own, and an application that uses it."""

    process: subprocess.Popen[bytes]
    base_url: str
    issuer: str
    trust: ssl.SSLContext
    facts: dict[str, Any]

    @classmethod
    def start(cls, data: Path, port: int, ready_file: Path) -> "Server":
        """Start it and wait until it answers. Raises NotTrue."""
        command = [sys.executable, "-m", "freehold.cli", "up", "--data", str(data), "--port", str(port)]
        log = ready_file.with_suffix(".log").open("wb")
        with log:
            process = subprocess.Popen(  # noqa: S603 - our own command
                [*command, "--ready-file", str(ready_file), "--quiet"], stdout=log, stderr=log, env=_environment()
            )
        patience_ends = time.monotonic() + START_LIMIT_S
        while not ready_file.exists():
            if process.poll() is not None or time.monotonic() > patience_ends:
                process.kill()
                tail = ready_file.with_suffix(".log").read_text(errors="replace")[-1500:]
                raise NotTrue(f"the server did not start:\n{tail}")
            time.sleep(0.02)
        facts = json.loads(ready_file.read_text())
        trust = ssl.create_default_context(cafile=facts["ca_file"])
        return cls(process, facts["base_url"], facts["issuer"], trust, facts)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.base_url.rpartition(":")[2])

    def stop(self) -> None:
        """End it cleanly."""
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_LIMIT_S)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def client(self, **options: Any) -> httpx.Client:
        """An HTTP client that trusts the server's authority."""
        return httpx.Client(base_url=self.base_url, verify=self.trust, timeout=30, **options)

    def management(self) -> httpx.Client:
        """A client with a Management API token that has every scope."""
        with self.client() as http:
            answer = http.post("/oauth/token", json={"grant_type": "client_credentials", **self.facts["management"]})
        require(answer.status_code == 200, f"there is no Management API token: {answer.text[:300]}")
        return self.client(headers={"authorization": f"Bearer {answer.json()['access_token']}"})

    def sign_in(self, username: str, password: str, *, code: Callable[[], str] | None = None) -> dict[str, Any]:
        """Sign in as a user does, and get the tokens as an application does; `nonce` is in the answer."""
        discovered = self._discover()
        verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
        with self._application() as client:
            url, state = client.create_authorization_url(
                discovered["authorization_endpoint"], code_verifier=verifier, nonce=nonce, audience=AUDIENCE
            )
            with httpx.Client(base_url=self.base_url, verify=self.trust) as browser:
                answer = sign_in(browser, url, username, password, code=code)
            require(answer.startswith(CALLBACK), f"the browser ends on {answer[:200]}")
            tokens = client.fetch_token(
                discovered["token_endpoint"], authorization_response=answer, state=state, code_verifier=verifier
            )
        return {**tokens, "nonce": nonce}

    def refresh(self, refresh_token: str) -> dict[str, Any]:
        """New tokens for an old refresh token."""
        with self._application() as client:
            tokens = client.refresh_token(self._discover()["token_endpoint"], refresh_token=refresh_token)
        return dict(tokens)

    def verify_id_token(self, token: str, nonce: str | None) -> dict[str, Any]:
        """The claims of an ID token that this server's published keys prove (OpenID Connect Core section 3.1.3.7)."""
        with httpx.Client(verify=self.trust) as http:
            keys = KeySet.import_key_set(http.get(self._discover()["jwks_uri"]).json())
        decoded = jwt.decode(token, keys, algorithms=["RS256"])
        expected: dict[str, Any] = {
            "iss": {"essential": True, "value": self.issuer},
            "aud": {"essential": True, "value": WEB_CLIENT},
            "exp": {"essential": True},
        }
        if nonce is not None:
            expected["nonce"] = {"essential": True, "value": nonce}
        jwt.JWTClaimsRegistry(**expected).validate(decoded.claims)
        return dict(decoded.claims)

    def _discover(self) -> dict[str, Any]:
        with httpx.Client(verify=self.trust) as http:
            found = http.get(f"{self.base_url}/.well-known/openid-configuration").json()
        require(found["issuer"] == self.issuer, f"the issuer is {found['issuer']}")
        return dict(found)

    def _application(self) -> Any:
        return OAuth2Client(
            client_id=WEB_CLIENT, client_secret=WEB_SECRET, token_endpoint_auth_method="client_secret_post",  # noqa: S106
            redirect_uri=CALLBACK, scope=SCOPE, code_challenge_method="S256", verify=self.trust,
        )  # fmt: skip


def freehold(*arguments: str) -> str:
    """Run a command and answer what it prints. Raises NotTrue with its last words."""
    command = [sys.executable, "-m", "freehold.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)  # noqa: S603 - ours
    if done.returncode:
        raise NotTrue(f"freehold {' '.join(arguments[:2])}: {(done.stderr or done.stdout).strip()[-1500:]}")
    return done.stdout


def kid_of(token: str) -> str:
    """The key id in a token's header."""
    header = token.partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"])


def _environment() -> dict[str, str]:
    """Ours without settings of Freehold, which would change what is shown, and with the same modules."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FREEHOLD_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
