"""Killing a build at any moment, and looking at what is left: for this package's tests and for the long ones."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from freehold.surfaces.ceremony.build.builder import Order, Outcome

FUNCTION = "freehold.surfaces.ceremony.build.builder:run"


class Remains(AssertionError):
    """Something is left that must not be."""


async def start_build(order: Order) -> asyncio.subprocess.Process:
    """The builder's process as a server starts it, with its order sent."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "freehold.kernel.jobs.child", FUNCTION, "0", str(os.getpid()),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(order))
    process.stdin.close()
    return process


async def outcome_of(process: asyncio.subprocess.Process) -> Outcome | None:
    """What the builder answered; None when it was killed."""
    assert process.stdout is not None
    answer = await process.stdout.read()
    await process.wait()
    return None if process.returncode else msgspec.json.decode(answer, type=Outcome)


async def kill_build(order: Order, *, after_s: float) -> Outcome | None:
    """Run a build and kill -9 it after a while, unless it is done by then; its own children end by themselves."""
    process = await start_build(order)
    answering = asyncio.ensure_future(outcome_of(process))
    await asyncio.wait({answering}, timeout=after_s)
    if not answering.done():
        process.send_signal(signal.SIGKILL)
    outcome = await answering
    await no_worker_on(Path(order.target))
    return outcome


async def no_worker_on(target: Path, *, patience_s: float = 20) -> None:
    """Wait until nobody holds the file open any more."""
    for _ in range(int(patience_s / 0.05)):
        if not any(str(target) in name for name in open_files()):
            return
        await asyncio.sleep(0.05)
    raise Remains(f"a process still works on {target.name}")


def open_files() -> Iterator[str]:
    """What processes of this user have open."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for descriptor in (process / "fd").iterdir():
                yield str(descriptor.readlink())
        except OSError:
            continue


def find_in_files(sought: Sequence[bytes], folders: Sequence[Path]) -> list[str]:
    """Files that hold one of these."""
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                content = path.read_bytes() if path.is_file() else b""
            except OSError:
                continue
            if any(text in content for text in sought):
                found.append(str(path))
    return found
