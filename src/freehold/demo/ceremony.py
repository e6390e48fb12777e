"""The export ceremony from end to end: two administrators, an executive's signature, a sealed file, and what it is
good for elsewhere.

Everything goes through the public door: servers over HTTPS, commands as processes, `gpg` for the key and the file.
What the strict policy would make one wait for is switched off in the operator's configuration, and named.
"""

import gzip
import json
import re
import tarfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import bcrypt

from freehold.demo import auth0_export
from freehold.demo.administrator import Administrator, Authenticator
from freehold.demo.auth0_export import Export
from freehold.demo.executive import AUTHORITY, Executive
from freehold.demo.gnupg import KeyHolder, key_holder
from freehold.demo.servers import CALLBACK, Server, freehold, kid_of
from freehold.demo.steps import Telling, require
from freehold.kernel.crypto.otp import new_recovery_code, new_totp_secret
from freehold.kernel.crypto.passwords import HashPolicy, hash_password

REQUESTER, APPROVER = ("Ada Lovelace", "ada@acme.example"), ("Bela Bartók", "bela@acme.example")
KINDS = ("password_hashes", "mfa_secrets", "private_keys", "write_only_secrets")
RELAXED: dict[str, int | list[str]] = {
    "ceremony_requester_min_age_h": 0,
    "ceremony_executive_min_age_h": 0,
    "ceremony_second_person_min_age_h": 0,
    "ceremony_cool_down_h": 0,
    "ceremony_waiting_for": [],
}
"""What would make this last for days: everybody here joined a minute ago."""
BUILD_LIMIT_S = 120.0
JOB_LIMIT_S = 60.0


