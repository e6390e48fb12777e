"""A whole ceremony over HTTP under the strict policy, with nothing relaxed: what leaves is opened with the real `gpg`,
joined with a user export, and restored where the user signs in as before.

Days pass by the installation's clock, which begins in the past, so that keys made by `gpg` are of its present.
"""

import asyncio
import contextlib
import dataclasses
import gzip
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest

from freehold.demo.gnupg import GnuPG, KeyHolder, key_holder
from freehold.demo.servers import kid_of
from freehold.domain.ceremonies.verify import verify_bundle
from tests.support.administrators import Person, accept, make_administrator
from tests.support.applications import Application, User, make_application
from tests.support.commands import freehold
from tests.support.hosted_pages import BrowserSession
from tests.support.in_process import Installation, started
from tests.support.second_factors import App, enrol
from tests.support.signers import GRACE, Authority, sign_pdf
from tests.support.signers import Person as Signatory

API = "/admin/api/ceremonies"
KINDS = ["password_hashes", "mfa_secrets", "private_keys", "write_only_secrets"]
DAYS_BEFORE = 20
pytestmark = pytest.mark.gnupg


@dataclass
class Tenant:
    """A tenant that is going to move, and its people."""

    place: Installation
    data: Path
    ada: Person
    bob: Person
    executive: str
    certificate: Signatory
    app: Application
    user: User
    phone: App
    recovery_code: str
    kid: str


def ok(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    data = tmp_path_factory.mktemp("whole") / "data"
    with started(data, at=datetime.now(UTC) - timedelta(days=DAYS_BEFORE)) as place:
        ada = make_administrator(place, "ada@example.com")
        authority = Authority(place.clock.now())
        with contextlib.closing(ada.api()) as http:
            invited = ok(http.post("/admin/api/invitations", json={"email": "bob@example.com", "role": "admin"}), 201)
            certificate = authority.anchor().certificate
            ok(http.post("/admin/api/trust-anchors", json={"name": authority.name, "certificate": certificate}), 201)
            person = {"name": GRACE.name, "title": GRACE.title, "email": GRACE.email}
            executive = ok(http.post("/admin/api/executives", json=person), 201)["id"]
        bob = accept(place, invited["url"].partition("token=")[2], "bob@example.com").enrol()
        app = make_application(place)
        user = app.add_user()
        with place.management() as api:
            for name in ("otp", "recovery-code"):
                ok(api.put(f"/guardian/factors/{name}", json={"enabled": True}))
            ok(api.put("/guardian/policies", json=["all-applications"]))
        phone, recovery_code, callback = enrol(place, app, user, app.browser())
        kid = kid_of(app.redeem(callback).json()["id_token"])
        ahead = datetime.now(UTC) + timedelta(minutes=2) - place.clock.now()
        place.advance(ahead.total_seconds())
        yield Tenant(place, data, ada, bob, executive, authority.issue(), app, user, phone, recovery_code, kid)


@pytest.fixture(scope="module")
def holder() -> Iterator[KeyHolder]:
    with key_holder("Ada Lovelace", "ada@example.com") as made:
        assert isinstance(made, GnuPG)
        yield made


@dataclass
class Export:
    """What came out."""

    ceremony: dict[str, Any]
    seen: list[str]
    folder: Path
    receipt: bytes
    audit_key: str

    @property
    def tar(self) -> Path:
        return self.folder.parent / "export.tar"

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / f"{name}.ndjson").read_text().splitlines()]


