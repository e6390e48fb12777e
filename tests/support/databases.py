"""Stores for tests, on SQLite and on PostgreSQL.

`store` is migrated, `empty_store` has no schema, `store_url` is the address of an empty database; each is
parametrised over both databases, so that a test written once runs on both. A test for one of them says
`@pytest.mark.parametrize("database", ["postgresql"])` and has the argument `database`. Where what is shown lies
above the store, and other tests show its queries on both, `@pytest.mark.quick_on("sqlite")` leaves PostgreSQL to
`make test-all`; on a test it goes before one on its module.

PostgreSQL is a private server in a temporary folder, reached through a Unix socket and gone with the session.
`--databases sqlite` or `--databases postgresql` leaves the other out. FREEHOLD_TEST_POSTGRESQL names an existing server
(as a superuser's URL) to use in place of a private one.
"""

import asyncio
import itertools
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from freehold.kernel.clock import FakeClock
from freehold.kernel.store import Store, migrate, open_store
from tests.support.programs import find_postgres

_EXISTING_SERVER = "FREEHOLD_TEST_POSTGRESQL"
_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--databases",
        choices=("both", "sqlite", "postgresql"),
        default="both",
        help="which databases the store's tests run on",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    own = any(mark.args[0] == "database" for mark in metafunc.definition.iter_markers("parametrize"))
    if "database" in metafunc.fixturenames and not own:
        chosen = metafunc.config.getoption("--databases")
        quick_on = metafunc.definition.get_closest_marker("quick_on")
        kinds = []
        for kind in ("sqlite", "postgresql"):
            marks = [pytest.mark.postgres] if kind == "postgresql" and _EXISTING_SERVER not in os.environ else []
            if quick_on is not None and kind not in quick_on.args:
                marks.append(pytest.mark.slow)
            if chosen in {"both", kind}:
                kinds.append(pytest.param(kind, marks=marks))
        metafunc.parametrize("database", kinds, scope="session")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server's `postgres` database, as a superuser."""
    if existing := os.environ.get(_EXISTING_SERVER):
        yield existing
        return
    programs = find_postgres()
    assert programs is not None, "tests that need PostgreSQL carry the mark postgres"
    with PrivateServer(programs) as server:
        yield server.url


