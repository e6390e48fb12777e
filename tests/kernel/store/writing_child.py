"""Writes without end and says on standard output what was acknowledged; the crash tests kill it.

Usage: writing_child.py URL FIRST_NUMBER. Each acknowledged transaction is one line with its number, written unbuffered.
"""

import asyncio
import itertools
import os
import sys

from freehold.kernel.clock import SystemClock
from freehold.kernel.store import open_store


async def main(url: str, first: int) -> None:
    store = open_store(url, clock=SystemClock())
    numbers = itertools.count(first)

    async def write() -> None:
        while True:
            number = next(numbers)
            async with store.transaction() as tx:
                await tx.run("insert into entries (id, part) values (:id, 'first')", id=f"{number}-a")
                await tx.enqueue("mail", "acme", b"%d" % number)
                await tx.run("insert into entries (id, part) values (:id, 'second')", id=f"{number}-b")
            os.write(1, b"%d\n" % number)

    await asyncio.gather(*(write() for _ in range(8)))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
