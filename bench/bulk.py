"""Many users: how fast they come in and go out, in how much memory, and what a sign-in among them costs."""

import asyncio
import shutil
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path

import bcrypt

from bench import limits
from bench.command import Usage, run_command
from bench.load import Connection, Step, cpu_seconds_with_children, measure
from bench.postgresql import Running, database
from bench.report import Figure, Report
from bench.subjects import email_of, running, sign_in_of, sign_in_step
from tests.support.applications import make_application
from tests.support.server import start_server

NAMES = {"import", "import_joined", "export", "import_memory", "export_memory", "crowd"}
CONNECTION = "Username-Password-Authentication"
PASSWORD = "Correct-horse-4-battery"
HASHES = 8
INSERTS = 100_000
SIGN_INS = 20
ROUNDS = 3
SMALL = 1000
IMPORT_FLOORS = {"SQLite": 50_000.0, "PostgreSQL": 40_000.0}
RAW_PART = 0.75
IMPORT_MEMORY_GOALS = {"SQLite": 170.0, "PostgreSQL": 48.0}


def run(
    names: list[str],
    databases: str,
    folder: Path,
    report: Report,
    postgresql: Running | None,
    users: int,
    say: Callable[[str], None],
) -> None:
    """Import the users into each database, export them, and sign in among them."""
    if not NAMES & set(names):
        return
    if find_spec("freehold.cli.import_") is None:
        report.notes.append("Left out: import and export of users, because there is no import command here.")
        return
    say(f"writing {users:,} users")
    files = folder / "export"
    files.mkdir()
    write_users(files, users)
    if databases != "postgresql":
        say(f"{users:,} users in and out, SQLite")
        _in_and_out("SQLite", folder / "bulk-sqlite", None, None, files, users, names, report)
        if "crowd" in names:
            say(f"sign-ins among {users:,} users and among {SMALL:,}")
            small = folder / "few"
            small.mkdir()
            write_users(small, SMALL)
            with start_server(folder / "bulk-few"):
                pass
            run_command(*_import(small, folder / "bulk-few"))
            _crowd(folder / "bulk-sqlite", users, folder / "bulk-few", report)
        shutil.rmtree(folder / "bulk-sqlite")
    if postgresql is not None:
        say(f"{users:,} users in and out, PostgreSQL")
        url = database(postgresql)
        _in_and_out("PostgreSQL", folder / "bulk-postgresql", url, postgresql, files, users, names, report)


def write_users(folder: Path, count: int) -> None:
    """An export of so many users as NDJSON, with the hashes in the profiles, and again in a file beside."""
    hashes = [bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(limits.COST)).decode() for _ in range(HASHES)]
    with (
        (folder / "with-hashes.ndjson").open("w") as whole,
        (folder / "users.ndjson").open("w") as profiles,
        (folder / "hashes.ndjson").open("w") as beside,
    ):
        for number in range(count):
            own, email, stored = f"{number:024x}", email_of(number), hashes[number % HASHES]
            profile = (
                f'{{"user_id":"auth0|{own}","email":"{email}","email_verified":true,"name":"User {number}",'
                f'"given_name":"Ada","family_name":"User {number}","nickname":"user{number}",'
                '"picture":"https://cdn.example.com/pictures/user.png",'
                f'"identities":[{{"user_id":"{own}","provider":"auth0","connection":"{CONNECTION}","isSocial":false}}],'
                '"app_metadata":{"plan":"free","seats":3},"user_metadata":{"colour":"blue","newsletter":true},'
                '"created_at":"2024-03-01T10:00:00.000Z","updated_at":"2024-09-01T10:00:00.000Z",'
                '"last_login":"2024-09-01T10:00:00.000Z","last_ip":"203.0.113.7","logins_count":7'
            )
            whole.write(f'{profile},"password_hash":"{stored}"}}\n')
            profiles.write(profile + "}\n")
            beside.write(
                f'{{"_id":{{"$oid":"{own}"}},"email":"{email}","email_verified":true,"passwordHash":"{stored}",'
                f'"tenant":"t","connection":"{CONNECTION}"}}\n'
            )


