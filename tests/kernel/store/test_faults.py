"""Disks that fill up, locks that others hold, statements that fail: errors reach those they concern, nobody else."""

import asyncio
import os
import resource
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from freehold.kernel.clock import FakeClock
from freehold.kernel.errors import BadRequest, Unavailable
from freehold.kernel.store import Column, Store, Table, UniqueViolation, create_schema, open_store
from freehold.kernel.store.sqlite import SqliteStore
from freehold.kernel.store.sqlite_connection import InsecureFile
from tests.support.databases import PrivateServer, create_database, with_database
from tests.support.programs import find_postgres

NOTES = Table("notes", (Column("id", "text"), Column("text", "text")), key=("id",))
INSERT = "insert into notes (id, text) values (:id, :text)"


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(str(tmp_path / "freehold.db"), clock=FakeClock())
    await create_schema(store, [NOTES])
    yield store
    await store.close()


async def write(store: Store, id_: str, text: str = "") -> None:
    async with store.transaction() as tx:
        await tx.run(INSERT, id=id_, text=text)


async def ids(store: Store) -> list[str]:
    return [row[0] for row in await store.all("select id from notes order by id")]


@pytest.mark.parametrize("prompt_s", [-1, 60], ids=["in a thread", "on the loop"])
async def test_whoever_has_waited_for_a_commit_finds_it_in_the_file(
    sqlite: SqliteStore, monkeypatch: pytest.MonkeyPatch, prompt_s: float
) -> None:
    monkeypatch.setattr("freehold.kernel.store.sqlite.PROMPT_S", prompt_s)
    monkeypatch.setattr("freehold.kernel.store.sqlite.COMMITS_PER_CHECKPOINT", 2)
    outsider = sqlite3.connect(sqlite.path)

    async def write_and_look(id_: str) -> None:
        await write(sqlite, id_)
        assert outsider.execute("select 1 from notes where id = ?", (id_,)).fetchone()

    for number in range(10):
        await write_and_look(f"alone {number}")
    await asyncio.gather(*(write_and_look(f"together {number}") for number in range(20)))
    outsider.close()


# On both databases


async def test_a_body_that_takes_too_long_is_undone(empty_store: Store) -> None:
    await create_schema(empty_store, [NOTES])

    with pytest.raises(Unavailable, match="too long"):
        async with empty_store.transaction(limit_s=0.05) as tx:
            await tx.run(INSERT, id="never", text="")
            await asyncio.Event().wait()
    await write(empty_store, "after")

    assert await ids(empty_store) == ["after"]


async def test_a_transaction_inside_a_transaction_is_a_bug(empty_store: Store) -> None:
    await create_schema(empty_store, [NOTES])

    async with empty_store.transaction() as tx:
        await tx.run(INSERT, id="outer", text="")
        with pytest.raises(RuntimeError):
            await empty_store.run(INSERT, id="inner", text="")
        with pytest.raises(RuntimeError):
            async with empty_store.transaction():
                pass

    assert await ids(empty_store) == ["outer"]


async def test_bodies_that_read_outside_do_not_wait_for_each_other(empty_store: Store) -> None:
    """More transactions than connections, each of which reads what is committed before it writes."""
    await create_schema(empty_store, [NOTES])

    async def look_and_write(number: int) -> None:
        async with empty_store.transaction() as tx:
            await empty_store.all("select id from notes")
            await tx.run(INSERT, id=f"{number:02d}", text="")

    async with asyncio.timeout(60):
        await asyncio.gather(*(look_and_write(number) for number in range(40)))

    assert len(await ids(empty_store)) == 40


async def test_a_bug_in_a_statement_is_not_disguised(empty_store: Store) -> None:
    for call in (empty_store.one, empty_store.all, empty_store.run, empty_store.search):
        with pytest.raises(Exception, match="nowhere") as raised:
            await call("select id from nowhere")
        assert not isinstance(raised.value, Unavailable)


# SQLite


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_at_commit_fails_the_group_and_the_store_goes_on(sqlite: SqliteStore) -> None:
    await write(sqlite, "before")
    log = Path(f"{sqlite.path}-wal")

    with files_limited_to(log.stat().st_size + 4096):
        results = await asyncio.gather(*(write(sqlite, f"{n}", "x" * 9000) for n in range(10)), return_exceptions=True)
    await write(sqlite, "after")

    assert [type(result) for result in results] == [Unavailable] * 10
    assert await ids(sqlite) == ["after", "before"]


