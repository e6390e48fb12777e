"""An Auth0 tenant arrives: users, password hashes, MFA factors, configuration and signing keys, joined.

Everything is read and joined before anything is written, so that a damaged file leaves no half import. Users are
written in batches, each whole; doing it again after a crash completes it.
"""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from freehold.domain.connections import CONNECTIONS
from freehold.domain.keys.documents import SIGNING_KEYS
from freehold.domain.keys.rotation import import_key
from freehold.domain.users.importing import BATCH_USERS, Arrival, Outcome, look_for_users, write_users
from freehold.kernel.clock import iso
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.errors import FreeholdError
from freehold.kernel.store import Store, Transaction
from freehold.kernel.store.bulk import open_bulk
from freehold.surfaces.importers.auth0_config import Applying, Configuration, read_configuration
from freehold.surfaces.importers.auth0_secrets import load_factors, load_hashes
from freehold.surfaces.importers.auth0_users import Row, UserReader
from freehold.surfaces.importers.report import Report
from freehold.surfaces.importers.scratch import open_scratch

DATABASE = "auth0"
DEFAULT_CONNECTION = "Username-Password-Authentication"

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The pieces of an export; every one of them may be missing."""

    users: tuple[Path, ...] = ()
    hashes: tuple[Path, ...] = ()
    factors: tuple[Path, ...] = ()
    config: Path | None = None
    signing_keys: Mapping[str, Path] = field(default_factory=dict)
    """Private keys by kid, the current one last."""
    connections: Mapping[str, str] = field(default_factory=dict)
    """New names of connections by the names in the export."""
    keywords: Mapping[str, Any] = field(default_factory=dict)
    """What stands for the placeholders in the configuration."""


class _UndoneError(Exception):
    """Ends a trial transaction."""


class Auth0Import:
    """One import: `check` reads and joins everything and writes nothing, `write` does it."""

    def __init__(self, store: Store, tenant: TenantScope, sources: Sources, progress: Progress | None = None) -> None:
        self.store = store
        self.tenant = tenant
        self.sources = sources
        self.progress = progress or (lambda _what, _number: None)
        self.scratch = open_scratch()
        self.report = Report(self.scratch, tenant.name, dry_run=True)
        self._configuration: Configuration | None = None
        self._connections: dict[str, str] = {}

    async def check(self, *, look: bool = True) -> Report:
        """Read and join everything; `look` also says who is there already. Raises BadFile."""
        if self.sources.config is not None:
            self._configuration = read_configuration(self.sources.config, self.sources.keywords)
        started = time.perf_counter()
        with suppress(_UndoneError):
            async with self.store.transaction(limit_s=None) as tx:
                await self._configure(tx)
                raise _UndoneError
        self.report.seconds["configuration checked"] = time.perf_counter() - started
        await asyncio.to_thread(self._check_users, look)
        return self.report

    async def write(self) -> Report:
        """Write what `check` has seen."""
        report = self.report
        report.dry_run = False
        started = time.perf_counter()
        # What the trial said of the configuration is said again, so that it is about what was really done.
        for kind in ("resource_refused", "resource_unknown", "field_without_place", "masked_secret", "note"):
            self.scratch.execute("delete from findings where kind = ? and place not like '%line %'", (kind,))
        for piece in ("tenant settings", "apis", "clients", "connections", "client grants", "roles", "signing keys"):
            report.counts.pop(piece, None)
        async with self.store.transaction(limit_s=None) as tx:
            await self._configure(tx)
        report.seconds["configuration written"] = time.perf_counter() - started
        await asyncio.to_thread(self._write_users)
        return report

    # --- configuration -------------------------------------------------------------------------------------------

    async def _configure(self, tx: Transaction) -> None:
        if self._configuration is not None:
            await Applying(tx, self.tenant, self.report, self._configuration.root).everything(self._configuration)
        for kid, path in self.sources.signing_keys.items():
            if await documents.find(tx, self.tenant, SIGNING_KEYS, kid):
                self.report.count("signing keys", "present")
                continue
            try:
                async with tx.savepoint():
                    await import_key(tx, self.tenant, kid=kid, private_key=path.read_bytes())
            except FreeholdError as refusal:
                self.report.find("resource_refused", path.name, kid, refusal.message)
                continue
            self.report.count("signing keys", "imported")
        tx.touch(self.tenant.id)
        found = await documents.select(tx, self.tenant, CONNECTIONS)
        self._connections = {record.document["name"]: record.document["strategy"] for record in found}

    # --- users ---------------------------------------------------------------------------------------------------

    def _check_users(self, look: bool) -> None:
        started = time.perf_counter()
        report, scratch = self.report, self.scratch
        for path in self.sources.hashes:
            load_hashes(scratch, path, report)
        for path in self.sources.factors:
            load_factors(scratch, path, report)
        report.seconds["secrets read"] = time.perf_counter() - started
        started = time.perf_counter()
        writer = open_bulk(self.store.url) if look and self.sources.users else None
        try:
            batch: list[Arrival] = []
            for row, arrival in self._arrivals(report):
                if arrival is not None:
                    self._note_seen(row, arrival)
                    if writer is not None:
                        batch.append(arrival)
                if len(batch) >= BATCH_USERS and writer is not None:
                    self._tell(look_for_users(writer, self.tenant, batch), "to be")
                    batch = []
            if batch and writer is not None:
                self._tell(look_for_users(writer, self.tenant, batch), "to be")
        finally:
            if writer is not None:
                writer.close()
        self._unjoined()
        report.seconds["users checked"] = time.perf_counter() - started

    def _write_users(self) -> None:
        if not self.sources.users:
            return
        started = time.perf_counter()
        # The trial has reported on the rows themselves; this report is not shown.
        silent = Report(open_scratch(), self.tenant.name, dry_run=True)
        self.report.counts.setdefault("users", Counter())
        for what in ("to be inserted", "to be completed", "present", "conflicts"):
            del self.report.counts["users"][what]
        self.scratch.execute("delete from findings where kind = 'user_conflict'")
        writer = open_bulk(self.store.url)
        try:
            batch: list[Arrival] = []
            for row, arrival in self._arrivals(silent):
                if arrival is None or not self._is_first(row, arrival):
                    continue
                batch.append(arrival)
                if len(batch) >= BATCH_USERS:
                    self._tell(write_users(writer, self.tenant, batch), "")
                    batch = []
            if batch:
                self._tell(write_users(writer, self.tenant, batch), "")
            writer.analyze()
        finally:
            writer.close()
            silent.scratch.close()
        self.report.seconds["users written"] = time.perf_counter() - started

    def _arrivals(self, report: Report) -> Iterator[tuple[Row, Arrival | None]]:
        """Each row of the user files with what the other files know of it."""
        now = iso(self.tenant.clock.now())
        reader = UserReader(report, now=now, connections=self.sources.connections, default=DEFAULT_CONNECTION)
        hashes_given, factors_given = bool(self.sources.hashes), bool(self.sources.factors)
        known, progress = self._connections, self.progress
        find_hash = self.scratch.execute
        unknown: set[str] = set()
        title = "users checked" if report is self.report else "users written"
        read = 0
        for path in self.sources.users:
            for row in reader.read(path):
                read += 1
                if read % BATCH_USERS == 0:
                    progress(title, read)
                user = row.user
                if user is None:
                    yield row, None
                    continue
                hashes: list[tuple[str, str]] = []
                for identity in user.identities:
                    if identity["provider"] != DATABASE:
                        continue
                    if identity["connection"] not in known:
                        if identity["connection"] not in unknown:
                            unknown.add(identity["connection"])
                            report.find("connection_unknown", row.place, identity["connection"], "see --connection")
                        report.find("user_refused", row.place, user.user_id, "the connection is not there")
                        user = None
                        break
                    own = f"{DATABASE}|{identity['user_id']}"
                    if hashes_given:
                        found = find_hash("select stored from hashes where id = ?", (own,)).fetchone()
                        if found is not None:
                            hashes.append((own, found[0]))
                            continue
                    if row.stored is not None:
                        hashes.append((own, row.stored))
                    elif hashes_given:
                        report.find("user_without_hash", row.place, user.user_id, user.email or "")
                if user is None:
                    yield row, None
                    continue
                factors = row.factors
                if factors_given:
                    factors += tuple(
                        find_hash("select name, content from factors where id = ?", (user.user_id,)).fetchall()
                    )
                place = read
                yield row, Arrival(place, user, tuple(hashes), factors, row.stored is not None)
        progress(title, read)
        report.count("users", "read", read)

    def _note_seen(self, row: Row, arrival: Arrival) -> None:
        """Remember who was seen where; the same again is a finding."""
        user = arrival.user
        keys = [f"{identity['provider']}|{identity['user_id']}" for identity in user.identities]
        insert = self.scratch.execute
        for number, key in enumerate(keys):
            if insert("insert or ignore into seen values (?, ?)", (key, row.place)).rowcount == 0 and number == 0:
                before = insert("select place from seen where key = ?", (key,)).fetchone()[0]
                self.report.find("duplicate_user", row.place, key, f"also in {before}, which counts")
                self.report.count("users", "duplicate")
                return
        if user.email and user.identities[0]["provider"] == DATABASE:
            key = f"{user.identities[0]['connection']}\0{user.email}"
            if insert("insert or ignore into seen values (?, ?)", (key, row.place)).rowcount == 0:
                before = insert("select place from seen where key = ?", (key,)).fetchone()[0]
                self.report.find("duplicate_user", row.place, keys[0], f"the address is also in {before}")

    def _is_first(self, row: Row, arrival: Arrival) -> bool:
        seen = self.scratch.execute("select place from seen where key = ?", (arrival.user.user_id,)).fetchone()
        return seen is None or seen[0] == row.place

    def _tell(self, outcomes: list[Outcome], future: str) -> None:
        words = {"inserted": f"{future} inserted".strip(), "completed": f"{future} completed".strip()}
        for outcome in outcomes:
            if outcome.result == "conflict":
                self.report.count("users", "conflicts")
                user = outcome.arrival.user
                detail = f"{outcome.kind} belongs to {outcome.other}"
                self.report.find("user_conflict", f"row {outcome.arrival.place}", user.user_id, detail)
            else:
                self.report.count("users", words.get(outcome.result, outcome.result))

    def _unjoined(self) -> None:
        """Hashes and factors that no user of the files claims."""
        report, scratch = self.report, self.scratch
        joined = "select count(*) from {0} t where exists (select 1 from seen where key = t.id)"
        missing = "select t.id, t.place, {1} from {0} t where not exists (select 1 from seen where key = t.id)"
        if self.sources.hashes:
            report.count("hashes", "joined", scratch.execute(joined.format("hashes")).fetchone()[0])
            for id_, place, who in _all(scratch, missing.format("hashes", "t.who")):
                report.find("hash_without_user", place, id_, who)
        if self.sources.factors:
            report.count("factors", "joined", scratch.execute(joined.format("factors")).fetchone()[0])
            for id_, place, name in _all(scratch, missing.format("factors", "t.name")):
                report.find("factor_without_user", place, id_, name)


def _all(scratch: sqlite3.Connection, sql: str) -> Iterator[tuple[str, str, str]]:
    cursor = scratch.execute(sql)
    while rows := cursor.fetchmany(1000):
        yield from rows
