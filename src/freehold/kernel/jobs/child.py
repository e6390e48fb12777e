"""Heavy work in a process of its own: another core, another heap, lower priority, and no claim on the event loop.

The function is named, not pickled; its argument and result are bytes that travel through pipes, so that nothing
secret stands in an argument list. The child ends with its parent.
"""

import asyncio
import contextlib
import ctypes
import importlib
import os
import signal
import sys
from collections.abc import Callable

from freehold.kernel.errors import FreeholdError
from freehold.kernel.memory import keep_memory_private

NICENESS = 10
GRACE_S = 5.0
START = f"import sys; from {__name__} import main; main(*sys.argv[1:])"
"""Not by `-m`: the package imports this module, and Python would warn of it in the log at every start."""


class ChildFailed(FreeholdError):
    """The child process ended without a result; its own output says why."""

    def __init__(self, message: str, *, returncode: int) -> None:
        super().__init__(message)
        self.returncode = returncode


async def run_in_child(function: Callable[[bytes], bytes], argument: bytes, *, niceness: int = NICENESS) -> bytes:
    """What the function, a module's own, answers to the argument when called in a child process.

    A cancelled caller ends the child. Raises ChildFailed.
    """
    name = f"{function.__module__}:{function.__qualname__}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", START, name, str(niceness), str(os.getpid()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        result, _ = await talk(process, argument)
    finally:
        if process.returncode is None:
            await _end(process)
    if process.returncode:
        raise ChildFailed(f"{name} ended with {process.returncode}", returncode=process.returncode)
    return result


async def talk(process: asyncio.subprocess.Process, said: bytes) -> tuple[bytes, bytes]:
    """What a program prints, and prints as errors, when it is told this; it may end before it has read anything."""

    async def tell() -> None:
        assert process.stdin is not None
        # The loop says in its own words that nobody listens any more: uvloop has no class of errors for it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
            process.stdin.write(said)
            await process.stdin.drain()
        with contextlib.suppress(RuntimeError):
            process.stdin.close()

    async def listen(pipe: asyncio.StreamReader | None) -> bytes:
        return b"" if pipe is None else await pipe.read()

    _, output, errors = await asyncio.gather(tell(), listen(process.stdout), listen(process.stderr))
    await process.wait()
    return output, errors


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(GRACE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def main(name: str, niceness: str, parent: str) -> None:
    """The child's side: the argument comes on standard input, the result goes to standard output."""
    _die_with(int(parent))
    keep_memory_private()
    os.nice(int(niceness))
    module, _, function = name.partition(":")
    # The result has the pipe for itself; whatever else is printed goes to the operator.
    result_pipe = os.dup(1)
    os.dup2(2, 1)
    result: bytes = getattr(importlib.import_module(module), function)(sys.stdin.buffer.read())
    with os.fdopen(result_pipe, "wb") as pipe:
        pipe.write(result)


def _die_with(parent: int) -> None:
    """Have Linux end this process when its parent ends; elsewhere the broken pipe does so at the latest."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("the parent process has ended")
