"""Readers of what strangers sent that need not import their libraries first.

With the fixture `prepared_readers` a key or a signed form is read as always, in a process of its own under the same
bounds, but one that is forked from a server that has imported the libraries, which takes most of a reader's time.
Tests of the bounds themselves do without it: they are marked `whole_reader`.
"""

import asyncio
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from freehold.domain.ceremonies.evidence import confined
from freehold.domain.ceremonies.evidence.confined import Bounds, Ended
from tests.support import commands

_alone = confined._run


@pytest.fixture
def prepared_readers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork readers."""
    if request.node.get_closest_marker("whole_reader") is None:
        monkeypatch.setattr(confined, "_run", _run)


async def _run(command: Sequence[str], stdin: bytes, bounds: Bounds, *, env: Mapping[str, str] | None) -> Ended:
    if str(confined._CHILD) not in command:
        return await _alone(command, stdin, bounds, env=env)
    return await asyncio.to_thread(_talk, [*command[command.index(str(confined._CHILD)) :]], stdin)


def _talk(arguments: list[str], stdin: bytes) -> Ended:
    context = commands.prepared()
    theirs_in, ours_in = context.Pipe(duplex=False)
    ours_out, theirs_out = context.Pipe(duplex=False)
    ours_errors, theirs_errors = context.Pipe(duplex=False)
    theirs = (theirs_in, theirs_out, theirs_errors)
    process = context.Process(target=_read, args=(arguments, theirs))
    process.start()
    for end in theirs:
        end.close()
    with ThreadPoolExecutor(3) as threads:
        threads.submit(_write_all, ours_in, stdin)
        output, errors = threads.submit(_read_all, ours_out), threads.submit(_read_all, ours_errors)
        process.join(commands.TIMEOUT_S)
        if process.exitcode is None:
            process.kill()
            process.join()
    return Ended(status=process.exitcode or 0, output=output.result(), errors=errors.result())


def _write_all(end: Connection, content: bytes) -> None:
    with open(os.dup(end.fileno()), "wb") as file:  # noqa: PTH123 - no path
        end.close()
        try:
            file.write(content)
            file.flush()
        except BrokenPipeError:
            return


def _read_all(end: Connection) -> bytes:
    with open(os.dup(end.fileno()), "rb") as file:  # noqa: PTH123 - no path
        end.close()
        return file.read()


def _read(arguments: list[str], ends: Sequence[Connection]) -> None:
    for descriptor, end in enumerate(ends):
        os.dup2(end.fileno(), descriptor)
        end.close()
    commands.use_standard_streams()
    sys.argv = arguments
    runpy.run_path(str(Path(arguments[0])), run_name="__main__")
