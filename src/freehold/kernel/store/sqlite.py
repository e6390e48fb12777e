"""The embedded store: SQLite in WAL mode, one writer, commits in groups.

Logical transactions are savepoints on one writer connection, executed on the loop one after the other. Those that
arrive within the window share one BEGIN IMMEDIATE ... COMMIT with synchronous=full; a transaction is left only when
that commit is durable. A lone writer does not wait: the window opens only when the group before had company.
The loop commits by itself while the disk answers promptly, which costs less than to wake a thread and be woken by it;
on a slower disk COMMIT runs in a thread, and the lock that serialises the transactions keeps them off the connection
meanwhile. A thread brings the log back into the file, so that no commit does.

Reads outside transactions run on the loop through a read connection (a few microseconds); searches and snapshots have
connections and threads of their own. Other processes may write to the file at any time: a held lock is waited for
without blocking the loop.
"""

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, TypeVar

from freehold.kernel import log
from freehold.kernel.clock import Clock
from freehold.kernel.errors import Unavailable
from freehold.kernel.store.api import TRANSACTION_LIMIT_S, QueryTimeout, Row
from freehold.kernel.store.dialect import SqliteDialect, check_text
from freehold.kernel.store.limit import stop_limit
from freehold.kernel.store.queue import INSERT_JOB, job_row
from freehold.kernel.store.sqlite_connection import (
    BUSY,
    BUSY_LIMIT_S,
    BUSY_POLL_S,
    DRIVER_ERRORS,
    TOUCH,
    error_code,
    open_reader,
    open_writer,
    prepare_file,
    translate,
)

_log = log.get_logger("store")

WINDOW_S = 0.005
PROMPT_S = 0.001
"""The loop commits by itself while commits take no longer than this on average: about as long as a signature."""
COMMITS_PER_CHECKPOINT = 200
LONGEST_LOG_PAGES = 8000
"""A commit checkpoints the log after all when it grows to this, because no thread came to it."""
SEARCH_THREADS = 2
MEMORY = ":memory:"

T = TypeVar("T")

_INTERRUPT_AGAIN_S = 0.05


