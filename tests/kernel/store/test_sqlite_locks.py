"""The locks by which processes that share an SQLite file know of each other."""

import subprocess
import sys
from pathlib import Path

from freehold.kernel.clock import FakeClock
from freehold.kernel.store import open_store
from freehold.kernel.store.bulk import open_bulk

COME_AND_GO = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("select count(*) from sqlite_master").fetchone()
connection.close()
"""


async def test_a_second_opening_keeps_the_locks_of_the_first(tmp_path: Path) -> None:
    """SQLite, "How To Corrupt An SQLite Database File", section 2.2

    A process that leaves and believes to be the last one removes the log.
    """
    path = tmp_path / "freehold.db"
    store = open_store(f"sqlite:///{path}", clock=FakeClock())
    async with store.transaction() as tx:
        await tx.run("create table kept (a bigint)")
    bulk = open_bulk(store.url)

    subprocess.run([sys.executable, "-c", COME_AND_GO, str(path)], check=True)

    assert path.with_name("freehold.db-wal").stat().st_size > 0
    bulk.close()
    await store.close()
