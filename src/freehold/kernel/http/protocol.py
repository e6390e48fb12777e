"""uvicorn's HTTP/1.1 connection with the limits it leaves open, and a shorter way out for the usual answer.

A head over the limit is refused while it arrives, so it never fills the memory. A client that stops in the middle of a
request is cut off; one that merely keeps a connection open is closed by uvicorn's keep-alive timeout.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES = 65_536
MAX_URL_BYTES = 16_384
MAX_HEADER_COUNT = 100

# Between two checks a request under way must have become complete or sent this many bytes.
STALL_CHECK_S = 20.0
STALL_MIN_BYTES = 4_096


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refusal: tuple[int, str] | None = None
        self._head_bytes = 0
        self._check: asyncio.TimerHandle | None = None
        # Even: between requests; odd: inside one. A connection starts inside, because it came to send a request.
        self._phase = 1
        self._phase_at_check = 1
        self._received = 0
        self._received_at_check = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._check = self.loop.call_later(STALL_CHECK_S, self._check_progress)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._check is not None:
            self._check.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self._phase += 2 if self._phase % 2 else 1

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > MAX_URL_BYTES:
            self._refuse(414, "The request target is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) >= MAX_HEADER_COUNT:
            self._refuse(431, "The request header fields are too large.")
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        # uvicorn offers no place to say which class a cycle has; its task has not started to run yet.
        self.cycle.__class__ = DirectCycle

    def on_message_complete(self) -> None:
        self._phase += 1
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        status, text = self._refusal or (400, "Invalid HTTP request received.")
        body = text.encode("ascii")
        head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()

    def _refuse(self, status: int, text: str) -> None:
        self._refusal = (status, text)
        raise ValueError(text)  # httptools turns it into the error that ends in send_400_response

    def _check_progress(self) -> None:
        in_one_request = self._phase % 2 == 1 and self._phase == self._phase_at_check
        if in_one_request and self._received - self._received_at_check < STALL_MIN_BYTES and not self.flow.read_paused:
            self.transport.close()
            return
        self._phase_at_check = self._phase
        self._received_at_check = self._received
        self._check = self.loop.call_later(STALL_CHECK_S, self._check_progress)


class DirectCycle(RequestResponseCycle):
    """A request and its answer, which leaves in one write when its length is known.

    The edge has checked the headers already (`response.encode_header`); uvicorn would search each of them again.
    Everything unusual (HEAD, streams, closing the connection) goes uvicorn's way.
    """

    _head: bytes | None = None
    _length = 0

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            head = self._usual_head(message)
            if head is None:
                await super().send(message)
                return
            self._head = head
            self.response_started = True
        elif self._head is None:
            await super().send(message)
        else:
            head, self._head = self._head, None
            body: bytes = message.get("body", b"")
            if len(body) != self._length or message.get("more_body"):
                self.chunked_encoding = False
                self.expected_content_length = self._length
                self.transport.write(head)
                await super().send(message)
                return
            self.transport.write(head + body)
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:  # the server began to stop meanwhile
                self.transport.close()
            self.on_response()

    def _usual_head(self, message: Any) -> bytes | None:
        """Status line and headers of an answer with a length on a connection that stays open; None for any other."""
        if message["type"] != "http.response.start" or not self.keep_alive or self.scope["method"] == "HEAD":
            return None
        length: bytes | None = None
        parts = [STATUS_LINE[message["status"]]]
        for name, value in self.default_headers:
            parts += (name, b": ", value, b"\r\n")
        for name, value in message["headers"]:
            parts += (name, b": ", value, b"\r\n")
            if name == b"content-length":
                length = value
            elif name in {b"connection", b"transfer-encoding"}:
                return None
        if length is None:
            return None
        self._length = int(length)
        self.waiting_for_100_continue = False
        parts.append(b"\r\n")
        return b"".join(parts)
