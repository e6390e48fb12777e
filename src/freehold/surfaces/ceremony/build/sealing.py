"""The builder's side of `sealing_worker`: start it, give it its key, wait for its answer."""

import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from freehold.kernel.errors import FreeholdError

_WORKER = "freehold.surfaces.ceremony.build.sealing_worker"


class BuildFailed(FreeholdError):
    """The export was not made; `reason` is a word, the message says what is the matter."""

    code = "build_failed"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """The file as it was read again from the disk."""

    size: int
    """Of the OpenPGP message, which is what is delivered."""
    sealed_size: int
    sha256: str
    """Of the OpenPGP message."""
    recipients: list[str]
    version: int


class SealingProcess:
    """A sealing worker that is under way."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def finish(self) -> Sealed:
        """Wait until the file is written and read again. Raises BuildFailed."""
        assert self._process.stdout is not None
        said = self._process.stdout.read()
        self._process.wait()
        try:
            answer: dict[str, Any] = json.loads(said)
        except ValueError:
            raise BuildFailed("worker_died", f"The sealing process ended with {self._process.returncode}.") from None
        if "reason" in answer:
            raise BuildFailed(answer["reason"], f"The export could not be written: {answer['message']}.")
        return msgspec.convert(answer, Sealed)


@contextmanager
def sealing(
    ciphertext: IO[bytes], target: Path, key: bytes, *, context: str, approved: Sequence[str]
) -> Iterator[SealingProcess]:
    """Seal what comes out of a pipe into a new file. When the body raises, the file is gone.

    A broken pipe in the body becomes the reason why it broke. Raises BuildFailed.
    """
    reading, writing = os.pipe()
    request = {
        "key": b64encode(key).decode(), "context": context, "target": str(target), "approved": [*approved],
        "parent": os.getpid(),
    }  # fmt: skip
    try:
        process = subprocess.Popen(  # noqa: S603 - nothing in the arguments comes from a user
            [sys.executable, "-m", _WORKER, str(reading)],
            stdin=ciphertext,
            stdout=subprocess.PIPE,
            pass_fds=(reading,),
        )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    with suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe:
        pipe.write(json.dumps(request).encode())
    worker, done = SealingProcess(process), False
    try:
        try:
            yield worker
        except BrokenPipeError:
            worker.finish()  # its answer may say why nobody reads any more
            raise BuildFailed("interrupted", "The export could not be encrypted.") from None
        done = True
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        if not done:
            target.unlink(missing_ok=True)