@pytest.fixture
def store_url(database: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty database of this test's own."""
    if database == "sqlite":
        folder = Path(tempfile.mkdtemp(prefix="freehold-test-"))
        yield f"sqlite:///{folder / 'freehold.db'}"
        shutil.rmtree(folder)
    else:
        # A schema is made and dropped ten times faster than a database.
        shared = request.getfixturevalue("shared_database")
        name = f"test_{next(_numbers)}"
        asyncio.run(_execute(shared, f"create schema {name}"))
        yield f"{shared}{'&' if '?' in shared else '?'}search_path={name}"
        asyncio.run(_execute(shared, f"drop schema {name} cascade"))


@pytest.fixture(scope="session")
def shared_database(postgresql_server: str) -> Iterator[str]:
    """The URL of a database in which each test has a schema."""
    name = create_database(postgresql_server)
    yield with_database(postgresql_server, name)
    drop_database(postgresql_server, name)


@pytest.fixture(scope="session")
def migrated_template(database: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a migrated database: on SQLite each test has a copy, on PostgreSQL it is emptied after each."""
    if database == "sqlite":
        folder = Path(tempfile.mkdtemp(prefix="freehold-test-"))
        _migrate(f"sqlite:///{folder / 'freehold.db'}")
        yield str(folder / "freehold.db")
        shutil.rmtree(folder)
    else:
        server = request.getfixturevalue("postgresql_server")
        name = create_database(server)
        _migrate(with_database(server, name))
        yield with_database(server, name)
        drop_database(server, name)


@pytest.fixture
def migrated_url(database: str, migrated_template: str) -> Iterator[str]:
    """The URL of a migrated database of this test's own."""
    if database == "sqlite":
        folder = Path(tempfile.mkdtemp(prefix="freehold-test-"))
        shutil.copy(migrated_template, folder / "freehold.db")
        yield f"sqlite:///{folder / 'freehold.db'}"
        shutil.rmtree(folder)
    else:
        yield migrated_template
        asyncio.run(_execute(migrated_template, _EMPTY))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(migrated_url: str, clock: FakeClock) -> AsyncIterator[Store]:
    """An open, migrated store."""
    opened = open_store(migrated_url, clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
async def empty_store(store_url: str, clock: FakeClock) -> AsyncIterator[Store]:
    """An open store without a schema."""
    opened = open_store(store_url, clock=clock)
    yield opened
    await opened.close()


# Whatever a test left connected goes first, so that it cannot write into the next test.
_EMPTY = """do $$
declare name text;
begin
    perform pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid();
    for name in select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' loop
        if name <> 'schema_migrations' then
            execute format('delete from %I', name);
        end if;
    end loop;
end $$"""


class PrivateServer:
    """A PostgreSQL server in a temporary folder. As root it runs under another account, which it insists on."""

    def __init__(self, programs: Path, *, durable: bool = False, port: int = 0) -> None:
        """Tests do without waiting for the disk; whoever measures wants it `durable`. A `port` is of this machine."""
        self._programs = programs
        self._fsync = "on" if durable else "off"
        self._folder = Path(tempfile.mkdtemp(prefix="freehold-pg-"))
        self._account = _unprivileged_account() if os.geteuid() == 0 else None
        if self._account is not None:
            os.chown(self._folder, self._account.pw_uid, self._account.pw_gid)
        self._port = port
        self.url = f"postgresql://postgres@/postgres?host={self._folder}"
        if port:
            self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def __enter__(self) -> "PrivateServer":
        initdb = ["initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        # A linguistic default collation, where there is one, shows that ours does not depend on it.
        if self._run(*initdb, "--locale-provider=icu", "--icu-locale=en", check=False) != 0:
            shutil.rmtree(self._folder / "data", ignore_errors=True)
            self._run(*initdb, "--locale=C")
        self.start()
        return self

    @property
    def pid(self) -> int:
        """The process that all others of the server descend from."""
        return int((self._folder / "data" / "postmaster.pid").read_text().split()[0])

    def start(self) -> None:
        """Start the server, again or for the first time."""
        listen = f"-c listen_addresses=127.0.0.1 -c port={self._port}" if self._port else "-c listen_addresses=''"
        options = f"{listen} -k {self._folder} -c fsync={self._fsync} -c max_connections=200"
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")

    def __exit__(self, *_error: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def stop(self) -> None:
        """Stop as after a power cut."""
        self._run("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop", check=False)

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        done = subprocess.run(
            [self._programs / program, *arguments],
            cwd=self._folder,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._account.pw_uid if self._account else None,
            group=self._account.pw_gid if self._account else None,
        )
        if check and done.returncode:
            raise RuntimeError(f"{program} failed with {done.returncode}")
        return done.returncode


def create_database(server: str) -> str:
    """A new database's name."""
    name = f"test_{next(_numbers)}_{secrets.token_hex(4)}"
    asyncio.run(_execute(server, f"create database {name} template template0"))
    return name


def drop_database(server: str, name: str) -> None:
    asyncio.run(_execute(server, f"drop database {name} with (force)"))


def with_database(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    # `urlunsplit` drops the empty host of a Unix socket's URL, so the parts are joined by hand.
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/{name}" + (f"?{parts.query}" if parts.query else "")


async def _execute(server: str, sql: str) -> None:
    connection = await asyncpg.connect(server)
    await connection.execute(sql)
    await connection.close()


def _migrate(url: str) -> None:
    async def run() -> None:
        store = open_store(url, clock=FakeClock())
        await migrate(store)
        await store.close()

    asyncio.run(run())


def _unprivileged_account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL does not run as root, and there is no other account to run it under")
