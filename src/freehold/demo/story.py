"""The main job from end to end: a tenant arrives, somebody signs in, everything leaves, and works elsewhere.

Every step goes through the public door: the commands as processes of their own, the servers over HTTPS, the sign-in
with a published OpenID Connect client. A step that is not true ends the story.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freehold.demo import auth0_export
from freehold.demo.auth0_export import Export
from freehold.demo.servers import CALLBACK, Server, freehold, kid_of
from freehold.demo.steps import Telling, require


@dataclass(slots=True)
class Story(Telling):
    """The main job."""

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

    def _sign_in(self, server: Server, export: Export, title: str) -> dict[str, Any]:
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

    def _still_valid(self, server: Server, before: dict[str, Any], after: dict[str, Any]) -> None:
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
