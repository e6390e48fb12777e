"""What SQLite's planner is told about the tables: that they are large, and that a tenant alone selects little.

Without statistics SQLite takes `tenant_id = ?` for selective and may walk a tenant's million rows where an index on
the other column would find one; with measured statistics plans change with what a table happened to hold that day.
So the figures are made up once, from the shape of the indexes, and plans are the same on every installation.
"""

from freehold.kernel.store.api import Transaction

_ROWS = 1_000_000
_PER_FIRST_COLUMN = 200_000
_PER_MORE_COLUMNS = 20

# In a table without rowid the statistics of the primary key go by the table's name.
_INDEX_COLUMNS = """select m.name, iif(l.origin = 'pk' and t.wr, m.name, l.name), l."unique", count(*)
    from sqlite_master m join pragma_table_list(m.name) t join pragma_index_list(m.name) l
    join pragma_index_xinfo(l.name) c on c.key
    where m.type = 'table' and m.name not like 'sqlite~_%' escape '~' group by m.name, l.name"""


async def assume_large_tables(tx: Transaction) -> None:
    """Write the statistics of all indexes, in the transaction that changed the schema."""
    await tx.run("analyze sqlite_schema")  # creates the table of statistics
    await tx.run("delete from sqlite_stat1")
    await tx.run_many(
        "insert into sqlite_stat1 (tbl, idx, stat) values (:tbl, :idx, :stat)",
        [
            {"tbl": table, "idx": index, "stat": _statistics(columns, unique=bool(unique))}
            for table, index, unique, columns in await tx.all(_INDEX_COLUMNS)
        ],
    )
    await tx.run("analyze sqlite_schema")  # has this connection read them


def _statistics(columns: int, *, unique: bool) -> str:
    """All rows, then how many rows share the first column, the first two, and so on."""
    shared = [_PER_FIRST_COLUMN, *[_PER_MORE_COLUMNS] * (columns - 1)]
    if unique:
        shared[-1] = 1
    return " ".join(map(str, [_ROWS, *shared]))
