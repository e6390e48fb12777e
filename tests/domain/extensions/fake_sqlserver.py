"""As much of an SQL Server as the published scripts ask for: its wire protocol, with SQLite behind.

[MS-TDS] says what is on the wire (sections 2.2.3 to 2.2.7, and 2.2.6.5 for TLS within it). Whoever signs in is let in.
"""

import asyncio
import re
import sqlite3
import ssl
import struct
from typing import Any

_PRELOGIN, _LOGIN, _BATCH, _RPC, _ANSWER = 0x12, 0x10, 0x01, 0x03, 0x04
_COLLATION = b"\x09\x04\xd0\x00\x34"
_TDS_7_2 = b"\x72\x09\x00\x02"
_COUNTED = 0x10


class FakeSqlServer:
    """A server with the tables that `schema` makes; `dbo` is a schema as there."""

    def __init__(self, schema: str, *, tls: ssl.SSLContext | None = None) -> None:
        self.database = sqlite3.connect(":memory:", isolation_level=None)
        self.database.execute("attach ':memory:' as dbo")
        self.database.create_function("getdate", 0, lambda: "2026-01-01")
        self.database.create_function("newid", 0, lambda: "6F9619FF-8B86-D011-B42D-00C04FC964FF")
        self.database.executescript(schema)
        self._tls = tls
        self.encrypted = 0
        """How many connections were."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        wire = _Wire(reader, writer)
        try:
            while True:
                kind, message = await wire.message()
                if kind != _PRELOGIN:
                    await wire.answer(self._answer(kind, message))
                    continue
                wanted = self._tls is not None and _wants_encryption(message)
                # VERSION and ENCRYPTION: on, or not supported.
                await wire.answer(
                    bytes.fromhex("00 000b 0006 01 0011 0001 ff 0a000000 0000") + bytes([1 if wanted else 2])
                )
                if self._tls is not None and wanted:
                    await wire.encrypt(self._tls)
                    self.encrypted += 1
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    def _answer(self, kind: int, message: bytes) -> bytes:
        if kind == _LOGIN:
            name = "Fake".encode("utf-16-le")
            ack = b"\x01" + _TDS_7_2 + bytes([4]) + name + b"\x0a\x00\x00\x00"
            return b"\xad" + struct.pack("<H", len(ack)) + ack + _done(0xFD)
        if kind == _RPC:
            return self._executed(*_procedure(message))
        return _done(0xFD)

    def _executed(self, statement: str, given: dict[str, str | None]) -> bytes:
        statement = re.sub(r"OUTPUT Inserted\.(\w+) (.*)", r"\2 RETURNING \1", statement)
        try:
            rows: list[tuple[Any, ...]] = []
            columns: list[str] = []
            count = 0
            for each in statement.split(";"):
                cursor = self.database.execute(each, given)
                columns = [column[0] for column in cursor.description or ()]
                rows = cursor.fetchall()
                count += len(rows) if columns else cursor.rowcount
        except sqlite3.Error as error:
            return _error(str(error)) + _done(0xFE, status=0x02)
        shown = _metadata(columns) + b"".join(_row(row) for row in rows) if columns else b""
        return shown + b"\x79\x00\x00\x00\x00" + _done(0xFE, status=_COUNTED, rows=count)


class _Wire:
    """Messages in packets. The handshake of TLS goes in packets as well, and what comes after is all encrypted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._coming, self._going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._plain = b""

    async def message(self) -> tuple[int, bytes]:
        """The kind and the content of the next."""
        content = b""
        while True:
            kind, status, length, _, _, _ = struct.unpack(">BBHHBB", await self._read(8))
            content += await self._read(length - 8)
            if status & 1:
                return kind, content

    async def answer(self, content: bytes, kind: int = _ANSWER) -> None:
        """Send a message."""
        parts = [content[at : at + 4000] for at in range(0, len(content), 4000)]
        packets = b"".join(
            struct.pack(">BBHHBB", kind, number == len(parts), len(part) + 8, 0, number % 256, 0) + part
            for number, part in enumerate(parts, 1)
        )
        if self._tls is not None:
            self._tls.write(packets)
            packets = self._going.read()
        self._writer.write(packets)
        await self._writer.drain()

    async def encrypt(self, context: ssl.SSLContext) -> None:
        """Shake hands."""
        tls = context.wrap_bio(self._coming, self._going, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                if said := self._going.read():
                    await self.answer(said, _PRELOGIN)
                self._coming.write((await self.message())[1])
        await self.answer(self._going.read(), _PRELOGIN)
        self._tls = tls

    async def _read(self, length: int) -> bytes:
        if self._tls is None:
            return await self._reader.readexactly(length)
        while len(self._plain) < length:
            try:
                self._plain += self._tls.read(65_536)
            except ssl.SSLWantReadError:
                data = await self._reader.read(65_536)
                if not data:
                    raise EOFError from None
                self._coming.write(data)
        content, self._plain = self._plain[:length], self._plain[length:]
        return content


def _wants_encryption(message: bytes) -> bool:
    at = 0
    while message[at] != 0xFF:
        option, start, _ = struct.unpack_from(">BHH", message, at)
        if option == 1:
            return message[start] in {1, 3}
        at += 5
    return False


def _procedure(message: bytes) -> tuple[str, dict[str, str | None]]:
    """The statement and the parameters of a call of sp_executesql."""
    at = struct.unpack_from("<I", message)[0]  # headers
    (length,) = struct.unpack_from("<H", message, at)
    at += (4 if length == 0xFFFF else 2 + 2 * length) + 2  # the procedure by its number or name, and options
    values: list[tuple[str, str | None]] = []
    while at < len(message):
        length = message[at]
        name = message[at + 1 : at + 1 + 2 * length].decode("utf-16-le").lstrip("@")
        at += 2 + 2 * length
        kind = message[at]
        assert kind in {0xE7, 0xA7}, f"a parameter has the type {kind:#x}"
        value, at = _text(message, at + 8, "utf-16-le" if kind == 0xE7 else "latin-1", message[at + 1 : at + 3])
        values.append((name, value))
    return str(values[0][1]), dict(values[2:])


def _text(message: bytes, at: int, encoding: str, largest: bytes) -> tuple[str | None, int]:
    if largest != b"\xff\xff":
        (length,) = struct.unpack_from("<H", message, at)
        if length == 0xFFFF:
            return None, at + 2
        return message[at + 2 : at + 2 + length].decode(encoding), at + 2 + length
    # A value of any length comes in parts.
    at, content = at + 8, b""
    while length := struct.unpack_from("<I", message, at)[0]:
        content += message[at + 4 : at + 4 + length]
        at += 4 + length
    return content.decode(encoding), at + 4


def _metadata(columns: list[str]) -> bytes:
    told = [
        struct.pack("<IHBH", 0, 1, 0xE7, 8000) + _COLLATION + bytes([len(name)]) + name.encode("utf-16-le")
        for name in columns
    ]
    return b"\x81" + struct.pack("<H", len(columns)) + b"".join(told)


def _row(row: tuple[Any, ...]) -> bytes:
    content = b"\xd1"
    for value in row:
        text = None if value is None else str(value).encode("utf-16-le")
        content += b"\xff\xff" if text is None else struct.pack("<H", len(text)) + text
    return content


def _error(message: str) -> bytes:
    text = message.encode("utf-16-le")
    body = struct.pack("<iBBH", 102, 1, 15, len(message)) + text + b"\x00\x00" + struct.pack("<I", 1)
    return b"\xaa" + struct.pack("<H", len(body)) + body


def _done(token: int, *, status: int = 0, rows: int = 0) -> bytes:
    return struct.pack("<BHHQ", token, status, 0, rows)
