"""Export and restore, on documents that use every marker."""

import gzip
import io
import tarfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from freehold.kernel import vault
from freehold.kernel.clock import FakeClock
from freehold.kernel.crypto.sealing import Sealer
from freehold.kernel.declare import (
    Child,
    Collection,
    Document,
    Ephemeral,
    InColumn,
    Link,
    Package,
    Scopes,
    Sealed,
    Secret,
    ServerSet,
    Singleton,
    Stored,
    TenantScope,
    Unique,
    VaultKind,
    documents,
    relations,
)
from freehold.kernel.declare.registry import Registry
from freehold.kernel.store import Store, Transaction, create_schema, open_store
from freehold.kernel.store.schema import Column, Table
from freehold.surfaces.transfer import archive
from freehold.surfaces.transfer.archive import BadArchive, TenantFacts, verify
from freehold.surfaces.transfer.exporting import export_tenant
from freehold.surfaces.transfer.restoring import restore_tenant
from freehold.surfaces.transfer.sealed import export_vault


class Person(Document):
    id: Annotated[str, ServerSet()]
    name: Annotated[str, Unique(canonical=str.casefold)]
    metadata: dict[str, Any] = {}
    token: Annotated[str | UnsetType, Secret(("read:tokens",))] = UNSET
    password: Annotated[str | UnsetType, Sealed("passwords")] = UNSET
    visits: Annotated[int | UnsetType, ServerSet(), InColumn("bigint")] = UNSET


class Note(Document):
    id: Annotated[str, ServerSet()]
    text: str


class Preferences(Document):
    colour: str = "green"


PEOPLE = Collection(document=Person, path="people", scopes=Scopes.of("people"))
NOTES = Child(document=Note, path="people/{id}/notes", table="notes", parent="people", scopes=Scopes.of("notes"))
PREFERENCES = Singleton(document=Preferences, path="preferences", table="preferences", scopes=Scopes.of("preferences"))
FRIENDS = Link(table="friends", left="people", right="people")
VISITS = Stored(
    table=Table(
        "visits",
        (
            Column("tenant_id", "text"),
            Column("id", "text"),
            Column("at_ms", "bigint"),
            Column("raw", "bytea", null=True),
            Column("record", "text"),
        ),
        key=("tenant_id", "id"),
    ),
    json_columns=frozenset({"record"}),
)
CODES = Ephemeral(
    table=Table("codes", (Column("tenant_id", "text"), Column("id", "text")), key=("tenant_id", "id")),
    because="They live for minutes.",
)
PASSWORDS = VaultKind(name="passwords", description="What people typed.")
REGISTRY = Registry(
    (Package(name="test", declarations=(PEOPLE, NOTES, PREFERENCES, FRIENDS, VISITS, CODES, PASSWORDS)),),
    own_tables=(vault.VAULT_TABLE,),
)


class Silent:
    async def record(self, tx: Any, tenant: Any, type: str, **fields: Any) -> None:  # noqa: A002
        return None


def scope(key: bytes) -> TenantScope:
    return TenantScope("t1", "acme", "acme.test", Sealer(key), FakeClock(), REGISTRY, Silent())


async def open_empty(path: Path) -> Store:
    store = open_store(f"sqlite:///{path}", clock=FakeClock())
    await create_schema(store, REGISTRY.tables)
    return store


@pytest.fixture
async def full(tmp_path: Path) -> AsyncIterator[Store]:
    """A store whose tenant has at least one row of everything, with awkward content."""
    store = await open_empty(tmp_path / "full.db")
    tenant = scope(bytes(32))
    async with store.transaction() as tx:
        ada = await documents.create(
            tx,
            tenant,
            PEOPLE,
            {"name": "Ada", "metadata": {"z": 1.0, "a": "\u2028é\n", "n": None}, "token": "s3", "password": "p"},
        )
        bob = await documents.create(tx, tenant, PEOPLE, {"name": "Bob"})
        await documents.create(tx, tenant, NOTES, {"text": "hello"}, parent=ada.id)
        await documents.update(tx, tenant, PREFERENCES, documents.SINGLETON_ID, {"colour": "red"})
        await relations.relate(tx, tenant, FRIENDS, [(ada.id, bob.id)])
        await tx.run("update people set visits = 7 where id = :id", id=ada.id)
        await tx.run(
            "insert into visits (tenant_id, id, at_ms, raw, record) values ('t1', 'v1', 5, :raw, :record)",
            raw=b"\x00\xff",
            record='{"b":1e3,"a":[1, 2]}',
        )
    yield store
    await store.close()


async def write(store: Store, path: Path, key: bytes = bytes(32)) -> None:
    with path.open("wb") as file:
        await export_tenant(store, scope(key), REGISTRY, file)


async def write_vault(store: Store, path: Path, key: bytes = bytes(32)) -> None:
    with path.open("wb") as file:
        await export_vault(store, scope(key), REGISTRY, file)


async def adopt_elsewhere(tx: Transaction, facts: TenantFacts) -> TenantScope:
    """The tenant under another data key than the one it was exported with."""
    return scope(bytes([1]) * 32)


async def test_a_restored_tenant_exports_to_the_same_bytes(full: Store, tmp_path: Path) -> None:
    await write(full, tmp_path / "a.tar.gz")
    await write_vault(full, tmp_path / "a.vault.tar.gz")
    other = await open_empty(tmp_path / "other.db")

    await restore_tenant(
        other, REGISTRY, tmp_path / "a.tar.gz", adopt=adopt_elsewhere, vault_path=tmp_path / "a.vault.tar.gz"
    )
    await write(other, tmp_path / "b.tar.gz", bytes([1]) * 32)
    await write_vault(other, tmp_path / "b.vault.tar.gz", bytes([1]) * 32)
    await other.close()

    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    assert (tmp_path / "a.vault.tar.gz").read_bytes() == (tmp_path / "b.vault.tar.gz").read_bytes()


