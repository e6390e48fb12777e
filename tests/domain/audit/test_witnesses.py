"""Places besides the database: one that is slow holds nobody up for long, and one over HTTPS gets every line."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from freehold.domain.audit import Witnesses, witnesses
from freehold.domain.audit.witnesses import FileSink, HttpsSink
from freehold.kernel.crypto.x509 import LocalAuthority
from freehold.kernel.errors import Unavailable
from freehold.kernel.outbound import OutboundError


class Slow:
    """A place that answers only when it is told to."""

    name = "slow"

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.asked = 0
        self.kept: list[bytes] = []

    async def write(self, lines: Sequence[bytes]) -> None:
        self.asked += 1
        await self.may_answer.wait()
        self.kept += lines


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witnesses, "TIMEOUT_S", 0.01)


async def test_a_place_that_does_not_answer_is_waited_for_once(impatient: None) -> None:
    slow = Slow()
    places = Witnesses([slow])
    for line in (b"1", b"2", b"3"):
        with pytest.raises(Unavailable):
            await places.accept([line])
    assert slow.asked == 1


async def test_a_place_that_was_slow_gets_everything_when_it_is_asked_again(
    impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witnesses, "AWAY_S", 0.0)
    slow = Slow()
    places = Witnesses([slow])
    with pytest.raises(Unavailable):
        await places.accept([b"1"])
    slow.may_answer.set()
    places.publish(b"2")
    await places.accept([b"3"])
    assert slow.kept == [b"1", b"2", b"3"]


async def test_a_slow_place_beside_a_good_one_stops_nothing(
    impatient: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow, file = Slow(), FileSink(tmp_path / "audit.jsonl")
    with pytest.raises(Unavailable):
        await Witnesses([slow]).accept([b"0"])
    places = Witnesses([slow, file], _away_until={"slow": asyncio.get_running_loop().time() + 60})
    # The file is on a real disk, whose time is not the test's.
    monkeypatch.setattr(witnesses, "TIMEOUT_S", 60)
    for line in (b"1", b"2"):
        await places.accept([line])
    assert file.path.read_bytes().splitlines() == [b"1", b"2"]
    assert slow.asked == 1


class Collector:
    """An HTTPS server that keeps what is posted to it, or refuses."""

    def __init__(self) -> None:
        self.status = 204
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().splitlines() if line.startswith(b"content-length"))
        self.heads.append(head)
        self.bodies.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 %d x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % self.status)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def collecting(folder: Path) -> AsyncIterator[tuple[Collector, HttpsSink]]:
    now = datetime.now(UTC)
    authority = LocalAuthority.load_or_create(folder, now)
    chain = authority.server_certificate(now=now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain.certificate_file, chain.key_file)
    collector = Collector()
    server = await asyncio.start_server(collector.answer, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        yield collector, HttpsSink(f"https://localhost:{port}/audit", "s3cret", ca_file=authority.certificate_file)
    finally:
        server.close()
        await server.wait_closed()


async def test_an_https_address_gets_lines_of_json_with_its_token(tmp_path: Path) -> None:
    async with collecting(tmp_path) as (collector, sink):
        await Witnesses([sink]).accept([b'{"seq":1}', b'{"seq":2}'])
    assert [msgspec.json.decode(line)["seq"] for line in collector.bodies[0].splitlines()] == [1, 2]
    head = collector.heads[0].lower()
    assert head.startswith(b"post /audit ")
    assert b"authorization: bearer s3cret" in head
    assert b"content-type: application/x-ndjson" in head


async def test_an_https_address_that_refuses_or_is_not_itself_keeps_nothing(tmp_path: Path) -> None:
    async with collecting(tmp_path / "one") as (collector, sink):
        collector.status = 507
        with pytest.raises(OutboundError):
            await sink.write([b"{}"])
        collector.status = 204
        with pytest.raises(Unavailable):
            await Witnesses([HttpsSink(sink._url, "s3cret")]).accept([b"{}"])
        assert len(collector.bodies) == 1, "whose certificate nobody vouches for gets no line"
