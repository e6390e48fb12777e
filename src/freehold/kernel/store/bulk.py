"""The synchronous writer of import and restore processes: many rows, few commits, flat memory.

It runs beside a live server. On SQLite it holds the write lock from `begin` to `commit` and then leaves the server a
moment, so a batch should take tens of milliseconds (some 5,000 rows); on PostgreSQL rows go in by COPY. A writer
belongs to one thread at a time. Values given to `insert` are not examined; whoever imports has validated them.
"""

import asyncio
import itertools
import sqlite3
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from freehold.kernel.errors import Unavailable
from freehold.kernel.store.api import Dialect, Row
from freehold.kernel.store.dialect import PostgresqlDialect, SqliteDialect, check_text, statements
from freehold.kernel.store.queue import INSERT_JOB, job_row
from freehold.kernel.store.schema import Table, create_index, index_name
from freehold.kernel.store.sqlite_connection import (
    BUSY,
    BUSY_POLL_S,
    DRIVER_ERRORS,
    TOUCH,
    error_code,
    open_writer,
    prepare_file,
    translate,
)

if TYPE_CHECKING:
    from freehold.kernel.store.postgresql import PostgresqlTransaction

CACHE_KIB = 48 * 1024
# Pages touched by several batches are copied into the file once; the log grows to 32 MiB.
CHECKPOINT_PAGES = 8192
PATIENCE_S = 60.0
TURN_S = 0.003
# A statement for many rows: one at a time, the driver's part of each costs more than SQLite's.
ROWS_AT_ONCE = 100
_NOTHING: Mapping[str, Any] = MappingProxyType({})

T = TypeVar("T")