async def test_what_is_sealed_is_not_in_the_archive_and_what_is_left_out_is_named(full: Store, tmp_path: Path) -> None:
    await write(full, tmp_path / "a.tar.gz")

    content = gzip.decompress((tmp_path / "a.tar.gz").read_bytes())
    manifest = verify(tmp_path / "a.tar.gz")

    assert b'"token":"s3"' in content
    assert b'"p"' not in content
    assert {item.name for item in manifest.left_out} == {"vault/passwords", "codes"}
    assert manifest.rows == {"people": 2, "notes": 1, "preferences": 1, "friends": 1, "visits": 1}


async def test_the_archive_is_a_tar_that_any_tool_opens(full: Store, tmp_path: Path) -> None:
    await write(full, tmp_path / "a.tar.gz")
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        names = tar.getnames()
    assert names[0] == "README.txt"
    assert names[-1] == "manifest.json"
    assert "data/people/000001.ndjson" in names


def with_a_flipped_bit(archive: bytes, position: float) -> bytes:
    """The archive with one bit changed at about this part of it. Some bits of gzip say nothing of what is in it."""
    for at in range(int(len(archive) * position), len(archive)):
        changed = archive[:at] + bytes([archive[at] ^ 0x10]) + archive[at + 1 :]
        try:
            if gzip.decompress(changed) != gzip.decompress(archive):
                return changed
        except (OSError, EOFError, zlib.error):
            return changed
    raise AssertionError("no bit matters")


@pytest.mark.parametrize("position", [0.02, 0.2, 0.5, 0.8, 0.98])
async def test_a_flipped_bit_is_noticed_before_anything_is_written(
    full: Store, tmp_path: Path, position: float
) -> None:
    await write(full, tmp_path / "a.tar.gz")
    (tmp_path / "b.tar.gz").write_bytes(with_a_flipped_bit((tmp_path / "a.tar.gz").read_bytes(), position))
    other = await open_empty(tmp_path / "other.db")

    with pytest.raises(BadArchive):
        await restore_tenant(other, REGISTRY, tmp_path / "b.tar.gz", adopt=adopt_elsewhere)

    assert await other.one("select count(*) from people") == (0,)
    await other.close()


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
async def test_a_cut_off_archive_is_refused(full: Store, tmp_path: Path, kept: float) -> None:
    await write(full, tmp_path / "a.tar.gz")
    content = (tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "b.tar.gz").write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(BadArchive):
        verify(tmp_path / "b.tar.gz")


def rewritten(source: Path, target: Path, change: Any) -> None:
    """Copy an archive member by member; `change(name, content)` answers the new content, or None to leave it out."""
    with tarfile.open(source) as old, tarfile.open(target, "w:gz") as new:
        for header in old:
            file = old.extractfile(header)
            content = change(header.name, file.read() if file else b"")
            if content is not None:
                info = tarfile.TarInfo(header.name)
                info.size = len(content)
                new.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda name, content: None if name.startswith("data/notes") else content, "is missing"),
        (lambda name, content: content + b"x" if name.startswith("data/notes") else content, "is not what"),
        (lambda name, content: None if name == "manifest.json" else content, "no manifest"),
        (
            lambda name, content: content.replace(b'"version": 1', b'"version": 9') if "manifest" in name else content,
            "format version 9",
        ),
    ],
)
async def test_a_manifest_that_does_not_match_is_refused_naming_the_place(
    full: Store, tmp_path: Path, change: Any, message: str
) -> None:
    await write(full, tmp_path / "a.tar.gz")
    rewritten(tmp_path / "a.tar.gz", tmp_path / "b.tar.gz", change)
    with pytest.raises(BadArchive, match=message):
        verify(tmp_path / "b.tar.gz")


async def test_a_vault_archive_of_another_tenant_is_refused(full: Store, tmp_path: Path) -> None:
    await write(full, tmp_path / "a.tar.gz")
    await write_vault(full, tmp_path / "v.tar.gz")
    rewritten(
        tmp_path / "v.tar.gz",
        tmp_path / "w.tar.gz",
        lambda name, content: content.replace(b'"id": "t1"', b'"id": "t2"') if "manifest" in name else content,
    )
    other = await open_empty(tmp_path / "other.db")
    with pytest.raises(BadArchive, match="belongs to the tenant"):
        await restore_tenant(
            other, REGISTRY, tmp_path / "a.tar.gz", adopt=adopt_elsewhere, vault_path=tmp_path / "w.tar.gz"
        )
    await other.close()


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 7))
def test_where_parts_end_does_not_depend_on_how_rows_come(lengths: list[int], together: int) -> None:
    rows = [b"x" * (length - 1) + b"\n" for length in lengths]

    def members_of(step: int) -> list[tuple[str, int, int]]:
        writer = archive.ArchiveWriter(io.BytesIO())
        parts = archive.PartWriter(writer, "data", "things")
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            parts.add(b"".join(some), len(some))
        parts.finish()
        assert parts.rows == len(rows)
        return [(member.sha256, member.bytes, member.rows) for member in writer.members]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "PART_BYTES", 100)
        alone = members_of(1)
        assert members_of(together) == members_of(100) == alone
    assert all(size >= 100 for _, size, _ in alone[:-1])
    assert all(size - 40 < 100 for _, size, _ in alone)
