"""What lies on disk between reading and writing, so that memory stays flat however many users there are.

The index that joins the pieces of an export is SQLite's own temporary database: private to this connection, and on disk
only as far as it does not fit its cache. The users who are ready to be written wait in a file without a name. Both are
gone with the process, whatever ends it, so that nothing lies about for somebody to find later.
"""

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import msgspec

from freehold.domain.users.arrivals import Batch, Sealed
from freehold.domain.users.usual import UserRows

CACHE_KIB = 24 * 1024
ROWS_AT_ONCE = 100


def open_scratch() -> sqlite3.Connection:
    """An empty scratch database."""
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    connection.execute("pragma journal_mode = off")
    connection.execute("pragma synchronous = off")
    connection.execute(f"pragma cache_size = -{CACHE_KIB}")
    connection.executescript(
        """
        create table hashes (id text primary key, stored text not null, place text not null, who text not null)
            without rowid;
        create table factors (id text not null, name text not null, content blob not null, place text not null,
            primary key (id, name)) without rowid;
        create table seen (key text primary key, place integer not null) without rowid;
        """
    )
    connection.execute("begin")
    return connection


def remember(scratch: sqlite3.Connection, keys: Sequence[tuple[str, int]]) -> int:
    """Note where each key was seen first; how many of them were new."""
    before = scratch.total_changes
    # In order, the index is written from front to back.
    flat = list(chain.from_iterable(sorted(keys)))
    for start in range(0, len(flat), 2 * ROWS_AT_ONCE):
        part = flat[start : start + 2 * ROWS_AT_ONCE]
        places = ", ".join(["(?, ?)"] * (len(part) // 2))
        scratch.execute(f"insert or ignore into seen values {places}", part)  # noqa: S608 - question marks
    return scratch.total_changes - before


class Waiting:
    """Batches of users that were checked and wait to be written; secrets among them are sealed."""

    def __init__(self, folder: Path | None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open as long as this object lives
        self._sizes: list[int] = []
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Batch).decode

    def add(self, batch: Batch) -> None:
        """Put a batch behind the others."""
        self._sizes.append(self._file.write(self._encode(_folded(batch))))

    def __iter__(self) -> Iterator[Batch]:
        """All batches, in order."""
        self._file.seek(0)
        for size in self._sizes:
            yield _unfolded(self._decode(self._file.read(size)))

    def clear(self) -> None:
        """Forget them."""
        self._file.seek(0)
        self._file.truncate()
        self._sizes = []


def _folded(batch: Batch) -> Batch:
    """The same without what is said already: values that all users share, and ids that own what is sealed."""
    lists = msgspec.structs.asdict(batch.users)
    users = UserRows(
        **{name: column[:1] if name != "document" and _are_alike(column) else column for name, column in lists.items()}
    )
    sealed = [
        Sealed(one.kind, one.name, [], [], one.values) if _are_everybodys(one, batch) else one for one in batch.sealed
    ]
    return Batch(batch.places, users, sealed, batch.linked, batch.unusual)


def _unfolded(batch: Batch) -> Batch:
    number = len(batch)
    for name, column in msgspec.structs.asdict(batch.users).items():
        if name != "document" and len(column) == 1:
            setattr(batch.users, name, column * number)
    for sealed in batch.sealed:
        if not sealed.owners:
            sealed.numbers, sealed.owners = list(range(number)), batch.users.id[:]
    return batch


def _are_alike(column: Sequence[object]) -> bool:
    return len(column) > 1 and column[0] == column[-1] and column.count(column[0]) == len(column)


def _are_everybodys(sealed: Sealed, batch: Batch) -> bool:
    return sealed.owners == batch.users.id and sealed.numbers == list(range(len(batch)))
