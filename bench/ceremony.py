"""The whole ceremony of a small tenant, driven by a script: the demonstration, from an empty folder to the restored
copy, with the key made by GnuPG.
"""

import resource
import time
from collections.abc import Callable
from pathlib import Path

from bench.limits import Limits
from bench.report import Figure, Report
from freehold.demo.ceremony import Ceremony

USERS = 25


def measure(names: list[str], folder: Path, report: Report, say: Callable[[str], None]) -> None:
    """Go through it once. Wall time is what is promised, so CPU time stands beside it only for comparing runs."""
    if "ceremony" not in names:
        return
    say("a whole ceremony")
    report.limits.append(Limits.measure())
    began, spent = time.perf_counter(), _cpu_s()
    ceremony = Ceremony(folder / "ceremony", USERS, lambda _step: None)
    ceremony.folder.mkdir()
    ceremony.run()
    wall, cpu = time.perf_counter() - began, _cpu_s() - spent
    slowest = max(ceremony.steps, key=lambda step: step.seconds)
    raw = f"{cpu:.0f} s of CPU; longest: {slowest.title}, {slowest.seconds:.0f} s"
    report.add(Figure("ceremony", "SQLite", wall, raw))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
