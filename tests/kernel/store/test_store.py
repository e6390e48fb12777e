"""What every store promises, on both databases."""

import asyncio
import threading

import pytest

from freehold.kernel.clock import FakeClock
from freehold.kernel.errors import Conflict
from freehold.kernel.store import (
    Column,
    Index,
    JsonPath,
    QueryTimeout,
    Store,
    Table,
    UniqueViolation,
    Unstorable,
    UnsupportedPath,
    Values,
    create_schema,
    escape_like,
    open_store,
)
from freehold.kernel.store.scrub import scrub
from freehold.kernel.store.sqlite import SEARCH_THREADS, SqliteStore

THINGS = Table(
    "things",
    (
        Column("tenant_id", "text"),
        Column("id", "text"),
        Column("version", "bigint"),
        Column("email", "text", null=True),
        Column("score", "real", null=True),
        Column("secret", "bytea", null=True),
        Column("document", "text"),
    ),
    key=("tenant_id", "id"),
    indexes=(
        Index(("tenant_id", "email"), unique=True, where="email is not null"),
        Index(("tenant_id", "json_text(document, 'slug')"), unique=True),
        Index(("tenant_id", "score")),
    ),
)

INSERT = """insert into things (tenant_id, id, version, email, score, secret, document)
    values (:tenant_id, :id, :version, :email, :score, :secret, :document)"""


@pytest.fixture
async def store(empty_store: Store) -> Store:
    await create_schema(empty_store, [THINGS])
    return empty_store


def thing(id_: str, *, document: str = "{}", email: str | None = None, **more: object) -> dict[str, object]:
    return {
        "tenant_id": "acme",
        "id": id_,
        "version": 1,
        "email": email,
        "score": None,
        "secret": None,
        "document": document,
    } | more


async def ids(store: Store) -> list[str]:
    return [row[0] for row in await store.all("select id from things order by id")]


# Transactions


async def test_what_a_transaction_wrote_is_there_when_it_has_been_left(store: Store) -> None:
    async with store.transaction() as tx:
        assert await tx.run(INSERT, **thing("a", secret=b"\0\xff", score=1.5)) == 1

    row = await store.one("select id, version, email, score, secret from things where tenant_id = :t", t="acme")

    assert row == ("a", 1, None, 1.5, b"\0\xff")


