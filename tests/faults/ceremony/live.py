"""Ceremonies on a real server that is killed: people who act over HTTP, and a judge who reads what is left.

Who judges opens the data folder as the operator could, with the installation's own master key, and looks for
every value of the vault in every file.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec

from freehold.domain import audit, ceremonies
from freehold.domain.audit import witnesses_of
from freehold.domain.ceremonies.states import LIFETIMES, STEPS, TERMINAL, WITH_FILE
from freehold.kernel import vault
from freehold.kernel.clock import SystemClock
from freehold.kernel.config import Settings
from freehold.kernel.crypto.sealing import MasterKey
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store, open_store
from freehold.registry import REGISTRY
from tests.support import ceremony_by_http as steps
from tests.support.administrators import PASSWORD, code_at
from tests.support.ceremony_by_http import API, ok
from tests.support.full_tenant import directory
from tests.support.server import LiveServer, start_server
from tests.support.signers import Authority
from tests.support.signers import Person as Signer
from tests.surfaces.ceremony.crashes import find_in_files, no_worker_on

T = TypeVar("T")
REQUESTER = "ada@example.com"
APPROVERS = 8
CANARY = b"canary-that-no-file-may-hold"
VALUES, VALUE_BYTES = 1500, 1200
"""So many that preparing and sending the file take a while."""
RELAXED = {
    "FREEHOLD_CEREMONY_REQUESTER_MIN_AGE_H": "0",
    "FREEHOLD_CEREMONY_EXECUTIVE_MIN_AGE_H": "0",
    "FREEHOLD_CEREMONY_COOL_DOWN_H": "0",
    "FREEHOLD_CEREMONY_SECOND_PERSON_MIN_AGE_H": "0",
    "FREEHOLD_CEREMONY_ALLOW_MODERN_KEYS": "true",
    "FREEHOLD_CEREMONY_WAITING_FOR": "",
}
SESSION_IS_FRESH_S = 200


@dataclass
class Person:
    """An administrator with an authenticator, whose session outlives the server."""

    email: str
    secret: str = ""
    token: str = ""
    confirmed_at: float = 0.0
    last_step: int = 0

    def next_step(self) -> int:
        return max(self.last_step + 1, int(time.time()) // 30)

    def code(self) -> str:
        """A code that was not used yet: the one that is shown now, or the next, which a slow machine may need."""
        while (step := self.next_step()) > int(time.time()) // 30 + 1:
            time.sleep(0.5)
        self.last_step = step
        return code_at(self.secret, datetime.fromtimestamp(step * 30, UTC))

    def http(self, live: LiveServer) -> httpx.Client:
        """A client with a session that was confirmed lately."""
        if time.monotonic() - self.confirmed_at > SESSION_IS_FRESH_S:
            given = {"email": self.email, "password": PASSWORD}
            if self.secret:
                given["otp"] = self.code()
            with live.client() as http:
                self.token = ok(http.post("/admin/api/sessions", json=given), 201)["token"]
            self.confirmed_at = time.monotonic()
        return live.client(headers={"authorization": f"Bearer {self.token}"})

    def accept(self, live: LiveServer, invitation_url: str) -> None:
        """Come in by an invitation and set up an authenticator."""
        given = {"token": invitation_url.partition("token=")[2], "email": self.email, "name": self.email}
        with live.client() as http:
            ok(http.post("/admin/api/invitations/accept", json={**given, "password": PASSWORD}), 201)
        with self.http(live) as http:
            self.secret = http.post("/admin/api/me/totp", json={}).json()["secret"]
            ok(http.post("/admin/api/me/totp/confirm", json={"otp": self.code()}))
        self.confirmed_at = 0.0


@dataclass
class Stage:
    """A data folder with people in it, and the server that serves it now."""

    data: Path
    requester: Person
    approvers: list[Person]
    signer: Signer
    executive: str
    port: str
    sought: list[bytes] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def serving(self, **env: str) -> Iterator[LiveServer]:
        """The server, started again on the same address."""
        with start_server(self.data, "--port", self.port, env={**RELAXED, **self.env, **env}) as live:
            yield live

    def approver(self) -> Person:
        """Whoever has a code soonest."""
        return min(self.approvers, key=Person.next_step)

    def looking(self, look: Callable[[Store, TenantScope, Settings], Any]) -> Any:
        """Open the data folder beside the server, and look."""
        return asyncio.run(self._looking(look))

    async def _looking(self, look: Callable[[Store, TenantScope, Settings], Any]) -> Any:
        settings = Settings(data_dir=self.data)
        store = open_store(settings.store_url, clock=SystemClock())
        try:
            tenants = directory(store, REGISTRY, MasterKey.load(settings.data.master_key))
            tenants.witness = witnesses_of(settings)
            return await look(store, await tenants.by_name("main"), settings)
        finally:
            await store.close()

    @property
    def exports(self) -> Path:
        return self.data / "exports"

    # --- judging -------------------------------------------------------------------------------------------------

    def judge(self, live: LiveServer) -> dict[str, Any] | None:
        """What has to be true after any restart; the newest ceremony."""
        assert find_in_files(self.sought, [self.data]) == []
        self.looking(self._judge_database)
        with self.requester.http(live) as http:
            listed: list[dict[str, Any]] = ok(http.get(API))  # type: ignore[assignment]
            for ceremony in listed[:3]:
                if ceremony["state"] not in WITH_FILE:
                    answer = http.post(f"{API}/{ceremony['id']}/tickets")
                    assert steps.refused(answer) == (410, "export_gone"), answer.text
        return listed[0] if listed else None

    async def _judge_database(self, store: Store, tenant: TenantScope, settings: Settings) -> None:
        found = await ceremonies.list_ceremonies(store, tenant)
        assert sum(ceremony.is_active for ceremony in found) <= 1
        for ceremony in found:
            await self._judge_way(store, tenant, ceremony)
        with_file = {one.artefact["id"]: one for one in found if one.state in WITH_FILE and one.artefact}
        rows = await store.all("select id, sealed_size from ceremony_artefacts where state = 'ready'")
        keys = await store.all("select artefact_id from ceremony_artefact_keys")
        tickets = await store.all("select artefact_id from download_tickets")
        assert {row[0] for row in rows} == {row[0] for row in keys} == set(with_file)
        assert {row[0] for row in tickets} <= set(with_file)
        assert sorted(path.name for path in self.exports.glob("*")) == sorted(
            [f"{row[0]}.sealed" for row in rows] + [path.name for path in self.exports.glob("*.part")]
        ), "a file that belongs to nothing"
        assert all((self.exports / f"{row[0]}.sealed").stat().st_size == row[1] for row in rows)
        if not any(ceremony.state == "preparing" for ceremony in found):
            assert list(self.exports.glob("*.part")) == []
        verdict = await audit.check_log(store, tenant, seen=audit.read_file(settings.data.audit_file, tenant.id))
        assert verdict.ok, verdict

    async def _judge_way(self, store: Store, tenant: TenantScope, ceremony: ceremonies.Ceremony) -> None:
        """The log's entries are a way through the table of steps that ends where the ceremony is."""
        legal = {(source, step.target) for step in STEPS.values() for source in step.sources}
        state = ""
        for entry in await audit.entries_of(store, tenant, ceremony.id):
            details = msgspec.json.decode(entry.details)
            if "to" in details:
                assert not state or details["from"] == state
                assert not state or (details["from"], details["to"]) in legal, details
                state = details["to"]
        assert state in {"", ceremony.state}
        assert ceremony.state in {*LIFETIMES, *WITH_FILE, *TERMINAL, "expired", "waiting"}, "not one to rest in"

    def end(self, live: LiveServer, ceremony: dict[str, Any] | None) -> None:
        """Bring a ceremony that a crash left to its end."""
        if ceremony is None or ceremony["state"] in {*TERMINAL, "expired"}:
            return
        with self.requester.http(live) as http:
            path = f"{API}/{ceremony['id']}"
            answer = http.post(f"{path}/cancel", json={"reason": "the test goes on"})
            assert answer.status_code == 200, answer.text
            wait_for(lambda: ok(http.get(path))["state"] in TERMINAL)

    def no_writer_left(self) -> None:
        """Wait until a killed server's children have ended as well."""
        asyncio.run(no_worker_on(self.exports))


