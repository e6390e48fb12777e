"""What the rest of the program sees of a database: readers, transactions, the store, and the values they take.

SQL is written once. Parameters are `:name` and take int, float, str, bytes, None and the classes below; what the
two databases spell differently is a dialect word (see `dialect`). Rows are plain tuples in the order of the columns.
"""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

from freehold.kernel.clock import Clock
from freehold.kernel.errors import BadRequest, Conflict, Unavailable

TRANSACTION_LIMIT_S = 30.0

Row: TypeAlias = tuple[Any, ...]


class JsonPath:
    """Where a value stands in a JSON document: member names and array positions, outermost first.

    Raises UnsupportedPath for a member name with a quotation mark, which SQLite cannot address.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: Iterable[str | int]) -> None:
        self.parts = tuple(parts)
        if any(isinstance(part, str) and '"' in part for part in self.parts):
            raise UnsupportedPath("A path cannot go through a member whose name holds a quotation mark")

    def __conform__(self, _protocol: object) -> str:
        """The form SQLite takes; its driver calls this when it binds the value."""
        return "$" + "".join(_sqlite_step(part) for part in self.parts)

    def for_postgresql(self) -> list[str]:
        """The form PostgreSQL's `#>>` takes."""
        return [str(part) for part in self.parts]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonPath) and other.parts == self.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __repr__(self) -> str:
        return f"JsonPath({self.parts!r})"


def _sqlite_step(part: str | int) -> str:
    # SQLite compares the key with the document's own, escaped spelling, hence the JSON escapes.
    return f"[{part}]" if isinstance(part, int) else f".{json.dumps(part, ensure_ascii=False)}"


class JsonWalk:
    """A way through a JSON document on which an array stands for its elements, one level deep at each step.

    For the word `json_values(column, :walk)`. Member names only. Raises UnsupportedPath as `JsonPath` does.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: Iterable[str]) -> None:
        self.parts = tuple(parts)
        JsonPath(self.parts)

    def __conform__(self, _protocol: object) -> str:
        """The form SQLite takes: the whole path, the single steps, and the paths to the members before the last."""
        steps = [f"${_sqlite_step(part)}" for part in self.parts]
        prefixes = [JsonPath(self.parts[:length]).__conform__(None) for length in range(1, len(self.parts))]
        return json.dumps([JsonPath(self.parts).__conform__(None), steps, prefixes])

    def for_postgresql(self) -> str:
        """The form PostgreSQL takes: a path in lax mode, which looks into an array at each step by itself."""
        return "lax $" + "".join(f".{json.dumps(part, ensure_ascii=False)}" for part in self.parts) + "[*]"

    def __repr__(self) -> str:
        return f"JsonWalk({self.parts!r})"


class Wildcard:
    """A text pattern for the word `wildcard(text, :pattern)`: literals, with any characters between two of them.

    `Wildcard(["jane", ""])` is what begins with jane. Case counts, on both databases.
    """

    __slots__ = ("literals",)

    def __init__(self, literals: Iterable[str]) -> None:
        self.literals = tuple(literals)

    def __conform__(self, _protocol: object) -> str:
        """The form SQLite takes, a GLOB pattern."""
        return "*".join(_GLOB_SPECIAL.sub(r"[\g<0>]", literal) for literal in self.literals)

    def for_postgresql(self) -> str:
        """The form PostgreSQL takes, a LIKE pattern."""
        return "%".join(_LIKE_SPECIAL.sub(r"\\\g<0>", literal) for literal in self.literals)

    def __repr__(self) -> str:
        return f"Wildcard({self.literals!r})"


_GLOB_SPECIAL = re.compile(r"[*?\[]")
_LIKE_SPECIAL = re.compile(r"[%_\\]")


class Values:
    """A list as one parameter, for the word `one_of(column, :values)`; all strings or all integers."""

    __slots__ = ("items",)

    def __init__(self, items: Iterable[str] | Iterable[int]) -> None:
        self.items: list[str] | list[int] = list(items)  # type: ignore[assignment]

    def __conform__(self, _protocol: object) -> str:
        """The form SQLite takes; its driver calls this when it binds the value."""
        return json.dumps(self.items)


class UniqueViolation(Conflict):
    """A row with this unique value exists. `index`, `table` and `columns` are named alike on both databases.

    The primary key's index is `<table>_pkey`; `columns` leaves expressions out. For a row that breaks several indexes
    the databases may name different ones.
    """

    def __init__(self, *, index: str, table: str, columns: tuple[str, ...]) -> None:
        super().__init__(f"A row with this {', '.join(columns) or 'value'} exists")
        self.index = index
        self.table = table
        self.columns = columns


class QueryTimeout(Unavailable):
    """A search did not finish within its time."""

    code = "query_timeout"


class Unstorable(BadRequest):
    """A value that does not fit every database: NUL in text, a lone surrogate, an integer over 64 bits."""


class UnsupportedPath(BadRequest):
    """A JSON path that not every database can address."""


class Reader(Protocol):
    """Answers queries."""

    async def one(self, sql: str, /, **params: Any) -> Row | None:
        """The first row, or None."""
        ...

    async def all(self, sql: str, /, **params: Any) -> list[Row]:
        """Every row."""
        ...


class Writer(Protocol):
    """Takes a change: a transaction, or the store itself where the change stands alone."""

    async def run(self, sql: str, /, **params: Any) -> int:
        """Execute a change; the number of rows it affected."""
        ...

    async def add(self, sql: str, /, **params: Any) -> None:
        """Execute a change that cannot fail for a reason the caller handles, at the latest with the commit.

        What follows in the transaction sees it. To PostgreSQL it travels with the next change.
        """
        ...


class Transaction(Reader, Writer, Protocol):
    """All or nothing. After a failed statement only leaving helps, unless it stood inside `savepoint()`."""

    async def run_many(self, sql: str, /, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute one change for each set of parameters; a parameter keeps one type over all rows, or is None."""
        ...

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """A part that may fail alone: when an exception leaves it, what was done inside is undone."""
        ...

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call this on the loop once the transaction is durable, also when the caller has gone away by then."""
        ...

    async def enqueue(self, topic: str, tenant_id: str, payload: bytes, *, not_before_ms: int = 0) -> str:
        """Put a job into the queue in this transaction (see `freehold.kernel.jobs`); its id."""
        ...

    def touch(self, tenant_id: str) -> None:
        """Say that cached documents of the tenant change with this transaction."""
        ...


class Snapshot(Reader, Protocol):
    """One unchanging view of the whole database."""

    def scan(self, sql: str, /, *, chunk_rows: int = 2000, **params: Any) -> AsyncIterator[list[Row]]:
        """All rows, a chunk at a time, in flat memory."""
        ...


class Dialect(Protocol):
    """How one database spells what the other spells differently."""

    name: str
    schema_lock: str

    def ddl(self, sql: str) -> str:
        """A schema statement in this database's words."""
        ...

    async def schema_changed(self, tx: Transaction) -> None:
        """What this database wants done in the transaction that changed the schema."""
        ...


