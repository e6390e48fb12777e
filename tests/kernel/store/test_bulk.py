"""The bulk writer, on both databases, beside a live store."""

import asyncio
from collections.abc import Iterator

import pytest

from freehold.kernel.clock import FakeClock
from freehold.kernel.errors import Unavailable
from freehold.kernel.jobs import Job, JobRunner
from freehold.kernel.store import (
    Column,
    Index,
    Store,
    Table,
    UniqueViolation,
    create_schema,
    open_store,
    verify_schema,
)
from freehold.kernel.store.bulk import BulkWriter, open_bulk
from freehold.kernel.store.tables import STORE_TABLES

PEOPLE = Table(
    "people",
    (
        Column("tenant_id", "text"),
        Column("id", "text"),
        Column("email", "text", null=True),
        Column("logins", "bigint"),
        Column("score", "real", null=True),
        Column("hash", "bytea", null=True),
    ),
    key=("tenant_id", "id"),
    indexes=(Index(("tenant_id", "email"), unique=True, where="email is not null"), Index(("tenant_id", "logins"))),
)
COLUMNS = [column.name for column in PEOPLE.columns]


@pytest.fixture
async def store(empty_store: Store) -> Store:
    await create_schema(empty_store, [PEOPLE])
    return empty_store


@pytest.fixture
def bulk(store_url: str) -> Iterator[BulkWriter]:
    """Only for tests that are not on an event loop themselves."""

    async def prepare() -> None:
        store = open_store(store_url, clock=FakeClock())
        await create_schema(store, [PEOPLE])
        await store.close()

    asyncio.run(prepare())
    writer = open_bulk(store_url)
    yield writer
    writer.close()


def people(start: int, count: int) -> dict[str, list[object]]:
    return columns(*[("acme", f"{n:06d}", f"{n}@x", n, n / 2, b"\0%d" % n) for n in range(start, start + count)])


def columns(*rows: tuple[object, ...]) -> dict[str, list[object]]:
    return {name: [row[place] for row in rows] for place, name in enumerate(COLUMNS)}


def count(bulk: BulkWriter) -> int:
    bulk.begin()
    row = bulk.one("select count(*) from people")
    bulk.rollback()
    assert row is not None
    return int(row[0])


def test_rows_go_in_by_batches(bulk: BulkWriter) -> None:
    for start in range(0, 3000, 1000):
        bulk.begin()
        bulk.insert("people", people(start, 1000))
        bulk.commit()

    bulk.begin()
    assert bulk.all("select id, email, logins, score, hash from people where id = :id", id="002999") == [
        ("002999", "2999@x", 2999, 1499.5, b"\x002999")
    ]
    bulk.rollback()
    assert count(bulk) == 3000


def test_a_batch_is_all_or_nothing(bulk: BulkWriter) -> None:
    bulk.begin()
    bulk.insert("people", people(0, 10))
    bulk.commit()

    bulk.begin()
    bulk.insert("people", people(10, 10))
    with pytest.raises(UniqueViolation) as refused:
        bulk.insert("people", columns(("acme", "000005", None, 0, None, None)))
    bulk.rollback()

    assert refused.value.index == "people_pkey"
    assert count(bulk) == 10


def test_a_part_of_a_batch_may_fail_alone(bulk: BulkWriter) -> None:
    bulk.begin()
    bulk.insert("people", people(0, 10))
    with pytest.raises(UniqueViolation) as refused, bulk.savepoint():
        bulk.insert("people", columns(("acme", "other", "5@x", 0, None, None)))
    with bulk.savepoint():
        bulk.insert("people", people(10, 1))
    bulk.commit()

    assert refused.value.columns == ("tenant_id", "email")
    assert count(bulk) == 11


def test_changes_and_many_changes(bulk: BulkWriter) -> None:
    bulk.begin()
    bulk.insert("people", people(0, 10))
    assert bulk.run("update people set score = null where logins >= :n", n=7) == 3
    bulk.run_many(
        "update people set logins = :logins where tenant_id = 'acme' and id = :id",
        [{"id": f"{n:06d}", "logins": n * 100} for n in range(3)],
    )
    bulk.commit()

    bulk.begin()
    assert bulk.all("select logins, score from people where id < :id order by id", id="000003") == [
        (0, 0.0), (100, 0.5), (200, 1.0),
    ]  # fmt: skip
    bulk.rollback()


