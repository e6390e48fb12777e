"""The published templates of database scripts, unmodified, against servers that they can talk to.

PostgreSQL and MariaDB are real ones; MongoDB and SQL Server are fakes of their wire, and so is the web service. A
person lives through all scripts of a template. What a template answers unexpectedly is written down as it is.
"""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from freehold.domain.extensions import npm
from freehold.domain.extensions.executions import Execution
from freehold.domain.extensions.running import Deadline, legacy_script, run
from freehold.domain.extensions.sandbox import Outcome
from tests.domain.extensions.conftest import Extended
from tests.domain.extensions.fake_mongodb import FakeMongoDB
from tests.domain.extensions.fake_sqlserver import FakeSqlServer
from tests.domain.extensions.gallery import Piece, Table, scripts
from tests.domain.extensions.outside import Asked, Outside
from tests.support.databases import PrivateServer
from tests.support.programs import find_postgres

pytestmark = [pytest.mark.gallery, pytest.mark.asyncio(loop_scope="module")]

EMAIL, PASSWORD, LATER = "ada@example.com", "Analytical-engine-1", "Difference-engine-2"
SCRIPTS = {each.name: each for each in scripts()}


class Template:
    """The scripts of a template, and what became of each."""

    def __init__(self, gallery: Extended, name: str, report: Table) -> None:
        self._gallery, self._name, self._report = gallery, name, report

    async def ask(self, action: str, *given: Any) -> Outcome:
        """Run a script as a custom database runs it."""
        piece = SCRIPTS[f"{self._name}/{action}"]
        # Whoever uses the template writes a host in place of these words, which are no name of one.
        code = piece.code.replace("'the server'", "'sql.acme.example'")
        services, tenant = self._gallery.services, self._gallery.tenant
        await npm.installed_for(services, tenant, code)
        script = await legacy_script(services, tenant, piece.name, code, "script")
        execution = Execution("database", tenant.clock.now_ms())
        outcome = await run(services, tenant, script, "", given, name=piece.name, execution=execution,
                            deadline=Deadline())  # fmt: skip
        self._note(piece, outcome)
        return outcome

    def _note(self, piece: Piece, outcome: Outcome) -> None:
        row, error = self._report.of(piece), outcome.error
        came_to = json.dumps(outcome.value) if error is None else f"{error.type}: {error.message[:100]}"
        row.ran = f"{row.ran}; {came_to}" if row.ran else came_to

    async def answer(self, action: str, *given: Any) -> Any:
        """What the script gives its callback as value; nothing is None."""
        outcome = await self.ask(action, *given)
        assert outcome.error is None, (action, outcome.error)
        return outcome.value[0] if outcome.value else None

    async def refusal(self, action: str, *given: Any) -> str:
        """The type of the error that the script gives its callback."""
        outcome = await self.ask(action, *given)
        assert outcome.error is not None
        assert outcome.error.kind == "script", outcome.error
        return outcome.error.type


@pytest_asyncio.fixture(loop_scope="module")
async def postgresql(outside: Outside) -> AsyncIterator[None]:
    programs = find_postgres()
    assert programs is not None
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    with PrivateServer(programs, port=port) as server:
        for url, sql in (
            (server.url, "create role \"user\" login password 'pass' superuser"),
            (server.url, "create database mydb"),
            (
                f"postgresql://user@127.0.0.1:{port}/mydb",
                "create table users (id serial primary key, nickname text, email text unique, password text,"
                " email_verified boolean default false)",
            ),
        ):
            connection = await asyncpg.connect(url)
            await connection.execute(sql)
            await connection.close()
        outside.ports[5432] = port
        yield
    del outside.ports[5432]


@asynccontextmanager
async def listening(outside: Outside, port: int, server: FakeMongoDB | FakeSqlServer) -> AsyncIterator[None]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listener:
        outside.ports[port] = listener.sockets[0].getsockname()[1]
        yield
    del outside.ports[port]


def tls_of_its_time(outside: Outside) -> ssl.SSLContext:
    """TLS 1.2, as in SQL Server before its version of 2022."""
    assert outside.tls is not None
    outside.tls.maximum_version = ssl.TLSVersion.TLSv1_2
    return outside.tls