class BulkWriter(Protocol):
    """A connection that writes in large transactions; every statement stands between `begin` and `commit`."""

    url: str

    @property
    def dialect(self) -> Dialect:
        """What this database spells its own way."""
        ...

    def begin(self) -> None:
        """Start a batch. On SQLite nobody else writes until it ends, so what was looked up stays true."""
        ...

    def commit(self) -> None:
        """Make the batch durable."""
        ...

    def rollback(self) -> None:
        """Undo the batch."""
        ...

    def one(self, sql: str, /, **params: Any) -> Row | None:
        """The first row, or None."""
        ...

    def all(self, sql: str, /, **params: Any) -> list[Row]:
        """Every row."""
        ...

    def run(self, sql: str, /, **params: Any) -> int:
        """Execute a change; the number of rows it affected."""
        ...

    def run_many(self, sql: str, /, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute one change for each set of parameters."""
        ...

    def insert(
        self,
        table: str,
        columns: Mapping[str, Sequence[Any]],
        *,
        fixed: Mapping[str, Any] = _NOTHING,
    ) -> None:
        """Insert rows, given a column at a time, the fastest way there is; `fixed` values stand in all of them.

        Raises UniqueViolation; then the batch must be rolled back.
        """
        ...

    def savepoint(self) -> Any:
        """A context manager: a part of the batch that may fail alone."""
        ...

    def enqueue(self, topic: str, tenant_id: str, payload: bytes, *, now_ms: int) -> str:
        """Put a job into the queue with this batch; its id."""
        ...

    def touch(self, tenant_id: str) -> None:
        """Say that cached documents of the tenant change with this batch."""
        ...

    def drop_indexes(self, tables: Iterable[Table]) -> None:
        """Drop the tables' indexes before rows are poured into an empty database; primary keys stay."""
        ...

    def create_indexes(self, tables: Iterable[Table]) -> None:
        """Create them again. Raises UniqueViolation."""
        ...

    def analyze(self, tables: Iterable[Table]) -> None:
        """Have the database learn how the tables' rows are spread, after the last commit."""
        ...

    def close(self) -> None:
        """Undo an open batch and let go of the database."""
        ...


def open_bulk(url: str) -> BulkWriter:
    """A bulk writer for a database that is migrated."""
    if url.startswith("sqlite:///"):
        return SqliteBulkWriter(url)
    return PostgresqlBulkWriter(url)


class SqliteBulkWriter:
    """A connection with a large page cache."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.dialect = SqliteDialect()
        path = Path(url.removeprefix("sqlite:///"))
        prepare_file(path)
        self._connection = open_writer(path, cache_kib=CACHE_KIB, checkpoint_pages=CHECKPOINT_PAGES)
        self._savepoints = 0
        self._committed_at = 0.0

    def begin(self) -> None:
        # The server polls for the lock every millisecond; without a pause it would hardly ever find it free.
        time.sleep(max(0.0, self._committed_at + TURN_S - time.monotonic()))
        patience_ends = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._connection.execute("begin immediate")
                return
            except sqlite3.Error as error:
                if error_code(error) not in BUSY or time.monotonic() > patience_ends:
                    raise translate(error, self._connection) from error
            time.sleep(BUSY_POLL_S)

    def commit(self) -> None:
        self._guard(lambda: self._connection.execute("commit"))
        self._committed_at = time.monotonic()

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._guard(lambda: self._connection.execute("rollback"))

    def one(self, sql: str, /, **params: Any) -> Row | None:
        rows = self._execute(sql, params).fetchall()
        return rows[0] if rows else None

    def all(self, sql: str, /, **params: Any) -> list[Row]:
        return self._execute(sql, params).fetchall()

    def run(self, sql: str, /, **params: Any) -> int:
        return self._execute(sql, params).rowcount

    def run_many(self, sql: str, /, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            check_text(row)
        self._guard(lambda: self._connection.executemany(self.dialect.compile(sql), rows))

    def insert(
        self,
        table: str,
        columns: Mapping[str, Sequence[Any]],
        *,
        fixed: Mapping[str, Any] = _NOTHING,
    ) -> None:
        # A value that all rows share is handed over once for each statement: connections, and columns nobody fills.
        alike = {name: column[0] for name, column in columns.items() if column and _are_alike(column)}
        shared = {**fixed, **alike}
        varying = {name: column for name, column in columns.items() if name not in alike}
        rows = len(next(iter(columns.values())))
        values = list(itertools.chain.from_iterable(zip(*varying.values(), strict=True)))

        def insert() -> None:
            for start in range(0, rows, ROWS_AT_ONCE):
                count = min(ROWS_AT_ONCE, rows - start)
                statement = _insert_sql(table, tuple(shared), tuple(varying), count)
                part = values[start * len(varying) : (start + count) * len(varying)]
                self._connection.execute(statement, [*shared.values(), *part])

        self._guard(insert)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        name = f"part_{self._savepoints}"
        self._savepoints += 1
        self._connection.execute(f"savepoint {name}")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute(f"rollback to {name}")
                self._connection.execute(f"release {name}")
            raise
        self._connection.execute(f"release {name}")

    def enqueue(self, topic: str, tenant_id: str, payload: bytes, *, now_ms: int) -> str:
        row = job_row(topic, tenant_id, payload, now_ms=now_ms)
        self.run(INSERT_JOB, **row)
        return str(row["id"])

    def touch(self, tenant_id: str) -> None:
        self._guard(lambda: self._connection.execute(TOUCH, (tenant_id,)))

    def drop_indexes(self, tables: Iterable[Table]) -> None:
        for statement in _drop_indexes(tables):
            self.run(statement)

    def create_indexes(self, tables: Iterable[Table]) -> None:
        for statement in _create_indexes(tables):
            self.run(self.dialect.ddl(statement))

    def analyze(self, tables: Iterable[Table]) -> None:
        """Nothing: what SQLite believes of the tables does not depend on their rows."""

    def close(self) -> None:
        self._connection.close()

    def _execute(self, sql: str, params: Mapping[str, Any]) -> sqlite3.Cursor:
        check_text(params)
        return self._guard(lambda: self._connection.execute(self.dialect.compile(sql), params))

    def _guard(self, step: Callable[[], T]) -> T:
        # Outside a batch SQLite would commit each statement by itself, which nobody asked for.
        if not self._connection.in_transaction:
            raise Unavailable("The batch is over; it was not begun, or the database gave it up")
        try:
            return step()
        except DRIVER_ERRORS as error:
            raise translate(error, self._connection) from error


class PostgresqlBulkWriter:
    """The store's transactions on an event loop of its own, with rows through binary COPY."""

    _transaction: "PostgresqlTransaction | None"

    def __init__(self, url: str) -> None:
        from freehold.kernel.clock import SystemClock
        from freehold.kernel.store.postgresql import PostgresqlStore

        self.url = url
        self.dialect = PostgresqlDialect()
        self._loop = asyncio.new_event_loop()
        self._store = PostgresqlStore(url, clock=SystemClock(), pool_size=2)
        self._transaction = None

    def begin(self) -> None:
        transaction = self._store.transaction(limit_s=None)
        self._wait(transaction.__aenter__())
        self._transaction = transaction

    def commit(self) -> None:
        transaction, self._transaction = self._open, None
        self._wait(transaction.__aexit__(None, None, None))

    def rollback(self) -> None:
        if self._transaction is not None:
            transaction, self._transaction = self._transaction, None
            undo = _UndoneError()
            self._wait(transaction.__aexit__(type(undo), undo, None))

    def one(self, sql: str, /, **params: Any) -> Row | None:
        return self._wait(self._open.one(sql, **params))

    def all(self, sql: str, /, **params: Any) -> list[Row]:
        return self._wait(self._open.all(sql, **params))

    def run(self, sql: str, /, **params: Any) -> int:
        return self._wait(self._open.run(sql, **params))

    def run_many(self, sql: str, /, rows: Sequence[Mapping[str, Any]]) -> None:
        self._wait(self._open.run_many(sql, rows))

    def insert(
        self,
        table: str,
        columns: Mapping[str, Sequence[Any]],
        *,
        fixed: Mapping[str, Any] = _NOTHING,
    ) -> None:
        shared = map(itertools.repeat, fixed.values())
        records = zip(*shared, *columns.values())  # noqa: B905 - what is shared has no end
        self._wait(self._open.copy(table, (*fixed, *columns), records))

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        savepoint = self._open.savepoint()
        self._wait(savepoint.__aenter__())
        try:
            yield
        except BaseException as error:
            if not self._wait(savepoint.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            self._wait(savepoint.__aexit__(None, None, None))

    def enqueue(self, topic: str, tenant_id: str, payload: bytes, *, now_ms: int) -> str:
        row = job_row(topic, tenant_id, payload, now_ms=now_ms)
        self.run(INSERT_JOB, **row)
        return str(row["id"])

    def touch(self, tenant_id: str) -> None:
        self._open.touch(tenant_id)

    def drop_indexes(self, tables: Iterable[Table]) -> None:
        for statement in _drop_indexes(tables):
            self.run(statement)

    def create_indexes(self, tables: Iterable[Table]) -> None:
        for statement in _create_indexes(tables):
            self.run(self.dialect.ddl(statement))

    def analyze(self, tables: Iterable[Table]) -> None:
        self.begin()
        for table in tables:
            self.run(f"analyze {table.name}")
        self.commit()

    def close(self) -> None:
        try:
            self.rollback()
            self._wait(self._store.close())
        finally:
            self._loop.close()

    @property
    def _open(self) -> "PostgresqlTransaction":
        if self._transaction is None:
            raise Unavailable("The batch is over; it was not begun, or the database gave it up")
        return self._transaction

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(call)


class _UndoneError(Exception):
    """Tells a transaction to roll back."""


def _are_alike(column: Sequence[Any]) -> bool:
    return column[-1] == column[0] and column.count(column[0]) == len(column)


@lru_cache(64)
def _insert_sql(table: str, shared: tuple[str, ...], columns: tuple[str, ...], rows: int) -> str:
    """SQLite's statement for so many rows at once; the shared values come first and are used in each of them."""
    first = [f"?{number}" for number in range(1, len(shared) + 1)]
    places = itertools.count(len(shared) + 1)
    values = [", ".join([*first, *(f"?{next(places)}" for _ in columns)]) for _ in range(rows)]
    return f"insert into {table} ({', '.join((*shared, *columns))}) values ({'), ('.join(values)})"  # noqa: S608 - declared names


def _drop_indexes(tables: Iterable[Table]) -> Iterator[str]:
    for table in tables:
        for index in table.indexes:
            yield f"drop index if exists {index_name(table, index)}"


def _create_indexes(tables: Iterable[Table]) -> Iterator[str]:
    for table in tables:
        for index in table.indexes:
            yield from statements(create_index(table, index))
