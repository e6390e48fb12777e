"""Which part of a listing a request asks for, and the answer in the style that belongs to it.

The Management API has three styles: a bare array, an object with `start`, `limit`, `total` and the items for
`include_totals=true`, and, where `from` or `take` is sent, an object with the items and `next` until the last page
(checkpoint paging). Items that are JSON text already go into the answer as `msgspec.Raw`, unread.
"""

import base64
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from freehold.kernel.search.refusals import InvalidPaging, InvalidParameter
from freehold.kernel.search.translate import Filter

Key = tuple[str | int, ...]
"""Where a row stands in the order of its listing: the values of the columns it is sorted by."""

T = TypeVar("T")

DEFAULT_SIZE = 50
MAX_SIZE = 100

MAX_PAGE = 10_000_000
MAX_CURSOR = 1000

_INTEGER = re.compile(r"-?\d{1,15}", re.ASCII)
_NUMBER = re.compile(r"-?\d+\.\d+|-?\d{16,}", re.ASCII)


Get: TypeAlias = Callable[[str], str | None]
"""Answers a query parameter by its name, as a call's `query` or a dictionary's `get`; an empty one is none."""


class Pages(msgspec.Struct, frozen=True):
    """How a listing is given out."""

    styles: frozenset[str] = frozenset({"offset"})
    """`offset`, `checkpoint` or both; with `checkpoint` alone, the answer has that style whatever the request says."""
    reach: int | None = None
    """How many records offset paging reaches; None: all."""
    min_size: int = 1
    """The smallest `per_page`; users and logs take 0, for the total alone."""
    max_take: int = MAX_SIZE
    length: bool = False
    """Whether an answer with totals says `length` too, as users and logs do."""


class Page(msgspec.Struct, frozen=True):
    """One part of a listing. `after` is the key of the last row on the page before, for checkpoint paging."""

    size: int
    start: int = 0
    totals: bool = False
    checkpoint: bool = False
    after: Key | None = None
    length: bool = False

    @property
    def limit(self) -> int:
        """How many rows to fetch: a checkpoint page looks one row ahead to know whether it is the last."""
        return self.size + 1 if self.checkpoint else self.size

    def shown(self, rows: Sequence[T]) -> Sequence[T]:
        """The rows of this page, without the one looked ahead at."""
        return rows[: self.size]

    def next_cursor(self, keys: Sequence[Key]) -> str | None:
        """The cursor of the next page given the keys of all the fetched rows, None on the last page."""
        if not self.checkpoint or len(keys) <= self.size:
            return None
        return encode_cursor(keys[self.size - 1])


def read_page(get: Get, pages: Pages, *, key: tuple[type, ...] = (int, str)) -> Page:
    """The page a request asks for; `key` has the types of a cursor's values.

    Raises InvalidParameter in the words of Auth0's validator, InvalidPaging beyond the reach or for a foreign cursor.
    """
    take, cursor = get("take"), get("from")
    if "checkpoint" in pages.styles and (take or cursor or "offset" not in pages.styles):
        size = read_integer(get, "take", default=DEFAULT_SIZE, minimum=1, maximum=pages.max_take)
        return Page(size, checkpoint=True, after=decode_cursor(cursor, key) if cursor else None)
    size = read_integer(get, "per_page", default=DEFAULT_SIZE, minimum=pages.min_size, maximum=MAX_SIZE)
    number = read_integer(get, "page", default=0, minimum=0, maximum=MAX_PAGE)
    if pages.reach is not None and (number + 1) * size > pages.reach:
        raise InvalidPaging(
            f"You can only page through the first {pages.reach} records. "
            "Narrow the query, or use an export job or checkpoint paging."
        )
    totals = read_boolean(get, "include_totals", default=False)
    return Page(size, start=number * size, totals=totals, length=pages.length)


def after_key(key: Key, columns: Sequence[str], *, descending: bool = False, prefix: str = "after") -> Filter:
    """The condition for rows that come after this key when the listing is sorted by these columns."""
    params: dict[str, Any] = {f"{prefix}{number}": value for number, value in enumerate(key)}
    places = ", ".join(f":{name}" for name in params)
    return Filter(f"(({', '.join(columns)}) {'<' if descending else '>'} ({places}))", params)


def encode_cursor(key: Key) -> str:
    """The opaque `next` for a key. It says nothing that the page before did not, and needs no signature: whatever
    stands in it, it only moves the start within what the caller may list.
    """
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).rstrip(b"=").decode()


def decode_cursor(text: str, types: tuple[type, ...]) -> Key:
    """The key in a cursor. Raises InvalidPaging for anything but a key of these types."""
    try:
        raw = base64.b64decode(text[:MAX_CURSOR] + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        key = tuple(msgspec.json.decode(raw, type=list[str | int]))
    except (ValueError, msgspec.MsgspecError):
        key = ()
    if tuple(map(type, key)) != types or not all(map(_is_storable, key)):
        raise InvalidPaging(
            "The checkpoint ID provided in the 'from' parameter has expired or is invalid, "
            "please remove the checkpoint ID and try again"
        )
    return key


def _is_storable(part: str | int) -> bool:
    return "\0" not in part if isinstance(part, str) else abs(part) < 1 << 63


def answer(
    page: Page, name: str, items: Sequence[Any], *, total: int | None = None, following: str | None = None
) -> Any:
    """The body of a listing in the page's style, to be encoded; `total` is left out where it is not known."""
    if page.checkpoint:
        return {name: items} if following is None else {name: items, "next": following}
    if not page.totals:
        return items
    body: dict[str, Any] = {"start": page.start, "limit": page.size}
    if page.length:
        body["length"] = len(items)
    if total is not None:
        body["total"] = total
    return {**body, name: items}


def read_boolean(get: Get, name: str, *, default: bool) -> bool:
    """A parameter that is true or false. Raises InvalidParameter."""
    text = get(name)
    if not text:
        return default
    if text not in {"true", "false"}:
        raise InvalidParameter("Expected type boolean but found type string", name)
    return text == "true"


def read_integer(get: Get, name: str, *, default: int, minimum: int, maximum: int) -> int:
    """A whole number within bounds. Raises InvalidParameter."""
    text = get(name)
    if not text:
        return default
    if not _INTEGER.fullmatch(text):
        found = "number" if _NUMBER.fullmatch(text) else "string"
        raise InvalidParameter(f"Expected type integer but found type {found}", name)
    value = int(text)
    if value < minimum:
        raise InvalidParameter(f"Value {value} is less than minimum {minimum}", name)
    if value > maximum:
        raise InvalidParameter(f"Value {value} is greater than maximum {maximum}", name)
    return value
