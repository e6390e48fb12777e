"""The last process on an export's way: OpenPGP ciphertext comes in, and a file sealed with the artefact's own key comes
out, which is then read again from the disk and held against what was wanted.

A process of its own, because it works while the others do. It never sees plaintext; the key comes through a pipe. While
it lives it holds a lock on the file, by which an abandoned one is told from one that is being written.
"""

import ctypes
import fcntl
import json
import os
import signal
import sys
from base64 import b64decode
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from freehold.kernel.crypto.chunks import HEADER_BYTES, SEALED_CHUNK_BYTES, ChunkOpener, ChunkSealer
from freehold.kernel.memory import keep_memory_private
from freehold.surfaces.ceremony.build.packets import BadMessage, MessageReader, check_recipients

READ_BYTES = 1 << 20
_READ_AGAIN_BYTES = 16 * SEALED_CHUNK_BYTES


def main() -> None:
    """Seal standard input as the request on the named file descriptor says; print the answer."""
    with os.fdopen(int(sys.argv[1]), "rb") as pipe:
        request = json.load(pipe)
    keep_memory_private()
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
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
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        _write_all(descriptor, key, context)
        os.fsync(descriptor)
        with suppress(AttributeError, OSError):  # so that the next reading comes from the disk
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return _read_again(file.fileno(), key, context, request["approved"])


def _write_all(descriptor: int, key: bytes, context: str) -> None:
    def write(content: bytes) -> None:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]

    sealer = ChunkSealer(key, write, context=context)
    while piece := os.read(0, READ_BYTES):
        sealer.write(piece)
    sealer.finish()


def _read_again(descriptor: int, key: bytes, context: str, approved: list[str]) -> dict[str, Any]:
    """Digest and recipients of what is on the disk. Raises BadMessage for anything but what was approved."""
    size = os.fstat(descriptor).st_size
    opener = ChunkOpener(key, os.pread(descriptor, HEADER_BYTES, 0), size, context=context)
    digest, reader, at = sha256(), MessageReader(), HEADER_BYTES
    while at < size:
        sealed = os.pread(descriptor, _READ_AGAIN_BYTES, at)
        for chunk in opener.open_run(at, sealed):
            digest.update(chunk)
            reader.feed(chunk)
        at += len(sealed)
    message = reader.finish()
    check_recipients(message, approved)
    return {
        "size": opener.plain_bytes,
        "sealed_size": size,
        "sha256": digest.hexdigest(),
        "recipients": list(message.recipients),
        "version": message.version,
    }


if __name__ == "__main__":
    main()
