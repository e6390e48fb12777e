"""The store on PostgreSQL: a pool of connections, prepared statements, read committed.

A transaction keeps one connection; each read outside takes one for a moment, together with others that are ready for
the same (`postgresql_reads`). Unlike on SQLite two transactions really run side by side, so code relies on unique
indexes and on the row counts of conditional statements, never on having looked first. `touch` travels by NOTIFY; while
the listening connection is down no epoch repeats, so nothing is cached.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar

import asyncpg
import asyncpg.transaction

from freehold.kernel import log
from freehold.kernel.clock import Clock
from freehold.kernel.errors import Unavailable
from freehold.kernel.store.api import TRANSACTION_LIMIT_S, QueryTimeout, Row, UniqueViolation, Unstorable
from freehold.kernel.store.dialect import PostgresqlDialect, check_text
from freehold.kernel.store.limit import stop_limit
from freehold.kernel.store.postgresql_batch import Batch
from freehold.kernel.store.postgresql_reads import SharedReads
from freehold.kernel.store.queue import INSERT_JOB, job_row

POOL_SIZE = 8
ACQUIRE_S = 10.0
CONNECT_S = 10.0
HEARTBEAT_S = 10.0
RECONNECT_S = 1.0
CHANNEL = "freehold_epochs"

T = TypeVar("T")
_log = log.get_logger("store")


class PostgresqlStore:
    """A store in one PostgreSQL database; see the module."""

    def __init__(self, url: str, *, clock: Clock, pool_size: int = POOL_SIZE) -> None:
        self.url = url
        self.clock = clock
        self.dialect = PostgresqlDialect()
        # Reads have connections of their own: a transaction's body may read outside of it, and would otherwise wait
        # for a connection that is held by another body that waits as well.
        self._reading = _Lane(self, max(1, pool_size // 2))
        self._writing = _Lane(self, max(1, pool_size // 2))
        self._shared_reads = SharedReads(self._reading.acquire, self._reading.release)
        self._search_slots = asyncio.Semaphore(max(1, pool_size // 4))
        self._epochs = _Epochs(url)
        self._on_enqueue: list[Callable[[], None]] = []
        self._unique: dict[str, tuple[str, ...]] = {}
        self._describing = asyncio.Lock()
        self._inside: set[asyncio.Task[Any] | None] = set()

    # Reading

    async def one(self, sql: str, /, **params: Any) -> Row | None:
        text, arguments = self.dialect.compile(sql, params)
        return await self._translating(self._shared_reads.one(text, arguments))

    async def all(self, sql: str, /, **params: Any) -> list[Row]:
        async with self._reading.connection() as connection:
            text, arguments = self.dialect.compile(sql, params)
            return [tuple(record) for record in await self._translating(connection.fetch(text, *arguments))]

    async def search(self, sql: str, /, *, timeout_s: float = 2.0, **params: Any) -> list[Row]:
        try:
            # A cancelled asyncpg call cancels the query in the server as well.
            async with asyncio.timeout(timeout_s), self._search_slots:
                return await self.all(sql, **params)
        except TimeoutError:
            raise QueryTimeout("The search took too long; narrow it down") from None

    @asynccontextmanager
    async def snapshot(
        self, *, like: str | None = None, beside: Callable[[str], Awaitable[None]] | None = None
    ) -> AsyncIterator["PostgresqlSnapshot"]:
        # A connection of its own: an export may last longer than the pool can spare one.
        connection = await self._translating(_connect(self.url))
        try:
            snapshot = PostgresqlSnapshot(self, connection)
            await snapshot.open(like)
            if beside is not None:
                await beside((await snapshot.all("select pg_export_snapshot()"))[0][0])
            yield snapshot
        finally:
            await asyncio.shield(asyncio.ensure_future(_hang_up(connection)))

    def cache_epoch(self, tenant_id: str) -> int:
        return self._epochs.current(tenant_id)

    # Writing

    def transaction(self, *, limit_s: float | None = TRANSACTION_LIMIT_S) -> "PostgresqlTransaction":
        return PostgresqlTransaction(self, limit_s)

    async def run(self, sql: str, /, **params: Any) -> int:
        check_text(params)
        if asyncio.current_task() in self._inside:
            raise RuntimeError("A transaction was opened inside a transaction of the same task")
        async with self._writing.connection() as connection:
            text, arguments = self.dialect.compile(sql, params)
            return _affected(await self._translating(connection.execute(text, *arguments)))

    async def add(self, sql: str, /, **params: Any) -> None:
        await self.run(sql, **params)

    def on_enqueue(self, callback: Callable[[], None]) -> None:
        self._on_enqueue.append(callback)

    async def close(self) -> None:
        await self._epochs.close()
        await self._reading.close()
        await self._writing.close()

    # Errors

    async def _translating(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except asyncpg.UniqueViolationError as error:
            raise await self._unique_violation(error) from error
        except (asyncpg.DataError, UnicodeEncodeError) as error:
            raise Unstorable("A value cannot be stored") from error
        except _OUTSIDE_CAUSES as error:
            raise Unavailable("The database cannot be read or written right now") from error

    async def _unique_violation(self, error: asyncpg.UniqueViolationError) -> UniqueViolation:
        index, table = error.constraint_name or "", error.table_name or ""
        if index not in self._unique:
            async with self._describing:
                if index not in self._unique:
                    await self._describe_indexes()
        return UniqueViolation(index=index, table=table, columns=self._unique.get(index, ()))

    async def _describe_indexes(self) -> None:
        # On a connection of its own: whoever asks holds one already, and all of them may ask at once.
        connection = await self._translating(_connect(self.url))
        try:
            records = await self._translating(connection.fetch(_UNIQUE_INDEXES))
        finally:
            connection.terminate()
        self._unique = {name: tuple(columns) for name, columns in records}


class _Lane:
    """Connections for one purpose, opened as they are needed.

    A pool of our own, because asyncpg's costs twice as much as a query by its key. Nothing here changes a session's
    settings, so a connection that comes back needs no round trip either.
    """

    def __init__(self, store: PostgresqlStore, size: int) -> None:
        self._store = store
        self._size = size
        self._places = asyncio.Semaphore(size)
        self._free: list[asyncpg.Connection] = []
        self._used: set[asyncpg.Connection] = set()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection for the block."""
        connection = await self.acquire()
        try:
            yield connection
        finally:
            self.release(connection)

    async def acquire(self) -> asyncpg.Connection:
        """A connection, to be released. Raises Unavailable when none becomes free in time."""
        if self._places.locked():
            try:
                async with asyncio.timeout(ACQUIRE_S):
                    await self._places.acquire()
            except TimeoutError as error:
                raise Unavailable("The database cannot be read or written right now") from error
        else:
            await self._places.acquire()
        try:
            while self._free:
                connection = self._free.pop()
                if not connection.is_closed():
                    break
            else:
                await self._store._epochs.start()
                connection = await self._store._translating(_connect(self._store.url))
        except BaseException:
            self._places.release()
            raise
        self._used.add(connection)
        return connection

    def release(self, connection: asyncpg.Connection) -> None:
        """Give a connection back, whatever state it is in."""
        self._used.discard(connection)
        if not connection.is_closed() and connection.is_in_transaction():
            connection.terminate()
        self._free.append(connection)
        self._places.release()

    async def close(self) -> None:
        """Close the connections, those in use when they come back."""
        try:
            async with asyncio.timeout(CONNECT_S):
                for _ in range(self._size):
                    await self._places.acquire()
        except TimeoutError:
            for connection in self._used:
                connection.terminate()
        for connection in self._free:
            await _hang_up(connection)
        self._free.clear()