def test_nothing_runs_outside_a_batch(bulk: BulkWriter) -> None:
    with pytest.raises(Unavailable):
        bulk.insert("people", people(0, 1))
    with pytest.raises(Unavailable):
        bulk.run("delete from people")
    bulk.rollback()


def test_indexes_can_wait_until_the_rows_are_in(bulk: BulkWriter, store_url: str) -> None:
    bulk.begin()
    bulk.drop_indexes([PEOPLE])
    bulk.commit()
    bulk.begin()
    bulk.insert("people", people(0, 100))
    bulk.commit()
    bulk.begin()
    bulk.create_indexes([PEOPLE])
    bulk.commit()
    bulk.analyze([PEOPLE])

    async def verify() -> list[str]:
        store = open_store(store_url, clock=FakeClock())
        try:
            return await verify_schema(store, [*STORE_TABLES, PEOPLE])
        finally:
            await store.close()

    assert asyncio.run(verify()) == []


def test_a_late_index_finds_duplicates(bulk: BulkWriter) -> None:
    bulk.begin()
    bulk.drop_indexes([PEOPLE])
    bulk.insert("people", columns(("acme", "a", "same@x", 0, None, None), ("acme", "b", "same@x", 0, None, None)))
    with pytest.raises(UniqueViolation):
        bulk.create_indexes([PEOPLE])
    bulk.rollback()

    assert count(bulk) == 0


async def test_a_store_and_a_bulk_writer_write_side_by_side(store: Store) -> None:
    """Both come to their turn, and neither loses a row."""
    stop = asyncio.Event()
    written = 0

    async def log_in() -> None:
        nonlocal written
        while not stop.is_set():
            async with store.transaction() as tx:
                await tx.run("insert into people (tenant_id, id, logins) values ('live', :id, 0)", id=f"{written:06d}")
            written += 1

    def load() -> None:
        bulk = open_bulk(store.url)
        for start in range(0, 20_000, 1000):
            bulk.begin()
            bulk.insert("people", people(start, 1000))
            bulk.commit()
        bulk.close()

    live = asyncio.create_task(log_in())
    await asyncio.get_running_loop().run_in_executor(None, load)
    during = written
    stop.set()
    await live

    counts = await store.all("select tenant_id, count(*) from people group by tenant_id order by tenant_id")
    assert counts == [("acme", 20_000), ("live", written)]
    assert during >= 10, "the live store hardly came to its turn"


async def test_the_live_store_hears_of_touches_and_jobs(store: Store, clock: FakeClock) -> None:
    await store.one("select 1")
    before = store.cache_epoch("acme")
    done: list[bytes] = []

    async def handler(job: Job) -> None:
        done.append(job.payload)

    def load() -> None:
        bulk = open_bulk(store.url)
        bulk.begin()
        bulk.touch("acme")
        bulk.enqueue("import.done", "acme", b"42", now_ms=clock.now_ms())
        bulk.commit()
        bulk.close()

    await asyncio.get_running_loop().run_in_executor(None, load)
    for _ in range(500):
        if store.cache_epoch("acme") != before:
            break
        await asyncio.sleep(0.01)

    assert store.cache_epoch("acme") != before
    assert await JobRunner(store, clock, {"import.done": handler}).run_due() == 1
    assert done == [b"42"]


def test_what_all_rows_have_in_common_is_said_once(bulk: BulkWriter) -> None:
    rows = people(0, 2503)
    varying = {name: rows[name] for name in ("id", "email")}
    alike: dict[str, list[object]] = {"score": [0.5] * 2503, "logins": [7] * 2503}
    bulk.begin()
    bulk.insert("people", varying | alike, fixed={"tenant_id": "acme", "hash": b"same"})
    bulk.insert(
        "people", {"id": list[str](), "email": list[str]()}, fixed={"tenant_id": "acme", "hash": b"same", "logins": 1}
    )
    bulk.commit()

    bulk.begin()
    found = bulk.all("select id, email, logins, score, tenant_id, hash from people order by id")
    bulk.rollback()
    expected = zip(rows["id"], rows["email"], strict=True)
    assert [tuple(row) for row in found] == [(*row, 7, 0.5, "acme", b"same") for row in expected]
