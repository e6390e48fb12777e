"""Killing a build at any moment, and looking at what is left: for this package's tests and for the long ones."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from freehold.kernel.jobs.child import START
from freehold.surfaces.ceremony.build.builder import Order, Outcome, is_being_written

FUNCTION = "freehold.surfaces.ceremony.build.builder:run"
_SEARCH = """
import json, pathlib, sys
asked = json.load(sys.stdin)
sought = [bytes.fromhex(one) for one in asked["sought"]]
for folder in asked["folders"]:
    for path in pathlib.Path(folder).rglob("*"):
        try:
            content = path.read_bytes() if path.is_file() else b""
        except OSError:
            continue
        if any(one in content for one in sought):
            print(path)
"""


class Remains(AssertionError):
    """Something is left that must not be."""


async def start_build(order: Order) -> asyncio.subprocess.Process:
    """The builder's process as a server starts it, with its order sent."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", START, FUNCTION, "0", str(os.getpid()),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
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
    await _ended(process.pid)
    return outcome


async def _ended(session: int, *, patience_s: float = 60) -> None:
    """Wait until all processes of a session are gone, also those that have not opened a file yet."""
    deadline = time.monotonic() + patience_s
    while any(True for _ in _processes_of(session)):
        if time.monotonic() > deadline:
            raise Remains("a process of the build still works")
        await asyncio.sleep(0.05)


def _processes_of(session: int) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, _, of_session, *_ = (process / "stat").read_text().rpartition(")")[2].split()
            if of_session == str(session) and state != "Z":
                yield process.name


async def no_worker_on(folder: Path, *, patience_s: float = 60) -> None:
    """Wait until nobody holds a file in the folder open any more, or the lock of one that is being written."""
    deadline = time.monotonic() + patience_s
    while any(is_being_written(path) for path in folder.glob("*.part")) or any(
        str(folder) in name for name in open_files()
    ):
        if time.monotonic() > deadline:
            raise Remains(f"a process still works in {folder.name}")
        await asyncio.sleep(0.05)


def open_files() -> Iterator[str]:
    """What processes of this user have open."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for descriptor in (process / "fd").iterdir():
                yield str(descriptor.readlink())
        except OSError:
            continue


def find_in_files(sought: Sequence[bytes], folders: Sequence[Path]) -> list[str]:
    """Files that hold one of these, read by another process.

    Closing a database's file here would let go of the locks that SQLite holds for this process; whoever closes the
    database next would then take the log away under it.
    """
    asked = {"sought": [one.hex() for one in sought], "folders": [str(folder) for folder in folders]}
    command = [sys.executable, "-I", "-S", "-c", _SEARCH]
    done = subprocess.run(command, input=msgspec.json.encode(asked), capture_output=True, check=True, timeout=300)
    return done.stdout.decode().splitlines()
