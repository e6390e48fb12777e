"""Runs the freehold command in a process of its own and says what it took."""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from tests.support.programs import ROOT
from tests.support.server import SOURCE


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
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"freehold {' '.join(arguments)}: {output.read().decode()[-2000:]}")
    return Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
