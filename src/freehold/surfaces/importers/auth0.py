"""An Auth0 tenant arrives: users, password hashes, MFA factors, configuration and signing keys, joined.

Everything is read and joined before anything is written, so that a damaged file leaves no half import. Users are
written in batches, each whole; doing it again after a crash completes it.
"""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from freehold.domain.connections import CONNECTIONS
from freehold.domain.keys.documents import SIGNING_KEYS
from freehold.domain.keys.rotation import import_key
from freehold.domain.users import User
from freehold.domain.users.arrivals import Arrival, Batch
from freehold.domain.users.documents import DATABASE
from freehold.domain.users.importing import BATCH_USERS, TABLES, Outcome, look_for_users, write_users
from freehold.kernel.clock import iso
from freehold.kernel.collector import without_collector
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.errors import FreeholdError
from freehold.kernel.store import Store, Transaction
from freehold.kernel.store.bulk import open_bulk
from freehold.surfaces.importers.auth0_config import Applying
from freehold.surfaces.importers.auth0_files import Configuration, read_configuration
from freehold.surfaces.importers.auth0_secrets import load_factors, load_hashes
from freehold.surfaces.importers.auth0_users import OWN, Row, Run, UserReader
from freehold.surfaces.importers.report import Report
from freehold.surfaces.importers.scratch import Waiting, open_scratch, remember

DEFAULT_CONNECTION = "Username-Password-Authentication"

Progress = Callable[[str, int], None]


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """The pieces of an export; every one of them may be missing."""

    users: tuple[Path, ...] = ()
    hashes: tuple[Path, ...] = ()
    factors: tuple[Path, ...] = ()
    config: Path | None = None
    signing_keys: Mapping[str, Path] = msgspec.field(default_factory=dict)
    """Private keys by kid, the current one last."""
    connections: Mapping[str, str] = msgspec.field(default_factory=dict)
    """New names of connections by the names in the export."""
    keywords: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """What stands for the placeholders in the configuration."""


class _UndoneError(Exception):
    """Ends a trial transaction."""


