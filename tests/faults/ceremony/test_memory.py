"""What the processes hold in memory stays there when they crash: the server, its children, and theirs."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from freehold.kernel.jobs import run_in_child
from tests.faults.ceremony.live import wait_for
from tests.support.ceremonies import armored
from tests.support.server import SOURCE, start_server

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


def largest_core(pid: int | str) -> str:
    """How large a core dump of the process may be, at most, whatever it asks for."""
    (line,) = (line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max core"))
    return line.split()[-2]


def own_limits(_: bytes) -> bytes:
    """In a child: its limit, and whether others of this user may look into it."""
    pr_get_dumpable = 3
    return f"{largest_core('self')} {ctypes.CDLL(None).prctl(pr_get_dumpable)}".encode()


@linux_only
def test_a_server_leaves_no_core_dump(tmp_path: Path) -> None:
    with start_server(tmp_path / "data", "--workers", "2") as live:
        parent = live.process.pid
        workers = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        assert len(workers) == 2
        assert {largest_core(pid) for pid in (str(parent), *workers)} == {"0"}


@linux_only
async def test_a_child_leaves_no_core_dump_and_lets_nobody_look() -> None:
    assert await run_in_child(own_limits, b"") == b"0 0"


@linux_only
def test_the_process_that_encrypts_leaves_no_core_dump(tmp_path: Path) -> None:
    """It is met while it waits for what is to be encrypted."""
    reading, writing = os.pipe()
    request = {"operation": "encrypt", "recipients": [armored("ada@example.com")], "target": str(tmp_path / "out")}
    process = subprocess.Popen(
        [sys.executable, "-P", str(SOURCE / "freehold/kernel/crypto/openpgp_worker.py"), str(reading)],
        pass_fds=[reading], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.write(writing, json.dumps(request).encode())
    os.close(writing)
    os.close(reading)
    try:
        wait_for(lambda: largest_core(process.pid) == "0" or process.poll() is not None)
        assert largest_core(process.pid) == "0"
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=60) == 0