async def test_an_exception_undoes_the_transaction(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.transaction() as tx:
            await tx.run(INSERT, **thing("a"))
            raise ZeroDivisionError

    assert await ids(store) == []


async def test_a_transaction_sees_its_own_changes_and_others_do_not(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.run(INSERT, **thing("a"))

        assert await tx.one("select id from things") == ("a",)
        assert await store.one("select id from things") is None


async def test_a_single_change_is_a_transaction_by_itself(store: Store) -> None:
    assert await store.run(INSERT, **thing("a")) == 1
    assert await store.run("update things set version = 2 where id = :id", id="nobody") == 0
    assert await ids(store) == ["a"]


async def test_many_rows_go_in_at_once(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.run_many(INSERT, [thing(f"{n}", email=f"{n}@x" if n % 2 else None) for n in range(5)])
        await tx.run_many(INSERT, [])

    assert await store.all("select id, email from things order by id") == [
        ("0", None), ("1", "1@x"), ("2", None), ("3", "3@x"), ("4", None),
    ]  # fmt: skip


async def test_a_savepoint_undoes_its_part_alone(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.run(INSERT, **thing("a"))
        with pytest.raises(UniqueViolation):
            async with tx.savepoint():
                await tx.run(INSERT, **thing("b", document='{"slug": "s"}'))
                await tx.run(INSERT, **thing("a"))
        await tx.run(INSERT, **thing("c", document='{"slug": "s"}'))

    assert await ids(store) == ["a", "c"]


async def test_savepoints_nest(store: Store) -> None:
    async with store.transaction() as tx:
        async with tx.savepoint():
            await tx.run(INSERT, **thing("a"))
            with pytest.raises(ZeroDivisionError):
                async with tx.savepoint():
                    await tx.run(INSERT, **thing("b"))
                    raise ZeroDivisionError
        await tx.run(INSERT, **thing("c"))

    assert await ids(store) == ["a", "c"]


async def test_what_was_added_is_seen_by_what_follows(empty_store: Store) -> None:
    store = empty_store
    await create_schema(store, [THINGS, Table("others", (Column("id", "text"), Column("size", "bigint")), key=("id",))])
    add_other = "insert into others (id, size) values (:id, :size)"

    async with store.transaction() as tx:
        await tx.add(INSERT, **thing("a"))
        await tx.add(add_other, id="x", size=1)
        assert await tx.run("update others set size = size + 1 where id = :id", id="x") == 1
        await tx.add(INSERT, **thing("b"))
        await tx.add(INSERT, **thing("c"))
        assert await tx.run(add_other, id="y", size=5) == 1
        await tx.add("update others set size = (select count(*) from things) where id = :id", id="y")
        await tx.add("delete from things where id = :id", id="b")
        assert await tx.one("select count(*) from things") == (2,)
        await tx.add(add_other, id="z", size=7)
        assert await tx.run("update things set version = 9 where id = :id or id = :other", id="a", other="c") == 2
        await tx.add(add_other, id="last", size=8)

    assert await ids(store) == ["a", "c"]
    assert await store.all("select id, size from others order by id") == [("last", 8), ("x", 2), ("y", 3), ("z", 7)]


async def test_what_was_added_and_is_refused_undoes_the_transaction(store: Store) -> None:
    await store.add(INSERT, **thing("a"))

    with pytest.raises(UniqueViolation):
        async with store.transaction() as tx:
            await tx.add(INSERT, **thing("b"))
            await tx.add(INSERT, **thing("a"))
    async with store.transaction() as tx:
        with pytest.raises(LookupError):
            async with tx.savepoint():
                await tx.add(INSERT, **thing("c"))
                raise LookupError
        await tx.add(INSERT, **thing("d"))

    assert await ids(store) == ["a", "d"]


async def test_a_transaction_with_a_failed_statement_cannot_commit(store: Store) -> None:
    await store.run(INSERT, **thing("a"))

    with pytest.raises(UniqueViolation):
        async with store.transaction() as tx:
            await tx.run(INSERT, **thing("b"))
            with pytest.raises(UniqueViolation):
                await tx.run(INSERT, **thing("a"))
            with pytest.raises(UniqueViolation):
                await tx.run(INSERT, **thing("c"))

    assert await ids(store) == ["a"]


async def test_callbacks_run_after_the_commit_and_only_then(store: Store) -> None:
    called: list[str] = []
    async with store.transaction() as tx:
        tx.after_commit(lambda: called.append("kept"))
        await tx.run(INSERT, **thing("a"))
        assert called == []
    with pytest.raises(ZeroDivisionError):
        async with store.transaction() as tx:
            tx.after_commit(lambda: called.append("undone"))
            raise ZeroDivisionError
    await asyncio.sleep(0)

    assert called == ["kept"]


# Races


async def test_a_compare_and_set_has_one_winner(store: Store) -> None:
    await store.run(INSERT, **thing("a"))

    async def consume() -> int:
        async with store.transaction() as tx:
            return await tx.run(
                "update things set version = version + 1 where tenant_id = :t and id = :id and version = :v",
                t="acme", id="a", v=1,
            )  # fmt: skip

    won = await asyncio.gather(*(consume() for _ in range(50)))

    assert sum(won) == 1
    assert await store.one("select version from things") == (2,)


async def test_a_one_time_row_is_deleted_by_one_of_many(store: Store) -> None:
    await store.run(INSERT, **thing("code"))

    won = await asyncio.gather(*(store.run("delete from things where id = :id", id="code") for _ in range(20)))

    assert sum(won) == 1


async def test_increments_from_many_sides_add_up(store: Store) -> None:
    upsert = INSERT + " on conflict (tenant_id, id) do update set version = things.version + 1 returning version"

    async def count() -> int:
        async with store.transaction() as tx:
            row = await tx.one(upsert, **thing("counter"))
            assert row is not None
            return int(row[0])

    seen = await asyncio.gather(*(count() for _ in range(40)))

    assert sorted(seen) == list(range(1, 41))


async def test_one_of_two_equal_inserts_wins(store: Store) -> None:
    results = await asyncio.gather(
        *(store.run(INSERT, **thing(f"{n}", email="ada@example.com")) for n in range(10)), return_exceptions=True
    )

    assert results.count(1) == 1
    assert sum(isinstance(result, UniqueViolation) for result in results) == 9


async def test_a_cancelled_transaction_leaves_nothing_and_blocks_nobody(store: Store) -> None:
    inside = asyncio.Event()

    async def stuck() -> None:
        async with store.transaction() as tx:
            await tx.run(INSERT, **thing("never"))
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(stuck())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.run(INSERT, **thing("after"))

    assert await ids(store) == ["after"]


async def test_cancellation_at_any_step_keeps_the_store_usable(store: Store) -> None:
    async def write(number: int) -> None:
        async with store.transaction() as tx:
            await tx.run(INSERT, **thing(f"{number:03d}"))
            await tx.run(INSERT, **thing(f"{number:03d}-second", document=f'{{"slug": "{number}"}}'))

    for number in range(30):
        tasks = [asyncio.create_task(write(number * 2 + part)) for part in range(2)]
        for _ in range(number):
            await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await write(999)

    found = await ids(store)
    assert "999" in found
    assert len(found) % 2 == 0, "a transaction was kept by half"
    assert {f"{n:03d}" for n in range(1, 60, 2)} <= set(found), "a bystander lost its transaction"


async def test_a_waiting_caller_that_is_cancelled_does_not_undo_the_commit(store: Store) -> None:
    called: list[str] = []

    async def write() -> None:
        async with store.transaction() as tx:
            await tx.run(INSERT, **thing("a"))
            tx.after_commit(lambda: called.append("a"))

    task = asyncio.create_task(write())
    other = asyncio.create_task(store.run(INSERT, **thing("b")))
    while not task.done() and not other.done():
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, other, return_exceptions=True)
    await asyncio.sleep(0)

    assert ("a" in await ids(store)) == (called == ["a"])


# Unique violations have the same names on both databases


@pytest.mark.parametrize(
    ("row", "index", "columns"),
    [
        (thing("a"), "things_pkey", ("tenant_id", "id")),
        (thing("b", email="ada@example.com"), "things_email", ("tenant_id", "email")),
        (thing("b", document='{"slug": "one"}'), "things_slug", ("tenant_id",)),
    ],
)
async def test_a_unique_violation_names_its_index(
    store: Store, row: dict[str, object], index: str, columns: tuple[str, ...]
) -> None:
    await store.run(INSERT, **thing("a", email="ada@example.com", document='{"slug": "one"}'))

    for attempt in ("by a transaction", "by a single change"):
        with pytest.raises(Conflict) as refused:
            if attempt == "by a transaction":
                async with store.transaction() as tx:
                    await tx.run(INSERT, **row)
            else:
                await store.run(INSERT, **row)

        assert isinstance(refused.value, UniqueViolation)
        assert (refused.value.index, refused.value.table, refused.value.columns) == (index, "things", columns)


async def test_null_is_outside_the_unique_index(store: Store) -> None:
    await store.run(INSERT, **thing("a"))
    await store.run(INSERT, **thing("b"))

    assert await ids(store) == ["a", "b"]


# Parameters and dialect words


@pytest.mark.parametrize("condition", [":x is null or email = :x", "email = :x or :x is null"])
async def test_a_parameter_may_be_null_in_any_place(store: Store, condition: str) -> None:
    await store.run(INSERT, **thing("a", email="ada@x"))
    await store.run(INSERT, **thing("b", email="bob@x"))
    sql = f"select id from things where {condition} order by id"

    assert await store.all(sql, x="bob@x") == [("b",)]
    assert await store.all(sql, x=None) == [("a",), ("b",)]


async def test_parameters_of_every_type_come_back(store: Store) -> None:
    row = await store.one(
        "select :text, :number, :real, :bytes, :null, :yes, :big",
        text="Grüße ✓", number=-1, real=2.5, bytes=b"\0", null=None, yes=True, big=2**63 - 1,
    )  # fmt: skip

    assert row == ("Grüße ✓", -1, 2.5, b"\0", None, 1, 2**63 - 1)


async def test_a_parameter_used_twice_and_text_that_looks_like_one(store: Store) -> None:
    row = await store.one('select :a, \':a\', :b, :a -- not :c\n, "x:a" from (select 1 as "x:a") as t', a="1", b=2)

    assert row == ("1", ":a", 2, "1", 1)


async def test_limits_and_arithmetic_take_parameters(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.run_many(INSERT, [thing(f"{n}", version=n) for n in range(9)])

    rows = await store.all(
        """select version + :plus from things where version >= :low and id > :after
        order by id limit :limit offset :skip""",
        plus=100, low=3, after="", limit=2, skip=1,
    )  # fmt: skip

    assert rows == [(104,), (105,)]


async def test_text_sorts_by_bytes(store: Store) -> None:
    for id_ in ("b", "B", "a", "ä", "_", "Z"):
        await store.run(INSERT, **thing(id_, document=f'{{"slug": "{id_}"}}'))

    expected = ["B", "Z", "_", "a", "b", "ä"]
    assert await ids(store) == expected
    assert [r[0] for r in await store.all("select id from things order by json_text(document, 'slug')")] == expected
    assert [r[0] for r in await store.all("select id from things where id > :a order by id", a="_")] == expected[3:]


DOCUMENT = """{"slug": "s", "name": "Ada", "age": 36, "ratio": 1.5, "admin": true, "gone": null,
    "app_metadata": {"plan": "pro", "a.b": {"c": "deep"}, "ключ": "v", "back\\\\slash": "w"},
    "roles": ["admin", "editor", 7, true], "identities": [{"user_id": "1"}, {"user_id": "2"}]}"""


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("name",), "Ada"),
        (("age",), "36"),
        (("ratio",), "1.5"),
        (("admin",), "true"),
        (("gone",), None),
        (("missing", "deeper"), None),
        (("app_metadata", "plan"), "pro"),
        (("app_metadata", "a.b", "c"), "deep"),
        (("app_metadata", "ключ"), "v"),
        (("app_metadata", "back\\slash"), "w"),
        (("identities", 1, "user_id"), "2"),
    ],
)
async def test_json_text_reads_a_path(store: Store, path: tuple[str | int, ...], text: str | None) -> None:
    await store.run(INSERT, **thing("a", document=DOCUMENT))

    assert await store.one("select json_text(document, :path) from things", path=JsonPath(path)) == (text,)
    assert len(
        await store.all("select 1 from things where json_text(document, :p) = :v", p=JsonPath(path), v=text)
    ) == (0 if text is None else 1)


async def test_json_text_takes_a_literal_path(store: Store) -> None:
    await store.run(INSERT, **thing("a", document=DOCUMENT))

    assert await store.one("select json_text(document, 'app_metadata.plan') from things") == ("pro",)


async def test_json_number_compares_as_a_number(store: Store) -> None:
    await store.run(INSERT, **thing("a", document='{"slug": 1, "age": 9}'))
    await store.run(INSERT, **thing("b", document='{"slug": 2, "age": 10}'))
    await store.run(INSERT, **thing("c", document='{"slug": 3, "age": "11"}'))

    rows = await store.all(
        "select id, json_number(document, :p) from things where json_number(document, :p) >= :n order by id",
        p=JsonPath(("age",)), n=9,
    )  # fmt: skip

    assert rows == [("a", 9), ("b", 10)]


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("roles", "editor", True),
        ("roles", "7", True),
        ("roles", "true", True),
        ("roles", "nobody", False),
        ("name", "Ada", True),
        ("name", "Bob", False),
        ("missing", "x", False),
        ("gone", "x", False),
    ],
)
async def test_json_has_finds_values_and_elements(store: Store, path: str, value: str, found: bool) -> None:
    await store.run(INSERT, **thing("a", document=DOCUMENT))

    sql = "select id from things where json_has(document, :path, :value)"

    assert bool(await store.all(sql, path=JsonPath((path,)), value=value)) is found


