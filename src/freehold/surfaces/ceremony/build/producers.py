"""Processes that make the lines of password hashes for the builder, each a range at a time, all from one view.

They are forked before anything is open, so that they cost next to nothing where they are not needed. A command goes in
through a pipe and what was made comes out through another, in the order of the commands; none of it is ever a file.
"""

import asyncio
import ctypes
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import accumulate, cycle
from typing import Any

import msgspec

from freehold.surfaces.ceremony.build.hashes import Counted, HashReader, Produced
from freehold.surfaces.ceremony.build.pipes import Buffer, widen
from freehold.surfaces.ceremony.build.sealing import BuildFailed

MOST = 3
"""More would only wait for OpenPGP, which works in one thread."""
_SIZE_BYTES = 4

Serve = Callable[[str, Callable[[HashReader], Awaitable[None]]], Awaitable[None]]
"""Opens the view of that name and hands a reader of it on."""


class Producers:
    """The processes, from the builder's side."""

    def __init__(self, serve: Serve, count: int) -> None:
        self._processes: list[_Process] = []
        for _ in range(count):
            self._processes.append(_Process.fork(serve, self._processes))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._processes)

    def __enter__(self) -> "Producers":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.end()

    async def open(self, view: str) -> None:
        """Have every process open the view of this name; none begins before all have."""
        for process in self._processes:
            process.send(view)
        for process in self._processes:
            await asyncio.to_thread(process.receive, bool)

    async def produce(self) -> AsyncIterator[Produced]:
        """The lines of all ranges, in order. Raises BuildFailed.

        A process says where its range ends as soon as it knows, and the next begins there while it still works.
        """
        busy: deque[_Process] = deque()
        turn = cycle(self._processes)
        after: str | None = ""
        while after is not None:
            process = next(turn)
            process.send(after)
            if len(busy) == len(self._processes):
                yield await asyncio.to_thread(busy.popleft().receive_lines)
            busy.append(process)
            after = await asyncio.to_thread(process.receive, str | None)
        while busy:
            yield await asyncio.to_thread(busy.popleft().receive_lines)


def useful_count() -> int:
    """How many processes this machine has a use for; none on a single core."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return 0 if cores == 1 else min(cores, MOST)


class _Process:
    """One process, from the builder's side."""

    def __init__(self, pid: int, commands: int, results: int) -> None:
        self._pid = pid
        self._commands = commands
        self._results = results

    @classmethod
    def fork(cls, serve: Serve, others: list["_Process"]) -> "_Process":
        """Begin one. The calling process must have one thread and nothing open that two may not share."""
        commands, commanding = os.pipe()
        receiving, results = os.pipe()
        widen(results)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            for descriptor in (commanding, receiving, *(one for other in others for one in other.descriptors)):
                os.close(descriptor)
            _serve_and_exit(serve, commands, results, parent)
        os.close(commands)
        os.close(results)
        return cls(pid, commanding, receiving)

    @property
    def descriptors(self) -> tuple[int, int]:
        return self._commands, self._results

    def send(self, message: Any) -> None:
        try:
            _write(self._commands, message)
        except BrokenPipeError:
            raise _ended() from None

    def receive(self, kind: Any) -> Any:
        return _read(self._results, kind)

    def receive_lines(self) -> Produced:
        counted, *sizes = _read(self._results, tuple[Counted, int, int, int])
        content = memoryview(_read_bytes(self._results, sum(sizes)))
        ends = [*accumulate(sizes)]
        return Produced(counted, content[: ends[0]], content[ends[0] : ends[1]], content[ends[1] :])

    def end(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _serve_and_exit(serve: Serve, commands: int, results: int, parent: int) -> None:
    status = 1
    try:
        if sys.platform == "linux":
            pr_set_pdeathsig = 1
            ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() == parent:
            asyncio.run(_answer(serve, commands, results))
        status = 0
    finally:
        # Whatever happened, the builder's code must not go on in a second process.
        if status:
            traceback.print_exc()
        os._exit(status)


async def _answer(serve: Serve, commands: int, results: int) -> None:
    async def work(reader: HashReader) -> None:
        _write(results, True)
        while True:
            values = await reader.fetch(_read(commands, str))
            _write(results, values.end)
            counted, *texts = await reader.produce(values)
            _write(results, (counted, *map(len, texts)))
            for text in texts:
                _write_bytes(results, text)

    await serve(_read(commands, str), work)


def _write(descriptor: int, message: Any) -> None:
    content = msgspec.msgpack.encode(message)
    _write_bytes(descriptor, len(content).to_bytes(_SIZE_BYTES) + content)


def _write_bytes(descriptor: int, content: Buffer) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _read(descriptor: int, kind: Any) -> Any:
    size = int.from_bytes(_read_bytes(descriptor, _SIZE_BYTES))
    return msgspec.msgpack.decode(_read_bytes(descriptor, size), type=kind)


def _read_bytes(descriptor: int, size: int) -> bytearray:
    content = bytearray(size)
    left = memoryview(content)
    while left:
        read = os.readv(descriptor, [left])
        if not read:
            raise _ended()
        left = left[read:]
    return content


def _ended() -> BuildFailed:
    return BuildFailed("worker_died", "A process that reads password hashes has ended.")
