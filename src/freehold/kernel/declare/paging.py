"""Pages of declared documents: read from a call, turned into SQL over creation and id, which is also the cursor.

What the parameters mean and how the answers look is `kernel.search.paging`'s.
"""

from collections.abc import Sequence
from typing import Any

from freehold.kernel.declare.call import Call
from freehold.kernel.declare.documents import Record
from freehold.kernel.declare.shapes import Collection
from freehold.kernel.search import paging
from freehold.kernel.search.paging import DEFAULT_SIZE, MAX_SIZE, Pages, answer, read_boolean, read_integer, read_page

__all__ = ["UNPAGED", "Page", "answer", "flag"]

UNPAGED = 10_000
"""Rows of a listing that has no pages."""


class Page(paging.Page, frozen=True):
    """Which part of a listing is wanted. Rows are ordered by creation, then id."""

    @classmethod
    def of(cls, call: Call, declaration: Collection[Any], styles: frozenset[str] | None = None) -> "Page":
        """The page a request asks for. Raises BadRequest in Auth0's words."""
        styles = declaration.paging if styles is None else styles
        if not styles:
            return cls(UNPAGED)
        return cls._read(call, Pages(styles=styles, reach=declaration.page_limit, min_size=0))

    @classmethod
    def offset(cls, call: Call, *, limit: int | None = None) -> "Page":
        """The page that `page` and `per_page` ask for, within the first `limit` records. Raises BadRequest."""
        return cls._read(call, Pages(reach=limit, min_size=0, length=limit is not None))

    @classmethod
    def taken(cls, call: Call) -> "tuple[int, str]":
        """What `take` and `from` ask for, for listings with cursors of their own: a size, and the cursor or ``''``."""
        size = read_integer(call.query, "take", default=DEFAULT_SIZE, minimum=1, maximum=MAX_SIZE)
        return size, call.query("from") or ""

    def sql(self, prefix: str = "") -> tuple[str, dict[str, Any]]:
        """What to append to a where clause, and its parameters; a checkpoint page has one row more than it shows."""
        columns = (f"{prefix}created_at", f"{prefix}id")
        order = f" order by {', '.join(columns)} limit :page_size"
        params: dict[str, Any] = {"page_size": self.limit}
        if self.after is not None:
            condition = paging.after_key(self.after, columns)
            return f" and {condition.sql}{order}", params | condition.params
        if self.checkpoint:
            return order, params
        return f"{order} offset :page_start", params | {"page_start": self.start}

    def take(self, records: Sequence[Record]) -> Sequence[Record]:
        """The rows this page shows."""
        return self.shown(records)

    def following(self, records: Sequence[Record]) -> str | None:
        """The cursor of the next page, None on the last."""
        return self.next_cursor([(record.created_at, record.id) for record in records])

    @classmethod
    def _read(cls, call: Call, pages: Pages) -> "Page":
        found = read_page(call.query, pages)
        return cls(found.size, found.start, found.totals, found.checkpoint, found.after, found.length)


def flag(call: Call, name: str, *, default: bool = False) -> bool:
    """A boolean query parameter. Raises BadRequest in Auth0's words."""
    return read_boolean(call.query, name, default=default)
