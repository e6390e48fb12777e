"""The network of custom code: streams on descriptor 4, each to an address that was checked just before.

A worker cannot make a socket. It names host and port; the broker asks the guard of outgoing calls, connects to exactly
the address that was checked, and passes bytes on, so that TLS and a database's protocol stay between the worker and the
other side. Each direction of a stream may have a window of bytes on its way and no more, and all of a call together has
an end. Where it went, or would have gone, is noted.
"""

import asyncio
import json
import struct
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Protocol, cast

import msgspec

from freehold.domain.extensions.sandbox.lookups import Lookups
from freehold.domain.extensions.sandbox.visits import HOST, Attempt, Visits
from freehold.kernel.log import get_logger
from freehold.kernel.outbound import Outbound, OutboundError, Resolver

OPEN, OPENED, DATA, END, CLOSED, CREDIT, RESOLVE, RESOLVED = 1, 2, 3, 4, 5, 6, 7, 8
WINDOW = 256 * 1024
CHUNK = 64 * 1024
CONNECT_S = 10.0
# Of one call, and of what it leaves behind: connections and names, messages, and bytes in both directions.
MAX_ATTEMPTS = 1_000
MAX_MESSAGES = 200_000
MAX_BYTES = 256 << 20
_HEAD = struct.Struct(">BII")
log = get_logger("sandbox")


class NetworkPolicy:
    """Which hosts a tenant's code may reach.

    `allow` holds entries `host:port` for every tenant and `tenant@host:port` for one. They may be private addresses.
    What is public may be reached besides, unless `scope` is `listed`.
    """

    def __init__(
        self,
        allow: Sequence[str] = (),
        *,
        scope: Literal["public", "listed"] = "public",
        resolver: Resolver | None = None,
    ) -> None:
        self._scope = scope
        self._resolver = resolver
        self._lookups = Lookups()
        self._common: list[str] = []
        self._own: dict[str, list[str]] = {}
        for entry in allow:
            tenant, at, address = entry.rpartition("@")
            (self._own.setdefault(tenant, []) if at else self._common).append(address.lower())

    def of(self, tenant: str) -> "Guard":
        """The guard of the connections of one process of a tenant."""
        allowed = [*self._common, *self._own.get(tenant, ())]
        resolver = self._resolver or self._lookups.of_one_process()
        return Guard(Outbound(allow=allowed, resolver=resolver), allowed, self._scope)


class Guard(msgspec.Struct, frozen=True):
    """Decides about the connections of one process."""

    outbound: Outbound
    allowed: Sequence[str]
    scope: Literal["public", "listed"]

    async def addresses(self, host: str, port: int) -> list[str]:
        """Addresses that may be connected to. Raises OutboundError."""
        if not HOST.fullmatch(host):
            raise OutboundError("resolution", "this is not the name of a host")
        name = f"[{host}]" if ":" in host else host
        if self.scope == "listed" and f"{name.lower().rstrip('.')}:{port}" not in self.allowed:
            raise OutboundError("refused", "the host is not on the operator's list")
        return await self.outbound.resolve(host, port)

    async def lookup(self, host: str) -> list[str]:
        """What a name resolves to, when something behind it may be reached. Raises OutboundError."""
        ports = [int(entry.rpartition(":")[2]) for entry in self.allowed if entry.rpartition(":")[0] == host.lower()]
        failure = OutboundError("refused", "the host is not on the operator's list")
        for port in [*ports, 443] if self.scope == "public" else ports:
            try:
                return await self.addresses(host, port)
            except OutboundError as error:
                failure = error
        raise failure


class _Wanted(msgspec.Struct):
    host: str
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0


class _Peer(Protocol):
    """What a broker needs of its worker."""

    def misbehaved(self, reason: str) -> None: ...

    def used_up_its_network(self) -> None: ...


