"""Leaving no trace of a row that was deleted: databases keep old pages and logs for a while.

On SQLite the deletion itself overwrites (`secure_delete`), and the write-ahead log, which still holds the page as it
was, is brought into the file and cut to nothing. On PostgreSQL the table is written anew without its dead rows; its
own write-ahead log forgets as it is recycled, so what is stored must be worthless without a key kept elsewhere.
"""

import asyncio
import sqlite3
import time
from contextlib import closing

from freehold.kernel.errors import Unavailable
from freehold.kernel.store.api import Store
from freehold.kernel.store.schema import Table
from freehold.kernel.store.sqlite import SqliteStore
from freehold.kernel.store.sqlite_connection import open_writer

PATIENCE_S = 5.0
POLL_S = 0.05


async def scrub(store: Store, table: Table) -> bool:
    """Whether nothing of the table's deleted rows is left; false when somebody reads it just now: try again later."""
    if isinstance(store, SqliteStore):
        return await asyncio.to_thread(_truncate_log, store)
    return await _rewrite(store.url, table)


async def _rewrite(url: str, table: Table) -> bool:
    import asyncpg  # an embedded installation does not pay for the driver

    try:
        async with asyncio.timeout(PATIENCE_S):
            connection = await asyncpg.connect(url)
            try:
                # Full, because a plain one leaves what was deleted in pages that still have other rows.
                await connection.execute(f"vacuum (full) {table.name}")
            finally:
                await connection.close()
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    return True


def _truncate_log(store: SqliteStore) -> bool:
    patience_ends = time.monotonic() + PATIENCE_S
    try:
        with closing(open_writer(store.path)) as connection:
            connection.execute(f"pragma busy_timeout = {int(PATIENCE_S * 1000)}")
            while True:
                # For another checkpoint that is under way SQLite does not wait by itself.
                busy, _, _ = connection.execute("pragma wal_checkpoint(truncate)").fetchone()
                if not busy or time.monotonic() > patience_ends:
                    return not busy
                time.sleep(POLL_S)
    except (sqlite3.Error, Unavailable):
        return False