class Ceremony(Telling):
    """The export ceremony of a small tenant."""

    def run(self) -> None:
        """Tell it from the first step to the last. Raises NotTrue."""
        first, second = self.folder / "first", self.folder / "second"
        self._relax(first)
        with self.step("Start a fresh Freehold") as step:
            server = Server.start(first, 0, self.folder / "first.json")
            step.detail = server.base_url
        try:
            export, app = self._fill(first, server)
            login = self._sign_in(server, export, app, "Sign in with password and authenticator")
            ada, bela = self._administrators(server)
            executive = Executive("Grace Hopper", "Chief Information Security Officer", "grace@acme.example")
            enrolled = self._enrol(ada, executive)
            with _Key(self) as holder:
                opened = self._ceremony(server, ada, bela, executive, enrolled, holder)
            self._join(server, export, opened, app)
            self._machine(server, export, opened, app)
            with self.step("Export everything else, and stop it") as step:
                archive = self.folder / "main.tar.gz"
                done = json.loads(freehold("export", "--data", str(first), "--output", str(archive), "--json"))
                ada.http.close()
                bela.http.close()
                server.stop()
                step.detail = f"{sum(done['rows'].values()):,} rows, {archive.stat().st_size / 1e3:.0f} kB"
        finally:
            server.stop()
        self._restore(second, archive, opened.with_suffix(".tar"))
        with self.step("Start the second Freehold") as step:
            server = Server.start(second, server.port, self.folder / "second.json")
            step.detail = f"{server.base_url}, the same issuer on other data"
        try:
            again = self._sign_in(server, export, app, "Sign in there with the same password and authenticator")
            self._same_keys(server, login, again)
            with self.step("Sign in there as the administrator") as step:
                there = ada.sign_in(server).call("GET", "me")["administrator"]
                require(there["role"] == "admin", f"the role is {there['role']}")
                step.detail = f"{there['email']}: same password, same authenticator, {there['role']}"
        finally:
            server.stop()

    # --- a tenant ------------------------------------------------------------------------------------------------

    def _relax(self, data: Path) -> None:
        with self.step("Relax the policy, for this demonstration only") as step:
            data.mkdir(mode=0o700, parents=True)
            lines = [f"{name} = {json.dumps(value)}\n" for name, value in RELAXED.items()]
            file = data / "freehold.toml"
            file.touch(0o600)
            file.write_text("".join(lines))
            step.detail = "RELAXED by the operator: " + ", ".join(line.strip() for line in lines)

    def _fill(self, data: Path, server: Server) -> tuple[Export, Authenticator]:
        with self.step("Bring users with bcrypt passwords, one with a second factor") as step:
            export = auth0_export.write_export(self.folder / "auth0", users=self.users, callback=CALLBACK)
            secret, recovery = new_totp_secret(), hash_password(new_recovery_code(), HashPolicy("bcrypt"))
            whose = {"user_id": export.person["user_id"], "tenant": auth0_export.TENANT}
            with export.factors.open("a") as file:
                file.write(json.dumps({**whose, "type": "otp", "otp_secret": secret}) + "\n")
                file.write(json.dumps({**whose, "type": "recovery-code", "recovery_code": recovery}) + "\n")
            done = json.loads(
                freehold(
                    "import", "auth0", "--data", str(data), "--users", str(export.users), "--hashes",
                    str(export.hashes), "--mfa", str(export.factors), "--config", str(export.config), "--yes", "--json",
                )
            )  # fmt: skip
            inserted = done["counts"]["users"].get("inserted", 0)
            require(inserted == self.users, f"{inserted} of {self.users} users were imported: {done['found']}")
            with server.management() as api:
                for name in ("otp", "recovery-code"):
                    answer = api.put(f"/api/v2/guardian/factors/{name}", json={"enabled": True})
                    require(answer.status_code == 200, f"{name}: {answer.text[:300]}")
                answer = api.put("/api/v2/guardian/policies", json=["all-applications"])
                require(answer.status_code == 200, f"policies: {answer.text[:300]}")
            step.detail = (
                f"{inserted} users, {done['counts']['hashes']['joined']} password hashes; "
                f"{export.person['email']} has an authenticator and a recovery code"
            )
        return export, Authenticator(secret)

    def _sign_in(self, server: Server, export: Export, app: Authenticator, title: str) -> dict[str, Any]:
        with self.step(title) as step:
            username = export.person["email"]
            tokens = server.sign_in(username, export.password, code=app.code)
            claims = server.verify_id_token(tokens["id_token"], tokens["nonce"])
            require(claims["sub"] == export.person["user_id"], f"sub is {claims['sub']}")
            require("mfa" in claims.get("amr", []), f"the ID token does not tell of the second factor: {claims}")
            step.detail = (
                f"{username}, on the hosted pages, ID token verified (Authlib), kid {kid_of(tokens['id_token'])}"
            )
            return {**tokens, "kid": kid_of(tokens["id_token"])}

    def _same_keys(self, server: Server, before: dict[str, Any], after: dict[str, Any]) -> None:
        with self.step("Compare the signing keys") as step:
            require(before["kid"] == after["kid"], f"different kids: {before['kid']} and {after['kid']}")
            server.verify_id_token(before["id_token"], before["nonce"])
            step.detail = f"kid {after['kid']}, and the first server's ID token verifies with the second's key set"

    # --- people --------------------------------------------------------------------------------------------------

    def _administrators(self, server: Server) -> tuple[Administrator, Administrator]:
        with self.step("Invite two administrators") as step:
            (name, email), (other, other_email) = REQUESTER, APPROVER
            ada = Administrator.join(server, server.facts["dashboard"]["invitation_url"], email, name)
            invitation = ada.call("POST", "invitations", {"email": other_email, "role": "admin"}, status=201)
            bela = Administrator.join(server, invitation["url"], other_email, other)
            step.detail = f"{email} and {other_email}, each with a password and an authenticator of their own"
        return ada, bela

    def _enrol(self, ada: Administrator, executive: Executive) -> str:
        with self.step("Enrol an executive by certificate") as step:
            authority = {
                "name": AUTHORITY, "certificate": executive.authority_pem, "crls": [executive.revocation_list_pem],
            }  # fmt: skip
            ada.call("POST", "trust-anchors", authority, status=201)
            person = {"name": executive.name, "title": executive.title, "email": executive.email}
            enrolled = str(ada.call("POST", "executives", person, status=201)["id"])
            step.detail = f"{executive.name}, {executive.title}; certificates of {AUTHORITY} with her address count"
        return enrolled

    # --- the ceremony --------------------------------------------------------------------------------------------

    def _ceremony(
        self,
        server: Server,
        ada: Administrator,
        bela: Administrator,
        executive: Executive,
        executive_id: str,
        holder: KeyHolder,
    ) -> Path:
        """The export, opened: the folder with its files; the tar lies beside it."""
        with self.step("Request the export") as step:
            asked = {
                "kinds": KINDS, "purpose": "We move to a server of our own.", "executive": executive_id,
                "recipients": [{"key": holder.public_key}],
            }  # fmt: skip
            made = ada.call("POST", "ceremonies", asked, status=201)
            path, relaxed = f"ceremonies/{made['id']}", made["relaxed"]
            expected = {name.removeprefix("ceremony_") for name in RELAXED}
            require(set(relaxed) == expected, f"the request does not name what is relaxed: {relaxed}")
            found = [recipient["fingerprint"] for recipient in made["request"]["recipients"]]
            require(found == [holder.fingerprint], f"the request is for {found}")
            pending = ada.call("POST", f"{path}/submit")
            require(pending["state"] == "requirements_pending", f"it is {pending['state']}: {pending['reason']}")
            step.detail = f"{made['id']}, digest {made['groups']}; it says itself: relaxed {', '.join(relaxed)}"
        shown = ada.call("GET", path)
        with self.step("Prove that the key's owner can decrypt") as step:
            word = holder.read(shown["messages"][holder.fingerprint])
            wrong = ada.http.post(f"/admin/api/{path}/possess", json={"words": [word[::-1]]})
            require(wrong.status_code in {400, 403}, f"another word is answered with {wrong.status_code}")
            ada.call("POST", f"{path}/possess", {"words": [word]})
            step.detail = f"the word came out by {holder.program}"
        with self.step("Authorize") as step:
            text = {"tenant": server.facts["tenant"], "text": shown["authorization_text"]}
            ada.call("POST", f"{path}/authorize", text)
            step.detail = shown["authorization_text"].splitlines()[0][:150]
        with self.step("Confirm, by the second administrator") as step:
            decision = {"decision": "approve", "code": "000000", "digest": made["groups"]}
            alone = ada.http.post(f"/admin/api/{path}/decision", json=decision)
            require(alone.status_code in {403, 409}, f"the requester's own is answered with {alone.status_code}")
            bela.call("POST", f"{path}/decision", {**decision, "code": bela.app.code()})
            step.detail = f"{bela.email}, with a fresh code and the digest; the requester's own was refused"
        with self.step("Sign the form") as step:
            form = ada.send("GET", f"{path}/form").content
            unsigned = ada.http.post(f"/admin/api/{path}/signature?kind=pdf", content=form)
            require(
                unsigned.status_code in {400, 403, 422}, f"the unsigned form is answered with {unsigned.status_code}"
            )
            signed = executive.sign(form)
            (self.folder / "acknowledgement.pdf").write_bytes(signed)
            ada.call("POST", f"{path}/signature?kind=pdf", signed)
            step.detail = f"{executive.name}, PAdES, {len(signed) / 1e3:.0f} kB; the unsigned one was refused"
        self._wait(ada, path)
        sealed = self._download(ada, bela, path)
        return self._open(ada, path, made["digest"], sealed, holder)

    def _wait(self, ada: Administrator, path: str) -> None:
        with self.step("Prepare the file") as step:
            patience_ends = time.monotonic() + BUILD_LIMIT_S
            while (now := ada.call("GET", path))["state"] == "preparing" and time.monotonic() < patience_ends:
                time.sleep(0.1)
            require(now["state"] == "ready", f"it is {now['state']}: {now['reason']}")
            step.detail = (
                f"{now['artefact']['size'] / 1e3:.0f} kB, encrypted to {len(now['artefact']['recipients'])} subkey"
            )

    def _download(self, ada: Administrator, bela: Administrator, path: str) -> Path:
        with self.step("Download it") as step:
            foreign = bela.http.post(f"/admin/api/{path}/tickets", json={})
            require(foreign.status_code == 410, f"another administrator's try is answered with {foreign.status_code}")
            ticket = ada.call("POST", f"{path}/tickets", {}, status=201)
            url = f"{path}/file?ticket={ticket['ticket']}"
            content = ada.send("GET", url).content
            ada.send("GET", url, status=410)
            found = sha256(content).hexdigest()
            require(found == ticket["sha256"], f"SHA-256 is {found} in place of {ticket['sha256']}")
            sealed = self.folder / "export.pgp"
            sealed.write_bytes(content)
            step.detail = f"SHA-256 {found[:16]}... as announced; the ticket opens nothing twice, and nothing to others"
        return sealed

    def _open(self, ada: Administrator, path: str, digest: str, sealed: Path, holder: KeyHolder) -> Path:
        opened = self.folder / "opened"
        with self.step("Decrypt it, and check every file against the manifest") as step:
            tar_file = opened.with_suffix(".tar")
            holder.open(sealed, tar_file)
            with tarfile.open(tar_file) as tar:
                tar.extractall(opened, filter="data")
            manifest = json.loads((opened / "manifest.json").read_text())
            for member in manifest["members"]:
                found = sha256((opened / member["path"]).read_bytes()).hexdigest()
                require(found == member["sha256"], f"{member['path']} is not as it left")
            listed = {member["path"] for member in manifest["members"]} | {"manifest.json"}
            present = {str(file.relative_to(opened)) for file in opened.rglob("*") if file.is_file()}
            require(listed == present, f"not in the manifest, or missing: {sorted(listed ^ present)}")
            require(manifest["ceremony"]["digest"] == digest, "the manifest names another request")
            step.detail = f"{len(listed)} files by {holder.program}; the digest is that of the request"
        with self.step("Verify the receipt, without the server") as step:
            receipt = self.folder / "receipt.zip"
            receipt.write_bytes(ada.send("GET", f"{path}/receipt").content)
            keys = ada.http.get("/.well-known/freehold-audit-keys").json()["keys"]
            found = json.loads(freehold("ceremony", "verify", str(receipt), "--audit-key", keys[0]["kid"], "--json"))
            require(found["ok"] and found["complete"], f"the receipt says {found}")
            require(found["file_sha256"] == sha256(sealed.read_bytes()).hexdigest(), "it is of another file")
            self.facts["receipt"] = found
            step.detail = (
                f"genuine and complete: {found['requester']}, {', '.join(found['approvers'])}, {found['signer']}"
            )
        return opened

    # --- what it is good for -------------------------------------------------------------------------------------

    def _join(self, server: Server, export: Export, opened: Path, app: Authenticator) -> None:
        with self.step("Join hashes and factors with an ordinary user export") as step:
            users = {user["user_id"]: user for user in _exported_users(server)}
            require(len(users) == self.users, f"the export has {len(users)} users")
            hashes = {_user_id(row): row["passwordHash"] for row in _lines(opened, "password-hashes")}
            factors: dict[str, list[dict[str, Any]]] = {}
            for row in _lines(opened, "mfa-secrets"):
                factors.setdefault(row["user_id"], []).append(row)
            require(not hashes.keys() - users.keys(), f"hashes of nobody: {sorted(hashes.keys() - users.keys())}")
            require(not factors.keys() - users.keys(), f"factors of nobody: {sorted(factors.keys() - users.keys())}")
            own = export.person["user_id"]
            require(bcrypt.checkpw(export.password.encode(), hashes[own].encode()), "the hash is of another password")
            kinds = {row["type"]: row for row in factors[own]}
            require(kinds["otp"]["otp_secret"] == app.secret, "the authenticator's secret is another")
            require("recovery-code" in kinds, "the recovery code is missing")
            with (self.folder / "joined.ndjson").open("w") as file:
                for user_id, user in users.items():
                    joined = {**user, "passwordHash": hashes.get(user_id), "mfa": factors.get(user_id, [])}
                    file.write(json.dumps(joined, ensure_ascii=False) + "\n")
            step.detail = (
                f"{len(users)} users, {len(hashes)} password hashes, {sum(map(len, factors.values()))} factors; "
                "the password fits its hash, the secret is the app's"
            )

    def _machine(self, server: Server, export: Export, opened: Path, app: Authenticator) -> None:
        with self.step("Try the same with a Management API token that has every scope") as step:
            secrets = {row["passwordHash"] for row in _lines(opened, "password-hashes")} | {app.secret}
            secrets |= {str(key["d"]) for key in json.loads((opened / "private-keys.jwks.json").read_text())["keys"]}
            routes = json.loads(freehold("routes", "--json"))
            asked, refused = 0, 0
            with server.management() as api:
                for path in _readable(routes, export.person["user_id"]):
                    text = api.get(path).text
                    require(not any(secret in text for secret in secrets), f"{path} shows a secret")
                    asked += 1
                ceremony = api.get("/admin/api/ceremonies").json()[0]
                require(set(ceremony) == {"id", "state", "created_at", "state_since"}, f"it sees {ceremony}")
                for method, path in _ceremony_routes(routes, ceremony["id"]):
                    status = api.request(method, path, json={} if method != "GET" else None).status_code
                    require(status in {401, 403}, f"{method} {path} answers {status}")
                    refused += 1
            step.detail = (
                f"{asked} readable operations show none of the {len(secrets)} secrets, {refused} others refused"
            )

    def _restore(self, data: Path, archive: Path, sealed: Path) -> None:
        with self.step("Restore into a second, empty Freehold") as step:
            done = json.loads(freehold("restore", "--data", str(data), str(archive), "--vault", str(sealed), "--json"))
            step.detail = f"{sum(done['rows'].values()):,} rows, and what the ceremony released"


