"""Places besides the database that keep the audit log: a file, a syslog server, an HTTPS address.

Lines are JSON objects, one each: entries before their commit, signed heads after it. An entry of which the same number
comes again was not committed the first time.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from freehold.kernel import log
from freehold.kernel.config import Settings
from freehold.kernel.errors import Unavailable
from freehold.kernel.outbound import Outbound, OutboundError

TIMEOUT_S = 5.0
AWAY_S = 30.0
"""So long a place that did not answer in time is not asked again: whoever waits for it holds the database."""
BACKLOG = 10_000
"""Lines kept for a place that does not answer; when there are more, the oldest are given up."""

SYSLOG_PREFIX = b"<110>1 - - freehold - audit - "
"""RFC 5424: facility 13 (log audit), severity informational, the time being in the line itself."""

_log = log.get_logger("audit")


class Sink(Protocol):
    """One place."""

    name: str

    async def write(self, lines: Sequence[bytes]) -> None:
        """Keep the lines. Raises OSError or OutboundError."""
        ...


class FileSink:
    """A file that is only appended to, synchronised to the disk before `write` returns."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self.path = path

    async def write(self, lines: Sequence[bytes]) -> None:
        await asyncio.to_thread(self.append, lines, durable=True)

    def append(self, lines: Sequence[bytes], *, durable: bool) -> None:
        """Append the lines as one write. Raises OSError."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            # A full disk or a crash may have left half a line.
            broken = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            data = (b"\n" if broken else b"") + b"".join(line + b"\n" for line in lines)
            while data:
                data = data[os.write(descriptor, data) :]
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


class SyslogSink:
    """A syslog server over TCP with counted frames (RFC 6587 section 3.4.1)."""

    name = "syslog"

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)

    async def write(self, lines: Sequence[bytes]) -> None:
        _, writer = await asyncio.open_connection(self._host, self._port)
        try:
            for line in lines:
                message = SYSLOG_PREFIX + line
                writer.write(b"%d %b" % (len(message), message))
            await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class HttpsSink:
    """An address that takes lines of JSON by POST and answers 2xx when it keeps them."""

    name = "https"

    def __init__(self, url: str, token: str, *, ca_file: Path | None = None) -> None:
        parts = urlsplit(url)
        # The operator chose the address, so it need not be public.
        self._outbound = Outbound(allow=[f"{parts.hostname}:{parts.port or 443}"], ca_file=ca_file)
        self._url = url
        self._headers = {"content-type": "application/x-ndjson"} | (
            {"authorization": f"Bearer {token}"} if token else {}
        )

    async def write(self, lines: Sequence[bytes]) -> None:
        answer = await self._outbound.post(
            self._url, headers=self._headers, content=b"".join(line + b"\n" for line in lines), timeout_s=TIMEOUT_S
        )
        if not 200 <= answer.status < 300:
            raise OutboundError("refused", f"status {answer.status}")


@dataclass(slots=True)
class Witnesses:
    """All places of an installation. One of them is enough for an entry to count; the others get it later."""

    sinks: Sequence[Sink]
    _behind: dict[str, list[bytes]] = field(default_factory=dict)
    _away_until: dict[str, float] = field(default_factory=dict)

    async def accept(self, lines: Sequence[bytes]) -> None:
        """Keep the lines in at least one place. Raises Unavailable."""
        took = await asyncio.gather(*(self._write(sink, lines) for sink in self.sinks))
        if not any(took):
            raise Unavailable(
                "No place besides the database takes audit entries now, so nothing was done.", code="audit_unavailable"
            )

    def publish(self, line: bytes) -> None:
        """Hand on a line that became true with a commit: to the file at once, to the others with what comes next."""
        for sink in self.sinks:
            if isinstance(sink, FileSink):
                try:
                    sink.append([line], durable=False)
                except OSError as error:
                    _log.warning("audit_sink_failed", sink=sink.name, reason=type(error).__name__)
                    self._keep(sink, [line])
            else:
                self._keep(sink, [line])

    async def _write(self, sink: Sink, lines: Sequence[bytes]) -> bool:
        now = asyncio.get_running_loop().time()
        if now < self._away_until.get(sink.name, 0):
            self._keep(sink, lines)
            return False
        waiting = self._behind.pop(sink.name, [])
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await sink.write([*waiting, *lines])
        except (OSError, TimeoutError, OutboundError) as error:
            _log.error("audit_sink_failed", sink=sink.name, reason=type(error).__name__)
            if isinstance(error, TimeoutError):
                self._away_until[sink.name] = asyncio.get_running_loop().time() + AWAY_S
            self._behind[sink.name] = [*waiting, *self._behind.get(sink.name, ())]
            self._keep(sink, lines)
            return False
        return True

    def _keep(self, sink: Sink, lines: Sequence[bytes]) -> None:
        kept = [*self._behind.get(sink.name, []), *lines]
        if len(kept) > BACKLOG:
            _log.error("audit_lines_given_up", sink=sink.name, count=len(kept) - BACKLOG)
        self._behind[sink.name] = kept[-BACKLOG:]


def witnesses_of(settings: Settings) -> Witnesses:
    """The places that the settings name."""
    sinks: list[Sink] = [FileSink(settings.audit_file or settings.data.audit_file)]
    if settings.audit_syslog:
        sinks.append(SyslogSink(settings.audit_syslog))
    if settings.audit_https_url:
        sinks.append(HttpsSink(settings.audit_https_url, settings.audit_https_token))
    return Witnesses(sinks)
