"""The way from one schema to the next.

Numbered SQL files (`0001_store.sql`), each with one purpose, applied once, in order, in a transaction of its own, and
recorded with a checksum. They are portable text: types are `text`, `bigint`, `double precision` and `bytea`, a table
ends in `{without_rowid}` or `{with_rowid}`. A database with migrations this program does not know, or with one that
was edited since, is refused. The next file is written from the difference between the migrations and the declared
tables; a person reads it and adds what a machine cannot know, such as filling a new column.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

import freehold
from freehold.kernel.errors import FreeholdError
from freehold.kernel.store.api import Store, Transaction
from freehold.kernel.store.dialect import statements
from freehold.kernel.store.introspect import TableShape, scratch_catalog
from freehold.kernel.store.schema import (
    Table,
    column_ddl,
    create_index,
    create_table,
    ddl,
    declared_schema_sql,
    index_name,
)
from freehold.kernel.store.tables import SCHEMA_MIGRATIONS, STORE_TABLES

MIGRATIONS = Path(freehold.__file__).parent / "migrations"

_FILE_NAME = re.compile(r"(?P<number>\d{4})_(?P<name>[a-z0-9_]+)\.sql")


class MigrationError(FreeholdError):
    """The schema cannot be brought up to date."""


class SchemaTooNew(MigrationError):
    """A newer Freehold has migrated this database."""


class MigrationEdited(MigrationError):
    """A migration is not what was applied."""


class Migration(msgspec.Struct, frozen=True):
    """One file."""

    number: int
    name: str
    sql: str

    @property
    def label(self) -> str:
        """The file's name without its suffix."""
        return f"{self.number:04d}_{self.name}"

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, whatever its line ends."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


async def migrate(store: Store, folder: Path = MIGRATIONS) -> list[str]:
    """Apply what is missing; the labels of what was applied by this very process.

    Two processes may start at once: each step takes the schema lock, and the second finds the work done.
    Raises SchemaTooNew and MigrationEdited, before anything is changed.
    """
    known = read_migrations(folder)
    applied: list[str] = []
    while True:
        async with store.transaction(limit_s=None) as tx:
            migration = await _apply_next(tx, store, known)
        if migration is None:
            return applied
        applied.append(migration.label)


def read_migrations(folder: Path) -> list[Migration]:
    """The files in order. Raises MigrationError when a name is malformed, a number is missing or taken twice."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name} is not named like 0001_what_it_does.sql")
        found.append(Migration(int(match["number"]), match["name"], path.read_text(encoding="utf-8")))
    for expected, migration in enumerate(found, start=1):
        if migration.number != expected:
            raise MigrationError(f"Migration {expected:04d} is missing or there are two; found {migration.label}")
    return found


async def create_schema(store: Store, tables: Iterable[Table] = ()) -> None:
    """Create the store's own tables and these in an empty database, without migrations: for tests and scratch."""
    async with store.transaction() as tx:
        for statement in statements(declared_schema_sql([*STORE_TABLES, *tables])):
            await tx.run(store.dialect.ddl(statement))
        await store.dialect.schema_changed(tx)


def diff(tables: Iterable[Table], folder: Path = MIGRATIONS) -> str:
    """The statements that lead from the schema of the migrations to the declared one; empty when there are none.

    Raises MigrationError for a change that needs a person: a type, a key, a not-null column without a default.
    """
    declared = {table.name: table for table in tables}
    script = "\n".join([create_table(SCHEMA_MIGRATIONS), *(m.sql for m in read_migrations(folder))])
    live = scratch_catalog(script)
    target = scratch_catalog(declared_schema_sql(declared.values()))
    changes: list[str] = []
    for name, table in declared.items():
        if name not in live:
            changes.append(ddl(table))
        else:
            changes += _diff_table(table, live[name], target[name])
    changes += [f"drop table {name};" for name in sorted(live.keys() - declared.keys())]
    return "\n\n".join(changes)


def write_next_migration(tables: Iterable[Table], name: str, folder: Path = MIGRATIONS) -> Path | None:
    """Write the next numbered file; None when migrations and declarations agree."""
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise MigrationError("A migration's name is made of small letters, digits and underscores")
    changes = diff(tables, folder)
    if not changes:
        return None
    number = len(read_migrations(folder)) + 1
    path = folder / f"{number:04d}_{name}.sql"
    path.write_text(f"-- {path.name}\n{changes}\n", encoding="utf-8")
    return path


async def _apply_next(tx: Transaction, store: Store, known: Sequence[Migration]) -> Migration | None:
    await tx.all(store.dialect.schema_lock)
    create = create_table(SCHEMA_MIGRATIONS).replace("create table", "create table if not exists")
    await tx.run(store.dialect.ddl(create.rstrip(";")))
    done = {row[0]: row[1:] for row in await tx.all("select number, name, checksum from schema_migrations")}
    _check_history(known, done)
    migration = next((m for m in known if m.number not in done), None)
    if migration is None:
        return None
    for statement in statements(migration.sql):
        await tx.run(store.dialect.ddl(statement))
    if migration is known[-1]:  # whoever is interrupted before has it to apply still
        await store.dialect.schema_changed(tx)
    await tx.run(
        """insert into schema_migrations (number, name, checksum, applied_at_ms)
        values (:number, :name, :checksum, :now_ms)""",
        number=migration.number,
        name=migration.name,
        checksum=migration.checksum,
        now_ms=store.clock.now_ms(),
    )
    return migration


def _check_history(known: Sequence[Migration], done: dict[int, tuple[str, str]]) -> None:
    by_number = {migration.number: migration for migration in known}
    for number, (name, checksum) in sorted(done.items()):
        migration = by_number.get(number)
        if migration is None:
            raise SchemaTooNew(
                f"The database was migrated by a newer Freehold (up to {max(done):04d}); this one knows "
                f"{len(known):04d}. Start the newer version, or restore a backup made before the upgrade."
            )
        if migration.checksum != checksum:
            raise MigrationEdited(
                f"Migration {number:04d}_{name} is not the one that was applied to this database. "
                "A migration is never edited; put the file back and write a new one."
            )


def _diff_table(table: Table, live: TableShape, target: TableShape) -> list[str]:
    if (live.form, live.key) != (target.form, target.key):
        raise MigrationError(f"The form or key of {table.name} changed; write that migration by hand")
    changes = []
    removed_indexes = [n for n, text in live.indexes.items() if target.indexes.get(n) != text]
    changes += [f"drop index {name};" for name in sorted(removed_indexes)]
    for column in table.columns:
        if column.name not in live.columns:
            if not column.null and column.default is None:
                raise MigrationError(f"{table.name}.{column.name} is new: give it a default or let it be null")
            changes.append(f"alter table {table.name} add column {column_ddl(column)};")
        elif live.columns[column.name] != target.columns[column.name]:
            raise MigrationError(f"{table.name}.{column.name} changed its type; write that migration by hand")
    changes += [f"alter table {table.name} drop column {name};" for name in live.columns if name not in target.columns]
    for index in table.indexes:
        name = index_name(table, index)
        if live.indexes.get(name) != target.indexes[name]:
            changes.append(create_index(table, index))
    return changes
