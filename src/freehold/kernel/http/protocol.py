"""uvicorn's HTTP/1.1 connection with the limits it leaves open, and a shorter way out for the usual answer.

A head over the limit is refused while it arrives, so it never fills the memory. One timer for each connection cuts off
clients that stop in the middle of a request, and later those that keep a connection open without using it.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES = 65_536
MAX_URL_BYTES = 16_384
MAX_HEADER_COUNT = 100

# Between two checks a request under way must have become complete or sent this many bytes.
CHECK_S = 20.0
STALL_MIN_BYTES = 4_096
# A connection without a request is closed at this check.
IDLE_CHECKS = 4


_ASGI = {"version": "3.0", "spec_version": "2.3"}

GOODBYE_S = 0.3
"""How long a client has to end its side of a connection when the server stops."""


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
        self._idle_checks = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._check = self.loop.call_later(CHECK_S, self._check_progress)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._check is not None:
            self._check.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops. A TLS client that waits for nothing does not read our goodbye: it is not waited for."""
        super().shutdown()
        if self.transport.is_closing():
            self.loop.call_later(GOODBYE_S, self._part)

    def _part(self) -> None:
        """Drop a connection that was closed, once everything that was to be said is on its way."""
        if self.transport.get_write_buffer_size():
            self.loop.call_later(GOODBYE_S, self._part)
        else:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
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
        """Start the request; uvicorn's own version also decodes the path, which the edge does for itself."""
        parser = self.parser
        url = self.url
        if b"#" in url:
            raise ValueError("a request target has no fragment (RFC 9112 section 3.2)")
        if url[:1] == b"/":
            raw_path, _, query = url.partition(b"?")
        else:
            parts = httptools.parse_url(url)
            raw_path, query = parts.path or b"/", parts.query or b""
        http_version = parser.get_http_version()
        scope: Any = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": http_version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": parser.get_method().decode("ascii"),
            "root_path": "",
            "path": raw_path.decode("ascii"),
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
        }
        self.scope = scope
        before = self.cycle
        self.cycle = DirectCycle(
            scope,
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            False,
            self.server_state.default_headers,
            asyncio.Event(),
            self.expect_100_continue,
            http_version != "1.0" and parser.should_keep_alive(),
            self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_message_complete(self) -> None:
        self._phase += 1
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

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
        """Runs every CHECK_S: closes what stopped in the middle of a request, and what has been idle for long."""
        if self._phase != self._phase_at_check:
            self._idle_checks = 0
        elif self._phase % 2:
            if self._received - self._received_at_check < STALL_MIN_BYTES and not self.flow.read_paused:
                self.transport.close()
                return
        elif self.cycle.response_complete:
            self._idle_checks += 1
            if self._idle_checks >= IDLE_CHECKS:
                self.transport.close()
                return
        self._phase_at_check = self._phase
        self._received_at_check = self._received
        self._check = self.loop.call_later(CHECK_S, self._check_progress)


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
