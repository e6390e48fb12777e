"""The way from one schema to the next: numbered SQL files, each applied once, in order, in a transaction of its own."""

from collections.abc import Iterable

from freehold.kernel.store.api import Store
from freehold.kernel.store.dialect import statements
from freehold.kernel.store.schema import Table, declared_schema_sql
from freehold.kernel.store.tables import STORE_TABLES


async def create_schema(store: Store, tables: Iterable[Table] = ()) -> None:
    """Create the store's own tables and these in an empty database, without migrations: for tests and scratch."""
    async with store.transaction() as tx:
        for statement in statements(declared_schema_sql([*STORE_TABLES, *tables])):
            await tx.run(store.dialect.ddl(statement))


async def migrate(store: Store) -> None:
    """Bring the schema up to date."""
    await create_schema(store)
