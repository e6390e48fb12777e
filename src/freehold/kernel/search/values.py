"""How the text of a term becomes a number, a truth value or a stretch of time. Each answers None for what is none."""

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

_NUMBER = re.compile(r"-?\d{1,30}(\.\d{1,30})?([eE][+-]?\d{1,3})?", re.ASCII)
_DATE = re.compile(
    r"""
    (?P<year>\d{4})
    (?: - (?P<month>\d\d)
    (?: - (?P<day>\d\d)
    (?: T (?P<hour>\d\d)
    (?: : (?P<minute>\d\d)
    (?: : (?P<second>\d\d)
    (?: \. (?P<fraction>\d{1,9}) )? )? )?
    (?P<zone> Z | [+-]\d\d:?\d\d )? )? )? )?
    """,
    re.VERBOSE | re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Span(NamedTuple):
    """A stretch of time in ms since the epoch, without its end: `2018-12` is a month, `2018-12-10` a day."""

    start_ms: int
    end_ms: int


def number(text: str) -> float | None:
    """The finite number a text writes in decimal."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if abs(value) != float("inf") else None


def integer(text: str) -> int | None:
    """The whole number a text writes, also as 13.0."""
    if re.fullmatch(r"-?\d{1,30}", text, re.ASCII):
        return int(text)
    value = number(text)
    return int(value) if value is not None and value.is_integer() else None


def boolean(text: str) -> bool | None:
    """The truth value a text writes."""
    return {"true": True, "false": False}.get(text)


def span(text: str) -> Span | None:
    """The time a text names, as long as its precision; UTC unless it says otherwise."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(match[name] or 0) for name in _DATE.groupindex if name in _PARTS)
    try:
        start = datetime(year, month or 1, day or 1, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    fraction = match["fraction"]
    if fraction:
        length_ms = 10 ** max(0, 3 - len(fraction))
    elif match["second"]:
        length_ms = 1000
    elif match["minute"]:
        length_ms = 60_000
    elif match["hour"]:
        length_ms = 3_600_000
    else:
        days = 1 if day else monthrange(year, month)[1] if month else 366 - (monthrange(year, 2)[1] == 28)
        length_ms = days * 86_400_000
    start_ms = (start - _EPOCH) // timedelta(milliseconds=1) + int((fraction or "").ljust(3, "0")[:3])
    start_ms -= _offset_ms(match["zone"])
    return Span(start_ms, start_ms + length_ms)


_PARTS = frozenset({"year", "month", "day", "hour", "minute", "second"})


def _offset_ms(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[-2:])
    return (-minutes if zone[0] == "-" else minutes) * 60_000
