"""A time stamp authority (RFC 3161) on loopback, and the ways in which one can be wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from asn1crypto import tsp
from cryptography.hazmat.primitives.serialization import Encoding

from freehold.kernel.clock import Clock, SystemClock
from tests.support.signers import Authority, time_authority

Answer = Callable[["TimeAuthority", tsp.TimeStampReq], bytes]


def stamped(authority: "TimeAuthority", asked: tsp.TimeStampReq, *, by: Authority | None = None) -> bytes:
    """What was asked for."""
    stamper = time_authority(by or authority.root, at=authority.clock.now() + authority.off_by)
    return bytes(stamper.request_tsa_response(asked).dump())


def _of_something_else(authority: "TimeAuthority", asked: tsp.TimeStampReq) -> bytes:
    asked["message_imprint"]["hashed_message"] = b"\0" * 32
    return stamped(authority, asked)


def _to_another_question(authority: "TimeAuthority", asked: tsp.TimeStampReq) -> bytes:
    asked["nonce"] = 1
    return stamped(authority, asked)


def _refusal(_authority: "TimeAuthority", _asked: tsp.TimeStampReq) -> bytes:
    return bytes(tsp.TimeStampResp({"status": {"status": "rejection"}}).dump())


def _by_a_stranger(authority: "TimeAuthority", asked: tsp.TimeStampReq) -> bytes:
    return stamped(authority, asked, by=Authority(authority.root.now, name="Nobody's CA"))


def _bent(authority: "TimeAuthority", asked: tsp.TimeStampReq) -> bytes:
    whole = stamped(authority, asked)
    return whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:]


def _late(authority: "TimeAuthority", asked: tsp.TimeStampReq) -> bytes:
    authority.off_by = timedelta(hours=-1)
    try:
        return stamped(authority, asked)
    finally:
        authority.off_by = timedelta()


WRONG: dict[str, Answer] = {
    "of something else": _of_something_else,
    "to another question": _to_another_question,
    "a refusal": _refusal,
    "by a stranger": _by_a_stranger,
    "with a bent signature": _bent,
    "of an hour ago": _late,
    "cut off": lambda authority, asked: stamped(authority, asked)[:-1],
    "empty": lambda _authority, _asked: b"",
    "endless": lambda _authority, _asked: b"0" * 1_000_000,
}


@dataclass
class TimeAuthority:
    """The authority: what it answers, and what it was asked."""

    folder: Path
    root: Authority = field(default_factory=lambda: Authority(datetime.now(UTC), name="Example Time Root"))
    answer: Answer = stamped
    status: int = 200
    asked: list[tsp.TimeStampReq] = field(default_factory=list)
    clock: Clock = field(default_factory=SystemClock)
    off_by: timedelta = timedelta()
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/tsa"

    @property
    def ca_file(self) -> Path:
        path = self.folder / "time-root.pem"
        path.write_bytes(self.root.certificate.public_bytes(Encoding.PEM))
        return path

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert b"content-type: application/timestamp-query" in head
        length = next(int(line[15:]) for line in head.splitlines() if line.startswith(b"content-length"))
        asked = tsp.TimeStampReq.load(await reader.readexactly(length), strict=True)
        self.asked.append(asked.copy())
        # pyHanko asks its authority from outside an event loop.
        body = await asyncio.to_thread(self.answer, self, asked)
        writer.write(
            b"HTTP/1.1 %d x\r\ncontent-type: application/timestamp-reply\r\ncontent-length: %d\r\n\r\n"
            % (self.status, len(body))
        )
        writer.write(body)
        writer.close()


@asynccontextmanager
async def time_stamping(folder: Path) -> AsyncIterator[TimeAuthority]:
    """An authority that answers."""
    authority = TimeAuthority(folder)
    server = await asyncio.start_server(authority.serve, "127.0.0.1", 0)
    authority.port = server.sockets[0].getsockname()[1]
    try:
        yield authority
    finally:
        server.close()
