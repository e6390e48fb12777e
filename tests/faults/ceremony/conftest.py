"""An installation in the test's own process, with administrators, an authority and an executive."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from freehold.domain.ceremonies.states import ACTIVE_SQL
from freehold.kernel.store import Row
from tests.support import ceremony_by_http as steps
from tests.support.administrators import Person, make_administrator
from tests.support.ceremonies import RELAXED
from tests.support.ceremony_by_http import API, ok
from tests.support.in_process import Installation, started
from tests.support.signers import GRACE, Authority
from tests.support.signers import Person as Signer

REQUESTER = "ada@example.com"
_GIVEN_OUT = (
    "select id, state, version from ceremonies order by id",
    "select id, state, downloads, sent_bytes from ceremony_artefacts order by id",
    "select artefact_id from ceremony_artefact_keys order by artefact_id",
    "select value_hash, opened_at_ms from download_tickets order by value_hash",
    "select id, kind, digest from ceremony_evidence order by id",
)
_REFUSED = """select details, actor_kind, ip from audit_entries
    where seq > :since and action like '%refused' order by seq"""


def files_of(data: Path) -> bytes:
    """What all files hold, read by another process: closing a database's file here would let go of SQLite's locks."""
    script = "import pathlib, sys; sys.stdout.buffer.write(b'\\0'.join(p.read_bytes() for p in files))"
    files = "files = [p for p in pathlib.Path(sys.argv[1]).rglob('*') if p.is_file()]"
    command = [sys.executable, "-c", script.replace("sys; ", f"sys; {files}; "), str(data)]
    return subprocess.run(command, capture_output=True, check=True).stdout


@dataclass
class Place:
    """Everything that a ceremony needs."""

    installation: Installation
    data: Path
    ada: Person
    bob: Person
    authority: Authority
    signer: Signer
    revoked: Signer
    executive: str

    @contextlib.contextmanager
    def http(self, person: Person | None = None) -> Iterator[httpx.Client]:
        """A client with a session of the person, or of the requester."""
        with contextlib.closing((person or self.ada).api()) as client:
            yield client

    def asked(self, **changes: Any) -> dict[str, Any]:
        return steps.asked(self.executive, REQUESTER, **changes)

    def draft(self) -> str:
        with self.http() as http:
            return str(ok(http.post(API, json=self.asked()), 201)["id"])

    def to_be_signed(self) -> str:
        """A ceremony that lacks the executive's signature alone."""
        one = self.to_be_approved()
        with self.http(self.bob) as http:
            ok(steps.approve(http, one, self.bob.code()))
        return one

    def to_be_approved(self) -> str:
        """A ceremony that lacks confirmation and signature."""
        one = self.draft()
        with self.http() as http:
            ok(http.post(f"{API}/{one}/submit"))
            ok(steps.possess(http, one, REQUESTER))
            ok(steps.authorize(http, one))
        return one

    def ready(self) -> str:
        """A ceremony whose file is there."""
        one = self.to_be_signed()
        with self.http() as http:
            ok(steps.sign(http, one, self.signer))
        self.work_until(one, "ready")
        return one

    def work_until(self, one: str, state: str) -> None:
        for _ in range(60):
            self.installation.work()
            if self.state(one) == state:
                return
        raise AssertionError(self.shown(one))

    def shown(self, one: str) -> dict[str, Any]:
        with self.http() as http:
            return ok(http.get(f"{API}/{one}"))

    def state(self, one: str) -> str:
        return str(self.shown(one)["state"])

    def end(self) -> None:
        """End whatever is under way."""
        with self.http() as http:
            for one in ok(http.get(API)):
                path = f"{API}/{one['id']}"  # type: ignore[index]
                if one["state"] not in {"destroyed", "cancelled", "failed", "rejected", "expired"}:  # type: ignore[index]
                    answer = http.post(f"{path}/cancel", json={"reason": "the next test"})
                    assert answer.status_code == 200 or one["state"] == "draft", answer.text  # type: ignore[index]
        for _ in range(20):
            self.installation.work()
            if not self.count(f"ceremonies where {ACTIVE_SQL}"):
                return
            self.installation.advance(10)
        raise AssertionError("a ceremony did not end")

    def count(self, table: str) -> int:
        row = self.installation.run(self.installation.services.store.one(f"select count(*) from {table}"))
        assert row is not None
        return int(row[0])

    def rows(self, sql: str, **params: Any) -> list[Row]:
        return self.installation.run(self.installation.services.store.all(sql, **params))

    @property
    def files(self) -> list[Path]:
        """The files that wait to be downloaded."""
        return sorted((self.data / "exports").glob("*"))

    def given_out(self) -> list[Any]:
        """What there is of files, keys and tickets, what was sent, and how far each ceremony has come."""
        found = [self.rows(query) for query in _GIVEN_OUT]
        return [*found, [path.name for path in self.files]]

    @contextlib.contextmanager
    def refusing(self, by: str = "administrator") -> Iterator[list[str]]:
        """Attempts that are all refused, with the codes that the test puts into the list, in their order.

        Afterwards nothing has left, nothing has come nearer to leaving, and the audit log shows each of them, with who
        it was and from where.
        """
        before, since = self.given_out(), self.count("audit_entries")
        codes: list[str] = []
        yield codes
        told = [
            (json.loads(details).get("code") or json.loads(details).get("reason"), kind, bool(ip))
            for details, kind, ip in self.rows(_REFUSED, since=since)
        ]
        assert codes
        assert told == [(code, by, True) for code in codes]
        assert self.given_out() == before


def make_place(running: Installation, data: Path) -> Place:
    """OpenPGP keys and certificates are made by the machine's time, so the clock goes there first."""
    ahead = datetime.now(UTC) + timedelta(minutes=2) - running.clock.now()
    running.advance(ahead.total_seconds())
    authority = Authority(datetime.now(UTC))
    signer, revoked = authority.issue(), authority.issue()
    ada, bob = make_administrator(running, REQUESTER), make_administrator(running, "bob@example.org")
    with contextlib.closing(ada.api()) as http:
        anchor = {
            "name": "Corporate",
            "certificate": authority.certificate.public_bytes(Encoding.PEM).decode(),
            "crls": [authority.crl(revoked).decode()],
        }
        ok(http.post("/admin/api/trust-anchors", json=anchor), 201)
        given = {"name": GRACE.name, "title": GRACE.title, "email": GRACE.email}
        executive = ok(http.post("/admin/api/executives", json=given), 201)["id"]
    return Place(running, data, ada, bob, authority, signer, revoked, str(executive))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    data = tmp_path_factory.mktemp("ceremonies") / "data"
    with started(data, **RELAXED) as running:
        yield make_place(running, data)


@pytest.fixture
def place(everything: Place) -> Iterator[Place]:
    yield everything
    everything.end()
