"""Reads of one row that travel together: those that are ready in the same turn of the loop share a round trip.

To PostgreSQL the way costs several times what a row does. Whoever asks first for a statement lets all others run that
are ready, and then asks for all who want the same statement: a list of their arguments, and for each of them the
statement as a lateral subquery. Nobody waits longer than for that turn and a free connection.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import asyncpg

from freehold.kernel.store.api import Row

MOST_TOGETHER = 64

Lent = Callable[[], Awaitable[asyncpg.Connection]]
Returned = Callable[[asyncpg.Connection], None]

_PLACE = re.compile(r"\$(\d+)::([a-z]+(?: precision)?(?:\[\])?)")
_SIMPLE = frozenset({"text", "bigint", "bytea"})
_ASK_ALONE = object()
_REFUSED_FOR_ONE = (asyncpg.PostgresError, asyncpg.InterfaceError, UnicodeEncodeError)
"""What somebody's arguments may have caused that are none of the others' business."""


class SharedReads:
    """The reads of one store; `lend` waits for a free connection, `take_back` gets it again."""

    def __init__(self, lend: Lent, take_back: Returned) -> None:
        self._lend = lend
        self._take_back = take_back
        self._followers: dict[str, list[_Follower]] = {}
        self._shared: dict[str, str | None] = {}

    async def one(self, text: str, arguments: Sequence[Any]) -> Row | None:
        """The first row of a compiled statement, or None. Raises what asyncpg raises."""
        followers = self._followers.get(text)
        if followers is not None and len(followers) < MOST_TOGETHER:
            follower = _Follower(arguments)
            followers.append(follower)
            found = await follower.row
            return await self._alone(text, arguments) if found is _ASK_ALONE else found
        shared = self._statement(text)
        if shared is None:
            return await self._alone(text, arguments)
        return await self._lead(text, shared, arguments)

    async def _alone(self, text: str, arguments: Sequence[Any]) -> Row | None:
        connection = await self._lend()
        try:
            return _row(await connection.fetchrow(text, *arguments))
        finally:
            self._take_back(connection)

    async def _lead(self, text: str, shared: str, arguments: Sequence[Any]) -> Row | None:
        """Ask for oneself and for all who join meanwhile; when that fails, everybody asks alone."""
        followers = self._followers[text] = list[_Follower]()
        try:
            await asyncio.sleep(0)
            connection = await self._lend()
            try:
                self._close(text, followers)
                if not followers:
                    return _row(await connection.fetchrow(text, *arguments))
                columns = zip(arguments, *(follower.arguments for follower in followers), strict=True)
                records = await connection.fetch(shared, *map(list, columns))
            finally:
                self._take_back(connection)
            rows = {record[0]: tuple(record)[1:] for record in records}
            for number, follower in enumerate(followers, 2):
                follower.answer(rows.get(number))
            return rows.get(1)
        except _REFUSED_FOR_ONE:
            if not followers:
                raise
        finally:
            self._close(text, followers)
            for follower in followers:
                follower.answer(_ASK_ALONE)
        return await self._alone(text, arguments)

    def _close(self, text: str, followers: "list[_Follower]") -> None:
        if self._followers.get(text) is followers:
            del self._followers[text]

    def _statement(self, text: str) -> str | None:
        """The statement for many sets of arguments; None for one that has none, or of other than simple types."""
        if text not in self._shared:
            types = dict(_PLACE.findall(text))
            self._shared[text] = _for_many(text, types) if types and _SIMPLE.issuperset(types.values()) else None
        return self._shared[text]


class _Follower:
    """Somebody for whom another asks."""

    __slots__ = ("arguments", "row")

    def __init__(self, arguments: Sequence[Any]) -> None:
        self.arguments = arguments
        self.row: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def answer(self, row: object) -> None:
        """Hand over the row; the first answer counts."""
        if not self.row.done():
            self.row.set_result(row)


def _for_many(text: str, types: Mapping[str, str]) -> str:
    numbers = sorted(map(int, types))
    lists = ", ".join(f"${number}::{types[str(number)]}[]" for number in numbers)
    names = ", ".join(f"a{number}" for number in numbers)
    one = _PLACE.sub(lambda place: f"asked.a{place[1]}", text)
    return (
        f"select asked.number, found.* from unnest({lists}) with ordinality as asked({names}, number) "  # noqa: S608
        f"cross join lateral (select * from ({one}) as every limit 1) as found"
    )


def _row(record: asyncpg.Record | None) -> Row | None:
    return None if record is None else tuple(record)
