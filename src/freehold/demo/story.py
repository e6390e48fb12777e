"""The main job from end to end: a tenant arrives, somebody signs in, everything leaves, and works elsewhere.

Every step goes through the public door: the commands as processes of their own, the servers over HTTPS, the sign-in
with a published OpenID Connect client. A step that is not true ends the story.
"""

import base64
import hashlib
import json
import os
import secrets
import ssl
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from authlib.deprecate import AuthlibDeprecationWarning
from joserfc import jwt
from joserfc.jwk import KeySet

from freehold.demo import auth0_export
from freehold.demo.auth0_export import AUDIENCE, WEB_CLIENT, WEB_SECRET, Export
from freehold.demo.browser import NotThere, sign_in

with warnings.catch_warnings():
    # Authlib would rather have the successor of httpx, which is too young to depend on.
    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from authlib.integrations.httpx_client import OAuth2Client

CALLBACK = "https://shop.acme.example/callback"
SCOPE = "openid profile email offline_access"
START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0


class NotTrue(Exception):
    """A step of the demonstration did not come out as it should."""


@dataclass(slots=True)
class Step:
    """One step that came out."""

    title: str
    detail: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Story:
    """The demonstration in a folder of its own; `tell` is called with each step that came out."""

    folder: Path
    users: int
    tell: Callable[[Step], None]
    begin: Callable[[str], None] = lambda _title: None
    steps: list[Step] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        """Tell it from the first step to the last. Raises NotTrue."""
        first, second = self.folder / "first", self.folder / "second"
        with self.step("Start a fresh Freehold") as step:
            server = Server.start(first, 0, self.folder / "first.json")
            step.detail = f"{server.base_url}, with a certificate authority of its own"
        try:
            with self.step("Make an Auth0 export") as step:
                export = auth0_export.write_export(self.folder / "auth0", users=self.users, callback=CALLBACK)
                size = sum(file.stat().st_size for file in export.folder.rglob("*") if file.is_file())
                step.detail = f"{self.users:,} users with bcrypt hashes, a deploy CLI directory, {size / 1e6:.1f} MB"
            self._import(first, export)
            login = self._sign_in(server, export, "Sign in through the hosted page")
            archive, sealed = self._leave(first)
            with self.step("Stop it") as step:
                server.stop()
                step.detail = "everything that follows happens without it"
        finally:
            server.stop()
        self._restore(second, archive, sealed)
        with self.step("Start the second Freehold") as step:
            server = Server.start(second, server.port, self.folder / "second.json")
            step.detail = f"{server.base_url}, the same issuer on other data"
        try:
            again = self._sign_in(server, export, "Sign in there with the same password")
            self._still_valid(server, login, again)
        finally:
            server.stop()

    # --- the steps -----------------------------------------------------------------------------------------------

    def _import(self, data: Path, export: Export) -> None:
        with self.step("Import it") as step:
            done = json.loads(
                freehold(
                    "import", "auth0", "--data", str(data), "--users", str(export.users), "--hashes",
                    str(export.hashes), "--mfa", str(export.factors), "--config", str(export.config), "--yes",
                    "--json", "--report", str(self.folder / "import-report.json"),
                )
            )  # fmt: skip
            inserted = done["counts"]["users"].get("inserted", 0)
            require(inserted == self.users, f"{inserted} of {self.users} users were imported: {done['found']}")
            require(done["found"].get("user_without_hash", 0) == export.without_hash, f"{done['found']}")
            require(done["found"].get("hash_without_user", 0) == export.without_user, f"{done['found']}")
            self.facts["import"] = done
            step.detail = (
                f"{inserted:,} users, {done['counts']['hashes']['joined']:,} password hashes, "
                f"{done['counts']['factors']['joined']:,} MFA factors, {done['counts']['clients']['created']} clients; "
                f"the report names {export.without_user} hashes without a user"
            )

    def _sign_in(self, server: "Server", export: Export, title: str) -> dict[str, Any]:
        with self.step(title) as step:
            username, password = export.person["email"], export.password
            tokens = server.sign_in(username, password)
            claims = server.verify_id_token(tokens["id_token"], tokens["nonce"])
            require(claims["sub"] == export.person["user_id"], f"sub is {claims['sub']}")
            require(claims["email"] == username, f"email is {claims['email']}")
            require(bool(tokens.get("refresh_token")), "there is no refresh token")
            step.detail = f"{claims['name']} <{username}>, authorization code with PKCE, ID token verified (Authlib)"
            return {**tokens, "kid": kid_of(tokens["id_token"]), "claims": claims}

    def _leave(self, data: Path) -> tuple[Path, Path]:
        archive, sealed = self.folder / "acme.freehold.tar.gz", self.folder / "acme-vault.tar.gz"
        with self.step("Take the vault out, on the operator's authority") as step:
            freehold("vault", "export", "--data", str(data), "--output", str(sealed), "--plaintext", "--yes")
            step.detail = f"{sealed.stat().st_size / 1e6:.1f} MB: password hashes, MFA secrets, private keys"
        with self.step("Export everything else") as step:
            done = json.loads(freehold("export", "--data", str(data), "--output", str(archive), "--json"))
            rows = sum(done["rows"].values())
            require(done["rows"]["users"] == self.users, f"the archive has {done['rows']['users']} users")
            step.detail = f"{rows:,} rows in one archive of {archive.stat().st_size / 1e6:.1f} MB"
        return archive, sealed

    def _restore(self, data: Path, archive: Path, sealed: Path) -> None:
        with self.step("Restore into a second, empty Freehold") as step:
            done = json.loads(
                freehold("restore", "--data", str(data), str(archive), "--vault", str(sealed), "--json")
            )  # fmt: skip
            step.detail = f"{sum(done['rows'].values()):,} rows and the vault"
        with self.step("Export from there and compare") as step:
            copy = self.folder / "acme-again.freehold.tar.gz"
            freehold("export", "--data", str(data), "--output", str(copy))
            one, other = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (archive, copy))
            require(one == other, f"the archives differ: {one[:16]} and {other[:16]}")
            step.detail = f"byte for byte the same, SHA-256 {one[:16]}..."
            self.facts["archive_sha256"] = one

    def _still_valid(self, server: "Server", before: dict[str, Any], after: dict[str, Any]) -> None:
        with self.step("Use the refresh token from before") as step:
            tokens = server.refresh(before["refresh_token"])
            claims = server.verify_id_token(tokens["id_token"], None)
            require(claims["sub"] == before["claims"]["sub"], f"sub is {claims['sub']}")
            step.detail = f"issued by the first, taken by the second, for {claims['sub']}"
        with self.step("Compare the signing keys") as step:
            kids = {before["kid"], after["kid"], kid_of(tokens["id_token"])}
            require(len(kids) == 1, f"different kids: {', '.join(sorted(kids))}")
            server.verify_id_token(before["id_token"], before["nonce"])
            step.detail = f"kid {before['kid']}, and the first server's ID token verifies with the second's key set"

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Time a step; one that fails says so by its title."""
        self.begin(title)
        step = Step(title)
        started = time.perf_counter()
        try:
            yield step
        except (NotTrue, NotThere, httpx.HTTPError, KeyError, ValueError) as error:
            raise NotTrue(f"{title}: {error!r}" if isinstance(error, KeyError) else f"{title}: {error}") from error
        step.seconds = time.perf_counter() - started
        self.steps.append(step)
        self.tell(step)


@dataclass(slots=True)
class Server:
    """A server in a process of its own, and an application that uses it."""

    process: subprocess.Popen[bytes]
    base_url: str
    issuer: str
    trust: ssl.SSLContext

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
        return cls(process, facts["base_url"], facts["issuer"], trust)

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

    def sign_in(self, username: str, password: str) -> dict[str, Any]:
        """Sign in as a user does, and get the tokens as an application does; `nonce` is in the answer."""
        discovered = self._discover()
        verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
        with self._application() as client:
            url, state = client.create_authorization_url(
                discovered["authorization_endpoint"], code_verifier=verifier, nonce=nonce, audience=AUDIENCE
            )
            with httpx.Client(base_url=self.base_url, verify=self.trust) as browser:
                answer = sign_in(browser, url, username, password)
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


def require(condition: bool, what: str) -> None:
    """Hold a step to what it claims. Raises NotTrue."""
    if not condition:
        raise NotTrue(what)


def _environment() -> dict[str, str]:
    """Ours without settings of Freehold, which would change what is shown, and with the same modules."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FREEHOLD_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
