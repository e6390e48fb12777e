"""A small HTTP/1.1 load client: prepared requests over kept-alive connections, and the CPU time of other processes.

It knows just enough of HTTP to find the end of an answer, so that it takes little from the server on the same machine.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

HASHING_S = 0.002
"""A thread beside the first that takes longer than this for each operation does nothing but hash passwords."""


@dataclass
class Answer:
    """One answer: status, headers by lower-case name (the last of each), cookies that were set, body."""

    status: int
    headers: dict[str, str]
    cookies: list[str]
    body: bytes


class Connection:
    """One kept-alive connection."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self.origin = base_url.rstrip("/")
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._authority = parts.netloc
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
        """Send a request and read its answer."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        lines = [f"{method} {path} HTTP/1.1", f"host: {self._authority}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if method == "POST":
            lines.append(f"content-length: {len(body)}")
        self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return await self._read()

    async def _read(self) -> Answer:
        assert self._reader is not None
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers, cookies = {}, []
        for line in head[1:]:
            name, _, value = line.partition(": ")
            name = name.lower()
            headers[name] = value
            if name == "set-cookie":
                cookies.append(value)
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await self._reader.readline()).strip(), 16):
                body += (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readline()
        else:
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(head[0].split(" ")[1]), headers, cookies, body)

    async def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()


Step = Callable[[Connection], Awaitable[None]]


@dataclass
class Measured:
    """CPU seconds of the server for so many operations, and the time each took on the wire."""

    operations: int
    cpu_s: float
    hashing_s: float
    """Of it, in threads that hash passwords."""
    database_s: float
    """CPU seconds of the database server's processes, which are not in `cpu_s`."""
    wall_s: float
    latencies_s: list[float] = field(default_factory=list)

    @property
    def cpu_us(self) -> float:
        """Microseconds of the server's CPU per operation."""
        return self.cpu_s / self.operations * 1e6

    @property
    def database_us(self) -> float:
        """Microseconds of the database's CPU per operation."""
        return self.database_s / self.operations * 1e6

    @property
    def beside_hashing_us(self) -> float:
        """Microseconds of the server's CPU per operation, without the password hash."""
        return (self.cpu_s - self.hashing_s) / self.operations * 1e6

    def percentile_ms(self, part: float) -> float:
        """A percentile of the latencies, in milliseconds."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000


async def measure(
    base_url: str,
    step: Step,
    *,
    pid: int,
    database_pid: int | None = None,
    operations: int,
    connections: int,
) -> Measured:
    """Run the step so often over some connections; once for each connection uncounted first."""
    pool = [Connection(base_url) for _ in range(connections)]
    latencies: list[float] = []
    left = operations

    async def work(connection: Connection) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            began = time.perf_counter()
            await step(connection)
            latencies.append(time.perf_counter() - began)

    try:
        for connection in pool:
            await step(connection)
        server, database = family(pid), family(database_pid) if database_pid else []
        threads, cpu, other, wall = (
            thread_seconds(pid), cpu_seconds(server), cpu_seconds(database), time.perf_counter(),
        )  # fmt: skip
        await asyncio.gather(*(work(connection) for connection in pool))
        spent = {thread: s - threads.get(thread, 0.0) for thread, s in thread_seconds(pid).items()}
        return Measured(
            operations,
            cpu_seconds(server) - cpu,
            sum(s for thread, s in spent.items() if thread != str(pid) and s / operations > HASHING_S),
            cpu_seconds(database) - other,
            time.perf_counter() - wall,
            latencies,
        )
    finally:
        for connection in pool:
            await connection.close()


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        waiting += parents.get(current, [])
    return found


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of the processes so far, to the nanosecond; one that is gone counts nothing."""
    total = 0.0
    for pid in pids:
        with suppress(OSError):
            # The CPU clock of a process, as clock_getcpuclockid(3) makes it; /proc/PID/stat counts only hundredths.
            total += time.clock_gettime((~pid << 3) | 2)
    return total


def cpu_seconds_with_children(pid: int) -> float:
    """CPU time of a process, of all that descend from it, and of those that have ended."""
    ended = 0.0
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ended = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return cpu_seconds(family(pid)) + ended


def thread_seconds(pid: int) -> dict[str, float]:
    """CPU time so far of each thread of a process."""
    found = {}
    for entry in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            found[entry.name] = int((entry / "schedstat").read_text().split()[0]) / 1e9
    return found


def proportional_mib(pids: list[int]) -> float:
    """Proportional set size of the processes, in MiB: shared pages counted once.

    A server lets only root look that closely; for others what is resident counts, shared pages with each process.
    """
    total = 0
    for pid in pids:
        try:
            name, text = "Pss:", Path(f"/proc/{pid}/smaps_rollup").read_text()
        except PermissionError:
            name, text = "VmRSS:", Path(f"/proc/{pid}/status").read_text()
        for line in text.splitlines():
            if line.startswith(name):
                total += int(line.split()[1])
    return total / 1024
