"""The network of scripts: through the broker, to whom the operator allows, with TLS and databases inside the worker."""

# ruff: noqa: E501 - a line of JavaScript is one line

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from freehold.domain.extensions.sandbox import NetworkPolicy, Outcome, Sandbox, Script, egress
from freehold.kernel.clock import SystemClock
from freehold.kernel.crypto.x509 import LocalAuthority
from tests.domain.extensions.sandbox.conftest import OpenSandbox
from tests.domain.extensions.sandbox.packages import add_installed
from tests.support.programs import find_node_modules


async def resolve_here(host: str, port: int) -> Sequence[str]:
    """Every name is this machine."""
    return [host] if host[0].isdigit() else ["127.0.0.1"]


@asynccontextmanager
async def web_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Answers every request with its first line, and `/away` with a redirect to the cloud's metadata."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line = head.split(b"\r\n")[0]
        if b" /away" in line:
            writer.write(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n")
        elif b" /large" in line:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\nconnection: close\r\n\r\n")
            for _ in range(30):
                writer.write(b"x" * 100_000)
                await writer.drain()
        elif b" /counted" in line:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 300001\r\nconnection: close\r\n\r\n" + b"x" * 300_001)
        elif b" /until-the-end" in line:
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 300_001)
        elif b" /cut-off" in line:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 300001\r\n\r\n" + b"x" * 100_000)
            await writer.drain()
            writer.transport.abort()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (len(line), line))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def run(sandbox: Sandbox, body: str, *args: object, tenant: str = "acme", modules: str = "") -> Outcome:
    script = Script("s", "1", f"exports.run = async (...given) => {{ {body} }};", modules=modules)
    return await sandbox.call(tenant, script, "run", args)


async def test_a_listed_host_is_reached_by_every_client(open_sandbox: OpenSandbox) -> None:
    async with web_server() as port:
        sandbox = await open_sandbox(network=NetworkPolicy([f"api.test:{port}"], resolver=resolve_here))
        for body in (
            "return (await fetch(given[0])).text();",
            "return new Promise((keep, fail) => require('http').get(given[0], (r) => { let s = ''; r.on('data', (d) => s += d);"
            "r.on('end', () => keep(s)) }).on('error', fail));",
            "const { hostname, port } = new URL(given[0]); return new Promise((keep, fail) => { const s = require('net').connect(port, hostname);"
            "let all = ''; s.setEncoding('utf8'); s.on('error', fail); s.on('data', (d) => all += d);"
            "s.on('close', () => keep(all.split('\\r\\n\\r\\n')[1])); s.write('GET /a HTTP/1.1\\r\\n\\r\\n') });",
        ):
            outcome = await run(sandbox, body, f"http://api.test:{port}/a")
            assert outcome.value == "GET /a HTTP/1.1", outcome


async def test_a_large_answer_comes_whole(open_sandbox: OpenSandbox) -> None:
    async with web_server() as port:
        sandbox = await open_sandbox(network=NetworkPolicy([f"api.test:{port}"], resolver=resolve_here))
        body = "return (await (await fetch(given[0])).arrayBuffer()).byteLength;"

        assert (await run(sandbox, body, f"http://api.test:{port}/large")).value == 3_000_000


async def test_an_answer_that_ends_while_its_reader_is_busy_comes_whole(
    open_sandbox: OpenSandbox, tmp_path: Path
) -> None:
    """Node's own sockets tell fetch of the end too early here, which fetch takes for a mistake of its own."""
    authority = LocalAuthority.load_or_create(tmp_path / "authority", SystemClock().now())
    issued = authority.server_certificate(["api.test"], now=SystemClock().now())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(issued.certificate_file, issued.key_file)
    body = (
        "require('tls').setDefaultCACertificates([given[1]]); let length = 0;"
        "for await (const part of (await fetch(given[0])).body) {"
        " length += part.length; await new Promise((then) => setTimeout(then, given[2])); } return length;"
    )
    async with web_server() as port, web_server(tls) as tls_port:
        allowed = NetworkPolicy([f"api.test:{port}", f"api.test:{tls_port}"], resolver=resolve_here)
        sandbox = await open_sandbox(network=allowed)
        for server in (f"http://api.test:{port}", f"https://api.test:{tls_port}"):
            for path in ("/counted", "/until-the-end"):
                for wait_ms in (0, 20):
                    given = [server + path, authority.certificate_file.read_text(), wait_ms]
                    outcome = await run(sandbox, body, *given)

                    assert (outcome.value, outcome.error) == (300_001, None), (server, path, wait_ms)


async def test_an_answer_that_is_cut_off_fails_and_does_not_hang(open_sandbox: OpenSandbox) -> None:
    async with web_server() as port:
        sandbox = await open_sandbox(network=NetworkPolicy([f"api.test:{port}"], resolver=resolve_here))
        body = "const answer = await fetch(given[0]); return answer.text().then(() => 'whole', (e) => e.message);"

        assert (await run(sandbox, body, f"http://api.test:{port}/cut-off")).value == "terminated"


