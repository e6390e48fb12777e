"""Messages on the socket of calls: four bytes of length, then JSON. The other side is believed nothing."""

import asyncio
import struct
from collections.abc import Callable, Iterable
from typing import Annotated, Any, cast

import msgspec

FRAME_BYTES = 4 << 20
# A set of npm modules may be on its way, and some answers.
UNREAD_BYTES = 128 << 20
# Deeper than anybody's profile or event, and far from where a walk through it would end the walker.
DEEPEST = 100
_HEAD = struct.Struct(">I")


class Said(msgspec.Struct, tag_field="t"):
    """Any message of a worker."""


class Ready(Said, tag="ready"):
    """The process can take calls."""

    node: str


class Began(Said, tag="began"):
    """The call runs."""

    id: str


class Late(Said, tag="late"):
    """The call was not begun, because its time to begin was over."""

    id: str


class Log(Said, tag="log"):
    """A line of output."""

    id: str
    level: str
    text: str


class Ask(Said, tag="ask"):
    """The call wants something of the server."""

    id: str
    n: Annotated[int, msgspec.Meta(ge=0, le=1 << 32)]
    name: str
    content: str


class Failure(msgspec.Struct):
    """What was thrown, as the worker describes it."""

    kind: str
    type: str
    message: str
    stack: str = ""
    details: str | None = None


class Done(Said, tag="done"):
    """A function of the call is over; with `more` the next one runs."""

    id: str
    ok: bool
    n: int = 0
    ms: float = 0.0
    more: bool = False
    value: str = ""
    error: Failure | None = None
    spoilt: bool = False


Message = Ready | Began | Late | Log | Ask | Done
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Message)
_encoder = msgspec.json.Encoder()


class TooDeep(ValueError):
    """JSON inside of JSON, without end."""


def decode_foreign(text: str) -> Any:
    """JSON that foreign code wrote. Raises MsgspecError, ValueError, RecursionError or TooDeep."""
    content = msgspec.json.decode(text)
    layer = [content] if text.count("[") + text.count("{") > DEEPEST else []
    for _ in range(DEEPEST):
        if not layer:
            return content
        layer = [inner for outer in layer for inner in _inside(outer)]
    raise TooDeep


def _inside(content: Any) -> Iterable[Any]:
    if isinstance(content, dict):
        return content.values()
    return content if isinstance(content, list) else ()


class FrameTooLarge(ValueError):
    """A message that the other side would not accept."""


def encode(message: dict[str, Any]) -> bytes:
    """A message to a worker with its length. Raises FrameTooLarge."""
    body = _encoder.encode(message)
    if len(body) > FRAME_BYTES:
        raise FrameTooLarge
    return _HEAD.pack(len(body)) + body


class Line(asyncio.Protocol):
    """Reads messages; `broken` is called once, with the reason, when the other side said something it must not."""

    def __init__(
        self,
        said: Callable[[Message], None],
        *,
        broken: Callable[[str], None],
        received: Callable[[int], None],
        lost: Callable[[], None],
    ) -> None:
        self._said = said
        self._broken = broken
        self._received = received
        self._lost = lost
        self._buffer = bytearray()
        self._closed = False
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._lost()

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        self._received(len(data))
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 4:
            (length,) = _HEAD.unpack_from(buffer, at)
            if length > FRAME_BYTES:
                self._give_up("a message is too large")
                return
            if len(buffer) - at - 4 < length:
                break
            try:
                message = _decoder.decode(memoryview(buffer)[at + 4 : at + 4 + length])
            except (msgspec.MsgspecError, ValueError, RecursionError):
                self._give_up("a message is not one of those agreed on")
                return
            at += 4 + length
            self._said(message)
            if self._closed:
                return
        if at:
            del buffer[:at]

    def send(self, frame: bytes) -> None:
        """Put an encoded message on its way."""
        if self._transport is not None and not self._closed:
            if self._transport.get_write_buffer_size() > UNREAD_BYTES:
                self._give_up("it does not read what it is told")
                return
            self._transport.write(frame)

    def close(self) -> None:
        """Say and hear nothing more."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    def _give_up(self, reason: str) -> None:
        self._closed = True
        self._broken(reason)
