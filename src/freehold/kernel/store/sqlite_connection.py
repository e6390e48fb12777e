"""How Freehold opens an SQLite file, and what the driver's errors mean: shared by the store and the bulk writer."""

import os
import sqlite3
import stat
import time
from contextlib import suppress
from pathlib import Path

from freehold.kernel.errors import FreeholdError, Unavailable
from freehold.kernel.store.api import UniqueViolation, Unstorable

MIN_SQLITE = (3, 37, 0)
BUSY_LIMIT_S = 15.0
BUSY_POLL_S = 0.001
READER_CACHE_KIB = 16 * 1024
WRITER_CACHE_KIB = 16 * 1024
LOG_LIMIT_BYTES = 64 * 1024 * 1024

DRIVER_ERRORS = (sqlite3.Error, OverflowError, UnicodeEncodeError)
BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

# Adds one to a tenant's epoch; see Store.cache_epoch.
TOUCH = """insert into cache_epochs (tenant_id, epoch) values (?, 1)
    on conflict (tenant_id) do update set epoch = cache_epochs.epoch + 1"""

_OUTSIDE_CAUSES = (
    *BUSY,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
)


class InsecureFile(FreeholdError):
    """The database file can be read by other users of the machine."""


def prepare_file(path: Path) -> None:
    """Create the file for its owner only, or check that it is. Raises InsecureFile, Unavailable."""
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        raise Unavailable(f"SQLite {sqlite3.sqlite_version} is too old; Freehold needs 3.37 or later")
    try:
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700, parents=True)
        # An existing file is not opened here: closing it again would let go of every lock that this process holds on it
        # through SQLite, and another process could take the log away from under us (SQLite, "How To Corrupt", 2.2).
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        mode = path.stat().st_mode
    except OSError as error:
        raise Unavailable(f"The database {path} cannot be opened: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InsecureFile(f"The database {path} is open to other users of this machine; run: chmod 600 {path}")


def open_writer(
    path: Path, *, durable: bool = True, cache_kib: int = WRITER_CACHE_KIB, checkpoint_pages: int = 1000
) -> sqlite3.Connection:
    """A connection that writes; it never waits for a lock, its user does."""
    connection = _connect(path, timeout_s=0)
    connection.execute(f"pragma synchronous = {'full' if durable else 'off'}")
    connection.execute(f"pragma cache_size = -{cache_kib}")
    connection.execute(f"pragma wal_autocheckpoint = {checkpoint_pages}")
    connection.execute(f"pragma journal_size_limit = {LOG_LIMIT_BYTES}")
    # What is deleted or replaced is overwritten in its page: a small cost, and no old secret in the file.
    connection.execute("pragma secure_delete = fast")
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads."""
    connection = _connect(path, timeout_s=1)
    connection.execute("pragma query_only = on")
    connection.execute(f"pragma cache_size = -{READER_CACHE_KIB}")
    return connection


def error_code(error: BaseException) -> int:
    """The primary result code; 0 when the driver gave none."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def translate(error: Exception, connection: sqlite3.Connection) -> Exception:
    """The driver's error as one of ours; an error that means a bug stays what it is."""
    if isinstance(error, sqlite3.IntegrityError):
        return _unique_violation(error, connection) or error
    if isinstance(error, OverflowError | UnicodeEncodeError):
        return Unstorable("A value cannot be stored")
    if error_code(error) in _OUTSIDE_CAUSES:
        return Unavailable("The database cannot be read or written right now")
    return error


def _connect(path: Path, *, timeout_s: float) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            path, timeout=timeout_s, isolation_level=None, check_same_thread=False, cached_statements=1024
        )
        _use_log(connection)
    except sqlite3.Error as error:
        if error_code(error) == sqlite3.SQLITE_NOTADB:
            raise Unavailable(f"{path} is not a Freehold database") from error
        raise Unavailable(f"The database {path} cannot be opened: {error}") from error
    return connection


def _use_log(connection: sqlite3.Connection) -> None:
    """Turn write-ahead logging on, which stays on.

    Processes that start together on a new file meet here, and SQLite refuses all but one whatever its busy timeout.
    """
    patience_ends = time.monotonic() + BUSY_LIMIT_S
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
            return
        except sqlite3.Error as error:
            if error_code(error) not in BUSY or time.monotonic() > patience_ends:
                raise
        time.sleep(BUSY_POLL_S)


def _unique_violation(error: sqlite3.IntegrityError, connection: sqlite3.Connection) -> UniqueViolation | None:
    """SQLite names an index over expressions, else the columns; PostgreSQL always names the index."""
    prefix, _, rest = str(error).partition("UNIQUE constraint failed: ")
    if prefix or not rest:
        return None
    if rest.startswith("index '"):
        name = rest[7:-1]
        table = connection.execute("select tbl_name from sqlite_master where name = ?", (name,)).fetchone()[0]
        return UniqueViolation(index=name, table=table, columns=_index_columns(connection, name))
    table = rest.partition(".")[0]
    columns = tuple(part.partition(".")[2] for part in rest.split(", "))
    for name, origin in connection.execute(
        'select name, origin from pragma_index_list(?) where "unique" = 1', (table,)
    ).fetchall():
        if origin != "pk" and _index_columns(connection, name) == columns:
            return UniqueViolation(index=name, table=table, columns=columns)
    return UniqueViolation(index=f"{table}_pkey", table=table, columns=columns)


def _index_columns(connection: sqlite3.Connection, index: str) -> tuple[str, ...]:
    rows = connection.execute("select name from pragma_index_info(?) order by seqno", (index,)).fetchall()
    return tuple(row[0] for row in rows if row[0] is not None)
