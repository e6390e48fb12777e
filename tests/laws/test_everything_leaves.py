"""The laws of the mission, over every declaration of the registry, on both databases.

What is declared is exported, and an exported tenant restored elsewhere is the same tenant. What is secret is encrypted
at rest, what is sealed leaves only sealed.
"""

import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from freehold.kernel.clock import FakeClock
from freehold.kernel.crypto.sealing import MasterKey
from freehold.kernel.declare import Derived, Ephemeral, TenantScope, VaultKind
from freehold.kernel.store import STORE_TABLES, Store, open_store
from freehold.kernel.store.introspect import verify_schema
from freehold.kernel.store.migrations import diff
from freehold.kernel.store.schema import Table
from freehold.registry import REGISTRY
from freehold.surfaces.transfer.archive import TenantFacts
from freehold.surfaces.transfer.exporting import export_tenant
from freehold.surfaces.transfer.restoring import restore_tenant
from freehold.surfaces.transfer.rows import row_form
from freehold.surfaces.transfer.sealed import export_vault
from tests.support.full_tenant import SEALED, SECRET, directory, make_full_tenant

EXPORTED = sorted(name for name, declared in REGISTRY.by_name.items() if row_form(declared) is not None)


@pytest.fixture
async def tenant(store: Store) -> TenantScope:
    return await make_full_tenant(store, REGISTRY)


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[Store]:
    """Another installation, on SQLite, with another master key."""
    from freehold.kernel.store import migrate

    other = open_store(f"sqlite:///{tmp_path / 'elsewhere.db'}", clock=FakeClock())
    await migrate(other)
    yield other
    await other.close()


async def write(store: Store, tenant: TenantScope, folder: Path) -> tuple[Path, Path]:
    """The tenant's archive and vault archive."""
    folder.mkdir(exist_ok=True)
    archive, sealed = folder / "tenant.tar.gz", folder / "vault.tar.gz"
    with archive.open("wb") as file:
        await export_tenant(store, tenant, REGISTRY, file)
    with sealed.open("wb") as file:
        await export_vault(store, tenant, REGISTRY, file)
    return archive, sealed


async def test_a_restored_tenant_is_the_same_tenant_to_the_byte(
    store: Store, tenant: TenantScope, elsewhere: Store, tmp_path: Path
) -> None:
    archive, sealed = await write(store, tenant, tmp_path / "here")
    tenants = directory(elsewhere, REGISTRY, MasterKey([bytes([7]) * 32]))

    async def adopt(tx: Any, facts: TenantFacts) -> TenantScope:
        return await tenants.adopt(tx, facts.id, facts.name, facts.domain)

    await restore_tenant(elsewhere, REGISTRY, archive, adopt=adopt, vault_path=sealed)
    again, sealed_again = await write(elsewhere, await tenants.by_name("full"), tmp_path / "there")

    assert again.read_bytes() == archive.read_bytes()
    assert sealed_again.read_bytes() == sealed.read_bytes()
    for declared in REGISTRY.by_name.values():
        if isinstance(declared, Derived):
            sql = f"select * from {declared.table.name} order by 1, 2"
            assert await elsewhere.all(sql) == await store.all(sql), declared.name


@pytest.mark.parametrize("database", ["sqlite"], scope="session")
async def test_every_declaration_has_rows_in_the_full_tenant(store: Store, tenant: TenantScope, database: str) -> None:
    """Otherwise the law above would prove nothing for it: add it to tests/support/full_tenant.py."""
    empty = []
    for name in EXPORTED:
        row = await store.one(f"select count(*) from {name} where tenant_id = :id", id=tenant.id)
        if row == (0,):
            empty.append(name)
    assert empty == []


@pytest.mark.parametrize("database", ["sqlite"], scope="session")
async def test_the_schemas_in_the_archive_describe_its_lines(
    store: Store, tenant: TenantScope, tmp_path: Path, database: str
) -> None:
    archive, _ = await write(store, tenant, tmp_path / "here")
    with tarfile.open(archive) as tar:
        content = {member.name: (tar.extractfile(member) or tmp_path.open("rb")).read() for member in tar}
    checked = 0
    for path, text in content.items():
        if path.startswith("data/"):
            schema = msgspec.json.decode(content[f"schemas/{path.split('/')[1]}.json"])
            validator = jsonschema.Draft202012Validator(schema)
            for line in text.splitlines():
                validator.validate(msgspec.json.decode(line))
                checked += 1
    assert checked > len(EXPORTED)


@pytest.mark.parametrize("database", ["sqlite"], scope="session")
async def test_sealed_values_are_in_no_ordinary_archive_and_nothing_hidden_is_readable_at_rest(
    store: Store, tenant: TenantScope, tmp_path: Path, database: str
) -> None:
    archive, sealed = await write(store, tenant, tmp_path / "here")
    with tarfile.open(archive) as tar:
        ordinary = b"".join((tar.extractfile(member) or tmp_path.open("rb")).read() for member in tar)
    with tarfile.open(sealed) as tar:
        vault_content = b"".join((tar.extractfile(member) or tmp_path.open("rb")).read() for member in tar)
    await store.close()
    at_rest = b"".join(path.read_bytes() for path in Path(store.url.removeprefix("sqlite:///")).parent.iterdir())

    assert SEALED.encode() not in ordinary
    assert SECRET.encode() in ordinary
    for kind in REGISTRY.vault_kinds:
        assert f"{SEALED}-{kind.name}".encode() in vault_content
    assert SEALED.encode() not in at_rest
    assert SECRET.encode() not in at_rest


def test_what_is_left_out_is_left_out_with_a_reason() -> None:
    for declared in REGISTRY.by_name.values():
        if isinstance(declared, Ephemeral):
            assert len(declared.because) > 40, f"{declared.name}: a sentence that somebody could dispute"


async def test_every_table_of_the_live_schema_is_claimed_by_exactly_one_declaration(store: Store) -> None:
    assert await verify_schema(store, [*STORE_TABLES, *REGISTRY.tables]) == []
    names = [table.name for table in REGISTRY.tables]
    assert len(names) == len(set(names))


def test_the_migrations_add_up_to_the_declarations() -> None:
    assert diff([*STORE_TABLES, *REGISTRY.tables]) == ""


@pytest.mark.parametrize("table", REGISTRY.tables, ids=lambda table: table.name)
def test_every_key_and_unique_index_begins_with_the_tenant(table: Table) -> None:
    """So that no row of one tenant can stand in the way of another's, and the schema can be spread by tenant."""
    if table.name == "tenants":
        return
    assert table.key[0] == "tenant_id"
    for index in table.indexes:
        assert index.columns[0] == "tenant_id", f"{table.name}: {index.columns}"


def test_restoring_needs_nothing_that_comes_later() -> None:
    position = {declared.name: number for number, declared in enumerate(REGISTRY.order)}
    assert len(position) == len(REGISTRY.by_name)
    assert not [d for d in REGISTRY.order if isinstance(d, VaultKind) and d.name not in position]
