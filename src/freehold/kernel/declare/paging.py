"""Pages of a listing in the three styles of the Management API.

Without parameters a bare array of the first 50; with `include_totals=true` an object with start, limit, total and the
items; with `from` or `take` (checkpoint) an object with the items and, until the last page, `next`.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from freehold.kernel.declare.call import Call
from freehold.kernel.declare.documents import Record
from freehold.kernel.declare.shapes import Collection
from freehold.kernel.errors import BadRequest

DEFAULT_SIZE = 50
MAX_SIZE = 100
UNPAGED = 10_000
"""Rows of a listing that has no pages."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a listing is wanted. Rows are ordered by creation, then id, which is also the cursor."""

    size: int
    start: int = 0
    totals: bool = False
    checkpoint: bool = False
    after: tuple[int, str] | None = None

    @classmethod
    def of(cls, call: Call, declaration: Collection[Any], styles: frozenset[str] | None = None) -> "Page":
        """The page a request asks for. Raises BadRequest in Auth0's words."""
        styles = declaration.paging if styles is None else styles
        if not styles:
            return cls(UNPAGED)
        take, cursor = call.query("take"), call.query("from")
        if "checkpoint" in styles and (take is not None or cursor is not None or "offset" not in styles):
            size = DEFAULT_SIZE if take is None else _integer(take, "take", 1, MAX_SIZE)
            after = None if cursor is None else _read_cursor(cursor)
            return cls(size, checkpoint=True, after=after)
        return cls.offset(call, limit=declaration.page_limit)

    @classmethod
    def offset(cls, call: Call, *, limit: int | None = None) -> "Page":
        """The page that `page` and `per_page` ask for, within the first `limit` records. Raises BadRequest."""
        size = _integer(call.query("per_page") or str(DEFAULT_SIZE), "per_page", 0, MAX_SIZE)
        number = _integer(call.query("page") or "0", "page", 0, 1 << 31)
        page = cls(size, start=number * size, totals=flag(call, "include_totals"))
        if limit is not None and page.start + page.size > limit:
            raise BadRequest(
                f"You can only page through the first {limit} records. "
                "Narrow the query, or use an export job or checkpoint paging.",
                code="invalid_paging",
            )
        return page

    @classmethod
    def taken(cls, call: Call) -> "tuple[int, str]":
        """What `take` and `from` ask for, for listings with cursors of their own: a size, and the cursor or ``''``."""
        take = call.query("take")
        return DEFAULT_SIZE if take is None else _integer(take, "take", 1, MAX_SIZE), call.query("from") or ""

    def sql(self, prefix: str = "") -> tuple[str, dict[str, Any]]:
        """What to append to a where clause, and its parameters; a checkpoint page has one row more than it shows."""
        if self.checkpoint:
            condition, params = "", {"page_size": self.size + 1}
            if self.after is not None:
                condition = (
                    f" and ({prefix}created_at > :after_ms or ({prefix}created_at = :after_ms "
                    f"and {prefix}id > :after_id))"
                )
                params["after_ms"], params["after_id"] = self.after  # type: ignore[assignment]
            return f"{condition} order by {prefix}created_at, {prefix}id limit :page_size", params
        return (
            f" order by {prefix}created_at, {prefix}id limit :page_size offset :page_start",
            {"page_size": self.size, "page_start": self.start},
        )

    def take(self, records: Sequence[Record]) -> Sequence[Record]:
        """The rows this page shows."""
        return records[: self.size]

    def following(self, records: Sequence[Record]) -> str | None:
        """The cursor of the next page, None on the last."""
        if not self.checkpoint or len(records) <= self.size:
            return None
        last = records[self.size - 1]
        return base64.urlsafe_b64encode(msgspec.json.encode((last.created_at, last.id))).rstrip(b"=").decode()


def answer(
    page: Page, name: str, items: Sequence[Any], *, total: int | None = None, following: str | None = None
) -> Any:
    """The body of a listing in the page's style."""
    if page.checkpoint:
        return {name: items} if following is None else {name: items, "next": following}
    if page.totals:
        return {"start": page.start, "limit": page.size, "length": len(items), "total": total, name: items}
    return items


def flag(call: Call, name: str, *, default: bool = False) -> bool:
    """A boolean query parameter. Raises BadRequest in Auth0's words."""
    text = call.query(name)
    if text not in {None, "true", "false", ""}:
        raise _mismatch("boolean", name)
    return text == "true" if text else default


def _integer(text: str, name: str, minimum: int, maximum: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise _mismatch("integer", name)
    value = int(text)
    if value < minimum or value > maximum:
        bound = f"less than minimum {minimum}" if value < minimum else f"greater than maximum {maximum}"
        raise BadRequest(
            f"Query validation error: 'Value {value} is {bound}' on property {name}.", code="invalid_query_string"
        )
    return value


def _mismatch(wanted: str, name: str) -> BadRequest:
    return BadRequest(
        f"Query validation error: 'Expected type {wanted} but found type string' on property {name}.",
        code="invalid_query_string",
    )


def _read_cursor(text: str) -> tuple[int, str]:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        created_at, id_ = msgspec.json.decode(raw, type=tuple[int, str])
    except (binascii.Error, msgspec.MsgspecError, ValueError):
        raise BadRequest("The value of 'from' is not a cursor this server gave out.", code="invalid_paging") from None
    return created_at, id_
