"""The world outside of the sandbox as the galleries' scripts expect it, on this machine: every name leads here.

A script keeps the addresses that it was published with. The broker checks them as always, and connects to the server
of the test that stands for the port that was asked for.
"""

import asyncio
import json
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from freehold.domain.extensions.sandbox import NetworkPolicy, processes, runtime
from freehold.domain.extensions.sandbox.egress import Broker
from freehold.kernel.clock import SystemClock
from freehold.kernel.crypto.x509 import LocalAuthority

SOMEWHERE = "93.184.216.34"
ON_THIS_MACHINE = [f"localhost:{port}" for port in (80, 443, 1433, 3306, 5432, 27017)]


@dataclass(frozen=True)
class Asked:
    """A request that the fake web server got."""

    method: str
    host: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Outside:
    """What is reachable. `web` answers a request; `ports` says where other servers listen, by the port asked for."""

    ports: dict[int, int] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    """A server's side of TLS, with a certificate for every name."""
    web: Callable[[Asked], tuple[int, Any]] = lambda asked: (200, {})

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while True:
                line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
                body = await _body(reader, headers)
                method, path, _ = line.split(" ", 2)
                self.asked.append(Asked(method, headers.get("host", ""), path, headers, body))
                status, content = self.web(self.asked[-1])
                text = json.dumps(content).encode()
                writer.write(b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
                    status, len(text), text))  # fmt: skip
                await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def lead(self, stream: Any, addresses: list[str], port: int) -> str:
        """Connect as the broker does, but here."""
        if port not in self.ports:
            raise ConnectionRefusedError
        await asyncio.get_running_loop().create_connection(lambda: stream, "127.0.0.1", self.ports[port])
        return addresses[0]


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while length := int((await reader.readline()).strip() or b"0", 16):
        body += await reader.readexactly(length)
        await reader.readline()
    await reader.readline()
    return body


async def _everywhere(host: str, port: int) -> Sequence[str]:
    return [SOMEWHERE]


POLICY = NetworkPolicy([*ON_THIS_MACHINE, "the server:1433"], resolver=_everywhere)


@asynccontextmanager
async def outside_world(patch: pytest.MonkeyPatch) -> AsyncIterator[Outside]:
    """Lead every connection of every sandbox here. The workers trust the certificate of the fake web server."""
    outside = Outside()
    folder = Path(tempfile.mkdtemp(prefix="freehold-outside-"))
    folder.chmod(0o755)
    authority = LocalAuthority.load_or_create(folder / "authority", SystemClock().now())
    tls = outside.tls = _any_name(authority)
    worker = folder / "worker"
    shutil.copytree(runtime.WORKER, worker)
    _trust(worker / "main.cjs", authority.certificate_file.read_text())
    for path in [worker, *worker.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    for place in (runtime, processes):
        patch.setattr(place, "WORKER", worker)
    patch.setattr(Broker, "_first", staticmethod(outside.lead))
    plain = await asyncio.start_server(outside.answer, "127.0.0.1", 0)
    secure = await asyncio.start_server(outside.answer, "127.0.0.1", 0, ssl=tls)
    outside.ports = {80: plain.sockets[0].getsockname()[1], 443: secure.sockets[0].getsockname()[1]}
    try:
        yield outside
    finally:
        for server in (plain, secure):
            server.close()
        shutil.rmtree(folder, ignore_errors=True)


def _any_name(authority: LocalAuthority) -> ssl.SSLContext:
    """A server that has a certificate for whatever name it is asked for."""
    made: dict[str, ssl.SSLContext] = {}

    def context_of(name: str) -> ssl.SSLContext:
        if name not in made:
            issued = authority.server_certificate([name], now=SystemClock().now())
            made[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            made[name].load_cert_chain(issued.certificate_file, issued.key_file)
        return made[name]

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = context_of(name or "localhost")

    first = context_of("localhost")
    first.sni_callback = choose
    return first


def _trust(main: Path, certificate: str) -> None:
    trusting = (
        "const tls = require('node:tls');"
        f"tls.setDefaultCACertificates([...tls.getCACertificates('default'), {json.dumps(certificate)}]);\n"
    )
    main.write_text(main.read_text("utf-8").replace("'use strict';\n", "'use strict';\n" + trusting, 1), "utf-8")