class SqliteStore:
    """A store in one file; see the module."""

    def __init__(self, path: str, *, clock: Clock, window_s: float = WINDOW_S) -> None:
        self.url = f"sqlite:///{path}"
        self.clock = clock
        self.dialect = SqliteDialect()
        self._window_s = window_s
        self._temporary = tempfile.TemporaryDirectory(prefix="freehold-") if path == MEMORY else None
        self.path = Path(self._temporary.name, "freehold.db") if self._temporary else Path(path)
        self._durable = self._temporary is None
        prepare_file(self.path)
        self._writer = self._open_writer()
        self._reader = open_reader(self.path)
        self._lock = asyncio.Lock()
        self._owner: asyncio.Task[Any] | None = None
        self._group: _Group | None = None
        self._company = False
        self._commit_s = 0.0
        self._committing = False
        self._commits: set[asyncio.Task[None]] = set()
        self._commits_since_checkpoint = 0
        self._checkpointer: sqlite3.Connection | None = None
        self._commit_thread = ThreadPoolExecutor(1, thread_name_prefix="store-commit")
        self._search_threads = ThreadPoolExecutor(SEARCH_THREADS, thread_name_prefix="store-search")
        self._search_slots = asyncio.Semaphore(SEARCH_THREADS)
        self._searchers: list[sqlite3.Connection] = []
        self._searching: set[sqlite3.Connection] = set()
        self._data_version = -1
        self._has_looked = False
        self._epochs: dict[str, int] = {}
        self._on_enqueue: list[Callable[[], None]] = []
        self.observe_commit: Callable[[int], None] | None = None

    # Reading

    async def one(self, sql: str, /, **params: Any) -> Row | None:
        try:
            row: Row | None = self._reader.execute(self.dialect.compile(sql), params).fetchone()
        except DRIVER_ERRORS as error:
            raise self._translate(error) from error
        return row

    async def all(self, sql: str, /, **params: Any) -> list[Row]:
        try:
            return self._reader.execute(self.dialect.compile(sql), params).fetchall()
        except DRIVER_ERRORS as error:
            raise self._translate(error) from error

    async def search(self, sql: str, /, *, timeout_s: float = 2.0, **params: Any) -> list[Row]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                await self._search_slots.acquire()
        except TimeoutError:
            raise QueryTimeout("Too many searches are waiting") from None
        connection = self._searchers.pop() if self._searchers else open_reader(self.path)
        self._searching.add(connection)
        compiled = self.dialect.compile(sql)
        running = loop.run_in_executor(self._search_threads, lambda: connection.execute(compiled, params).fetchall())

        timer: asyncio.TimerHandle | None = None

        def interrupt() -> None:
            """Again and again: one that comes before the thread has begun stops nothing."""
            nonlocal timer
            connection.interrupt()
            timer = loop.call_later(_INTERRUPT_AGAIN_S, interrupt)

        timer = loop.call_at(deadline, interrupt)

        def give_back(_done: asyncio.Future[list[Row]]) -> None:
            timer.cancel()
            self._searching.discard(connection)
            self._searchers.append(connection)
            self._search_slots.release()

        running.add_done_callback(give_back)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            connection.interrupt()
            running.add_done_callback(lambda done: done.exception())
            raise
        except DRIVER_ERRORS as error:
            if error_code(error) == sqlite3.SQLITE_INTERRUPT:
                raise QueryTimeout("The search took too long; narrow it down") from None
            raise self._translate(error) from error

    @asynccontextmanager
    async def snapshot(
        self, *, like: str | None = None, beside: Callable[[str], Awaitable[None]] | None = None
    ) -> AsyncIterator["SqliteSnapshot"]:
        snapshot = SqliteSnapshot(self)
        async with AsyncExitStack() as stack:
            # Only a transaction can write, and this one does not: whoever begins to read meanwhile sees the same.
            async with nullcontext() if beside is None else self.transaction():
                await snapshot.open()
                stack.push_async_callback(lambda: asyncio.shield(asyncio.ensure_future(snapshot.close())))
                if beside is not None:
                    await beside("")
            yield snapshot

    def cache_epoch(self, tenant_id: str) -> int:
        if not self._has_looked:
            self._look()
        epoch = self._epochs.get(tenant_id)
        if epoch is None:
            row = self._reader.execute("select epoch from cache_epochs where tenant_id = ?", (tenant_id,)).fetchone()
            epoch = self._epochs[tenant_id] = row[0] if row else 0
        return epoch

    def _look(self) -> None:
        """See whether others committed; once in a turn of the loop, since a request asks for the epoch many times."""
        if self._group is None and not self._committing:  # else the writer keeps everybody from committing
            self._compare_version()
        self._has_looked = True
        asyncio.get_running_loop().call_soon(self._forget_look)

    def _compare_version(self) -> None:
        # It differs from the last time when another connection committed; the writer's own commits do not count.
        version = self._writer.execute("pragma data_version").fetchone()[0]
        if version != self._data_version:
            self._data_version = version
            self._epochs.clear()

    def _forget_look(self) -> None:
        self._has_looked = False

    # Writing

    def transaction(self, *, limit_s: float | None = TRANSACTION_LIMIT_S) -> "SqliteTransaction":
        return SqliteTransaction(self, limit_s)

    async def run(self, sql: str, /, **params: Any) -> int:
        # One statement is atomic by itself, so it joins the group without a savepoint.
        check_text(params)
        compiled = self.dialect.compile(sql)
        group = await self._enter()
        try:
            affected = self._writer.execute(compiled, params).rowcount
            waiter = group.join(())
        except DRIVER_ERRORS as error:
            self._check_group()
            raise self._translate(error) from error
        finally:
            self._leave()
        await waiter
        return affected

    async def add(self, sql: str, /, **params: Any) -> None:
        await self.run(sql, **params)

    def on_enqueue(self, callback: Callable[[], None]) -> None:
        self._on_enqueue.append(callback)

    async def close(self) -> None:
        while self._group is not None or self._commits:
            if self._group is not None and not self._commits:
                self._close_group(self._group)
            if self._commits:
                await asyncio.wait(self._commits)
        for connection in self._searching:
            connection.interrupt()
        self._commit_thread.shutdown()
        self._search_threads.shutdown()
        for connection in (*self._searching, *self._searchers, self._reader, self._writer):
            connection.close()
        if self._checkpointer is not None:
            self._checkpointer.close()
        if self._temporary:
            self._temporary.cleanup()

    # The group

    async def _enter(self) -> "_Group":
        """Take the writer; the open group, begun if need be. `_leave` gives the writer back."""
        task = asyncio.current_task()
        if self._owner is task:
            raise RuntimeError("A transaction was opened inside a transaction of the same task")
        patience_ends = asyncio.get_running_loop().time() + BUSY_LIMIT_S
        await self._lock.acquire()
        try:
            group = self._group or await self._begin(patience_ends)
        except BaseException:
            self._lock.release()
            raise
        self._owner = task
        return group

    def _leave(self) -> None:
        self._owner = None
        self._lock.release()

    async def _begin(self, patience_ends: float) -> "_Group":
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._writer.execute("begin immediate")
                break
            except sqlite3.Error as error:
                if error_code(error) not in BUSY:
                    self._recover()
                    raise self._translate(error) from error
                if loop.time() > patience_ends:
                    raise Unavailable("Another process has been writing to the database for too long") from error
            await asyncio.sleep(BUSY_POLL_S)
        self._compare_version()
        group = self._group = _Group(loop)
        if self._company:
            loop.call_later(self._window_s, self._close_group, group)
        else:
            loop.call_soon(self._close_group, group)
        return group

    def _close_group(self, group: "_Group") -> None:
        """Commit the group now, or in a thread when that takes long or a transaction is still in its body."""
        if self._group is not group:
            return  # it failed as a whole before it came to a commit
        if self._commit_s <= PROMPT_S and not self._lock.locked():
            self._group = None
            try:
                seconds = self._commit()
            except sqlite3.Error as error:
                self._fail(group, error)
            else:
                self._succeed(group, seconds)
        else:
            task = asyncio.get_running_loop().create_task(self._commit_in_thread(group))
            self._commits.add(task)
            task.add_done_callback(self._commits.discard)

    async def _commit_in_thread(self, group: "_Group") -> None:
        async with self._lock:
            if self._group is not group:
                return
            self._group, self._committing = None, True
            try:
                seconds = await asyncio.get_running_loop().run_in_executor(self._commit_thread, self._commit)
            except sqlite3.Error as error:
                self._committing = False
                self._fail(group, error)
            else:
                self._committing = False
                self._succeed(group, seconds)

    def _commit(self) -> float:
        began = perf_counter()
        self._writer.execute("commit")
        return perf_counter() - began

    def _succeed(self, group: "_Group", seconds: float) -> None:
        self._commit_s += (seconds - self._commit_s) / 8
        self._company = len(group.waiters) > 1
        for tenant_id in group.touched:  # those who waited for this commit must see it
            self._epochs.pop(tenant_id, None)
        group.succeed()
        if self.observe_commit is not None:
            self.observe_commit(len(group.waiters))
        self._commits_since_checkpoint += 1
        if self._commits_since_checkpoint >= COMMITS_PER_CHECKPOINT:
            self._commits_since_checkpoint = 0
            self._commit_thread.submit(self._checkpoint)

    def _fail(self, group: "_Group", error: sqlite3.Error) -> None:
        _log.error("store_commit_failed", transactions=len(group.waiters), reason=str(error))
        self._recover()
        group.fail()

    def _checkpoint(self) -> None:
        """Runs in the thread of commits: bring into the file what no reader needs the log for any more."""
        try:
            if self._checkpointer is None:
                self._checkpointer = self._open_writer()
            self._checkpointer.execute("pragma wal_checkpoint(passive)").fetchall()
        except (sqlite3.Error, Unavailable) as error:
            _log.warning("store_checkpoint_failed", reason=str(error))

    def _open_writer(self) -> sqlite3.Connection:
        return open_writer(self.path, durable=self._durable, checkpoint_pages=LONGEST_LOG_PAGES)

    def _check_group(self) -> None:
        """SQLite ends the whole transaction on some errors (disk full, I/O); then the group is lost."""
        if not self._writer.in_transaction:
            self._abandon_group()

    def _abandon_group(self) -> None:
        """Give the open group up, with all transactions that joined it."""
        if self._group is not None:
            group, self._group = self._group, None
            _log.error("store_group_abandoned", transactions=len(group.waiters))
            self._recover()
            group.fail()

    def _recover(self) -> None:
        """Bring the writer back to a state in which the next group can begin."""
        try:
            if self._writer.in_transaction:
                self._writer.execute("rollback")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                self._writer.close()
            self._writer = self._open_writer()

    def _translate(self, error: Exception) -> Exception:
        return translate(error, self._reader)


