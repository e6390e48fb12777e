"""Time as a parameter: the program is handed a clock, so that tests move it and nothing reads it from the air."""

import time
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Tells the present moment."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...

    def now_ms(self) -> int:
        """The present moment in milliseconds since 1970-01-01 UTC."""
        ...

    def steady_ms(self) -> int:
        """Milliseconds since the machine's start, which nobody can set; suspended time counts."""
        ...

    def start_id(self) -> str:
        """Names the machine's start: steady times with different names cannot be compared."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def steady_ms(self) -> int:
        clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        return time.clock_gettime_ns(clock) // 1_000_000

    def start_id(self) -> str:
        return _start_id()


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._steady = timedelta()

    def now(self) -> datetime:
        return self._now

    def now_ms(self) -> int:
        return to_ms(self._now)

    def steady_ms(self) -> int:
        return self._steady // timedelta(milliseconds=1)

    def start_id(self) -> str:
        return "fake"

    def advance(self, *, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)
        self._steady += timedelta(seconds=seconds)

    def jump(self, *, seconds: float) -> None:
        """Set the clock forward or back, without time passing."""
        self._now += timedelta(seconds=seconds)


@cache
def _start_id() -> str:
    """The kernel's own name for this start; where there is none, steady times count within this process only."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return f"process-{time.monotonic_ns()}"


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch of an aware datetime, rounded down."""
    return int(moment.timestamp() * 1000)


def iso(moment: datetime | int) -> str:
    """The form Auth0 writes times in: `2026-01-31T12:00:00.000Z`; an int is milliseconds since the epoch."""
    if isinstance(moment, int):
        return f"{second_text(moment // 1000)}.{moment % 1000:03}Z"
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=4096)
def second_text(second: int) -> str:
    """A second of the epoch as `2026-01-31T12:00:00`; nearly all times written are of this one."""
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


def parse_iso(text: str) -> datetime:
    """An aware datetime from ISO 8601 text; a time without an offset is taken as UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
