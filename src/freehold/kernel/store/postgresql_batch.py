"""Changes of one transaction that travel together: several statements as one, for the price of one round trip.

PostgreSQL runs the parts of a `with` that change data against the same snapshot and in no order, so only changes of
different tables are put together, none of which mentions a table that another one changes.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

_CHANGED = re.compile(r"\s*(?:insert\s+into|update|delete\s+from)\s+(\w+)")
_WORD = re.compile(r"\w+")
_PLACE = re.compile(r"\$(\d+)(?=::)")


class Batch:
    """Changes that wait to be sent."""

    __slots__ = ("_arguments", "_mentioned", "_tables", "_texts")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._arguments: list[Any] = []
        self._tables: set[str] = set()
        self._mentioned: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._texts)

    def takes(self, text: str) -> bool:
        """Whether a compiled statement may go along with those that wait."""
        table, words = _read(text)
        return table is not None and table not in self._mentioned and self._tables.isdisjoint(words)

    def add(self, text: str, arguments: Sequence[Any]) -> None:
        """Let a statement wait that `takes` has allowed."""
        table, words = _read(text)
        assert table is not None
        self._texts.append(text)
        self._arguments += arguments
        self._tables.add(table)
        self._mentioned |= words

    def statement(self, *, counted: bool) -> tuple[str, list[Any]]:
        """All of it as one statement and its arguments; `counted` makes it answer how many rows the last one hit."""
        return _together(tuple(self._texts), counted), self._arguments


@lru_cache(maxsize=1024)
def _read(text: str) -> tuple[str | None, frozenset[str]]:
    """The table that a statement changes, None for what is no simple change, and every word in it."""
    words = frozenset(_WORD.findall(text))
    changed = _CHANGED.match(text)
    return (changed[1] if changed and "returning" not in words else None), words


@lru_cache(maxsize=256)
def _together(texts: tuple[str, ...], counted: bool) -> str:
    if len(texts) == 1 and not counted:
        return texts[0]
    parts, offset = [], 0
    for number, text in enumerate(texts):
        numbers = [int(place) for place in _PLACE.findall(text)]
        moved = _PLACE.sub(lambda place, by=offset: f"${int(place[1]) + by}", text)  # type: ignore[misc]
        parts.append(f"change_{number} as ({moved} returning 1)")
        offset += max(numbers, default=0)
    return f"with {', '.join(parts)} select count(*) from change_{len(texts) - 1}"  # noqa: S608 - compiled statements
