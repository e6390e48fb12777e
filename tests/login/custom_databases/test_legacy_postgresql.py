"""A customer's PostgreSQL with a thousand users, asked by scripts with npm's `pg`, until nobody needs it any more.

Half of the users have bcrypt hashes, half PBKDF2; the hashes are cheap, so that the test is quick.
"""

import asyncio
import hashlib
import secrets
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import bcrypt
import httpx
import pytest

from tests.domain.extensions.sandbox.packages import add_installed
from tests.support.applications import Application, make_application
from tests.support.databases import PrivateServer
from tests.support.programs import find_node_modules, find_postgres
from tests.support.server import LiveServer, start_server

USERS = 1000
REALM = "http://auth0.com/oauth/grant-type/password-realm"
# The version that tests/js has, which is all there is in the offline registry of this test.
ASK = """
    const { Client } = require('pg@8.16.3');
    const client = new Client({ connectionString: configuration.DATABASE });
    let rows;
    try {
        await client.connect();
        ({ rows } = await client.query('select id, email, name, hash from people where email = $1', [email]));
    } catch (error) {
        return callback(new Error('the database is not there'));
    } finally {
        client.end().catch(() => {});
    }
    const [person] = rows;
    const profile = person && { user_id: `shop|${person.id}`, email: person.email, name: person.name };
"""
LOGIN = f"""async function login(email, password, callback) {{ {ASK}
    if (!person) return callback(new WrongUsernameOrPasswordError(email));
    let right;
    if (person.hash.startsWith('$2')) {{
        right = await require('bcrypt').compare(password, person.hash);
    }} else {{
        const crypto = require('crypto');
        const [, iterations, salt, expected] = person.hash.split('$');
        const found = crypto.pbkdf2Sync(password, Buffer.from(salt, 'hex'), Number(iterations), 32, 'sha256');
        right = crypto.timingSafeEqual(found, Buffer.from(expected, 'hex'));
    }}
    if (!right) return callback(new WrongUsernameOrPasswordError(email));
    callback(null, profile);
}}"""
GET_USER = f"async function getByEmail(email, callback) {{ {ASK} callback(null, profile || null); }}"


def password_of(number: int) -> str:
    return f"Legacy-horse-{number}-battery"


def email_of(number: int) -> str:
    return f"person{number}@shop.example.com"


def hash_of(number: int) -> str:
    password = password_of(number).encode()
    if number % 2:
        return bcrypt.hashpw(password, bcrypt.gensalt(4)).decode()
    salt = secrets.token_bytes(16)
    return f"pbkdf2$1000${salt.hex()}${hashlib.pbkdf2_hmac('sha256', password, salt, 1000, 32).hex()}"


class Shop:
    """The customer's database and an application over it."""

    def __init__(self, server: LiveServer, app: Application, database: PrivateServer, hashes: list[str]) -> None:
        self.server, self.app, self.database, self.hashes = server, app, database, hashes

    def sign_in(self, number: int, password: str | None = None) -> httpx.Response:
        given = {"username": email_of(number), "password": password or password_of(number)}
        return self.app.token(REALM, headers=None, realm=self.app.connection, scope="openid", **given)

    def sign_in_by_browser(self, number: int) -> httpx.Response:
        browser = self.app.browser()
        return self.app.redeem(browser.sign_in(self.app.authorize_url(), email_of(number), password_of(number)))

    def kept_hashes(self) -> int:
        with closing(sqlite3.connect(self.server.data / "freehold.db")) as database:
            found: tuple[int] = database.execute(
                "select count(*) from vault where kind = 'password_hashes' and owner like 'auth0|shop|%'"
            ).fetchone()
        return found[0]


async def fill(url: str, hashes: list[str]) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("create table people (id int primary key, email text unique, name text, hash text)")
    rows = [(number, email_of(number), f"Person {number}", each) for number, each in enumerate(hashes)]
    await connection.copy_records_to_table("people", records=rows)
    await connection.close()


@contextmanager
def open_shop(folder: Path, people: int) -> Iterator[Shop]:
    packages, programs = find_node_modules(), find_postgres()
    assert packages is not None
    assert programs is not None
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    registry = folder / "registry"
    registry.mkdir()
    add_installed(registry, packages, ["pg", "bcryptjs"])
    hashes = [hash_of(number) for number in range(people)]
    env = {"FREEHOLD_SANDBOX_OUTBOUND_ALLOW": f"127.0.0.1:{port}", "FREEHOLD_NPM_FOLDER": str(registry)}
    with PrivateServer(programs, port=port) as database, start_server(folder / "data", env=env) as server:
        asyncio.run(fill(database.url, hashes))
        app = make_application(server)
        scripts: dict[str, Any] = {"login": LOGIN, "get_user": GET_USER}
        app.change_connection(
            enabledDatabaseCustomization=True, customScripts=scripts, configuration={"DATABASE": database.url}
        )
        yield Shop(server, app, database, hashes)


@pytest.mark.node
@pytest.mark.postgres
@pytest.mark.parametrize("people", [12, pytest.param(USERS, marks=pytest.mark.slow)])
def test_a_thousand_users_come_over_until_the_old_database_is_shut_down(tmp_path: Path, people: int) -> None:
    with open_shop(tmp_path, people + 1) as shop:
        for number in range(0, 10):
            answer = shop.sign_in(number)
            assert answer.status_code == 200, answer.text
        for number in (10, 11):
            assert shop.sign_in_by_browser(number).status_code == 200
        assert shop.sign_in(3, "wrong").status_code == 403
        assert shop.kept_hashes() == 0
        for file in shop.server.data.rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                for number in range(12):
                    assert password_of(number).encode() not in content, file
                    assert shop.hashes[number].encode() not in content, file

        shop.app.change_connection(import_mode=True)
        assert shop.sign_in_by_browser(10).status_code == 200
        for number in range(people):
            answer = shop.sign_in(number)
            assert answer.status_code == 200, answer.text
        assert shop.kept_hashes() == people

        shop.database.stop()
        for number in range(0, people, max(1, people // 50)):
            assert shop.sign_in(number).status_code == 200
        assert shop.sign_in(5, "wrong").status_code == 403
        assert shop.sign_in_by_browser(7).status_code == 200
        late = shop.sign_in(people)
        assert (late.status_code, late.json()["error"]) == (403, "access_denied")
        assert "not there" not in late.text