@pytest.fixture(scope="module")
def export(tenant: Tenant, holder: KeyHolder, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """The ceremony, from the request to the opened file."""
    place, ada, bob = tenant.place, tenant.ada, tenant.bob
    folder = tmp_path_factory.mktemp("export")
    body = {
        "kinds": KINDS, "purpose": "We move to a server of our own.", "executive": tenant.executive,
        "recipients": [{"key": holder.public_key}],
    }  # fmt: skip
    with contextlib.closing(ada.api()) as http:
        made = ok(http.post(API, json=body), 201)
        path = f"{API}/{made['id']}"
        seen = [made["state"], ok(http.post(f"{path}/submit"))["state"]]
        shown = ok(http.get(path))
        word = holder.read(shown["messages"][holder.fingerprint])
        ok(http.post(f"{path}/possess", json={"words": [word]}))
        ok(http.post(f"{path}/authorize", json={"tenant": "main", "text": shown["authorization_text"]}))
    with contextlib.closing(bob.api()) as http:
        decision = {"decision": "approve", "code": bob.code(), "digest": made["groups"]}
        ok(http.post(f"{path}/decision", json=decision))
        signed = sign_pdf(http.get(f"{path}/form").content, tenant.certificate)
    with contextlib.closing(ada.api()) as http:
        seen.append(ok(http.post(f"{path}/signature?kind=pdf", content=signed))["state"])
    place.advance(71 * 3600)
    place.work()
    seen.append(state_of(ada, path))
    place.advance(2 * 3600)
    for _ in range(150):
        place.work()
        if (state := state_of(ada, path)) not in {"waiting", "preparing"}:
            break
        place.run(asyncio.sleep(0.2))
    seen.append(state)
    with contextlib.closing(ada.api()) as http:
        ticket = ok(http.post(f"{path}/tickets"), 201)
        content = http.get(f"{path}/file", params={"ticket": ticket["ticket"]}).content
        assert sha256(content).hexdigest() == ticket["sha256"]
        done = ok(http.get(path))
        receipt = http.get(f"{path}/receipt").content
        (key,) = ok(http.get("/.well-known/freehold-audit-keys"))["keys"]
    seen.append(done["state"])
    (folder / "export.pgp").write_bytes(content)
    holder.open(folder / "export.pgp", folder / "export.tar")
    with tarfile.open(folder / "export.tar") as tar:
        tar.extractall(folder / "opened", filter="data")
    return Export(done, seen, folder / "opened", receipt, key["kid"])


def state_of(person: Person, path: str) -> str:
    with contextlib.closing(person.api()) as http:
        return str(ok(http.get(path))["state"])


def test_it_goes_through_every_state_and_nothing_is_relaxed(export: Export) -> None:
    assert export.seen == ["draft", "requirements_pending", "waiting", "waiting", "ready", "downloaded"]
    assert export.ceremony["relaxed"] == []
    assert export.ceremony["downloads"] == 1


def test_every_file_is_as_the_manifest_says(export: Export) -> None:
    manifest = json.loads((export.folder / "manifest.json").read_text())
    assert manifest["ceremony"]["digest"] == export.ceremony["digest"]
    assert manifest["ceremony"]["kinds"] == sorted(KINDS)
    for member in manifest["members"]:
        assert sha256((export.folder / member["path"]).read_bytes()).hexdigest() == member["sha256"], member["path"]
    present = {str(file.relative_to(export.folder)) for file in export.folder.rglob("*") if file.is_file()}
    assert present == {member["path"] for member in manifest["members"]} | {"manifest.json"}


def test_the_receipt_is_genuine_and_complete(export: Export) -> None:
    found = asyncio.run(verify_bundle(export.receipt, audit_key=export.audit_key))
    assert (found.complete, found.state, found.audit_key_is, found.relaxed) == (True, "downloaded", "pinned", ())
    assert (found.requester, found.approvers) == ("ada@example.com", ("bob@example.com",))
    assert found.digest == export.ceremony["digest"]


def test_hashes_and_factors_join_a_user_export(tenant: Tenant, export: Export) -> None:
    users = exported_users(tenant.place)
    (hashed,) = export.lines("password-hashes")
    assert users[f"auth0|{hashed['_id']['$oid']}"]["email"] == hashed["email"] == tenant.user.email
    assert bcrypt.checkpw(tenant.user.password.encode(), hashed["passwordHash"].encode())
    factors = {row["type"]: row for row in export.lines("mfa-secrets")}
    assert {row["user_id"] for row in factors.values()} <= users.keys()
    assert factors["otp"]["otp_secret"] == tenant.phone.secret
    assert bcrypt.checkpw(tenant.recovery_code.encode(), factors["recovery-code"]["recovery_code"].encode())


def exported_users(place: Installation) -> dict[str, dict[str, Any]]:
    with place.management() as api:
        job = ok(api.post("/jobs/users-exports", json={"format": "json"}))
        for _ in range(100):
            place.work()
            job = ok(api.get(f"/jobs/{job['id']}"))
            if job["status"] == "completed":
                break
            place.run(asyncio.sleep(0.1))
        with place.client() as http:
            content = http.get(job["location"]).content
    return {user["user_id"]: user for user in map(json.loads, gzip.decompress(content).splitlines())}


def test_restored_the_user_signs_in_as_before(tenant: Tenant, export: Export, tmp_path: Path) -> None:
    archive, data = tmp_path / "main.tar.gz", tmp_path / "second"
    freehold("export", "--data", str(tenant.data), "--output", str(archive))
    freehold("restore", "--data", str(data), str(archive), "--vault", str(export.tar))
    tenant.place.advance(60)

    with started(data, at=tenant.place.clock.now()) as second:
        app = dataclasses.replace(tenant.app, installation=second, verifiers={})
        browser = BrowserSession(second.client())
        page = browser.sign_in(app.authorize_url(), tenant.user.email, tenant.user.password)
        assert page.path == "/u/mfa-otp-challenge"
        page = browser.submit(page, code=tenant.phone.code(second.clock.now()))
        tokens = ok(app.redeem(page))
        assert kid_of(tokens["id_token"]) == tenant.kid

        again = BrowserSession(second.client())
        page = again.sign_in(app.authorize_url(), tenant.user.email, tenant.user.password)
        page = again.submit(again.open(page.link("recovery")), code=tenant.recovery_code)
        assert "recovery-code-enrollment" in page.path, page.text

        ada = dataclasses.replace(tenant.ada, installation=second)
        with contextlib.closing(ada.api()) as http:
            assert ok(http.get("/admin/api/me"))["administrator"]["role"] == "admin"
            (ceremony,) = ok(http.get(API))
            assert (ceremony["id"], ceremony["digest"]) == (export.ceremony["id"], export.ceremony["digest"])
            assert http.post(f"{API}/{ceremony['id']}/tickets").status_code == 410, "the file did not move"
