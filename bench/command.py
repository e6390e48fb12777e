"""Runs the freehold command in a process of its own and says what it took."""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.load import family
from tests.support.programs import ROOT
from tests.support.server import SOURCE

SAMPLE_S = 0.02


@dataclass(frozen=True)
class Usage:
    """CPU time of the command with its children, and the largest resident memory of one of them."""

    cpu_s: float
    peak_mib: float


def environment(**more: str) -> dict[str, str]:
    """That of a process that finds the modules of this checkout."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), str(ROOT)]), **more}


def run_command(*arguments: str) -> Usage:
    """Run the freehold command. RuntimeError with what it said when it fails."""
    with tempfile.TemporaryFile() as output:
        command = [sys.executable, "-m", "freehold.cli", *arguments]
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment())
        # ru_maxrss would be of no use: a child begins with what its parent had.
        peak_kib, usage = 0, None
        while usage is None:
            peak_kib = max(peak_kib, *(_high_water_kib(pid) for pid in family(process.pid)))
            pid, status, found = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode, usage = os.waitstatus_to_exitcode(status), found
            else:
                time.sleep(SAMPLE_S)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"freehold {' '.join(arguments)}: {output.read().decode()[-2000:]}")
    return Usage(usage.ru_utime + usage.ru_stime, peak_kib / 1024)


def _high_water_kib(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
