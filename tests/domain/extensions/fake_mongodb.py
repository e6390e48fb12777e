"""As much of a MongoDB server as the published scripts ask for: one collection, by the wire protocol of MongoDB 2.6.

https://www.mongodb.com/docs/manual/legacy-opcodes/ and https://bsonspec.org say what is on the wire. Whoever signs in
is let in, after the exchange of MONGODB-CR.
"""

import asyncio
import itertools
import struct
from collections.abc import Callable
from typing import Any

_HEAD, _QUERY, _REPLY = struct.Struct("<iiii"), 2004, 1


class ObjectId(bytes):
    """The twelve bytes of an id."""


class FakeMongoDB:
    """A server with the documents of `people`."""

    def __init__(self) -> None:
        self.people: list[dict[str, Any]] = []
        self._numbers = itertools.count(1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while True:
                length, number, _, kind = _HEAD.unpack(await reader.readexactly(_HEAD.size))
                message = await reader.readexactly(length - _HEAD.size)
                if kind == _QUERY:
                    documents = [encode(each) for each in self._answer(message)]
                    body = struct.pack("<iqii", 8, 0, 0, len(documents)) + b"".join(documents)
                    writer.write(_HEAD.pack(_HEAD.size + len(body), next(self._numbers), number, _REPLY) + body)
                    await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    def _answer(self, message: bytes) -> list[dict[str, Any]]:
        end = message.index(b"\0", 4)
        place, (asked, _) = message[4:end].decode(), decode(message, end + 9)
        if not place.endswith(".$cmd"):
            return [person for person in self.people if _matches(person, asked.get("$query", asked))]
        command = next(iter(asked))
        handler: Callable[[dict[str, Any]], dict[str, Any]] = getattr(self, f"_{command.lower()}", lambda _: {})
        return [{**handler(asked), "ok": 1.0}]

    def _ismaster(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"ismaster": True, "maxBsonObjectSize": 1 << 24, "maxMessageSizeBytes": 48_000_000,
                "maxWriteBatchSize": 1000, "minWireVersion": 0, "maxWireVersion": 2}  # fmt: skip

    def _getnonce(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"nonce": "2375531c32080ae8"}

    def _insert(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.people += asked["documents"]
        return {"n": len(asked["documents"])}

    def _update(self, asked: dict[str, Any]) -> dict[str, Any]:
        changed = 0
        for update in asked["updates"]:
            for person in [each for each in self.people if _matches(each, update["q"])][:1]:
                person.update(update["u"]["$set"])
                changed += 1
        return {"n": changed, "nModified": changed}

    def _delete(self, asked: dict[str, Any]) -> dict[str, Any]:
        gone = [each for each in self.people if any(_matches(each, one["q"]) for one in asked["deletes"])]
        self.people = [each for each in self.people if each not in gone]
        return {"n": len(gone)}


def _matches(person: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(person.get(name) == value for name, value in wanted.items())


def encode(document: dict[str, Any]) -> bytes:
    """A document as BSON."""
    body = b"".join(_element(name, value) for name, value in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _element(name: str, value: Any) -> bytes:
    kind, content = _encoded(value)
    return bytes([kind]) + name.encode() + b"\0" + content


def _encoded(value: Any) -> tuple[int, bytes]:
    if value is None:
        return 0x0A, b""
    if isinstance(value, bool):
        return 0x08, bytes([value])
    if isinstance(value, int):
        return 0x12, struct.pack("<q", value)
    if isinstance(value, float):
        return 0x01, struct.pack("<d", value)
    if isinstance(value, ObjectId):
        return 0x07, bytes(value)
    if isinstance(value, str):
        text = value.encode() + b"\0"
        return 0x02, struct.pack("<i", len(text)) + text
    if isinstance(value, list):
        return 0x04, encode({str(index): each for index, each in enumerate(value)})
    return 0x03, encode(value)


def decode(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    """A document of BSON, and where it ends."""
    found: dict[str, Any] = {}
    at += 4
    while data[at]:
        kind, end = data[at], data.index(b"\0", at + 1)
        name = data[at + 1 : end].decode()
        found[name], at = _decoded(kind, data, end + 1)
    return found, at + 1


def _decoded(kind: int, data: bytes, at: int) -> tuple[Any, int]:
    if kind in (0x03, 0x04):
        document, end = decode(data, at)
        return (list(document.values()) if kind == 0x04 else document), end
    if kind == 0x02:
        (length,) = struct.unpack_from("<i", data, at)
        return data[at + 4 : at + 3 + length].decode(), at + 4 + length
    if kind == 0x07:
        return ObjectId(data[at : at + 12]), at + 12
    if kind in (0x0A, 0x06):
        return None, at
    if kind == 0x08:
        return bool(data[at]), at + 1
    form = {0x01: "<d", 0x10: "<i", 0x12: "<q", 0x09: "<q", 0x11: "<Q"}[kind]
    return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
