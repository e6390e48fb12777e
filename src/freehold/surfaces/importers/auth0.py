"""An Auth0 tenant arrives: users, password hashes, MFA factors, configuration and signing keys, joined.

Everything is read and joined before anything is written, so that a damaged file leaves no half import. Users are
written in batches, each whole; doing it again after a crash completes it.
"""

import asyncio
import gc
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from freehold.domain.connections import CONNECTIONS
from freehold.domain.keys.documents import SIGNING_KEYS
from freehold.domain.keys.rotation import import_key
from freehold.domain.users import User
from freehold.domain.users.importing import BATCH_USERS, Arrival, Outcome, look_for_users, write_users
from freehold.kernel.clock import iso
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.errors import FreeholdError
from freehold.kernel.store import Store, Transaction
from freehold.kernel.store.bulk import open_bulk
from freehold.surfaces.importers.auth0_config import Applying, Configuration, read_configuration
from freehold.surfaces.importers.auth0_secrets import load_factors, load_hashes
from freehold.surfaces.importers.auth0_users import SKIP, Row, UserReader
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
        self._missing: set[str] = set()
        self._marks = bytearray()
        self._looked = False

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
        await asyncio.to_thread(_without_collector, self._check_users, look)
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
        await asyncio.to_thread(_without_collector, self._write_users)
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
        report, scratch = self.report, self.scratch
        self._looked = look
        started = time.perf_counter()
        for path in self.sources.hashes:
            load_hashes(scratch, path, report)
        for path in self.sources.factors:
            load_factors(scratch, path, report)
        report.seconds["secrets read"] = time.perf_counter() - started
        started = time.perf_counter()
        writer = open_bulk(self.store.url) if look and self.sources.users else None
        try:
            for batch in self._batches("users checked", None):
                arrivals = self._new_ones(batch, look=look)
                if writer is not None and arrivals:
                    self._tell(look_for_users(writer, self.tenant, arrivals), "to be")
        finally:
            if writer is not None:
                writer.close()
        self._unjoined()
        report.seconds["users checked"] = time.perf_counter() - started

    def _write_users(self) -> None:
        if not self.sources.users:
            return
        started = time.perf_counter()
        counter = self.report.counts.setdefault("users", Counter())
        for what in ("to be inserted", "to be completed", "present", "conflicts"):
            del counter[what]
        self.scratch.execute("delete from findings where kind = 'user_conflict'")
        writer = open_bulk(self.store.url)
        try:
            for batch in self._batches("users written", self._marks):
                if batch:
                    self._tell(write_users(writer, self.tenant, [arrival for _, arrival in batch]), "")
            writer.analyze()
        finally:
            writer.close()
        self.report.seconds["users written"] = time.perf_counter() - started

    def _batches(self, title: str, marks: bytearray | None) -> Iterator[list[tuple[Row, Arrival]]]:
        """The users of all files with what the other files know of them, so many at a time.

        Without `marks` each row is looked over, reported on and marked; with them that is not done again.
        """
        now = iso(self.tenant.clock.now())
        # Hashes and factors are looked up once, if nobody wants to know more beforehand.
        secrets = marks is not None or self._looked
        reader = UserReader(self.report, now=now, connections=self.sources.connections, default=DEFAULT_CONNECTION)
        read = 0
        for path in self.sources.users:
            rows: list[Row] = []
            for row in reader.read(path, marks, read):
                rows.append(row)
                if len(rows) == BATCH_USERS:
                    read += len(rows)
                    yield self._joined(rows, first=marks is None, secrets=secrets)
                    rows = []
                    self.progress(title, read)
            read += len(rows)
            yield self._joined(rows, first=marks is None, secrets=secrets)
            self.progress(title, read)
        if marks is None:
            self._marks = reader.marks
            self.report.count("users", "read", read)

    def _joined(self, rows: list[Row], *, first: bool, secrets: bool) -> list[tuple[Row, Arrival]]:
        """Rows with their hashes and factors; without those that cannot be taken in."""
        users = [(row, row.user) for row in rows if row.user is not None]
        if first:
            users = [(row, user) for row, user in users if self._has_connections(row, user)]
        if not secrets:
            return [(row, Arrival(row.number, user)) for row, user in users]
        tells = first or not self._looked
        owners = [
            user.user_id if identity is user.identities[0] else f"{DATABASE}|{identity['user_id']}"
            for _, user in users
            for identity in user.identities
            if identity["provider"] == DATABASE
        ]
        stored: dict[str, str] = {}
        if self.sources.hashes:
            stored = dict(self.scratch.execute(_HASHES, (_listed(owners),)).fetchall())
        factors: dict[str, list[tuple[str, bytes]]] = {}
        if self.sources.factors:
            for id_, name, content in self.scratch.execute(_FACTORS, (_listed(u.user_id for _, u in users),)):
                factors.setdefault(id_, []).append((name, content))
        joined = []
        for row, user in users:
            hashes = []
            for identity in user.identities:
                if identity["provider"] == DATABASE:
                    own = user.user_id if identity is user.identities[0] else f"{DATABASE}|{identity['user_id']}"
                    found = stored.get(own) or row.stored
                    if found is not None:
                        hashes.append((own, found))
                    elif tells and self.sources.hashes:
                        self.report.find("user_without_hash", row.place, user.user_id, user.email or "")
            given = (*row.factors, *factors.get(user.user_id, ())) if factors or row.factors else ()
            joined.append((row, Arrival(row.number, user, tuple(hashes), given, row.stored is not None)))
        return joined

    def _has_connections(self, row: Row, user: User) -> bool:
        for identity in user.identities:
            name = identity["connection"]
            if identity["provider"] == DATABASE and name not in self._connections:
                if name not in self._missing:
                    self._missing.add(name)
                    self.report.find("connection_unknown", row.place, name, "say --connection OLD=NEW or --config DIR")
                self.report.find("user_refused", row.place, user.user_id, f"there is no connection {name[:80]}")
                row.mark(SKIP)
                return False
        return True

    def _new_ones(self, batch: list[tuple[Row, Arrival]], *, look: bool) -> list[Arrival]:
        """Remember who was seen where; who was seen before is a finding and stays out."""
        keys = [
            (f"{identity['provider']}|{identity['user_id']}", row.where)
            for row, arrival in batch
            for identity in arrival.user.identities
        ]
        if look:
            keys += [
                (f"{arrival.user.identities[0]['connection']}\0{arrival.user.email}", row.where)
                for row, arrival in batch
                if arrival.user.email and arrival.user.identities[0]["provider"] == DATABASE
            ]
        before = self.scratch.total_changes
        self.scratch.executemany("insert or ignore into seen values (?, ?)", sorted(keys))
        if self.scratch.total_changes - before == len(keys):
            return [arrival for _, arrival in batch]
        return [arrival for row, arrival in batch if not self._is_repeated(row, arrival, look=look)]

    def _is_repeated(self, row: Row, arrival: Arrival, *, look: bool) -> bool:
        user = arrival.user
        find = "select place from seen where key = ?"
        where = self.scratch.execute(find, (user.user_id,)).fetchone()[0]
        if where != row.where:
            self.report.find("duplicate_user", row.place, user.user_id, f"also in {row.elsewhere(where)}, which counts")
            self.report.count("users", "duplicate")
            row.mark(SKIP)
            return True
        if look and user.email and user.identities[0]["provider"] == DATABASE:
            where = self.scratch.execute(find, (f"{user.identities[0]['connection']}\0{user.email}",)).fetchone()[0]
            if where != row.where:
                detail = f"the address is also in {row.elsewhere(where)}, which counts"
                self.report.find("duplicate_user", row.place, user.user_id, detail)
                self.report.count("users", "duplicate")
                return True
        return False

    def _tell(self, outcomes: list[Outcome], future: str) -> None:
        words = {"inserted": f"{future} inserted".strip(), "completed": f"{future} completed".strip()}
        for result, number in Counter(outcome.result for outcome in outcomes).items():
            self.report.count("users", "conflicts" if result == "conflict" else words.get(result, result), number)
        for outcome in outcomes:
            if outcome.result == "conflict":
                user = outcome.arrival.user
                detail = f"{outcome.kind} belongs to {outcome.other}"
                self.report.find("user_conflict", f"row {outcome.arrival.place}", user.user_id, detail)

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


def _without_collector(work: Callable[..., None], *arguments: Any) -> None:
    """Do it without the collector of cycles: users make none, and it would look at each of them again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        work(*arguments)
    finally:
        if collecting:
            gc.enable()


_HASHES = "select id, stored from hashes where id in (select value from json_each(?))"
_FACTORS = "select id, name, content from factors where id in (select value from json_each(?))"


def _listed(values: Iterable[str]) -> str:
    return msgspec.json.encode(list(values)).decode()


def _all(scratch: sqlite3.Connection, sql: str) -> Iterator[tuple[str, str, str]]:
    cursor = scratch.execute(sql)
    while rows := cursor.fetchmany(1000):
        yield from rows