async def test_a_redirect_to_a_closed_address_is_refused(open_sandbox: OpenSandbox) -> None:
    async with web_server() as port:
        sandbox = await open_sandbox(network=NetworkPolicy([f"api.test:{port}"], resolver=resolve_here))
        body = "return fetch(given[0]).then((r) => r.status, (e) => e.cause.code);"

        assert (await run(sandbox, body, f"http://api.test:{port}/away")).value == "EACCES"


async def test_a_host_listed_for_one_tenant_is_closed_to_others(open_sandbox: OpenSandbox) -> None:
    async with web_server() as port:
        sandbox = await open_sandbox(network=NetworkPolicy([f"acme@api.test:{port}"], resolver=resolve_here))
        body = "return fetch(given[0]).then((r) => r.status, (e) => e.cause.code);"

        assert (await run(sandbox, body, f"http://api.test:{port}/", tenant="acme")).value == 200
        assert (await run(sandbox, body, f"http://api.test:{port}/", tenant="other")).value == "EACCES"


async def test_only_listed_hosts_when_the_operator_says_so(open_sandbox: OpenSandbox) -> None:
    async def public(host: str, port: int) -> Sequence[str]:
        raise AssertionError("a host that is not listed is not even resolved")

    sandbox = await open_sandbox(network=NetworkPolicy(scope="listed", resolver=public))

    assert (await run(sandbox, "return fetch('http://example.com').catch((e) => e.cause.code);")).value == "EACCES"
    assert (
        await run(sandbox, "return require('dns').promises.lookup('example.com').catch((e) => e.code);")
    ).value == "ENOTFOUND"


async def test_tls_ends_in_the_worker_and_is_verified_there(open_sandbox: OpenSandbox, tmp_path: Path) -> None:
    authority = LocalAuthority.load_or_create(tmp_path / "authority", SystemClock().now())
    issued = authority.server_certificate(["api.test"], now=SystemClock().now())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(issued.certificate_file, issued.key_file)
    body = (
        "return new Promise((keep) => require('https').get({ host: given[0], port: given[1], path: '/s', ca: given[2] }, (r) => {"
        "let s = ''; r.on('data', (d) => s += d); r.on('end', () => keep(s)) }).on('error', (e) => keep(e.code)));"
    )
    async with web_server(tls) as port:
        sandbox = await open_sandbox(
            network=NetworkPolicy([f"api.test:{port}", f"else.test:{port}"], resolver=resolve_here)
        )
        ca = authority.certificate_file.read_text()

        assert (await run(sandbox, body, "api.test", port, ca)).value == "GET /s HTTP/1.1"
        assert (await run(sandbox, body, "else.test", port, ca)).value == "ERR_TLS_CERT_ALTNAME_INVALID"
        assert (await run(sandbox, body, "api.test", port, None)).value in {
            "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "SELF_SIGNED_CERT_IN_CHAIN", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
        }  # fmt: skip


async def test_a_server_that_is_not_there(open_sandbox: OpenSandbox) -> None:
    async with web_server() as port:
        pass
    sandbox = await open_sandbox(network=NetworkPolicy([f"127.0.0.1:{port}"]))
    body = "return new Promise((keep) => require('net').connect(given[0], '127.0.0.1').on('error', (e) => keep([e.code, e.syscall])));"

    assert (await run(sandbox, body, port)).value == ["ECONNREFUSED", "connect"]


@pytest.fixture
def drivers(tmp_path: Path) -> Path:
    """pg and mysql2 as a registry."""
    found = find_node_modules()
    assert found is not None, "tests that need the packages of tests/js carry the mark node"
    folder = tmp_path / "registry"
    folder.mkdir()
    add_installed(folder, found, ["pg", "mysql2"])
    return folder


