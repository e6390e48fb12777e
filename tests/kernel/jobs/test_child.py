"""Work in a process of its own."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from freehold.kernel.jobs import ChildFailed, run_in_child
from freehold.kernel.jobs.child import talk
from tests.kernel.jobs import work
from tests.support.programs import ROOT


@pytest.fixture(autouse=True)
def _children_find_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))


async def test_a_large_argument_and_result_go_through(capfd: pytest.CaptureFixture[str]) -> None:
    argument = os.urandom(3_000_000)

    assert await run_in_child(work.reverse, argument) == argument[::-1]
    assert capfd.readouterr().err == f"{work.SAID}\n", "nothing of Python's own in the log"


async def test_a_child_that_fails_says_so() -> None:
    with pytest.raises(ChildFailed) as failed:
        await run_in_child(work.fail, b"")

    assert failed.value.returncode == 7


async def test_a_cancelled_caller_ends_the_child(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    task = asyncio.create_task(run_in_child(work.stay, str(note).encode()))
    while not (note.exists() and note.read_text()):
        await asyncio.sleep(0.01)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("said", [b"", b"x" * 1_000_000])
def test_a_program_that_ended_before_it_was_told_anything_is_no_error(
    loop: Callable[[], asyncio.AbstractEventLoop], said: bytes
) -> None:
    """A busy machine may come to the writing only when the program, which reads nothing, is long gone."""

    async def tell() -> tuple[bytes, bytes]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print('done')", stdin=pipe, stdout=pipe, stderr=pipe
        )
        await process.wait()
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.sleep(0)
        return await talk(process, said)

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(tell()) == (b"done\n", b"")
