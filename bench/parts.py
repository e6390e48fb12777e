"""Where the time of a bulk import and export goes: CPU of each part, in microseconds per user, SQLite.

PYTHONPATH=src:. python -m bench.parts --users 100000

Parts are timed by their own thread's CPU clock with what they call taken off, so that the rows add up. The timers cost
about a microsecond for each user; hold parts against each other, and totals against those of `make bench`.
"""

import argparse
import asyncio
import gc
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

from bench.bulk import write_users
from freehold.cli.options import chosen_tenant, opened, settings_for
from freehold.domain.users import usual
from freehold.kernel.crypto.sealing import Sealer
from freehold.kernel.store.bulk import SqliteBulkWriter
from freehold.registry import REGISTRY
from freehold.surfaces.importers import auth0, auth0_users, scratch
from freehold.surfaces.transfer import archive, exporting, rows
from tests.support.server import start_server

IMPORT = (
    (auth0_users, "read_blocks", "read the file, whole lines at a time"),
    (auth0_users, "_run", "decode into typed users, check hashes"),
    (auth0_users, "usual_rows", "check ids, addresses and times, make columns"),
    (usual, "_encode_lines", "encode documents"),
    (auth0.Auth0Import, "_joined", "join with hashes and factors"),
    (auth0, "remember", "note who was seen (index on disk)"),
    (Sealer, "seal_all", "seal hashes, AES-256-GCM each"),
    (scratch.Waiting, "add", "put aside until all is checked"),
    (scratch.Waiting, "__iter__", "take up again"),
    (usual.UserRows, "columns", "take documents apart"),
    (SqliteBulkWriter, "insert", "insert into {1}"),
    (SqliteBulkWriter, "commit", "commit: log, sync, checkpoint"),
    (auth0.Auth0Import, "_check_users", "the rest of checking"),
    (auth0.Auth0Import, "_write_users", "the rest of writing"),
)
EXPORT = (
    (rows, "_json_lines", "encode lines"),
    (archive.PartWriter, "add", "put lines into parts"),
    (archive.ArchiveWriter, "add", "digest and compress parts"),
)


class Parts:
    """The CPU time of parts that call each other."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    def time(self, owner: Any, name: str, label: str) -> None:
        """Put a timer around a function or a generator."""
        original = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            found = self._step(label.format(*arguments[:2], ""), lambda: original(*arguments, **named))
            return self._each(label, found) if isinstance(found, Iterator) else found

        setattr(owner, name, timed)

    def _each(self, label: str, items: Iterator[Any]) -> Iterator[Any]:
        end = object()
        while (item := self._step(label, lambda: next(items, end))) is not end:
            yield item

    def _step(self, label: str, work: Callable[[], Any]) -> Any:
        began = time.thread_time()
        self._inner.append(0.0)
        try:
            return work()
        finally:
            took = time.thread_time() - began
            self.seconds[label] += took - self._inner.pop()
            if self._inner:
                self._inner[-1] += took


async def run(data: Path, users: Path, number: int) -> None:
    """Import and export, and print the parts."""
    async with opened(settings_for(data, None)) as installation:
        scope = await chosen_tenant(installation, None)
        for title, timers in (("import", IMPORT), ("export", EXPORT)):
            parts = Parts()
            for owner, name, label in timers:
                parts.time(owner, name, label)
            gc.collect()
            began = time.process_time()
            if title == "import":
                work = auth0.Auth0Import(installation.store, scope, auth0.Sources(users=(users,)), temporary=data)
                await work.check(look=False)
                await work.write()
            else:
                with (data / "archive").open("wb") as file:
                    await exporting.export_tenant(installation.store, scope, REGISTRY, file)
            whole = time.process_time() - began
            rest = "fetch rows and make lines of them" if title == "export" else "what no timer saw"
            parts.seconds[rest] = whole - sum(parts.seconds.values())
            for label, seconds in sorted(parts.seconds.items(), key=itemgetter(1), reverse=True):
                print(f"{title:8}{label:50}{seconds / number * 1e6:8.2f}")
            print(f"{title:8}{'all':50}{whole / number * 1e6:8.2f}")


def main() -> None:
    """Make users, and take them in and out."""
    parser = argparse.ArgumentParser(prog="bench.parts", description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    number = parser.parse_args().users
    folder = Path(tempfile.mkdtemp(prefix="freehold-bench-"))
    try:
        write_users(folder, number)
        with start_server(folder / "data"):
            pass  # makes the tenant
        asyncio.run(run(folder / "data", folder / "with-hashes.ndjson", number))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
