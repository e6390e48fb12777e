"""Programs that read what strangers sent: a child process with little memory, little time and no network.

The child gets its input through a pipe and answers through another, so that nothing of it stands in an argument list.
`confined_child.py`, or a shell for another program, sets the bounds before anything else is loaded.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from freehold.kernel.errors import Unavailable
from freehold.kernel.jobs.child import talk

_CHILD = Path(__file__).with_name("confined_child.py")
_BOUNDED = 'ulimit -c 0 && ulimit -v "$1" && ulimit -t "$2" && ulimit -f "$3" && ulimit -n 64 && shift 3 && exec "$@"'
_MOST_OUTPUT = 8 << 20
_WALL_PER_CPU = 6


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a child may use. Its wall clock is generous, because the machine may be busy; its CPU time is not."""

    memory_bytes: int = 1 << 30
    cpu_s: int = 10
    file_bytes: int = 0


class TooCostly(Unavailable):
    """The child reached one of its bounds, or ended without an answer: what it was given is not read here."""

    code = "evidence_too_costly"


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended."""

    status: int
    output: bytes
    errors: bytes


async def ask_worker(worker: Path, request: Mapping[str, Any], *, bounds: Bounds = Bounds()) -> dict[str, Any]:
    """What the worker, a Python file that needs nothing of this package, answers to a request. Raises TooCostly."""
    limits = f"{bounds.memory_bytes},{bounds.cpu_s},{bounds.file_bytes}"
    # -P, because what lies beside a worker is not to be imported.
    command = [sys.executable, "-P", str(_CHILD), limits, str(worker)]
    ended = await _run(command, json.dumps(request).encode(), bounds, env=None)
    try:
        answer = json.loads(ended.output)
    except ValueError:
        raise TooCostly("this could not be read within the limits of time and memory") from None
    if not isinstance(answer, dict):
        raise TooCostly("this could not be read")
    return answer


async def run_program(
    command: Sequence[str], stdin: bytes, *, bounds: Bounds, env: Mapping[str, str] | None = None
) -> Ended:
    """Run another program, such as gpg, within bounds. Raises TooCostly when it does not end in time."""
    # The shell's own bounds, which are the kernel's too: it is there a good deal sooner than an interpreter.
    limits = (str(bounds.memory_bytes >> 10), str(bounds.cpu_s), str(bounds.file_bytes >> 9))
    return await _run(["/bin/sh", "-c", _BOUNDED, "sh", *limits, *command], stdin, bounds, env=env)


async def _run(command: Sequence[str], stdin: bytes, bounds: Bounds, *, env: Mapping[str, str] | None) -> Ended:
    # Nothing in the arguments comes from a user.
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(os.environ if env is None else env),  # uvloop takes nothing else for it
        start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(bounds.cpu_s * _WALL_PER_CPU):
            output, errors = await talk(process, stdin)
    except TimeoutError:
        raise TooCostly("this could not be read within the limits of time") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if len(output) > _MOST_OUTPUT:
        raise TooCostly("this could not be read within the limits of memory")
    return Ended(status=process.returncode or 0, output=output, errors=errors)