async def test_a_full_database_fails_whoever_shares_the_group(sqlite: SqliteStore) -> None:
    """SQLite ends the whole transaction when a statement finds no room, so nobody in the group may be acknowledged."""
    await write(sqlite, "before")
    pages = sqlite._writer.execute("pragma page_count").fetchone()[0]
    sqlite._writer.execute(f"pragma max_page_count = {pages + 2}")

    results = await asyncio.gather(
        write(sqlite, "small"), write(sqlite, "big", "x" * 200_000), write(sqlite, "small too"), return_exceptions=True
    )
    sqlite._writer.execute("pragma max_page_count = 1000000")
    await write(sqlite, "after")

    kept = {id_ for id_, result in zip(["small", "big", "small too"], results, strict=True) if result is None}
    assert isinstance(results[1], Unavailable)
    assert await ids(sqlite) == sorted({"before", "after"} | kept)


class FailingConnection:
    """A writer on which one kind of statement fails once."""

    def __init__(self, connection: sqlite3.Connection, statement: str) -> None:
        self._connection = connection
        self._statement: str | None = statement

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == self._statement:
            self._statement = None
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return self._connection.execute(sql, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.mark.parametrize(
    "statement", ["begin immediate", "savepoint body", INSERT, "release body", "rollback to body", "commit"]
)
async def test_whatever_fails_only_what_was_kept_is_acknowledged(sqlite: SqliteStore, statement: str) -> None:
    sqlite._writer = FailingConnection(sqlite._writer, statement)  # type: ignore[assignment]

    async def fail() -> None:
        async with sqlite.transaction() as tx:
            await tx.run(INSERT, id="fails", text="")
            raise ZeroDivisionError

    names = ["a", "b", "fails", "c", "d"]
    results = await asyncio.gather(
        *(fail() if name == "fails" else write(sqlite, name) for name in names), return_exceptions=True
    )
    await write(sqlite, "after")

    acknowledged = {name for name, result in zip(names, results, strict=True) if result is None}
    assert set(await ids(sqlite)) == acknowledged | {"after"}
    assert all(result is None or isinstance(result, Unavailable | ZeroDivisionError) for result in results)
    assert len(acknowledged) < 4 or statement == INSERT


async def test_a_rollback_that_fails_takes_its_group_along(sqlite: SqliteStore) -> None:
    """What cannot be undone alone must not be committed with the others."""
    sqlite._writer = FailingConnection(sqlite._writer, "rollback to body")  # type: ignore[assignment]

    async def fail() -> None:
        async with sqlite.transaction() as tx:
            await tx.run(INSERT, id="must not stay", text="")
            raise ZeroDivisionError

    results = await asyncio.gather(write(sqlite, "neighbour"), fail(), return_exceptions=True)

    assert isinstance(results[0], Unavailable)
    assert isinstance(results[1], ZeroDivisionError)
    assert await ids(sqlite) == []


async def test_a_lock_of_another_process_is_waited_for_off_the_loop(sqlite: SqliteStore) -> None:
    other = sqlite3.connect(sqlite.path, isolation_level=None)
    other.execute("begin immediate")
    ticks = 0

    task = asyncio.create_task(write(sqlite, "patient"))
    for _ in range(50):
        await asyncio.sleep(0.001)
        ticks += 1
        assert await sqlite.one("select 1") == (1,)
    assert not task.done()
    other.execute("rollback")
    await task
    other.close()

    assert ticks == 50
    assert await ids(sqlite) == ["patient"]


async def test_a_lock_that_is_never_released_is_reported(sqlite: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freehold.kernel.store.sqlite.BUSY_LIMIT_S", 0.05)
    other = sqlite3.connect(sqlite.path, isolation_level=None)
    other.execute("begin immediate")
    started = time.monotonic()

    results = await asyncio.gather(*(write(sqlite, f"{n}") for n in range(20)), return_exceptions=True)

    # Each was patient for its own time, not for the time of those before it as well.
    assert time.monotonic() - started < 15
    assert [type(result) for result in results] == [Unavailable] * 20
    other.execute("rollback")
    other.close()
    await write(sqlite, "after")
    assert await ids(sqlite) == ["after"]


async def test_a_cancelled_wait_for_a_lock_leaves_the_writer_free(sqlite: SqliteStore) -> None:
    other = sqlite3.connect(sqlite.path, isolation_level=None)
    other.execute("begin immediate")
    task = asyncio.create_task(write(sqlite, "gone"))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    other.execute("rollback")
    other.close()

    await write(sqlite, "after")

    assert await ids(sqlite) == ["after"]


async def test_commits_are_made_for_a_power_cut(sqlite: SqliteStore) -> None:
    assert sqlite._writer.execute("pragma synchronous").fetchone() == (2,)
    assert sqlite._writer.execute("pragma journal_mode").fetchone() == ("wal",)


async def test_transactions_that_come_together_share_commits(sqlite: SqliteStore) -> None:
    commits = 0

    def trace(statement: str) -> None:
        nonlocal commits
        commits += statement == "commit"

    sqlite._writer.set_trace_callback(trace)
    await asyncio.gather(*(write(sqlite, f"{n}") for n in range(200)))

    assert 1 <= commits <= 10


async def test_database_files_are_the_owners_alone(sqlite: SqliteStore) -> None:
    await write(sqlite, "a")

    for path in sqlite.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_a_database_open_to_others_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "freehold.db"
    path.touch(0o640)
    path.chmod(0o640)

    with pytest.raises(InsecureFile, match="chmod 600"):
        open_store(f"sqlite:///{path}", clock=clock)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path, clock: FakeClock) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(Unavailable):
        open_store(f"sqlite:///{tmp_path}/freehold.db", clock=clock)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "freehold.db"
    path.write_bytes(b"not a database, but long enough to look like one" * 100)
    path.chmod(0o600)

    with pytest.raises(Unavailable, match="not a Freehold database"):
        open_store(f"sqlite:///{path}", clock=clock)


async def test_a_memory_store_leaves_nothing_behind(clock: FakeClock) -> None:
    store = open_store("sqlite:///:memory:", clock=clock)
    assert isinstance(store, SqliteStore)
    await create_schema(store, [NOTES])
    await write(store, "a")
    folder = store.path.parent
    await store.close()

    assert not folder.exists()


async def test_closing_does_not_wait_for_a_long_search(sqlite: SqliteStore) -> None:
    store = SqliteStore(str(sqlite.path), clock=FakeClock())
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    search = asyncio.create_task(store.search(endless, timeout_s=3600))
    await asyncio.sleep(0.05)

    await store.close()

    with pytest.raises(Unavailable):
        await search


def test_an_unknown_url_is_refused(clock: FakeClock) -> None:
    with pytest.raises(BadRequest, match="sqlite:///"):
        open_store("mysql://localhost/freehold", clock=clock)


# PostgreSQL


@pytest.mark.postgres
async def test_a_server_that_restarts_is_found_again() -> None:
    """While it is away callers hear Unavailable, and no cache believes it is up to date."""
    programs = find_postgres()
    assert programs is not None
    server = await asyncio.to_thread(PrivateServer(programs).__enter__)
    try:
        name = await asyncio.to_thread(create_database, server.url)
        store = open_store(with_database(server.url, name), clock=FakeClock())
        await create_schema(store, [NOTES])
        await write(store, "before")
        steady = store.cache_epoch("acme")
        assert store.cache_epoch("acme") == steady

        await asyncio.to_thread(server.stop)
        with pytest.raises(Unavailable):
            await write(store, "while away")
        with pytest.raises(Unavailable):
            await store.one("select 1")
        while store.cache_epoch("acme") == steady:
            await asyncio.sleep(0.01)
        assert store.cache_epoch("acme") != store.cache_epoch("acme")

        await asyncio.to_thread(server.start)
        await write(store, "after")
        while store.cache_epoch("acme") != store.cache_epoch("acme"):
            await asyncio.sleep(0.01)
        assert store.cache_epoch("acme") != steady
        assert await ids(store) == ["after", "before"]
        await store.close()
    finally:
        await asyncio.to_thread(server.__exit__)


@pytest.mark.postgres
async def test_a_server_that_is_not_there_is_reported(tmp_path: Path) -> None:
    store = open_store(f"postgresql://postgres@/x?host={tmp_path}", clock=FakeClock())

    with pytest.raises(Unavailable):
        await store.one("select 1")
    with pytest.raises(Unavailable):
        async with store.transaction():
            pass
    await store.close()


@pytest.mark.parametrize("database", ["postgresql"])
@pytest.mark.postgres
async def test_a_swallowed_interruption_does_not_pass_for_a_commit(database: str, empty_store: Store) -> None:
    """PostgreSQL answers COMMIT of a broken transaction with ROLLBACK and no error."""
    await create_schema(empty_store, [NOTES])

    with pytest.raises(Unavailable):
        async with empty_store.transaction() as tx:
            await tx.run(INSERT, id="a", text="")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await tx.one("select pg_sleep(60)")

    assert await ids(empty_store) == []


@pytest.mark.parametrize("database", ["postgresql"])
@pytest.mark.postgres
async def test_many_unique_violations_at_once_do_not_exhaust_the_pool(database: str, empty_store: Store) -> None:
    await create_schema(empty_store, [NOTES])
    await write(empty_store, "a")

    results = await asyncio.gather(*(write(empty_store, "a") for _ in range(40)), return_exceptions=True)

    assert [type(result) for result in results] == [UniqueViolation] * 40