class Broker(asyncio.Protocol):
    """The streams of one worker; nothing is connected before the worker has a tenant."""

    def __init__(self, worker: _Peer, *, streams: int) -> None:
        self.guard: Guard | None = None
        self.label: Mapping[str, Any] = {}
        self._worker = worker
        self._limit = streams
        self._streams: dict[int, _Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._buffer = bytearray()
        self._transport: asyncio.WriteTransport | None = None
        self._over = False
        self.visits = Visits()
        self._attempts = self._messages = self._bytes = 0

    def begin(self, visits: Visits) -> None:
        """A call begins: what happens from now on is noted there, and counted anew."""
        self.visits = visits
        self._attempts = self._messages = self._bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.close()

    @property
    def open_streams(self) -> int:
        """How many connections the worker has."""
        return len(self._streams)

    def close(self) -> None:
        """End every connection."""
        self._over = True
        for stream in list(self._streams.values()):
            stream.abort()
        self._streams.clear()
        for task in self._tasks:
            task.cancel()
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _HEAD.size and not self._over:
            kind, number, length = _HEAD.unpack_from(buffer, at)
            if length > CHUNK:
                self._worker.misbehaved("a network message is too large")
                return
            if len(buffer) - at - _HEAD.size < length:
                break
            start = at + _HEAD.size
            self._messages += 1
            self.count(length)
            if self._over:
                return
            self._heard(kind, number, bytes(buffer[start : start + length]))
            at = start + length
        if at:
            del buffer[:at]

    def count(self, length: int) -> None:
        """So many bytes pass, in one direction or the other."""
        self._bytes += length
        if self._bytes > MAX_BYTES or self._messages > MAX_MESSAGES or self._attempts > MAX_ATTEMPTS:
            self._worker.used_up_its_network()

    def say(self, kind: int, number: int, content: bytes = b"") -> None:
        """Send a message to the worker."""
        if self._transport is not None and not self._over:
            if self._transport.get_write_buffer_size() > (self._limit + 4) * WINDOW:
                self._worker.misbehaved("it does not read what it asked for")
                return
            self._transport.write(_HEAD.pack(kind, number, len(content)) + content)

    def forget(self, number: int) -> None:
        """A stream is over."""
        self._streams.pop(number, None)

    def misbehaved(self, reason: str) -> None:
        """The worker broke the rules."""
        self._worker.misbehaved(reason)

    def _heard(self, kind: int, number: int, content: bytes) -> None:
        stream = self._streams.get(number)
        self._attempts += kind in {OPEN, RESOLVE}
        if kind == OPEN:
            wanted = self._wanted(content)
            if stream is not None or wanted is None:
                self._worker.misbehaved("a stream was opened wrongly")
            elif len(self._streams) >= self._limit:
                self.visits.end(self.visits.begin(wanted.host, wanted.port), "refused", "too many connections at once")
                self.say(CLOSED, number, _json({"code": "EMFILE"}))
            else:
                self._streams[number] = stream = _Stream(self, number)
                self._start(self._connect(stream, wanted))
        elif kind == RESOLVE:
            wanted = self._wanted(content)
            if wanted is None or len(self._tasks) > 4 * self._limit:
                self._worker.misbehaved("a name was asked for wrongly")
            else:
                self._start(self._resolve(number, wanted.host))
        elif stream is None:
            if kind not in {DATA, END, CLOSED, CREDIT}:  # of a stream that we closed meanwhile
                self._worker.misbehaved("an unknown network message")
        elif kind == DATA:
            stream.send(content)
        elif kind == END:
            stream.end()
        elif kind == CREDIT and len(content) == 4:
            stream.credited(int.from_bytes(content, "big"))
        elif kind == CLOSED:
            self.forget(number)
            stream.abort()
        else:
            self._worker.misbehaved("an unknown network message")

    @staticmethod
    def _wanted(content: bytes) -> _Wanted | None:
        try:
            return msgspec.json.decode(content, type=_Wanted)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, stream: "_Stream", wanted: _Wanted) -> None:
        assert self.guard is not None
        visits = self.visits
        attempt = visits.begin(wanted.host, wanted.port)
        try:
            async with asyncio.timeout(CONNECT_S):
                address = await self._first(stream, await self.guard.addresses(wanted.host, wanted.port), wanted.port)
        except (OutboundError, OSError, TimeoutError, UnicodeError) as error:
            self.forget(stream.number)
            self._note_failure(visits, attempt, error)
            self.say(CLOSED, stream.number, _json({"code": _code_of(error)}))
            return
        visits.end(attempt, "connected")
        if self._streams.get(stream.number) is stream:
            self.say(OPENED, stream.number, _json({"address": address}))
            stream.opened()
        else:
            stream.abort()

    @staticmethod
    async def _first(stream: "_Stream", addresses: list[str], port: int) -> str:
        failure: OSError = ConnectionRefusedError()
        for address in addresses:
            try:
                ip_address(address.partition("%")[0])  # what was checked is a number, so no name is resolved again
                await asyncio.get_running_loop().create_connection(lambda: stream, address, port)
            except OSError as error:
                failure = error
            except ValueError:
                continue
            else:
                return address
        raise failure

    def _note_failure(self, visits: Visits, attempt: Attempt, error: Exception) -> None:
        refused = isinstance(error, OutboundError) and error.reason == "refused"
        reason = error.detail if isinstance(error, OutboundError) else _code_of(error)
        # Once for each destination of a call: whoever tries the same a thousand times must not fill the log.
        if visits.end(attempt, "refused" if refused else "failed", reason) and refused:
            log.warning("sandbox_connection_refused", host=attempt.host, port=attempt.port, reason=reason, **self.label)

    async def _resolve(self, number: int, host: str) -> None:
        assert self.guard is not None
        visits = self.visits
        attempt = visits.begin(host, 0)
        try:
            async with asyncio.timeout(CONNECT_S):
                addresses = await self.guard.lookup(host)
        except (OutboundError, OSError, TimeoutError, UnicodeError) as error:
            self._note_failure(visits, attempt, error)
            self.say(RESOLVED, number, _json({"code": "ENOTFOUND"}))
            return
        visits.end(attempt, "resolved")
        self.say(RESOLVED, number, _json({"addresses": addresses}))


