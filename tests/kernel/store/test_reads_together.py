"""Many who read at the same moment: each gets the answer to their own question, on both databases."""

import asyncio

import pytest

from freehold.kernel.clock import FakeClock
from freehold.kernel.store import Column, Store, Table, Unstorable, create_schema
from freehold.kernel.store.postgresql import PostgresqlStore

NOTES = Table(
    "notes", (Column("id", "text"), Column("size", "bigint"), Column("seal", "bytea", null=True)), key=("id",)
)
INSERT = "insert into notes (id, size, seal) values (:id, :size, :seal)"
BY_ID = "select id, size, seal from notes where id = :id"


@pytest.fixture
async def notes(empty_store: Store) -> Store:
    await create_schema(empty_store, [NOTES])
    for size in range(100):
        await empty_store.run(INSERT, id=f"n{size}", size=size, seal=bytes([size]))
    return empty_store


async def test_each_gets_the_row_they_asked_for_or_none(notes: Store) -> None:
    found = await asyncio.gather(*(notes.one(BY_ID, id=f"n{number}") for number in range(150)))

    assert found == [(f"n{n}", n, bytes([n])) if n < 100 else None for n in range(150)]


async def test_statements_of_every_kind_are_asked_side_by_side(notes: Store) -> None:
    twice = "select a.id, b.id, 1, null from notes a, notes b where a.size = :low and b.size = :low + 1"
    first = "select id from notes where size >= :low order by size desc"

    async def ask(low: int) -> list[object]:
        return [
            await notes.one("select count(*), max(size) from notes where size < :low", low=low),
            await notes.one(twice, low=low),
            await notes.one(first, low=low),
            await notes.one("select size from notes where seal = :seal", seal=bytes([low])),
            await notes.one("select 1"),
            await notes.one(
                "select cast(size as double precision) from notes where size > :low order by size", low=low - 0.5
            ),
        ]

    expected = [
        [(low, low - 1), (f"n{low}", f"n{low + 1}", 1, None), ("n99",), (low,), (1,), (float(low),)]
        for low in range(1, 30)
    ]
    assert await asyncio.gather(*map(ask, range(1, 30))) == expected


async def test_a_question_that_is_refused_is_nobody_elses(notes: Store) -> None:
    answers = await asyncio.gather(
        *(notes.one(BY_ID, id=text) for text in ("n1", "\udc80", "n2")), return_exceptions=True
    )

    assert [answers[0], answers[2]] == [("n1", 1, b"\1"), ("n2", 2, b"\2")]
    assert isinstance(answers[1], Unstorable)


@pytest.mark.parametrize("leaving", range(3))
async def test_whoever_goes_away_leaves_the_others_their_answers(notes: Store, leaving: int) -> None:
    asking = [asyncio.create_task(notes.one(BY_ID, id=f"n{number}")) for number in range(3)]
    for _ in range(2):
        await asyncio.sleep(0)
    asking[leaving].cancel()
    answers = await asyncio.gather(*asking, return_exceptions=True)

    for number, answer in enumerate(answers):
        if number != leaving:
            assert answer == (f"n{number}", number, bytes([number]))


@pytest.mark.postgres
async def test_those_who_are_ready_together_take_one_round_trip(postgresql_server: str) -> None:
    store = PostgresqlStore(postgresql_server, clock=FakeClock())
    try:
        sessions = "select cast(pg_backend_pid() as text), cast(statement_timestamp() as text), :n"
        rows = await asyncio.gather(*(store.one(sessions, n=number) for number in range(20)))
    finally:
        await store.close()

    assert len({row[:2] for row in rows if row}) == 1
    assert [row[2] for row in rows if row] == list(range(20))
