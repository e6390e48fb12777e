"""What a database's schema is, in a form that two of the same kind can be compared in.

A live schema is never compared with text: the declared tables are created in a scratch database (SQLite) or a scratch
schema that is rolled back (PostgreSQL), and both catalogs are read the same way.
"""

import secrets
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field

from freehold.kernel.store.api import Reader, Row, Store
from freehold.kernel.store.dialect import SqliteDialect, statements
from freehold.kernel.store.schema import Table, declared_schema_sql


@dataclass(slots=True)
class TableShape:
    """One table as its database describes it."""

    form: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    indexes: dict[str, str] = field(default_factory=dict)


Catalog = dict[str, TableShape]


async def verify_schema(store: Store, tables: Iterable[Table]) -> list[str]:
    """How the live database differs from the declared tables, in sentences; empty when it does not."""
    declared = declared_schema_sql(tables)
    if store.dialect.name == "sqlite":
        live = await _live_sqlite(store)
        return compare(live, scratch_catalog(declared))
    return await _verify_postgresql(store, declared)


def compare(live: Catalog, declared: Catalog) -> list[str]:
    """The differences in sentences."""
    found = [f"table {name} is declared but missing" for name in sorted(declared.keys() - live.keys())]
    found += [f"table {name} is not declared by anyone" for name in sorted(live.keys() - declared.keys())]
    for name in sorted(live.keys() & declared.keys()):
        found += _compare_table(name, live[name], declared[name])
    return found


def scratch_catalog(script: str) -> Catalog:
    """The catalog of an empty SQLite database after a script of portable statements."""
    dialect = SqliteDialect()
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for statement in statements(script):
            connection.execute(dialect.ddl(statement))
        return _sqlite_catalog(*(connection.execute(query).fetchall() for query in _SQLITE_QUERIES))
    finally:
        connection.close()


def _compare_table(name: str, live: TableShape, declared: TableShape) -> list[str]:
    found = []
    if live.form != declared.form:
        found.append(f"table {name} is {live.form}, declared {declared.form}")
    if live.key != declared.key:
        found.append(f"table {name} has the key {live.key}, declared {declared.key}")
    for kind, ours, theirs in (
        ("column", live.columns, declared.columns),
        ("index", live.indexes, declared.indexes),
    ):
        for part in sorted(ours.keys() | theirs.keys()):
            if part not in ours:
                found.append(f"{kind} {part} of {name} is declared but missing")
            elif part not in theirs:
                found.append(f"{kind} {part} of {name} is not declared by anyone")
            elif ours[part] != theirs[part]:
                found.append(f"{kind} {part} of {name} is '{ours[part]}', declared '{theirs[part]}'")
    return found


# SQLite

_SQLITE_QUERIES = (
    """select name, wr, strict from pragma_table_list
        where schema = 'main' and type = 'table' and name not like 'sqlite~_%' escape '~'""",
    """select m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk
        from sqlite_master m join pragma_table_xinfo(m.name) c
        where m.type = 'table' and m.name not like 'sqlite~_%' escape '~' order by m.name, c.pk""",
    "select tbl_name, name, sql from sqlite_master where type = 'index' and sql is not null",
)


async def _live_sqlite(reader: Reader) -> Catalog:
    return _sqlite_catalog(*[await reader.all(query) for query in _SQLITE_QUERIES])


def _sqlite_catalog(tables: list[Row], columns: list[Row], indexes: list[Row]) -> Catalog:
    catalog: Catalog = {}
    for name, without_rowid, strict in tables:
        form = ("strict" if strict else "not strict") + (", without rowid" if without_rowid else "")
        catalog[name] = TableShape(form=form)
    for table, name, kind, not_null, default, place in columns:
        # Key columns of a table with a rowid may be null unless they say so; they always say so here.
        shape = catalog[table]
        shape.columns[name] = _column(kind.lower(), bool(not_null), default)
        if place:
            shape.key = (*shape.key, name)
    for table, name, sql in indexes:
        catalog[table].indexes[name] = " ".join(sql.split()).lower()
    return catalog


# PostgreSQL

_POSTGRESQL_QUERIES = (
    "select c.relname from pg_class c where c.relnamespace = cast({schema} as regnamespace) and c.relkind = 'r'",
    """select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            pg_get_expr(d.adbin, d.adrelid), l.collname
        from pg_attribute a join pg_class c on c.oid = a.attrelid
        left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        left join pg_collation l on l.oid = a.attcollation
        where c.relnamespace = cast({schema} as regnamespace) and c.relkind = 'r'
            and a.attnum > 0 and not a.attisdropped""",
    """select t.relname, c.relname, i.indisprimary, pg_get_indexdef(c.oid)
        from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
        where t.relnamespace = cast({schema} as regnamespace) and t.relkind = 'r'""",
)


async def _verify_postgresql(store: Store, declared: str) -> list[str]:
    scratch = f"scratch_{secrets.token_hex(6)}"
    result: list[str] = []
    try:
        async with store.transaction() as tx:
            current = (await tx.all("select current_schema()"))[0][0]
            live = await _postgresql_catalog(tx, current)
            await tx.run(f"create schema {scratch}")
            await tx.run(f"set local search_path to {scratch}")
            for statement in statements(declared):
                await tx.run(store.dialect.ddl(statement))
            result = compare(live, await _postgresql_catalog(tx, scratch))
            raise _RollBack
    except _RollBack:
        return result


class _RollBack(Exception):
    """Leaves the transaction without a trace of the scratch schema."""


async def _postgresql_catalog(reader: Reader, schema: str) -> Catalog:
    tables, columns, indexes = [
        await reader.all(query.replace("{schema}", f"'{schema}'")) for query in _POSTGRESQL_QUERIES
    ]
    catalog: Catalog = {name: TableShape(form="table") for (name,) in tables}
    for table, name, kind, not_null, default, collation in columns:
        text = f'{kind} collate "{collation}"' if collation else kind
        catalog[table].columns[name] = _column(text, not_null, default)
    for table, name, primary, definition in indexes:
        where = definition.partition(" USING ")[2]
        if primary:
            catalog[table].key = tuple(part.strip() for part in where.partition("(")[2].rstrip(")").split(","))
        else:
            unique = "unique " if definition.startswith("CREATE UNIQUE") else ""
            catalog[table].indexes[name] = unique + where
    return catalog


def _column(kind: str, not_null: bool, default: str | None) -> str:
    return kind + (" not null" if not_null else "") + (f" default {default}" if default is not None else "")