class SqliteTransaction(AbstractAsyncContextManager["SqliteTransaction"]):
    """A savepoint on the writer that joins the open group."""

    def __init__(self, store: SqliteStore, limit_s: float | None) -> None:
        self._store = store
        self._limit_s = limit_s
        self._callbacks: list[Callable[[], None]] = []
        self._touched: set[str] = set()
        self._failure: Exception | None = None
        self._savepoints = 0
        self._enqueued = False

    async def __aenter__(self) -> "SqliteTransaction":
        store = self._store
        self._group = await store._enter()
        self._connection = store._writer
        try:
            self._connection.execute("savepoint body")
        except sqlite3.Error as error:
            store._check_group()
            store._leave()
            raise store._translate(error) from error
        self._limit = await asyncio.timeout(self._limit_s).__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        store = self._store
        waiter = None
        out_of_time = await stop_limit(self._limit, kind, error, trace)
        try:
            if error is None and self._failure is None:
                waiter = self._release()
            else:
                self._roll_back()
        finally:
            store._leave()
        if out_of_time:
            raise Unavailable("The transaction took too long") from error
        if waiter is not None:
            await waiter
        elif error is None and self._failure is not None:
            raise self._failure

    def _release(self) -> asyncio.Future[None] | None:
        store = self._store
        try:
            for tenant_id in self._touched:
                self._connection.execute(TOUCH, (tenant_id,))
            self._connection.execute("release body")
        except sqlite3.Error as error:
            self._failure = store._translate(error)
            self._roll_back()
            return None
        if self._enqueued:
            self._callbacks += store._on_enqueue
        self._group.touched |= self._touched
        return self._group.join(self._callbacks)

    def _roll_back(self) -> None:
        try:
            self._connection.execute("rollback to body")
            self._connection.execute("release body")
        except sqlite3.Error:
            # What cannot be undone alone must not be committed with the others.
            self._store._abandon_group()

    async def one(self, sql: str, /, **params: Any) -> Row | None:
        rows = self._execute(sql, params).fetchall()
        return rows[0] if rows else None

    async def all(self, sql: str, /, **params: Any) -> list[Row]:
        return self._execute(sql, params).fetchall()

    async def run(self, sql: str, /, **params: Any) -> int:
        return self._execute(sql, params).rowcount

    async def add(self, sql: str, /, **params: Any) -> None:
        self._execute(sql, params)

    async def run_many(self, sql: str, /, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            check_text(row)
        self._guard(lambda: self._connection.executemany(self._store.dialect.compile(sql), rows))

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        name = f"part_{self._savepoints}"
        self._savepoints += 1
        self._guard(lambda: self._connection.execute(f"savepoint {name}"))
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute(f"rollback to {name}")
                self._connection.execute(f"release {name}")
                self._failure = None
            raise
        self._guard(lambda: self._connection.execute(f"release {name}"))

    def after_commit(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    async def enqueue(self, topic: str, tenant_id: str, payload: bytes, *, not_before_ms: int = 0) -> str:
        self._enqueued = True
        row = job_row(topic, tenant_id, payload, now_ms=self._store.clock.now_ms(), not_before_ms=not_before_ms)
        await self.run(INSERT_JOB, **row)
        return str(row["id"])

    def touch(self, tenant_id: str) -> None:
        self._touched.add(tenant_id)

    def _execute(self, sql: str, params: Mapping[str, Any]) -> sqlite3.Cursor:
        check_text(params)
        compiled = self._store.dialect.compile(sql)
        return self._guard(lambda: self._connection.execute(compiled, params))

    def _guard(self, step: Callable[[], T]) -> T:
        """Run a statement; after a failure the transaction takes no more, as on PostgreSQL."""
        if self._failure is not None:
            raise self._failure
        try:
            return step()
        except DRIVER_ERRORS as error:
            self._failure = self._store._translate(error)
            self._store._check_group()
            raise self._failure from error


class SqliteSnapshot:
    """A read transaction on a connection of its own, used from a thread of its own."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-snapshot")
        self._scans: list[sqlite3.Cursor] = []

    async def open(self) -> None:
        """Fix the view."""
        self._connection = await self._call(lambda: open_reader(self._store.path))
        await self._call(lambda: self._connection.execute("begin deferred"))
        # The view is taken by the first read, not by BEGIN.
        await self._call(lambda: self._connection.execute("select 1 from sqlite_master").fetchall())

    async def close(self) -> None:
        """Let go of the view, also where somebody still holds a scan that was not read to its end."""
        self._connection.interrupt()
        await self._call(self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        # SQLite keeps a closed connection, and with it the view and the log, until the last statement has ended.
        for cursor in self._scans:
            cursor.close()
        self._connection.close()

    async def one(self, sql: str, /, **params: Any) -> Row | None:
        compiled = self._store.dialect.compile(sql)
        row: Row | None = await self._call(lambda: self._connection.execute(compiled, params).fetchone())
        return row

    async def all(self, sql: str, /, **params: Any) -> list[Row]:
        compiled = self._store.dialect.compile(sql)
        return await self._call(lambda: self._connection.execute(compiled, params).fetchall())

    async def scan(self, sql: str, /, *, chunk_rows: int = 2000, **params: Any) -> AsyncIterator[list[Row]]:
        compiled = self._store.dialect.compile(sql)
        cursor = await self._call(lambda: self._connection.execute(compiled, params))
        self._scans.append(cursor)
        while rows := await self._call(lambda: cursor.fetchmany(chunk_rows)):
            yield rows

    async def _call(self, step: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, step)
        except DRIVER_ERRORS as error:
            raise self._store._translate(error) from error


class _Group:
    """Transactions that share one commit."""

    __slots__ = ("_callbacks", "_loop", "touched", "waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._callbacks: list[Callable[[], None]] = []
        self.waiters: list[asyncio.Future[None]] = []
        self.touched: set[str] = set()
        """Tenants whose cached documents change with the commit."""

    def join(self, callbacks: Sequence[Callable[[], None]]) -> asyncio.Future[None]:
        """A future that ends with the commit."""
        waiter = self._loop.create_future()
        self.waiters.append(waiter)
        self._callbacks += callbacks
        return waiter

    def succeed(self) -> None:
        """The commit is durable. Callbacks run here because their transaction's task may be gone."""
        for callback in self._callbacks:
            self._loop.call_soon(callback)
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def fail(self) -> None:
        """Nothing of the group was kept."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(Unavailable("The database cannot be written right now"))