@pytest.mark.postgres
async def test_postgresql(gallery: Extended, postgresql: None, report: Table) -> None:
    template = Template(gallery, "postgres", report)

    assert await template.answer("get_user", EMAIL) is None
    assert await template.answer("create", {"email": EMAIL, "password": PASSWORD}) is None
    assert await template.refusal("create", {"email": EMAIL, "password": PASSWORD}) == "error"
    person = await template.answer("login", EMAIL, PASSWORD)
    assert person == {"user_id": 1, "nickname": None, "email": EMAIL}
    assert await template.refusal("login", EMAIL, LATER) == "WrongUsernameOrPasswordError"
    assert await template.refusal("login", "nobody@example.com", PASSWORD) == "WrongUsernameOrPasswordError"
    assert await template.answer("get_user", EMAIL) == person
    assert await template.answer("verify", EMAIL) is True
    assert await template.answer("verify", EMAIL) is False
    assert await template.answer("change_password", EMAIL, LATER) is True
    assert await template.answer("login", EMAIL, LATER) == person
    assert await template.answer("delete", "1") is None
    assert await template.answer("get_user", EMAIL) is None


@pytest.mark.mariadb
async def test_mysql(gallery: Extended, outside: Outside, mariadb_port: int, report: Table) -> None:
    outside.ports[3306] = mariadb_port
    template = Template(gallery, "mysql", report)

    assert await template.answer("get_user", EMAIL) is None
    assert await template.answer("create", {"email": EMAIL, "password": PASSWORD}) is None
    assert await template.refusal("create", {"email": EMAIL, "password": PASSWORD}) == "Error"
    person = await template.answer("login", EMAIL, PASSWORD)
    assert person == {"user_id": "1", "nickname": None, "email": EMAIL}
    assert await template.refusal("login", EMAIL, LATER) == "WrongUsernameOrPasswordError"
    assert await template.refusal("login", "nobody@example.com", PASSWORD) == "WrongUsernameOrPasswordError"
    assert await template.answer("get_user", EMAIL) == person
    # It asks the answer to an update for the length of a list, which it is not: always false, though it was done.
    assert await template.answer("verify", EMAIL) is False
    assert await template.answer("change_password", EMAIL, LATER) is False
    assert await template.answer("login", EMAIL, LATER) == person
    assert await template.answer("delete", "1") is None
    assert await template.answer("get_user", EMAIL) is None
    del outside.ports[3306]


async def test_mongodb(gallery: Extended, outside: Outside, report: Table) -> None:
    server, template = FakeMongoDB(), Template(gallery, "mongo", report)
    async with listening(outside, 27017, server):
        assert await template.answer("get_user", EMAIL) is None
        new = {"email": EMAIL, "password": PASSWORD, "email_verified": False}
        assert await template.answer("create", new) is None
        assert await template.refusal("create", new) == "Error"
        person = await template.answer("login", EMAIL, PASSWORD)
        assert (len(person["user_id"]), person["email"]) == (24, EMAIL)
        assert await template.refusal("login", EMAIL, LATER) == "WrongUsernameOrPasswordError"
        assert await template.answer("get_user", EMAIL) == person
        assert await template.answer("verify", EMAIL) is True
        assert await template.answer("verify", EMAIL) is False
        assert await template.answer("change_password", EMAIL, LATER) is True
        assert await template.answer("login", EMAIL, LATER) == person
        # It looks for the id as a text, which no document has that MongoDB gave an id: nobody is deleted.
        assert await template.answer("delete", person["user_id"]) is None
        assert len(server.people) == 1
        assert PASSWORD not in str(server.people)


async def test_sql_server(gallery: Extended, outside: Outside, report: Table) -> None:
    server = FakeSqlServer(
        "create table dbo.Users (Id integer primary key, Nickname text, Email text, Password text,"
        " Email_Verified int default 0)"
    )
    template = Template(gallery, "sqlserver", report)
    async with listening(outside, 1433, server):
        # Its statement, INSERT ... SET, is none that SQL Server knows.
        assert await template.refusal("create", {"email": EMAIL, "password": PASSWORD}) == "RequestError"
        server.database.execute("insert into dbo.Users (Email, Nickname) values (?, 'ada')", [EMAIL])
        assert await template.answer("change_password", EMAIL, PASSWORD) is True
        assert await template.answer("verify", EMAIL) is True
        # tedious hands out rows only where `rowCollectionOnRequestCompletion` is set, which these two do not.
        assert await template.refusal("login", EMAIL, PASSWORD) == "TypeError"
        assert await template.refusal("get_user", EMAIL) == "TypeError"
        assert await template.answer("delete", "1") is None
        assert server.database.execute("select count(*) from dbo.Users").fetchone() == (0,)


