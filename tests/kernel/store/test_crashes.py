"""A process that is killed at any moment loses nothing it acknowledged, and leaves nothing half done."""

import asyncio
import random
import sqlite3
import sys
from pathlib import Path

import pytest

from freehold.kernel.clock import FakeClock
from freehold.kernel.store import Column, Store, Table, create_schema, open_store
from tests.support.programs import ROOT

ENTRIES = Table("entries", (Column("id", "text"), Column("part", "text")), key=("id",))
CHILD = Path(__file__).with_name("writing_child.py")


@pytest.mark.parametrize("seed", range(3))
async def test_a_killed_writer_loses_nothing_acknowledged(store_url: str, seed: int) -> None:
    chance = random.Random(seed)
    store = open_store(store_url, clock=FakeClock())
    await create_schema(store, [ENTRIES])
    acknowledged: set[str] = set()

    for life in range(2):
        acknowledged |= await write_and_die(store_url, first=life * 10**6, lines=chance.randrange(1, 120))
        await check(store, acknowledged)

    assert len(acknowledged) >= 2
    await store.close()
    # The next start recovers the log by itself.
    again = open_store(store_url, clock=FakeClock())
    await check(again, acknowledged)
    await again.run("insert into entries (id, part) values ('after', 'x')")
    await again.close()
    if store_url.startswith("sqlite"):
        with sqlite3.connect(store_url.removeprefix("sqlite:///")) as connection:
            assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        connection.close()


async def write_and_die(url: str, *, first: int, lines: int) -> set[str]:
    """The numbers that a child acknowledged before it was killed, after so many lines."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), url, str(first),
        env={"PYTHONPATH": str(ROOT / "src")}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    seen = [await child.stdout.readline() for _ in range(lines)]
    child.kill()
    seen += (await child.stdout.read()).splitlines(keepends=True)
    await child.wait()
    return {line.decode().strip() for line in seen if line.endswith(b"\n")}


async def check(store: Store, acknowledged: set[str]) -> None:
    parts = {row[0] for row in await store.all("select id from entries where id <> 'after'")}
    kept = {part.removesuffix("-a") for part in parts if part.endswith("-a")}
    jobs = {row[0].decode() for row in await store.all("select payload from work_queue")}

    assert acknowledged <= kept, "an acknowledged transaction is lost"
    assert {part.removesuffix("-b") for part in parts if part.endswith("-b")} == kept, "a transaction is there by half"
    assert jobs == kept, "a job is there without its cause, or the other way round"