class _Key:
    """The step in which the key is made, and the key for as long as it is needed."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._holder = key_holder(*REQUESTER)

    def __enter__(self) -> KeyHolder:
        with self._telling.step("Make an OpenPGP key, as the guide says") as step:
            holder = self._holder.__enter__()
            step.detail = f"RSA 4096, {holder.fingerprint}, by {holder.program}"
        return holder

    def __exit__(self, *error: Any) -> None:
        self._holder.__exit__(*error)


def _exported_users(server: Server) -> list[dict[str, Any]]:
    """All users, as the export job of the Management API gives them."""
    with server.management() as api:
        asked = {"format": "json", "fields": [{"name": "user_id"}, {"name": "email"}, {"name": "name"}]}
        job = api.post("/api/v2/jobs/users-exports", json=asked).json()
        patience_ends = time.monotonic() + JOB_LIMIT_S
        while job["status"] != "completed":
            require(job["status"] != "failed" and time.monotonic() < patience_ends, f"the export job: {job}")
            time.sleep(0.1)
            job = api.get(f"/api/v2/jobs/{job['id']}").json()
        content = api.get(job["location"]).content
    return [json.loads(line) for line in gzip.decompress(content).splitlines()]


def _lines(opened: Path, name: str) -> Iterator[dict[str, Any]]:
    for line in (opened / f"{name}.ndjson").read_text().splitlines():
        yield json.loads(line)


def _user_id(row: dict[str, Any]) -> str:
    return f"auth0|{row.get('alt_id') or row['_id']['$oid']}"


def _readable(routes: list[dict[str, Any]], user_id: str) -> Iterator[str]:
    """Every address of the Management API that can be read without knowing more than a user."""
    for route in routes:
        path = route["path"]
        if route["method"] == "GET" and path.startswith("/api/v2/"):
            path = re.sub(r"^(/api/v2/users/)\{\w+\}", rf"\g<1>{user_id}", path)
            if "{" not in path:
                yield path


def _ceremony_routes(routes: list[dict[str, Any]], ceremony_id: str) -> Iterator[tuple[str, str]]:
    """What a ceremony offers to administrators, besides its state."""
    for route in routes:
        method, path = route["method"], route["path"].replace("{id}", ceremony_id)
        state = path in {"/admin/api/ceremonies", f"/admin/api/ceremonies/{ceremony_id}"} and method == "GET"
        if path.startswith("/admin/api/ceremon") and not state and method != "HEAD":
            yield method, path
