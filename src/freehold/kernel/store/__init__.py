"""Rows, transactions, versions of the schema: the one door to the database, on SQLite and on PostgreSQL.

`api` has the protocols, `dialect` the words both databases understand, `schema` tables as values, `sqlite` and
`postgresql` the engines, `bulk` the synchronous writer of import processes, `migrations` the way from one schema to
the next.
"""

from freehold.kernel.clock import Clock
from freehold.kernel.errors import BadRequest
from freehold.kernel.store.api import (
    Dialect,
    JsonPath,
    JsonWalk,
    QueryTimeout,
    Reader,
    Row,
    Snapshot,
    Store,
    Transaction,
    UniqueViolation,
    Unstorable,
    UnsupportedPath,
    Values,
    Wildcard,
    Writer,
)
from freehold.kernel.store.dialect import escape_like
from freehold.kernel.store.introspect import verify_schema
from freehold.kernel.store.migrations import create_schema, migrate
from freehold.kernel.store.schema import Column, Index, Table, ddl, declared_schema_sql
from freehold.kernel.store.sqlite import SqliteStore
from freehold.kernel.store.tables import STORE_TABLES

__all__ = [
    "STORE_TABLES",
    "Column",
    "Dialect",
    "Index",
    "JsonPath",
    "JsonWalk",
    "QueryTimeout",
    "Reader",
    "Row",
    "Snapshot",
    "Store",
    "Table",
    "Transaction",
    "UniqueViolation",
    "Unstorable",
    "UnsupportedPath",
    "Values",
    "Wildcard",
    "Writer",
    "create_schema",
    "ddl",
    "declared_schema_sql",
    "escape_like",
    "migrate",
    "open_store",
    "verify_schema",
]


def open_store(url: str, *, clock: Clock) -> Store:
    """The store at `sqlite:///path`, `sqlite:///:memory:` (private, gone when closed) or `postgresql://...`.

    Raises BadRequest for any other.
    """
    if url.startswith("sqlite:///"):
        return SqliteStore(url.removeprefix("sqlite:///"), clock=clock)
    if url.startswith(("postgresql://", "postgres://")):
        # Imported here because an embedded installation should not pay for the driver.
        from freehold.kernel.store.postgresql import PostgresqlStore

        return PostgresqlStore(url, clock=clock)
    raise BadRequest("A database's URL starts with sqlite:/// or postgresql://")