async def test_the_membership_tables_of_asp_net_mvc_4(gallery: Extended, outside: Outside, report: Table) -> None:
    server = FakeSqlServer(
        "create table UserProfile (UserId integer primary key, UserName text);"
        "create table webpages_Membership (UserId int, CreateDate text, IsConfirmed text,"
        " PasswordFailuresSinceLastSuccess int, Password text, PasswordSalt text, PasswordChangedDate text)",
        tls=tls_of_its_time(outside),
    )
    template = Template(gallery, "MVC4", report)
    async with listening(outside, 1433, server):
        assert await template.answer("create", {"email": EMAIL, "password": PASSWORD}) is True
        assert await template.answer("verify", EMAIL) is True
        # These ask for columns by name or for rows, without the options of tedious that give them.
        assert await template.refusal("login", EMAIL, PASSWORD) == "Error"
        assert await template.refusal("get_user", EMAIL) == "Error"
        assert await template.refusal("change_password", EMAIL, LATER) == "TypeError"
        assert await template.answer("delete", "1") is None
        assert server.database.execute("select count(*) from UserProfile").fetchone() == (0,)
        assert server.encrypted == 5  # all but the one that does not ask for it


async def test_the_membership_tables_of_asp_net_universal_providers(
    gallery: Extended, outside: Outside, report: Table
) -> None:
    server = FakeSqlServer(
        "create table Users (UserId text, UserName text, ApplicationId text, IsAnonymous text, LastActivityDate text);"
        "create table Memberships (ApplicationId text, UserId text, Password text, PasswordFormat int,"
        " PasswordSalt text, Email text, isApproved text, isLockedOut text, CreateDate text, LastLoginDate text,"
        " LastPasswordChangedDate text, LastLockoutDate text, FailedPasswordAttemptCount int,"
        " FailedPasswordAttemptWindowStart int, FailedPasswordAnswerAttemptCount int,"
        " FailedPasswordAnswerAttemptWindowsStart int)",
        tls=tls_of_its_time(outside),
    )
    template = Template(gallery, "MVC3", report)
    async with listening(outside, 1433, server):
        assert await template.answer("create", {"email": EMAIL, "password": PASSWORD}) is True
        assert await template.answer("verify", EMAIL) is True
        assert await template.answer("change_password", EMAIL, LATER) is True
        # As in the other one: columns by name, which tedious does not give unasked.
        assert await template.refusal("login", EMAIL, LATER) == "Error"
        assert await template.refusal("get_user", EMAIL) == "Error"
        assert await template.answer("delete", "6F9619FF-8B86-D011-B42D-00C04FC964FF") is None
        assert server.database.execute("select count(*) from Users").fetchone() == (0,)
        assert server.encrypted == 5  # all but the one that does not ask for it


async def test_a_web_service(gallery: Extended, outside: Outside, report: Table) -> None:
    template, profile = Template(gallery, "request", report), {"user_id": 7, "nickname": "ada", "email": EMAIL}

    def service(asked: Asked) -> tuple[int, Any]:
        allowed = asked.headers.get("authorization") == "Basic YWRhQGV4YW1wbGUuY29tOkFuYWx5dGljYWwtZW5naW5lLTE="
        if asked.path == "/profile":
            return (200, profile) if allowed else (401, {})
        return 200, profile if asked.method == "GET" else True

    outside.asked.clear()
    outside.web = service

    assert await template.answer("login", EMAIL, PASSWORD) == {**profile, "user_id": "7"}
    assert await template.answer("login", EMAIL, LATER) is None
    assert await template.answer("get_user", EMAIL) == {**profile, "user_id": "7"}
    assert await template.answer("create", {"email": EMAIL, "password": PASSWORD}) is None
    assert await template.answer("verify", EMAIL) is True
    assert await template.answer("change_password", EMAIL, LATER) is True
    assert await template.answer("delete", "7") is None
    assert [(each.method, each.path) for each in outside.asked] == [
        ("GET", "/profile"), ("GET", "/profile"), ("GET", f"/users-by-email/{EMAIL}"), ("POST", "/users"),
        ("PUT", "/users"), ("PUT", "/users"), ("DELETE", "/users/7"),
    ]  # fmt: skip


@pytest.mark.parametrize("action", ["change_password", "create", "delete", "get_user", "login", "verify"])
async def test_the_bare_template_says_that_there_is_nothing_yet(gallery: Extended, action: str, report: Table) -> None:
    template = Template(gallery, "bare", report)

    given: dict[str, list[Any]] = {
        "create": [{"email": EMAIL}],
        "login": [EMAIL, PASSWORD],
        "change_password": [EMAIL, LATER],
    }
    outcome = await template.ask(action, *given.get(action, [EMAIL]))

    assert outcome.error is not None
    assert outcome.error.message.startswith("Please implement the")