async def test_a_path_sqlite_cannot_address_is_refused() -> None:
    with pytest.raises(UnsupportedPath):
        JsonPath(("app_metadata", 'a"b'))


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("ada%", ["a"]),
        ("%LOVE%", ["a"]),
        (escape_like("100%") + "%", ["b"]),
        (escape_like("a_a") + "%", []),
        ("É%", []),
    ],
)
async def test_ilike_ignores_ascii_case(store: Store, pattern: str, found: list[str]) -> None:
    await store.run(INSERT, **thing("a", email="Ada@Lovelace.example"))
    await store.run(INSERT, **thing("b", email="100%@x"))
    await store.run(INSERT, **thing("c", email="é@x"))

    assert [
        r[0] for r in await store.all("select id from things where ilike(email, :p) order by id", p=pattern)
    ] == found


async def test_one_of_takes_lists(store: Store) -> None:
    for n, id_ in enumerate(("a", 'b"', "c")):
        await store.run(INSERT, **thing(id_, version=n, document=f'{{"slug": {n}}}'))

    by_id = await store.all("select id from things where one_of(id, :ids) order by id", ids=Values(['b"', "c", "x"]))
    by_number = await store.all("select id from things where one_of(version, :n)", n=Values([0]))
    none = await store.all("select id from things where one_of(id, :ids)", ids=Values([]))

    assert (by_id, by_number, none) == ([('b"',), ("c",)], [("a",)], [])