class PostgresqlTransaction(AbstractAsyncContextManager["PostgresqlTransaction"]):
    """A transaction on one connection of the pool."""

    _connection: asyncpg.Connection

    def __init__(self, store: PostgresqlStore, limit_s: float | None) -> None:
        self._store = store
        self._limit_s = limit_s
        self._callbacks: list[Callable[[], None]] = []
        self._touched: set[str] = set()
        self._failure: Exception | None = None
        self._savepoints = 0
        self._enqueued = False
        self._batch = Batch()

    async def __aenter__(self) -> "PostgresqlTransaction":
        self._task = asyncio.current_task()
        if self._task in self._store._inside:
            raise RuntimeError("A transaction was opened inside a transaction of the same task")
        self._connection = await self._store._writing.acquire()
        try:
            await self._store._translating(self._connection.execute("begin"))
        except BaseException:
            self._connection.terminate()
            self._store._writing.release(self._connection)
            raise
        self._store._inside.add(self._task)
        self._limit = await asyncio.timeout(self._limit_s).__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._failure is None:
            try:
                await self._send()
            except BaseException as failure:
                await self._leave(type(failure), failure, failure.__traceback__)
                raise
        await self._leave(kind, error, trace)

    async def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store._inside.discard(self._task)
        out_of_time = await stop_limit(self._limit, kind, error, trace)
        # In a task of its own, so that a cancelled caller neither stops a commit half way nor leaks the connection.
        if error is None and self._failure is None:
            await asyncio.shield(asyncio.ensure_future(self._commit()))
        else:
            await asyncio.shield(asyncio.ensure_future(self._roll_back()))
            if out_of_time:
                raise Unavailable("The transaction took too long") from error
            if error is None and self._failure is not None:
                raise self._failure

    async def _commit(self) -> None:
        store = self._store
        try:
            for tenant_id in sorted(self._touched):
                await store._translating(self._connection.execute("select pg_notify($1, $2)", CHANNEL, tenant_id))
            if await store._translating(self._connection.execute("commit")) != "COMMIT":
                # A statement was interrupted and the body went on; PostgreSQL rolls back without an error.
                raise Unavailable("The transaction was interrupted")
        except BaseException:
            self._connection.terminate()
            raise
        finally:
            store._writing.release(self._connection)
        for tenant_id in self._touched:
            store._epochs.advance(tenant_id)
        for callback in (*self._callbacks, *(store._on_enqueue if self._enqueued else ())):
            asyncio.get_running_loop().call_soon(callback)

    async def _roll_back(self) -> None:
        try:
            await self._connection.execute("rollback")
        except _CONNECTION_ERRORS:
            self._connection.terminate()
        finally:
            self._store._writing.release(self._connection)

    async def one(self, sql: str, /, **params: Any) -> Row | None:
        text, arguments = self._compile(sql, params)
        await self._send()
        record = await self._guard(self._connection.fetchrow(text, *arguments))
        return None if record is None else tuple(record)

    async def all(self, sql: str, /, **params: Any) -> list[Row]:
        text, arguments = self._compile(sql, params)
        await self._send()
        return [tuple(record) for record in await self._guard(self._connection.fetch(text, *arguments))]

    async def run(self, sql: str, /, **params: Any) -> int:
        text, arguments = self._compile(sql, params)
        if self._batch and self._batch.takes(text):
            self._batch.add(text, arguments)
            text, arguments = self._take_batch(counted=True)
            return int(await self._guard(self._connection.fetchval(text, *arguments)))
        await self._send()
        return _affected(await self._guard(self._connection.execute(text, *arguments)))

    async def add(self, sql: str, /, **params: Any) -> None:
        text, arguments = self._compile(sql, params)
        if not self._batch.takes(text):
            await self._send()
        if self._batch.takes(text):
            self._batch.add(text, arguments)
        else:
            await self._guard(self._connection.execute(text, *arguments))

    async def _send(self) -> None:
        """Execute the changes that wait."""
        if self._batch:
            text, arguments = self._take_batch(counted=False)
            await self._guard(self._connection.execute(text, *arguments))

    def _take_batch(self, *, counted: bool) -> tuple[str, list[Any]]:
        batch, self._batch = self._batch, Batch()
        return batch.statement(counted=counted)

    async def run_many(self, sql: str, /, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        for row in rows:
            check_text(row)
        text, arguments = self._store.dialect.compile_many(sql, rows)
        await self._send()
        await self._guard(self._connection.executemany(text, arguments))

    async def copy(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert rows through binary COPY: for the bulk writer."""
        await self._send()
        await self._guard(self._connection.copy_records_to_table(table, columns=columns, records=rows))

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        name = f"part_{self._savepoints}"
        self._savepoints += 1
        await self._send()
        await self._guard(self._connection.execute(f"savepoint {name}"))
        try:
            yield
            await self._send()
        except BaseException:
            self._batch = Batch()
            if not self._connection.is_closed():
                self._failure = None
                await self._guard(self._connection.execute(f"rollback to {name}"))
                await self._guard(self._connection.execute(f"release {name}"))
            raise
        await self._guard(self._connection.execute(f"release {name}"))

    def after_commit(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    async def enqueue(self, topic: str, tenant_id: str, payload: bytes, *, not_before_ms: int = 0) -> str:
        self._enqueued = True
        row = job_row(topic, tenant_id, payload, now_ms=self._store.clock.now_ms(), not_before_ms=not_before_ms)
        await self.run(INSERT_JOB, **row)
        return str(row["id"])

    def touch(self, tenant_id: str) -> None:
        self._touched.add(tenant_id)

    def _compile(self, sql: str, params: Mapping[str, Any]) -> tuple[str, list[Any]]:
        check_text(params)
        return self._store.dialect.compile(sql, params)

    async def _guard(self, call: Coroutine[Any, Any, T]) -> T:
        """Run a statement; after a failure the transaction takes no more."""
        if self._failure is not None:
            call.close()
            raise self._failure
        try:
            return await self._store._translating(call)
        except Exception as error:
            self._failure = error
            raise
        except asyncio.CancelledError:
            self._failure = Unavailable("The transaction was interrupted")
            raise


class PostgresqlSnapshot:
    """A repeatable-read transaction on a connection of its own; scans use a cursor in the server."""

    def __init__(self, store: PostgresqlStore, connection: asyncpg.Connection) -> None:
        self._store = store
        self._connection = connection
        self._lock = asyncio.Lock()

    async def open(self, like: str | None = None) -> None:
        """Fix the view, or take one that another transaction has named."""
        transaction = self._connection.transaction(isolation="repeatable_read", readonly=True)
        await self._store._translating(transaction.start())
        if like is not None:
            name = like.replace("'", "")
            await self._store._translating(self._connection.execute(f"set transaction snapshot '{name}'"))
        # The view is taken by the first query, not by BEGIN.
        await self._store._translating(self._connection.execute("select 1"))

    async def one(self, sql: str, /, **params: Any) -> Row | None:
        text, arguments = self._store.dialect.compile(sql, params)
        async with self._lock:
            record = await self._store._translating(self._connection.fetchrow(text, *arguments))
        return None if record is None else tuple(record)

    async def all(self, sql: str, /, **params: Any) -> list[Row]:
        text, arguments = self._store.dialect.compile(sql, params)
        async with self._lock:
            records = await self._store._translating(self._connection.fetch(text, *arguments))
        return [tuple(record) for record in records]

    async def scan(self, sql: str, /, *, chunk_rows: int = 2000, **params: Any) -> AsyncIterator[list[Row]]:
        text, arguments = self._store.dialect.compile(sql, params)
        async with self._lock:
            cursor = await self._store._translating(self._connection.cursor(text, *arguments))
        while True:
            async with self._lock:
                records = await self._store._translating(cursor.fetch(chunk_rows))
            if not records:
                return
            yield [tuple(record) for record in records]


class _Epochs:
    """The tenants' epochs as this process has heard of them; every number is used once."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = itertools.count(1)
        self._base = 0
        self._by_tenant: dict[str, int] = {}
        self._listening = False
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen; returns when notifications arrive, or when the first attempt has failed."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._listen())
        await self._tried.wait()

    def current(self, tenant_id: str) -> int:
        """The tenant's epoch; one that never repeats while nobody tells us about changes."""
        return self._by_tenant.get(tenant_id, self._base) if self._listening else next(self._numbers)

    def advance(self, tenant_id: str) -> None:
        """The tenant's documents changed."""
        self._by_tenant[tenant_id] = next(self._numbers)

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _listen(self) -> None:
        while True:
            connection: asyncpg.Connection | None = None
            try:
                connection = await _connect(self._url)
                ended = asyncio.Event()
                connection.add_termination_listener(lambda _connection, ended=ended: ended.set())
                await connection.add_listener(CHANNEL, self._heard)
                # What changed while nobody listened is unknown, so every tenant starts anew.
                self._by_tenant.clear()
                self._base = next(self._numbers)
                self._listening = True
                self._tried.set()
                await self._watch(connection, ended)
            except _CONNECTION_ERRORS as error:
                _log.warning("store_listener_lost", reason=type(error).__name__)
            finally:
                self._listening = False
                self._tried.set()
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(RECONNECT_S)

    async def _watch(self, connection: asyncpg.Connection, ended: asyncio.Event) -> None:
        """Returns when the connection has ended; raises when it no longer answers."""
        while not ended.is_set():
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await ended.wait()
            except TimeoutError:
                await connection.execute("select 1", timeout=HEARTBEAT_S)

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self.advance(str(payload))


async def _connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(
        url,
        timeout=CONNECT_S,
        statement_cache_size=1024,
        max_cached_statement_lifetime=0,
        server_settings=_SETTINGS,
    )


async def _hang_up(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=CONNECT_S)
    except _CONNECTION_ERRORS:
        connection.terminate()


def _affected(status: str) -> int:
    """The row count of a command tag such as `INSERT 0 3`."""
    count = status.rpartition(" ")[2]
    return int(count) if count.isdigit() else 0


_SETTINGS = {"application_name": "freehold", "jit": "off"}

_UNIQUE_INDEXES = """select c.relname, array_remove(array_agg(cast(a.attname as text) order by k.place), null)
    from pg_index i join pg_class c on c.oid = i.indexrelid
    cross join lateral unnest(i.indkey) with ordinality as k(number, place)
    left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number and k.number > 0
    where i.indisunique and c.relnamespace = current_schema()::regnamespace group by c.relname"""

_CONNECTION_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

_OUTSIDE_CAUSES = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresSystemError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