class Auth0Import:
    """One import: `check` reads and joins everything and writes nothing, `write` does it."""

    def __init__(
        self,
        store: Store,
        tenant: TenantScope,
        sources: Sources,
        progress: Progress | None = None,
        *,
        temporary: Path | None = None,
    ) -> None:
        self.store = store
        self.tenant = tenant
        self.sources = sources
        self.progress = progress or (lambda _what, _number: None)
        self.scratch = open_scratch()
        self.report = Report(self.scratch, tenant.name, dry_run=True)
        self._configuration: Configuration | None = None
        self._missing: set[str] = set()
        self._known: set[str] = set()
        self._waiting = Waiting(temporary)
        self._reader = UserReader(
            self.report,
            now=iso(tenant.clock.now()),
            connections=sources.connections,
            default=DEFAULT_CONNECTION,
        )

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
        with without_collector():
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
        with without_collector():
            await asyncio.to_thread(self._write_users)
        return report

    # --- configuration -------------------------------------------------------------------------------------------

    async def _configure(self, tx: Transaction) -> None:
        if self._configuration is not None:
            await Applying(tx, self.tenant, self.report, self._configuration).everything()
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
        self._known = {record.document["name"] for record in found}

    # --- users ---------------------------------------------------------------------------------------------------

    def _check_users(self, look: bool) -> None:
        report, scratch = self.report, self.scratch
        started = time.perf_counter()
        for path in self.sources.hashes:
            load_hashes(scratch, path, report)
        for path in self.sources.factors:
            load_factors(scratch, path, report)
        report.seconds["secrets read"] = time.perf_counter() - started
        started = time.perf_counter()
        writer = open_bulk(self.store.url) if look and self.sources.users else None
        try:
            for items in self._read():
                batch = self._joined(items)
                repeated = self._repeated(batch, look=look)
                if repeated:
                    batch = batch.only([n for n in range(len(batch)) if repeated.get(n) != "user_id"])
                self._waiting.add(batch)
                if writer is not None:
                    new = batch.only([n for n in range(len(batch)) if n not in repeated]) if repeated else batch
                    self._tell(new, look_for_users(writer, self.tenant, new), "to be")
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
        written, new = 0, True
        try:
            for batch in self._waiting:
                outcomes = write_users(writer, self.tenant, batch, new=new)
                self._tell(batch, outcomes, "")
                # Where one was there, more are likely to be.
                new = not outcomes
                written += len(batch)
                self.progress("users written", written)
            writer.analyze(TABLES)
        finally:
            writer.close()
        self.report.seconds["users written"] = time.perf_counter() - started

    def _read(self) -> Iterator[list[Row | Run]]:
        """The users of all files, so many at a time."""
        read = 0
        for path in self.sources.users:
            items: list[Row | Run] = []
            room = BATCH_USERS
            for found in self._reader.read(path):
                while len(found) >= room:
                    # Only a run is longer than one.
                    items.append(found.cut(room) if isinstance(found, Run) else found)
                    read += BATCH_USERS
                    yield items
                    self.progress("users checked", read)
                    items, room = [], BATCH_USERS
                    if isinstance(found, Row):
                        break
                else:
                    if len(found):
                        items.append(found)
                        room -= len(found)
            read += BATCH_USERS - room
            yield items
            self.progress("users checked", read)
        self.report.count("users", "read", read)

    def _joined(self, items: list[Row | Run]) -> Batch:
        """Users with their hashes and factors as a batch; without those that cannot be taken in."""
        batch = Batch()
        stored = self._stored(items) if self.sources.hashes else {}
        for item in items:
            if isinstance(item, Run):
                self._add_run(batch, item, stored)
            else:
                self._add_row(batch, item, stored)
        if self.sources.factors and len(batch):
            numbers = {id_: number for number, id_ in enumerate(batch.users.id)}
            for id_, name, content in self.scratch.execute(_FACTORS, (_listed(numbers),)):
                batch.add_factor(self.tenant, numbers[id_], name, content)
        return batch

    def _add_run(self, batch: Batch, run: Run, stored: Mapping[str, str]) -> None:
        places: Sequence[int] = range(run.where, run.where + len(run))
        rows, hashes = run.rows, run.hashes
        if not self._known.issuperset(rows.ix_connection):
            kept = [
                number
                for number, (place, id_, connection) in enumerate(zip(places, rows.id, rows.ix_connection, strict=True))
                if not id_.startswith(OWN) or self._has_connection(place, id_, connection)
            ]
            places, rows, hashes = [places[n] for n in kept], rows.only(kept), [hashes[n] for n in kept]
        first = len(batch)
        batch.add_rows(places, rows)
        texts = [stored.get(id_) or own for id_, own in zip(rows.id, hashes, strict=True)] if stored else hashes
        own_hashes = [own for own in hashes if own is not None]
        if len(own_hashes) == len(hashes) and not self.sources.hashes:
            batch.add_hashes(self.tenant, range(first, len(batch)), rows.id, own_hashes, imported=True)
            return
        for imported in (True, False):
            alike = [n for n, own in enumerate(hashes) if (own is not None) == imported and texts[n] is not None]
            if alike:
                owners, given = [rows.id[n] for n in alike], [texts[n] or "" for n in alike]
                batch.add_hashes(self.tenant, [first + n for n in alike], owners, given, imported=imported)
        if self.sources.hashes:
            for place, id_, email, text in zip(places, rows.id, rows.ix_email, texts, strict=True):
                if text is None and id_.startswith(OWN):
                    self.report.find("user_without_hash", self._reader.place(place), id_, email or "")

    def _add_row(self, batch: Batch, row: Row, stored: Mapping[str, str]) -> None:
        user = row.user
        if user is None:
            return
        hashes = []
        for identity in user.identities:
            if identity["provider"] == DATABASE:
                if not self._has_connection(row.where, user.user_id, identity["connection"]):
                    return
                own = _owner(user, identity)
                found = stored.get(own) or row.stored
                if found is not None:
                    hashes.append((own, found))
                elif self.sources.hashes:
                    place = self._reader.place(row.where)
                    self.report.find("user_without_hash", place, user.user_id, user.email or "")
        imported = row.stored is not None
        batch.add(self.tenant, [Arrival(row.where, user, tuple(hashes), row.factors, imported)])

    def _stored(self, items: list[Row | Run]) -> dict[str, str]:
        """The hashes of all identities that may have one."""
        owners: list[str] = []
        for item in items:
            if isinstance(item, Run):
                owners += item.rows.id
            elif item.user is not None:
                owners += [_owner(item.user, i) for i in item.user.identities if i["provider"] == DATABASE]
        return dict(self.scratch.execute(_HASHES, (_listed(owners),)).fetchall())

    def _has_connection(self, where: int, user_id: str, name: str) -> bool:
        """Whether there is such a database; if not, that is a finding, and the user is refused."""
        if name in self._known:
            return True
        place = self._reader.place(where)
        if name not in self._missing:
            self._missing.add(name)
            self.report.find("connection_unknown", place, name, "say --connection OLD=NEW or --config DIR")
        self.report.find("user_refused", place, user_id, f"there is no connection {name[:80]}")
        return False

    def _repeated(self, batch: Batch, *, look: bool) -> dict[int, str]:
        """Remember who was seen where. Who was seen before is a finding; by what, by their number in the batch."""
        places, users = batch.places, batch.users
        keys = list(zip(users.id, places, strict=True))
        if batch.linked:
            by_user = dict(keys)
            keys += [(identity, by_user[user_id]) for identity, user_id, *_ in batch.linked]
        addresses: list[str] = []
        if look:
            addresses = [
                f"{realm}\0{email}" if email and id_.startswith(OWN) else ""
                for id_, realm, email in zip(users.id, users.ix_realm, users.ix_email, strict=True)
            ]
            keys += [(address, place) for address, place in zip(addresses, places, strict=True) if address]
        if remember(self.scratch, keys) == len(keys):
            return {}
        repeated = {}
        for number, (place, id_) in enumerate(zip(places, users.id, strict=True)):
            asked = [("user_id", id_, "")]
            if look and addresses[number]:
                asked.append(("email", addresses[number], "the address is "))
            for kind, key, what in asked:
                where = self.scratch.execute("select place from seen where key = ?", (key,)).fetchone()[0]
                if where != place:
                    repeated[number] = kind
                    here, other = self._reader.place(place), self._reader.place(where)
                    self.report.find("duplicate_user", here, id_, f"{what}also in {other}, which counts")
                    self.report.count("users", "duplicate")
                    break
        return repeated

    def _tell(self, batch: Batch, outcomes: list[Outcome], future: str) -> None:
        found = Counter(outcome.result for outcome in outcomes)
        for what, number in (
            (f"{future} inserted".strip(), len(batch) - len(outcomes)),
            (f"{future} completed".strip(), found["completed"]),
            ("present", found["present"]),
            ("conflicts", found["conflict"]),
        ):
            if number:
                self.report.count("users", what, number)
        for outcome in outcomes:
            if outcome.result == "conflict":
                place = self._reader.place(batch.places[outcome.number])
                user_id = batch.users.id[outcome.number]
                self.report.find("user_conflict", place, user_id, f"{outcome.kind} belongs to {outcome.other}")

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


def _owner(user: User, identity: Mapping[str, Any]) -> str:
    """The full id of an identity of a database, by which its hash is found."""
    return user.user_id if identity is user.identities[0] else f"{DATABASE}|{identity['user_id']}"


_HASHES = "select id, stored from hashes where id in (select value from json_each(?))"
_FACTORS = "select id, name, content from factors where id in (select value from json_each(?))"


def _listed(values: Iterable[str]) -> str:
    return msgspec.json.encode(list(values)).decode()


def _all(scratch: sqlite3.Connection, sql: str) -> Iterator[tuple[str, str, str]]:
    cursor = scratch.execute(sql)
    while rows := cursor.fetchmany(1000):
        yield from rows