@pytest.mark.parametrize("value", ["nul \0", "surrogate \ud800", 2**63])
async def test_what_one_database_cannot_store_both_refuse(store: Store, value: object) -> None:
    column = "version" if isinstance(value, int) else "email"

    with pytest.raises(Unstorable):
        await store.run(INSERT, **(thing("a") | {column: value}))
    with pytest.raises(Unstorable):
        async with store.transaction() as tx:
            await tx.run(INSERT, **(thing("a") | {column: value}))

    assert await ids(store) == []


# Indexes serve the queries they were made for

PLANS = {"sqlite": "explain query plan ", "postgresql": "explain "}


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("tenant_id = :t and id = :x", ("things_pkey", "PRIMARY KEY")),
        ("tenant_id = :t and email = :x", ("things_email",)),
        ("tenant_id = :t and json_text(document, 'slug') = :x", ("things_slug",)),
        ("tenant_id = :t and one_of(email, :list)", ("things_email",)),
        ("tenant_id = :t and email = :x order by id", ("things_email",)),
    ],
)
async def test_an_index_is_used(store: Store, condition: str, index: tuple[str, ...]) -> None:
    async with store.transaction() as tx:
        if store.dialect.name == "postgresql":
            await tx.run("set local enable_seqscan = off")  # the table is too small for an index to pay
        plan = await tx.all(
            f"{PLANS[store.dialect.name]}select document from things where {condition}",
            t="acme", **({"list": Values(["a"])} if ":list" in condition else {"x": "a"}),
        )  # fmt: skip

    assert any(name in str(plan) for name in index), plan