class Play(threading.Thread):
    """One ceremony from draft to destroyed, until the server dies under it."""

    PHASES = (
        "draft", "submit", "possess", "authorize", "approve", "sign", "build", "ticket", "download", "remove", "over",
    )  # fmt: skip

    def __init__(self, stage: Stage, live: LiveServer) -> None:
        super().__init__(daemon=True)
        self.stage, self.live = stage, live
        self.began: dict[str, float] = {}
        self.reached = {name: threading.Event() for name in self.PHASES}
        self.received = 0
        self.size = 0
        self.error: BaseException | None = None
        self._requester = stage.requester.http(live)
        self._approver = stage.approver()
        self._approving = self._approver.http(live)
        self.start()

    def run(self) -> None:
        try:
            with self._requester as http, self._approving as approving:
                self._play(http, approving)
        except httpx.TransportError:
            pass
        except BaseException as error:
            self.error = error
        finally:
            for event in self.reached.values():
                event.set()

    def _enter(self, phase: str) -> None:
        self.began[phase] = time.monotonic()
        self.reached[phase].set()

    def _play(self, http: httpx.Client, approving: httpx.Client) -> None:
        stage = self.stage
        self._enter("draft")
        made = ok(http.post(API, json=steps.asked(stage.executive, REQUESTER)), 201)
        one, path = str(made["id"]), f"{API}/{made['id']}"
        self._enter("submit")
        ok(http.post(f"{path}/submit"))
        self._enter("possess")
        ok(steps.possess(http, one, REQUESTER))
        self._enter("authorize")
        ok(steps.authorize(http, one))
        self._enter("approve")
        ok(steps.approve(approving, one, self._approver.code()))
        self._enter("sign")
        ok(steps.sign(http, one, stage.signer))
        self._enter("build")
        wait_for(lambda: ok(http.get(path))["state"] != "preparing", every_s=0.05)
        assert ok(http.get(path))["state"] == "ready"
        self._enter("ticket")
        ticket = ok(http.post(f"{path}/tickets"), 201)
        self.size = ticket["size"]
        self._enter("download")
        with http.stream("GET", f"{path}/file", params={"ticket": ticket["ticket"]}) as answer:
            assert answer.status_code == 200
            for piece in answer.iter_raw(65536):
                self.received += len(piece)
                time.sleep(0.002)
        self._enter("remove")
        ok(http.post(f"{path}/cancel", json={"reason": "it is here"}))
        wait_for(lambda: ok(http.get(path))["state"] == "destroyed", every_s=0.05)
        self._enter("over")