def _in_and_out(
    subject: str, data: Path, url: str | None, postgresql: Running | None, files: Path, users: int,
    names: list[str], report: Report,
) -> None:  # fmt: skip
    pid = postgresql.pid if postgresql else None
    at_database = ["--database", url] if url else []
    with start_server(data, *at_database):
        pass  # makes the tenant

    def timed(*arguments: str) -> tuple[Usage, float]:
        """The usage, and users per CPU second, the database's included and the command's start left out."""
        starting = run_command("tenants", "list", "--data", str(data), *at_database)
        before = cpu_seconds_with_children(pid) if pid else 0.0
        usage = run_command(*arguments, *at_database)
        spent = usage.cpu_s + (cpu_seconds_with_children(pid) - before if pid else 0.0)
        return usage, users / max(spent - starting.cpu_s, 0.01)

    def raw_per_s() -> float:
        if postgresql is not None:
            return limits.postgresql_inserts_per_s(database(postgresql), postgresql.pid, INSERTS)
        return limits.sqlite_inserts_per_s(data, INSERTS)

    def add(key: str, value: float, text: str, *, floor: float | None = None, goal: float | None = None) -> None:
        if key in names:
            report.add(Figure(key, subject, value, text, floor=floor, goal=goal))

    before = raw_per_s()
    usage, rate = timed(*_import(files, data))
    raw = statistics.mean([before, raw_per_s()])
    speed = _speed(report)
    add("import", rate / speed, f"{rate:,.0f}/s, {rate / raw:.0%} of raw inserts",
        floor=IMPORT_FLOORS[subject], goal=RAW_PART * raw / speed)  # fmt: skip
    add("import_memory", usage.peak_mib, "peak", goal=IMPORT_MEMORY_GOALS[subject])
    archive = data.parent / f"{subject}.archive"
    usage, rate = timed("export", "--data", str(data), "--output", str(archive))
    archive.unlink()
    add("export", rate / _speed(report), f"{rate:,.0f}/s")
    add("export_memory", usage.peak_mib, "peak")
    if "import_joined" in names and postgresql is None:
        data = data.with_name(f"{data.name}-joined")
        with start_server(data):
            pass
        _, rate = timed(*_import(files, data, joined=True))
        add("import_joined", rate / _speed(report), f"{rate:,.0f}/s")
        shutil.rmtree(data)


def _import(files: Path, data: Path, *, joined: bool = False) -> list[str]:
    sources = ["--users", str(files / "with-hashes.ndjson")]
    if joined:
        sources = ["--users", str(files / "users.ndjson"), "--hashes", str(files / "hashes.ndjson")]
    return ["import", "auth0", *sources, "--yes", "--data", str(data)]


def _crowd(many: Path, users: int, few: Path, report: Report) -> None:
    """Sign-ins among many and among few, in turn; each user's first one, which renews the hash, is not counted."""
    ratios, spent = [], []
    with ExitStack() as stack:
        sides = []
        for data, count in ((many, users), (few, SMALL)):
            server = stack.enter_context(running(data))
            app = make_application(server)
            connections = app.manage("GET", f"/connections?name={CONNECTION}")
            app.manage("PATCH", f"/connections/{connections[0]['id']}/clients",
                       [{"client_id": app.client_id, "status": True}])  # fmt: skip
            app.manage("PATCH", f"/connections/{app.connection_id}/clients",
                       [{"client_id": app.client_id, "status": False}])  # fmt: skip
            known = sign_in_of(app, email_of(count * 2 // 3), PASSWORD)
            steps = [
                sign_in_step(replace(known, username=email_of(number))) for number in range(0, count, count // SIGN_INS)
            ]
            sides.append((server, steps))
        for number in range(ROUNDS + 1):
            took = []
            for server, steps in sides:
                measured = asyncio.run(
                    measure(server.base_url, _in_turn(steps), pid=server.process.pid, operations=SIGN_INS,
                            connections=1)
                )  # fmt: skip
                took.append(measured.beside_hashing_us / 1000)
            if number:
                ratios.append(took[0] / took[1])
                spent.append(took)
    many_ms, few_ms = (statistics.median(side) for side in zip(*spent, strict=True))
    report.add(Figure("crowd", "SQLite", statistics.median(ratios), f"{many_ms:.1f} against {few_ms:.1f} ms"))


def _in_turn(steps: Sequence[Step]) -> Step:
    turn = cycle(steps)

    async def step(connection: Connection) -> None:
        await next(turn)(connection)

    return step


def _speed(report: Report) -> float:
    """How fast the machine is now, against that of the targets."""
    report.limits.append(limits.Limits.measure())
    return report.limits[-1].speed