# Search and snapshots


async def test_a_search_answers_and_a_long_one_is_stopped(store: Store) -> None:
    await store.run(INSERT, **thing("a"))
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"

    assert await store.search("select id from things where tenant_id = :t", t="acme") == [("a",)]
    for _ in range(3):
        with pytest.raises(QueryTimeout):
            await store.search(endless, timeout_s=0.05)
    assert await store.search("select id from things") == [("a",)]


@pytest.mark.parametrize("database", ["sqlite"], scope="session")
async def test_a_search_whose_thread_begins_after_its_time_is_stopped_all_the_same(store: Store) -> None:
    assert isinstance(store, SqliteStore)
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    free = threading.Event()
    for _ in range(SEARCH_THREADS):
        store._search_threads.submit(free.wait)
    asyncio.get_running_loop().call_later(0.3, free.set)

    async with asyncio.timeout(60):
        with pytest.raises(QueryTimeout):
            await store.search(endless, timeout_s=0.05)


async def test_searches_over_the_limit_wait_no_longer_than_they_may(store: Store) -> None:
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"

    results = await asyncio.gather(
        *(store.search(endless, timeout_s=0.2) for _ in range(10)),
        store.one("select 1"),
        return_exceptions=True,
    )

    assert results.pop() == (1,)
    assert all(isinstance(result, QueryTimeout) for result in results)


async def test_a_cancelled_search_frees_its_place(store: Store) -> None:
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    for _ in range(6):
        task = asyncio.create_task(store.search(endless, timeout_s=30))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert await store.search("select 1", timeout_s=5) == [(1,)]


async def test_a_snapshot_does_not_change(store: Store) -> None:
    await store.run(INSERT, **thing("a"))

    async with store.snapshot() as snapshot:
        await store.run(INSERT, **thing("b"))
        await store.run("delete from things where id = :id", id="a")

        assert await snapshot.all("select id from things") == [("a",)]
        assert await snapshot.one("select id from things where id = :id", id="b") is None
    assert await ids(store) == ["b"]


