"""The pipes between the processes that make an export."""

import fcntl
import queue
import threading
from contextlib import suppress
from typing import IO, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
PIPE_BYTES = 1 << 20
_SMALL_BYTES = 1 << 18
_WAITING_BYTES = 16 << 20
"""About one part of the largest file: it comes at once, and OpenPGP takes it while the next is made."""


def widen(pipe: int) -> None:
    """Fewer changes between processes; a system that does not allow it goes on with what it has."""
    with suppress(AttributeError, OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


class Feeder:
    """Writes into a pipe from a thread, so that the next part is made while OpenPGP takes this one."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._waiting: queue.Queue[Buffer | None] = queue.Queue()
        self._changed = threading.Condition()
        self._waiting_bytes = 0
        self._error: OSError | None = None
        self._small = bytearray()
        self._thread = threading.Thread(target=self._write_all, daemon=True)

    def __enter__(self) -> "Feeder":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
        self._waiting.put(None)
        self._thread.join()
        with suppress(BrokenPipeError):
            self._pipe.close()
        if self._error is not None and kind is None:
            raise self._error

    def write(self, content: Buffer) -> None:
        """Put something on its way; small pieces go together. Raises OSError once nobody reads any more."""
        if len(content) < _SMALL_BYTES:
            self._small += content
            if len(self._small) < _SMALL_BYTES:
                return
            self._flush()
            return
        self._flush()
        self._put(content)

    def _flush(self) -> None:
        if self._small:
            self._put(self._small)
            self._small = bytearray()

    def _put(self, content: Buffer) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting_bytes < _WAITING_BYTES or self._error is not None)
            if self._error is not None:
                raise self._error
            self._waiting_bytes += len(content)
        self._waiting.put(content)

    def _write_all(self) -> None:
        while (content := self._waiting.get()) is not None:
            try:
                if self._error is None:
                    self._pipe.write(content)
                    self._pipe.flush()
            except OSError as error:
                self._error = error
            with self._changed:
                self._waiting_bytes -= len(content)
                self._changed.notify_all()