class _Stream(asyncio.Protocol):
    """One connection: what the other side says goes to the worker, as far as the worker gave credit."""

    def __init__(self, broker: Broker, number: int) -> None:
        self.number = number
        self._broker = broker
        self._transport: asyncio.Transport | None = None
        self._credit = WINDOW
        self._kept = bytearray()
        self._owed = 0
        self._open = False
        self._ended = False
        self._over = False
        self._paused = False
        self._peer_ended = False
        self._told_end = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._over:
            self._transport.abort()
        else:
            self._transport.set_write_buffer_limits(high=WINDOW)
            self._transport.pause_reading()
            self._paused = True

    def opened(self) -> None:
        """The worker was told; now bytes flow."""
        self._open = True
        self._flow()

    def data_received(self, data: bytes) -> None:
        self._kept += data
        self._broker.count(len(data))
        self._flow()

    def eof_received(self) -> bool:
        self._peer_ended = True
        self._flow()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._over:
            self._peer_ended = exc is None
            self._flow()
            if exc is not None:
                self._finish(exc)

    def pause_writing(self) -> None:
        """The other side is slow; the worker gets no more credit."""

    def resume_writing(self) -> None:
        self._pay()

    def send(self, content: bytes) -> None:
        """Bytes of the worker, for the other side."""
        self._owed += len(content)
        if self._transport is None or self._owed > 2 * WINDOW:
            self._broker.misbehaved("more was sent than there was credit for")
            return
        if self._ended:
            self._broker.misbehaved("more was sent after the end")
            return
        if self._transport.is_closing():
            return
        self._transport.write(content)
        self._pay()

    def end(self) -> None:
        """The worker has no more to say."""
        self._ended = True
        if self._transport is not None and not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()
        self._flow()

    def credited(self, credit: int) -> None:
        """The worker has read so much."""
        self._credit += credit
        if self._credit > 2 * WINDOW:
            self._broker.misbehaved("more credit was given than was used")
            return
        self._flow()

    def abort(self) -> None:
        """Hang up."""
        self._over = True
        if self._transport is not None:
            self._transport.abort()

    def _pay(self) -> None:
        if self._transport is not None and self._owed and self._transport.get_write_buffer_size() < WINDOW // 2:
            self._broker.say(CREDIT, self.number, self._owed.to_bytes(4, "big"))
            self._owed = 0

    def _flow(self) -> None:
        if not self._open or self._over:
            return
        while self._kept and self._credit > 0:
            part = bytes(self._kept[: min(self._credit, CHUNK)])
            del self._kept[: len(part)]
            self._credit -= len(part)
            self._broker.say(DATA, self.number, part)
        assert self._transport is not None
        if self._peer_ended and not self._kept:
            if not self._told_end:
                self._told_end = True
                self._broker.say(END, self.number)
            if self._transport.is_closing() or self._ended:
                self._finish(None)
        elif bool(self._kept) != self._paused and not self._transport.is_closing():
            self._paused = bool(self._kept)
            (self._transport.pause_reading if self._paused else self._transport.resume_reading)()

    def _finish(self, exc: Exception | None) -> None:
        self._over = True
        self._broker.forget(self.number)
        self._broker.say(CLOSED, self.number, b"" if exc is None else _json({"code": "ECONNRESET"}))
        if self._transport is not None:
            self._transport.close()


def _code_of(error: Exception) -> str:
    if isinstance(error, OutboundError):
        return "ENOTFOUND" if error.reason == "resolution" else "EACCES"
    if isinstance(error, TimeoutError):
        return "ETIMEDOUT"
    return "ECONNREFUSED" if isinstance(error, ConnectionRefusedError) else "EHOSTUNREACH"


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode()