def wait_for(true: Callable[[], bool], *, patience_s: float = 90, every_s: float = 0.1) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(every_s)


def set_up(root: Path) -> Stage:
    """An installation with a requester, approvers, an executive and many values."""
    data = root / "data"
    authority = Authority(datetime.now(UTC))
    with start_server(data, env=RELAXED) as live:
        requester = Person(REQUESTER)
        requester.accept(live, str(live.facts["dashboard"]["invitation_url"]))
        signer = authority.issue()
        approvers = [Person(f"approver{number}@example.org") for number in range(APPROVERS)]
        with requester.http(live) as http:
            executive = steps.enrol(http, signer)
            for person in approvers:
                given = {"email": person.email, "role": "admin"}
                person.accept(live, str(ok(http.post("/admin/api/invitations", json=given), 201)["url"]))
        stage = Stage(data, requester, approvers, signer, executive, live.base_url.rpartition(":")[2])
        stage.looking(_fill)
        stage.sought = stage.looking(_all_values)
        live.stop()
    return stage


async def _fill(store: Store, tenant: TenantScope, settings: Settings) -> None:
    chance = random.Random(1)
    async with store.transaction() as tx:
        for number in range(VALUES):
            value = CANARY + b" %d " % number + chance.randbytes(VALUE_BYTES // 2).hex().encode()
            await vault.put(tx, tenant, "write_only_secrets", f"owner-{number}", value)


async def _all_values(store: Store, tenant: TenantScope, settings: Settings) -> list[bytes]:
    """What would be in a file if a value were: each value, of keys a line from the middle, and the many as one."""
    found = {CANARY, CANARY.hex().encode()}
    for kind, owner, name in await store.all("select kind, owner, name from vault where kind <> 'write_only_secrets'"):
        value = await vault.open_one(store, tenant, kind, owner, name=name)
        assert value
        lines = value.splitlines()
        found.add(lines[len(lines) // 2] if len(lines) > 2 else value)
    return sorted(value for value in found if len(value) >= 16)
