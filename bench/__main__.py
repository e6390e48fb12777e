"""`make bench`: the table of figures, each beside the limit measured in the same run.

make bench ARGS="--quick --only refresh,sign_in --database sqlite --json figures.json --users 50000"
"""

import argparse
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import bulk, ceremony, sandbox, sealed, server, wire
from bench.postgresql import database, private_server
from bench.report import TARGETS, Report
from bench.subjects import PEER, Subject, bare, freehold, peer
from tests.support.programs import find_node, find_node_modules, find_postgres

ROUNDS, QUICK_ROUNDS = 5, 2
USERS, QUICK_USERS = 1_000_000, 100_000


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure against the machine's limits and a peer.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, 100,000 users; under two minutes")
    parser.add_argument("--only", help=f"some operations, separated by commas: {', '.join(TARGETS)}")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--users", type=int, help="how many users are imported and exported")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    asked = parser.parse_args()
    names = asked.only.split(",") if asked.only else list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"there is no operation {', '.join(sorted(unknown))}")
    users = asked.users or (QUICK_USERS if asked.quick else USERS)
    rounds = QUICK_ROUNDS if asked.quick else ROUNDS
    # A process that compiles every module at each start, as this would have it, is no installation.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    report = Report()
    folder = Path(tempfile.mkdtemp(prefix="freehold-bench-"))
    try:
        with ExitStack() as stack:
            measure(names, asked.database, folder, stack, report, users=users, rounds=rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.print(PEER)
    if asked.json:
        report.write(asked.json)


def measure(
    names: list[str], databases: str, folder: Path, stack: ExitStack, report: Report, *, users: int, rounds: int
) -> None:
    """Start what the named operations need, and run them."""
    postgresql = None
    if databases != "sqlite":
        if find_postgres() is None:
            report.notes.append("Left out: PostgreSQL, whose server programs are not on this machine.")
        else:
            postgresql = stack.enter_context(private_server())
    on_wire = [name for name in names if name in wire.OPERATIONS]
    if on_wire:
        _say(f"over HTTP, {rounds} rounds of {len(on_wire)} operations")
        with ExitStack() as running:
            enter = running.enter_context
            subjects: list[Subject] = []
            if databases != "postgresql":
                subjects.append(enter(freehold("SQLite", folder / "sqlite")))
            if postgresql is not None:
                data, url = folder / "postgresql", database(postgresql)
                subjects.append(enter(freehold("PostgreSQL", data, database_url=url, database_pid=postgresql.pid)))
            if find_node() is None or find_node_modules() is None:
                report.notes.append(f"Left out: {PEER}, because Node.js or its packages are not in tests/js.")
            else:
                subjects.append(enter(peer(folder)))
            wire.run(enter(bare(folder)), subjects, on_wire, report, rounds=rounds)
    server.run(names, folder, report, _say)
    sandbox.run(names, folder, report, _say, rounds=rounds)
    bulk.run(names, databases, folder, report, postgresql, users, _say)
    if databases != "postgresql":
        sealed.measure(names, folder, report, users, _say)
        ceremony.measure(names, folder, report, _say)


def _say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
