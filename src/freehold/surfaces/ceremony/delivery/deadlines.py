"""When a sealed export's time is over, whatever the clock does.

Three measures are kept, and the furthest counts: the clock, the latest time the clock was seen to show, and how long
this machine has been running since, which nobody can set. Setting the clock back, across a restart or not, prolongs
nothing beyond the last look; setting it forward ends the export early, which is the safe side.
"""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Uptime(msgspec.Struct, frozen=True):
    """How long the machine has been running, time asleep included, and since which start."""

    boot_id: str
    ms: int


UptimeReader = Callable[[], Uptime]


def read_uptime() -> Uptime:
    """The machine's uptime; a system that does not name its starts gets none that lasts."""
    try:
        boot_id = _BOOT_ID.read_text().strip()
    except OSError:
        boot_id = ""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return Uptime(boot_id, time.clock_gettime_ns(clock) // 1_000_000)


class Measured(msgspec.Struct, frozen=True):
    """What was known at the last look."""

    created_at_ms: int
    seen_ms: int
    """The latest time the clock has shown."""
    elapsed_ms: int
    """How long it was by uptime, from the beginning to the last look."""
    boot_id: str
    boot_ms: int

    def looked(self, now_ms: int, uptime: Uptime) -> "Measured":
        """What is known now."""
        runs_on = bool(uptime.boot_id) and uptime.boot_id == self.boot_id
        return Measured(
            created_at_ms=self.created_at_ms,
            seen_ms=max(self.seen_ms, now_ms),
            elapsed_ms=self.elapsed_ms + (max(0, uptime.ms - self.boot_ms) if runs_on else 0),
            boot_id=uptime.boot_id,
            boot_ms=uptime.ms,
        )

    @property
    def reached_ms(self) -> int:
        """The time it surely is by now."""
        return max(self.seen_ms, self.created_at_ms + self.elapsed_ms)


def begin(now_ms: int, uptime: Uptime) -> Measured:
    """Start to measure."""
    return Measured(now_ms, now_ms, 0, uptime.boot_id, uptime.ms)
