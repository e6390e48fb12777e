"""The last process on an export's way: OpenPGP ciphertext comes in, and a file sealed with the artefact's own key comes
out, which is read again from the disk and held against what was wanted.

A process of its own, because it works while the others do; and the reading follows the writing a little behind, in a
thread, so that hardly anything is left to do when the message ends. It never sees plaintext; the key comes through a
pipe. While it lives it holds a lock on the file, by which an abandoned one is told from one that is being written.
"""

import ctypes
import fcntl
import json
import os
import signal
import sys
from base64 import b64decode
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from freehold.kernel.crypto.chunks import CHUNK_BYTES, HEADER_BYTES, SEALED_CHUNK_BYTES, ChunkOpener, ChunkSealer
from freehold.kernel.memory import keep_memory_private
from freehold.surfaces.ceremony.build.packets import BadMessage, MessageReader, check_recipients

READ_BYTES = 16 * CHUNK_BYTES
FOLLOW_BYTES = 512 * SEALED_CHUNK_BYTES
"""How far the reading stays behind the writing, about 32 MiB: each time that much is made durable."""
_READ_AGAIN_BYTES = 16 * SEALED_CHUNK_BYTES
_NO_END = 1 << 46
"""A size for content whose end is not known yet."""


def main() -> None:
    """Seal standard input as the request on the named file descriptor says; print the answer."""
    with os.fdopen(int(sys.argv[1]), "rb") as pipe:
        request = json.load(pipe)
    keep_memory_private()
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != request["parent"]:
        sys.exit("the builder has ended")  # before the signal was ordered; nobody would remove what is begun now
    try:
        answer = seal(request)
    except BadMessage as error:
        answer = {"reason": "bad_message", "message": error.message}
    except OSError as error:
        answer = {"reason": "not_written", "message": error.strerror or "the file cannot be written"}
    sys.stdout.write(json.dumps(answer))


def seal(request: dict[str, Any]) -> dict[str, Any]:
    """Write the file, make it durable, read it again."""
    key, context, path = b64decode(request["key"]), request["context"], Path(request["target"])
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with os.fdopen(descriptor, "r+b", buffering=0), ThreadPoolExecutor(1) as behind:
        reading = _ReadAgain(descriptor, key, context)
        followed: list[Future[None]] = []

        def wrote(end: int) -> None:
            if end - FOLLOW_BYTES >= len(followed) * FOLLOW_BYTES:
                followed.append(behind.submit(reading.follow, HEADER_BYTES + (len(followed) + 1) * FOLLOW_BYTES))

        _write_all(descriptor, key, context, wrote)
        for future in followed:
            future.result()
        return reading.finish(request["approved"])


def _write_all(descriptor: int, key: bytes, context: str, wrote: Callable[[int], None]) -> None:
    end = 0

    def write(content: memoryview) -> None:
        nonlocal end
        end += len(content)
        while content:
            content = content[os.write(descriptor, content) :]
        wrote(end - HEADER_BYTES)

    sealer = ChunkSealer(key, write, context=context)
    piece = memoryview(bytearray(READ_BYTES))
    filled = -1
    while filled:
        filled = 0
        while filled < READ_BYTES and (size := os.readv(0, [piece[filled:]])):
            filled += size
        sealer.write(piece[:filled])
    sealer.finish()


class _ReadAgain:
    """Takes digest and recipients from what is on the disk. Whatever does not open there ends it with CannotOpen."""

    def __init__(self, descriptor: int, key: bytes, context: str) -> None:
        self._descriptor, self._key, self._context = descriptor, key, context
        self._at = HEADER_BYTES
        self._piece = memoryview(bytearray(_READ_AGAIN_BYTES))
        self._digest, self._reader = sha256(), MessageReader()

    def follow(self, end: int) -> None:
        """Make what is written durable, and read whole chunks up to this place of the file."""
        self._read(self._opener(_NO_END), end)

    def finish(self, approved: list[str]) -> dict[str, Any]:
        """Read the rest. Raises BadMessage for anything but a message to those who were approved."""
        size = os.fstat(self._descriptor).st_size
        opener = self._opener(size)
        self._read(opener, size)
        message = self._reader.finish()
        check_recipients(message, approved)
        return {
            "size": opener.plain_bytes,
            "sealed_size": size,
            "sha256": self._digest.hexdigest(),
            "recipients": list(message.recipients),
            "version": message.version,
        }

    def _opener(self, size: int) -> ChunkOpener:
        head = os.pread(self._descriptor, HEADER_BYTES, 0)
        return ChunkOpener(self._key, head, size, context=self._context)

    def _read(self, opener: ChunkOpener, end: int) -> None:
        os.fsync(self._descriptor)
        with suppress(AttributeError, OSError):  # so that the reading comes from the disk
            os.posix_fadvise(self._descriptor, self._at, end - self._at, os.POSIX_FADV_DONTNEED)
        while self._at < end:
            size = os.preadv(self._descriptor, [self._piece[: end - self._at]], self._at)
            for chunk in opener.open_run(self._at, self._piece[:size]):
                self._digest.update(chunk)
                self._reader.feed(chunk)
            self._at += size


if __name__ == "__main__":
    main()