@asynccontextmanager
async def relay(path: str) -> AsyncIterator[int]:
    """A port of this machine that leads to a local socket."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(path)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.mark.node
@pytest.mark.postgres
async def test_the_pg_driver_asks_a_real_postgresql(
    open_sandbox: OpenSandbox, drivers: Path, tmp_path: Path, postgresql_server: str
) -> None:
    folder = parse_qs(urlsplit(postgresql_server).query)["host"][0]
    async with relay(f"{folder}/.s.PGSQL.5432") as port:
        sandbox = await open_sandbox(
            network=NetworkPolicy([f"db.test:{port}"], resolver=resolve_here),
            modules_folder=tmp_path / "modules", npm_folder=drivers,
        )  # fmt: skip
        await asks_postgresql(sandbox, port)


async def asks_postgresql(sandbox: Sandbox, port: int) -> None:
    installed = await sandbox.modules.install("acme", [("pg", "8.16.3")])
    body = """
        const { Client, Pool } = require('pg');
        const options = { host: 'db.test', port: given[0], user: given[1], database: 'postgres' };
        const client = new Client(options);
        await client.connect();
        const { rows } = await client.query('select $1::text as name, $2::timestamptz as at, generate_series(1, 3) as n', ['Zoë', new Date(0)]);
        await client.end();
        const pool = new Pool({ ...options, max: 3 });
        const sums = await Promise.all([1, 2, 3, 4].map((n) => pool.query('select sum(i)::int as s from generate_series(1, $1) i', [n * 1000])));
        await pool.end();
        return [rows, sums.map((r) => r.rows[0].s)];
    """

    outcome = await run(sandbox, body, port, "postgres", modules=installed.key)

    assert outcome.error is None, outcome.error
    rows, sums = outcome.value
    assert [row["n"] for row in rows] == [1, 2, 3]
    assert rows[0]["name"] == "Zoë"
    assert rows[0]["at"] == "1970-01-01T00:00:00.000Z"
    assert sums == [500500, 2001000, 4501500, 8002000]


@pytest.mark.node
@pytest.mark.mariadb
async def test_the_mysql2_driver_asks_a_real_mariadb(
    open_sandbox: OpenSandbox, drivers: Path, tmp_path: Path, mariadb_port: int
) -> None:
    sandbox = await open_sandbox(
        network=NetworkPolicy([f"db.test:{mariadb_port}"], resolver=resolve_here),
        modules_folder=tmp_path / "modules", npm_folder=drivers,
    )  # fmt: skip
    installed = await sandbox.modules.install("acme", [("mysql2", "3.15.3")])
    body = """
        const mysql = require('mysql2/promise');
        const connection = await mysql.createConnection({ host: 'db.test', port: given[0], user: 'legacy', password: 'pass', database: 'test' });
        const [rows] = await connection.execute('select ? as name, 1 + ? as n', ['Zoë', 41]);
        await connection.end();
        return rows;
    """

    outcome = await run(sandbox, body, mariadb_port, modules=installed.key)

    assert outcome.error is None, outcome.error
    assert [(row["name"], int(row["n"])) for row in outcome.value] == [("Zoë", 42)]


async def test_what_is_logged_and_thrown_on_an_answer_is_the_calls(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(network=NetworkPolicy(resolver=resolve_here))
    body = """
        require('net').connect({ host: 'nobody.test', port: 80 }).on('error', (error) => {
            console.log(error.code);
            undefined.split();
        });
        await new Promise(() => {});
    """

    outcome = await run(sandbox, body)

    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.type) == ("script", "TypeError")
    assert [line.text for line in outcome.logs] == ["EACCES"]


async def test_what_is_thrown_while_an_answer_arrives_is_the_calls(open_sandbox: OpenSandbox) -> None:
    async with web_server() as port:
        sandbox = await open_sandbox(network=NetworkPolicy([f"api.test:{port}"], resolver=resolve_here))
        for begun in (
            "require('net').connect(given[0], 'api.test').on('data', () => undefined.split()).write('GET / X\\r\\n\\r\\n');",
            "require('net').connect(given[0], 'api.test', () => undefined.split());",
            "require('dns').lookup('api.test', () => undefined.split());",
        ):
            outcome = await run(sandbox, begun + "await new Promise(() => {});", port)

            assert outcome.error is not None
            assert (outcome.error.kind, outcome.error.type) == ("script", "TypeError"), begun


async def test_where_a_call_went_is_told_with_its_outcome(open_sandbox: OpenSandbox) -> None:
    async with web_server() as closed:
        pass

    async def names(host: str, port: int) -> Sequence[str]:
        return ["10.0.0.7"] if host == "inside.test" else ["127.0.0.1"]

    async with web_server() as port:
        allowed = [f"api.test:{port}", f"api.test:{closed}"]
        sandbox = await open_sandbox(network=NetworkPolicy(allowed, resolver=names))
        body = """
            for (let n = 0; n < 2; n++) await (await fetch(`http://api.test:${given[0]}/path?key=a-secret`)).text();
            for (const url of [`http://api.test:${given[1]}/`, 'https://inside.test/']) await fetch(url).catch(() => {});
            await require('dns').promises.lookup('inside.test').catch(() => {});
        """

        outcome = await run(sandbox, body, port, closed)
        quiet = await run(sandbox, "")

    assert outcome.error is None, outcome.error
    reason = "the host has an address that is not public"
    assert [(visit.host, visit.port, visit.how, visit.reason, visit.times) for visit in outcome.visits] == [
        ("api.test", port, "connected", "", 2),
        ("api.test", closed, "failed", "ECONNREFUSED", 1),
        ("inside.test", 443, "refused", reason, 1),
        ("inside.test", 0, "refused", reason, 1),
    ]
    assert quiet.visits == ()


async def test_a_call_that_uses_the_network_without_end_is_ended(
    open_sandbox: OpenSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress, "MAX_BYTES", 1 << 20)
    async with web_server() as port:
        sandbox = await open_sandbox(network=NetworkPolicy([f"api.test:{port}"], resolver=resolve_here))
        body = "return (await (await fetch(given[0])).arrayBuffer()).byteLength;"

        outcome = await run(sandbox, body, f"http://api.test:{port}/large")
        assert outcome.error is not None
        assert (outcome.error.kind, outcome.error.type) == ("output", "NetworkExceeded")
        assert [visit.how for visit in outcome.visits] == ["connected"]
        assert (await run(sandbox, body, f"http://api.test:{port}/counted")).value == 300_001