class Store(Reader, Protocol):
    """A database. Reads see what is committed."""

    url: str
    clock: Clock

    @property
    def dialect(self) -> Dialect:
        """What this database spells its own way."""
        ...

    def transaction(self, *, limit_s: float | None = TRANSACTION_LIMIT_S) -> AbstractAsyncContextManager[Transaction]:
        """Everything inside, or nothing; durable when the block has been left.

        A block holds up other writers (all of them on SQLite), so nothing slow belongs inside: a body that exceeds
        the limit is undone and raises Unavailable. Transactions do not nest; inside one, read through it.
        """
        ...

    async def run(self, sql: str, /, **params: Any) -> int:
        """A transaction of one change, cheaper than the general one; durable when it returns."""
        ...

    async def add(self, sql: str, /, **params: Any) -> None:
        """The same, for whoever takes a transaction as well and does not ask for the number of rows."""
        ...

    async def search(self, sql: str, /, *, timeout_s: float = 2.0, **params: Any) -> list[Row]:
        """Every row of a query that may take long, off the loop. Raises QueryTimeout."""
        ...

    def snapshot(
        self, *, like: str | None = None, beside: Callable[[str], Awaitable[None]] | None = None
    ) -> AbstractAsyncContextManager[Snapshot]:
        """One consistent view for long scans.

        `beside` is called with a name while nothing can change; what other processes open `like` it is the same view.
        """
        ...

    def cache_epoch(self, tenant_id: str) -> int:
        """A number that differs after every committed `touch` of the tenant, by whatever process."""
        ...

    def on_enqueue(self, callback: Callable[[], None]) -> None:
        """Call this on the loop after each commit that put a job into the queue."""
        ...

    async def close(self) -> None:
        """Finish what was acknowledged or is under way, then let go of the database."""
        ...
