"""Migrations, on both databases: applied once, in order, refused when they do not fit, equal to the declarations."""

import asyncio
import sys
from pathlib import Path

import pytest

from freehold.kernel.clock import FakeClock
from freehold.kernel.store import (
    STORE_TABLES,
    Column,
    Index,
    Store,
    Table,
    create_schema,
    migrate,
    open_store,
    verify_schema,
)
from freehold.kernel.store.migrations import (
    MIGRATIONS,
    MigrationEdited,
    MigrationError,
    SchemaTooNew,
    diff,
    read_migrations,
    write_next_migration,
)
from freehold.kernel.store.schema import ddl, index_name
from tests.support.programs import ROOT

PETS = Table(
    "pets",
    (Column("tenant_id", "text"), Column("id", "text"), Column("name", "text"), Column("document", "text")),
    key=("tenant_id", "id"),
    indexes=(Index(("tenant_id", "name"), unique=True),),
)
GROWN_PETS = Table(
    "pets",
    (
        Column("tenant_id", "text"),
        Column("id", "text"),
        Column("weight", "real", null=True),
        Column("name", "text"),
        Column("kind", "text", default="it's a dog"),
        Column("legs", "bigint", default=4),
        Column("document", "text"),
    ),
    key=("tenant_id", "id"),
    indexes=(
        Index(("tenant_id", "json_text(document, 'chip')"), unique=True, where="legs > 0"),
        Index(("tenant_id", "kind")),
    ),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project's migrations: the store's tables, then pets."""
    write_next_migration(STORE_TABLES, "store", tmp_path)
    write_next_migration([*STORE_TABLES, PETS], "pets", tmp_path)
    return tmp_path


async def test_migrations_are_applied_in_order_once(empty_store: Store, folder: Path, clock: FakeClock) -> None:
    assert await migrate(empty_store, folder) == ["0001_store", "0002_pets"]
    assert await migrate(empty_store, folder) == []

    rows = await empty_store.all("select number, name, applied_at_ms from schema_migrations order by number")
    assert rows == [(1, "store", clock.now_ms()), (2, "pets", clock.now_ms())]


async def test_the_written_migrations_lead_to_the_declared_schema(empty_store: Store, folder: Path) -> None:
    await migrate(empty_store, folder)
    await empty_store.run("insert into pets (tenant_id, id, name, document) values ('acme', '1', 'Rex', '{}')")
    assert await verify_schema(empty_store, [*STORE_TABLES, PETS]) == []

    path = write_next_migration([*STORE_TABLES, GROWN_PETS], "grow_pets", folder)

    assert path is not None
    assert path.name == "0003_grow_pets.sql"
    assert await migrate(empty_store, folder) == ["0003_grow_pets"]
    assert await verify_schema(empty_store, [*STORE_TABLES, GROWN_PETS]) == []
    assert await empty_store.all("select name, kind, legs, weight from pets") == [("Rex", "it's a dog", 4, None)]
    assert write_next_migration([*STORE_TABLES, GROWN_PETS], "nothing", folder) is None


async def test_a_dropped_table_is_dropped(empty_store: Store, folder: Path) -> None:
    write_next_migration(STORE_TABLES, "no_pets", folder)

    await migrate(empty_store, folder)

    assert await verify_schema(empty_store, STORE_TABLES) == []


async def test_every_difference_has_a_sentence(empty_store: Store, folder: Path) -> None:
    await migrate(empty_store, folder)
    await empty_store.run("create table stray (id int)")
    other_key = Table("pets", PETS.columns, key=("tenant_id", "name"), indexes=())
    absent = Table("absent", (Column("id", "text"),), key=("id",))

    found = "\n".join(await verify_schema(empty_store, [*STORE_TABLES, other_key, absent]))

    assert "table absent is declared but missing" in found
    assert "table stray is not declared by anyone" in found
    assert "table pets has the key ('tenant_id', 'id'), declared ('tenant_id', 'name')" in found
    assert "index pets_name of pets is not declared by anyone" in found


async def test_changed_columns_and_indexes_are_told(empty_store: Store, folder: Path) -> None:
    await migrate(empty_store, folder)
    changed = Table(
        "pets",
        (
            Column("tenant_id", "text"),
            Column("id", "text"),
            Column("name", "text", null=True),
            Column("document", "bytea"),
            Column("more", "text", null=True),
        ),
        key=("tenant_id", "id"),
        indexes=(Index(("tenant_id", "name")),),
    )

    found = await verify_schema(empty_store, [*STORE_TABLES, changed])

    assert [sentence.split(" is ")[0] for sentence in found] == [
        "column document of pets", "column more of pets", "column name of pets", "index pets_name of pets",
    ]  # fmt: skip


async def test_verifying_leaves_nothing_behind(empty_store: Store, folder: Path) -> None:
    await migrate(empty_store, folder)

    for _ in range(2):
        assert await verify_schema(empty_store, [*STORE_TABLES, PETS]) == []


async def test_a_database_of_a_newer_version_is_refused(empty_store: Store, folder: Path) -> None:
    await migrate(empty_store, folder)
    (folder / "0002_pets.sql").unlink()

    with pytest.raises(SchemaTooNew, match="newer Freehold"):
        await migrate(empty_store, folder)


async def test_an_edited_migration_is_refused(empty_store: Store, folder: Path) -> None:
    await migrate(empty_store, folder)
    with (folder / "0001_store.sql").open("a") as file:
        file.write("\n-- a second thought\n")
    write_next_migration([*STORE_TABLES, GROWN_PETS], "grow", folder)

    with pytest.raises(MigrationEdited, match="0001_store"):
        await migrate(empty_store, folder)

    assert await verify_schema(empty_store, [*STORE_TABLES, PETS]) == []


async def test_a_failing_migration_leaves_nothing_of_itself(empty_store: Store, folder: Path) -> None:
    (folder / "0003_broken.sql").write_text("create table half (id text); insert into nowhere (id) values ('1');")

    with pytest.raises(Exception, match="nowhere"):
        await migrate(empty_store, folder)

    assert await verify_schema(empty_store, [*STORE_TABLES, PETS]) == []
    (folder / "0003_broken.sql").write_text("create table whole (id text not null, primary key (id)) {without_rowid};")
    assert await migrate(empty_store, folder) == ["0003_broken"]


async def test_a_migration_may_move_data(empty_store: Store, folder: Path) -> None:
    await migrate(empty_store, folder)
    await empty_store.run(
        "insert into pets (tenant_id, id, name, document) values ('acme', '1', 'a', :d)", d='{"nick": "Rex; -- :x"}'
    )
    (folder / "0003_names.sql").write_text(
        "-- Names come from nicknames; 'quoted' and :colons are only words here.\n"
        "update pets set name = json_text(document, 'nick') /* all; of them */ where name <> ';:y';\n"
    )

    await migrate(empty_store, folder)

    assert await empty_store.one("select name from pets") == ("Rex; -- :x",)


async def test_stores_that_start_together_migrate_once(store_url: str, folder: Path, clock: FakeClock) -> None:
    stores = [open_store(store_url, clock=clock) for _ in range(4)]

    applied = await asyncio.gather(*(migrate(store, folder) for store in stores))

    assert sorted(label for labels in applied for label in labels) == ["0001_store", "0002_pets"]
    await asyncio.gather(*(store.close() for store in stores))


START = """
import asyncio, sys
from pathlib import Path
from freehold.kernel.clock import SystemClock
from freehold.kernel.store import migrate, open_store

async def main():
    store = open_store(sys.argv[1], clock=SystemClock())
    print(*await migrate(store, Path(sys.argv[2])))
    await store.close()

asyncio.run(main())
"""


async def test_processes_that_start_together_migrate_once(store_url: str, folder: Path) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", START, store_url, str(folder),
            env={"PYTHONPATH": str(ROOT / "src")}, stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(4)
    ]  # fmt: skip

    outputs = [(await process.communicate())[0].decode().split() for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert sorted(label for labels in outputs for label in labels) == ["0001_store", "0002_pets"]


# Files


def test_a_missing_number_is_refused(folder: Path) -> None:
    (folder / "0001_store.sql").unlink()

    with pytest.raises(MigrationError, match="0001"):
        read_migrations(folder)


def test_two_files_of_one_number_are_refused(folder: Path) -> None:
    (folder / "0002_also.sql").write_text("select 1;")

    with pytest.raises(MigrationError, match="0003"):
        read_migrations(folder)


def test_a_misnamed_file_is_refused(folder: Path) -> None:
    (folder / "3_pets.sql").write_text("select 1;")

    with pytest.raises(MigrationError, match="3_pets"):
        read_migrations(folder)


@pytest.mark.parametrize("name", ["Bad Name", "../up", "a-b", ""])
def test_a_new_migration_needs_a_plain_name(folder: Path, name: str) -> None:
    with pytest.raises(MigrationError):
        write_next_migration(STORE_TABLES, name, folder)


@pytest.mark.parametrize(
    "table",
    [
        Table("pets", (*PETS.columns, Column("kind", "text")), PETS.key, PETS.indexes),
        Table("pets", PETS.columns, ("tenant_id", "name"), PETS.indexes),
        Table("pets", (*PETS.columns[:3], Column("document", "bytea")), PETS.key, PETS.indexes),
        Table("pets", PETS.columns, PETS.key, PETS.indexes, without_rowid=False),
    ],
    ids=["not null without default", "key", "type", "form"],
)
def test_what_needs_a_person_is_not_guessed(folder: Path, table: Table) -> None:
    with pytest.raises(MigrationError):
        diff([*STORE_TABLES, table], folder)


def test_a_new_table_is_one_migration(folder: Path) -> None:
    toys = Table("toys", (Column("tenant_id", "text"), Column("id", "text")), key=("tenant_id", "id"))

    path = write_next_migration([*STORE_TABLES, PETS, toys], "toys", folder)

    assert path is not None
    assert path.read_text() == (
        "-- 0003_toys.sql\n"
        "create table toys (\n"
        "    tenant_id text not null,\n"
        "    id text not null,\n"
        "    primary key (tenant_id, id)\n"
        ") {without_rowid};\n"
    )


def test_the_projects_own_migrations_are_in_order() -> None:
    assert [migration.number for migration in read_migrations(MIGRATIONS)][:1] == [1]


# Declarations


def test_index_names_follow_from_their_columns() -> None:
    table = Table("pets", GROWN_PETS.columns, ("tenant_id", "id"))

    assert index_name(table, Index(("tenant_id", "json_text(document, 'a.b')"))) == "pets_a_b"
    assert index_name(table, Index(("tenant_id",))) == "pets_tenant_id"
    assert index_name(table, Index(("tenant_id", "kind"), name="by_kind")) == "by_kind"
    assert len(index_name(table, Index(("x" * 70,)))) == 63


def test_a_table_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Table("t", (Column("a", "text"), Column("a", "text")), key=("a",))
    with pytest.raises(ValueError, match="key"):
        Table("t", (Column("a", "text"),), key=("b",))


async def test_columns_may_be_named_like_types(empty_store: Store) -> None:
    table = Table("odd", (Column("text", "text"), Column("bigint", "bytea", null=True)), key=("text",))
    await create_schema(empty_store, [table])
    await empty_store.run(empty_store.dialect.ddl("alter table odd add column bytea text"))
    grown = Table("odd", (*table.columns, Column("bytea", "text", null=True)), key=("text",))

    assert await verify_schema(empty_store, [*STORE_TABLES, grown]) == []


def test_ddl_is_portable_text() -> None:
    assert ddl(GROWN_PETS).splitlines()[-2:] == [
        "create unique index pets_chip on pets (tenant_id, json_text(document, 'chip')) where legs > 0;",
        "create index pets_kind on pets (tenant_id, kind);",
    ]
