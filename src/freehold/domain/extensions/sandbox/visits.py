"""Where a call's connections went, or would have gone: each host and port once for each way it ended, up to a number.

Names and ports only. What was sent, and the address of a page, stay between the script and the other side.
"""

import re
from typing import Literal

import msgspec

MOST = 50
# What a host is called at all; a text that is none is not kept.
HOST = re.compile(r"[^\s/@?#\\\x00-\x1f\x7f]{1,253}")

How = Literal["connected", "resolved", "refused", "failed", "waiting"]


class Visit(msgspec.Struct, frozen=True):
    """A destination. `port` is 0 where only a name was asked for; `reason` says why there was no connection."""

    host: str
    port: int
    how: How
    reason: str = ""
    times: int = 1


class Attempt(msgspec.Struct, frozen=True, eq=False):
    """One that is not over."""

    host: str
    port: int


class Visits:
    """Those of one call."""

    __slots__ = ("_counted", "_waiting", "left_out")

    def __init__(self) -> None:
        self._counted: dict[tuple[str, int, How, str], int] = {}
        self._waiting: dict[Attempt, None] = {}
        self.left_out = 0

    def begin(self, host: str, port: int) -> Attempt:
        """A connection, or a question for a name, begins."""
        attempt = Attempt(host if HOST.fullmatch(host) else "", port)
        self._waiting[attempt] = None
        return attempt

    def end(self, attempt: Attempt, how: How, reason: str = "") -> bool:
        """How it ended; whether that is news."""
        self._waiting.pop(attempt, None)
        return self._count(attempt.host, attempt.port, how, reason)

    def listed(self) -> tuple[Visit, ...]:
        """All of them, in the order in which they ended; what still waits comes last."""
        for attempt in self._waiting:
            self._count(attempt.host, attempt.port, "waiting", "")
        self._waiting.clear()
        return tuple(Visit(*key, times) for key, times in self._counted.items())

    def _count(self, host: str, port: int, how: How, reason: str) -> bool:
        key = (host, port, how, reason)
        known = self._counted.get(key)
        if known is None and len(self._counted) >= MOST:
            self.left_out += 1
            return False
        self._counted[key] = (known or 0) + 1
        return known is None