async def test_another_process_can_read_what_a_snapshot_reads(store: Store, clock: FakeClock) -> None:
    """What is written between the two openings would show, were it possible."""
    other = open_store(store.url, clock=clock)
    begin, opened, written = asyncio.Event(), asyncio.Event(), asyncio.Event()
    found = []

    async def read_beside(view: str) -> None:
        async with other.snapshot(like=view) as snapshot:
            await snapshot.one("select 1 from things")
            opened.set()
            await written.wait()
            found.append(await snapshot.all("select id from things"))

    async def beside(view: str) -> None:
        reading.append(asyncio.create_task(read_beside(view)))
        begin.set()
        await opened.wait()

    async def write() -> None:
        await begin.wait()
        await other.run(INSERT, **thing("b"))

    reading: list[asyncio.Task[None]] = []
    writing = asyncio.create_task(write())
    await store.run(INSERT, **thing("a"))
    async with store.snapshot(beside=beside) as snapshot:
        await writing
        found.append(await snapshot.all("select id from things"))
        written.set()
        await asyncio.gather(*reading)
    assert found == [[("a",)], [("a",)]]
    assert await ids(store) == ["a", "b"]
    await other.close()


async def test_rows_are_joined_in_their_order(store: Store) -> None:
    for name in ("b", "a", "c"):
        await store.run(INSERT, **thing(name))
    rows = "(select id from things where id > :after order by id desc) as found"
    assert await store.one(f"select joined(id), count(*) from {rows}", after="") == ("c,b,a", 3)
    assert await store.one(f"select joined(id), count(*) from {rows}", after="x") == (None, 0)


async def test_a_snapshot_scans_in_chunks_and_other_queries_may_come_between(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.run_many(INSERT, [thing(f"{n:04d}") for n in range(2500)])

    chunks = []
    async with store.snapshot() as snapshot:
        scan = snapshot.scan("select id from things where tenant_id = :t order by id", t="acme", chunk_rows=1000)
        async for rows in scan:
            chunks.append(len(rows))
            assert await snapshot.one("select count(*) from things") == (2500,)

    assert chunks == [1000, 1000, 500]


async def test_an_abandoned_scan_does_not_keep_the_snapshot_open(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.run_many(INSERT, [thing(f"{n:04d}") for n in range(50)])

    with pytest.raises(ZeroDivisionError):
        async with store.snapshot() as snapshot:
            async for _rows in snapshot.scan("select id from things", chunk_rows=10):
                raise ZeroDivisionError

    await store.run("delete from things where tenant_id = :t", t="acme")
    assert await ids(store) == []


async def test_a_scan_that_somebody_still_holds_keeps_nothing_that_is_deleted_afterwards(store: Store) -> None:
    """A download that broke off may leave its scan lying about; what is destroyed meanwhile has to be gone for good."""
    async with store.transaction() as tx:
        await tx.run_many(INSERT, [thing(f"{n:04d}") for n in range(50)])
    async with store.snapshot() as snapshot:
        held = snapshot.scan("select id from things", chunk_rows=10)
        await anext(held)

    await store.run("delete from things where tenant_id = :t", t="acme")
    assert await scrub(store, THINGS)
    assert held is not None


# Cache epochs


async def test_an_epoch_changes_with_a_touch_of_its_tenant_alone(store: Store) -> None:
    await store.run(INSERT, **thing("a"))
    acme, other = store.cache_epoch("acme"), store.cache_epoch("other")

    async with store.transaction() as tx:
        tx.touch("acme")
    with pytest.raises(ZeroDivisionError):
        async with store.transaction() as tx:
            tx.touch("other")
            raise ZeroDivisionError

    assert store.cache_epoch("acme") != acme
    assert store.cache_epoch("other") == other
    assert store.cache_epoch("acme") == store.cache_epoch("acme")


async def test_a_touch_by_another_store_is_noticed(store: Store) -> None:
    await store.one("select 1")
    second = open_store(store.url, clock=FakeClock())
    before = store.cache_epoch("acme")

    async with second.transaction() as tx:
        tx.touch("acme")
    for _ in range(500):
        if store.cache_epoch("acme") != before:
            break
        await asyncio.sleep(0.01)
    await second.close()

    assert store.cache_epoch("acme") != before


async def test_a_store_can_be_closed_while_a_commit_is_under_way(store_url: str, clock: FakeClock) -> None:
    first = open_store(store_url, clock=clock)
    await create_schema(first, [THINGS])
    writing = asyncio.gather(*(first.run(INSERT, **thing(f"{n}")) for n in range(5)))
    await writing
    await first.close()

    again = open_store(store_url, clock=clock)
    assert len(await ids(again)) == 5
    await again.close()
