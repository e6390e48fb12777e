"""The document pipeline, on documents that use every marker."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from msgspec import UNSET, UnsetType

from freehold.kernel import vault
from freehold.kernel.clock import FakeClock
from freehold.kernel.crypto.sealing import Sealer
from freehold.kernel.declare import (
    Child,
    Collection,
    Computed,
    Document,
    Immutable,
    InColumn,
    IndexedPart,
    Length,
    Merge,
    OpenPart,
    Package,
    Part,
    Ref,
    Scopes,
    Sealed,
    Secret,
    ServerSet,
    Singleton,
    TenantScope,
    Text,
    Unique,
    Variant,
    documents,
)
from freehold.kernel.declare.compile import DeclarationError, project
from freehold.kernel.declare.registry import Registry
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import Conflict, NotFound, PreconditionFailed
from freehold.kernel.store import Store, create_schema, open_store


class Plain(OpenPart):
    client_secret: Annotated[str | UnsetType, Secret(("read:secrets",))] = UNSET


class Strict(Part):
    level: int = 3
    password: Annotated[str | UnsetType, Sealed("write_only_secrets")] = UNSET


async def shout(reader: Any, tenant: TenantScope, document: dict[str, Any]) -> str:
    return str(document["name"]).upper()


class Thing(Document):
    id: Annotated[str, ServerSet()]
    name: Annotated[str, Unique(canonical=str.casefold), Length(1, 20)]
    kind: Annotated[str, Immutable()] = "plain"
    options: Annotated[dict[str, Any], Variant("kind", {"strict": Strict}, Plain)] = {}
    metadata: Annotated[dict[str, Any] | UnsetType, Merge()] = UNSET
    secret: Annotated[str | UnsetType, Secret(("read:secrets",))] = UNSET
    pin: Annotated[str | UnsetType | None, Sealed("write_only_secrets")] = UNSET
    loud: Annotated[str | UnsetType, Computed(shout)] = UNSET
    friend: Annotated[str | UnsetType, Ref("things", on_delete="clear")] = UNSET
    created_at: Annotated[str | UnsetType, ServerSet()] = UNSET


def first_tag(tags: list[str] | None) -> str | None:
    return tags[0] if tags else None


class Entry(Document):
    id: Annotated[str, ServerSet()]
    name: Annotated[str, Unique(within=("area",))]
    tags: Annotated[list[str], IndexedPart("area", first_tag)] = []
    uses: Annotated[int | UnsetType, ServerSet(), InColumn("bigint")] = UNSET


class Note(Document):
    id: Annotated[str, ServerSet()]
    text: str


class Preferences(Document):
    colour: str = "green"
    flags: Annotated[dict[str, bool], Merge()] = {}


THINGS = Collection(
    document=Thing, path="things", scopes=Scopes.of("things"), not_found=Text("No such thing", "inexistent_thing")
)
NOTES = Child(document=Note, path="things/{id}/notes", table="notes", parent="things", scopes=Scopes.of("notes"))
PREFERENCES = Singleton(document=Preferences, path="preferences", table="preferences", scopes=Scopes.of("preferences"))
ENTRIES = Collection(document=Entry, path="entries", scopes=Scopes.of("entries"))
REGISTRY = Registry(
    (Package(name="test", declarations=(THINGS, NOTES, PREFERENCES, ENTRIES)),), own_tables=(vault.VAULT_TABLE,)
)


class Silent:
    async def record(self, tx: Any, tenant: Any, type: str, **fields: Any) -> None:  # noqa: A002
        return None


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    store = open_store("sqlite:///:memory:", clock=FakeClock())
    await create_schema(store, REGISTRY.tables)
    yield store
    await store.close()


@pytest.fixture
def tenant() -> TenantScope:
    return TenantScope("t1", "acme", "acme.test", Sealer(bytes(32)), FakeClock(), REGISTRY, Silent())


async def test_a_document_comes_back_as_it_was_stored(store: Store, tenant: TenantScope) -> None:
    async with store.transaction() as tx:
        made = await documents.create(tx, tenant, THINGS, {"name": "Ada", "metadata": {"a": 1}})

    found = await documents.get(store, tenant, THINGS, made.id)

    assert (found.name, found.metadata, found.created_at) == ("Ada", {"a": 1}, "2026-01-01T00:00:00.000Z")


async def test_a_unique_value_clashes_in_its_canonical_form(store: Store, tenant: TenantScope) -> None:
    async with store.transaction() as tx:
        await documents.create(tx, tenant, THINGS, {"name": "Ada"})
    with pytest.raises(Conflict):
        async with store.transaction() as tx:
            await documents.create(tx, tenant, THINGS, {"name": "ADA"})


async def test_secrets_are_neither_in_the_text_nor_readable_in_the_row(store: Store, tenant: TenantScope) -> None:
    async with store.transaction() as tx:
        made = await documents.create(
            tx, tenant, THINGS, {"name": "x", "secret": "canary-1", "options": {"client_secret": "canary-2", "more": 1}}
        )

    row = await store.one("select document, secrets from things where id = :id", id=made.id)
    record = await documents.read(store, tenant, THINGS, made.id)

    assert row is not None
    assert record is not None
    assert "canary" not in row[0]
    assert b"canary" not in bytes(row[1])
    assert record.document["secret"] == "canary-1"
    assert record.document["options"] == {"client_secret": "canary-2", "more": 1}


async def test_sealed_members_are_only_in_the_vault(store: Store, tenant: TenantScope) -> None:
    given = {"name": "x", "kind": "strict", "pin": "canary-3", "options": {"password": "canary-4"}}
    async with store.transaction() as tx:
        made = await documents.create(tx, tenant, THINGS, given)

    record = await documents.read(store, tenant, THINGS, made.id)
    sealed = await vault.open_owned(store, tenant, "write_only_secrets", f"things/{made.id}")

    assert record is not None
    assert "canary" not in str(record.document)
    assert record.document["options"] == {"level": 3}
    assert sealed == {"pin": b'"canary-3"', "options.password": b'"canary-4"'}


async def test_a_patch_merges_where_declared_and_replaces_elsewhere(store: Store, tenant: TenantScope) -> None:
    async with store.transaction() as tx:
        made = await documents.create(
            tx, tenant, THINGS, {"name": "x", "metadata": {"a": 1, "b": 2}, "options": {"more": 1}}
        )
        changed = await documents.update(
            tx, tenant, THINGS, made.id, {"metadata": {"b": None, "c": 3}, "options": {"other": 2}}
        )

    assert changed.document["metadata"] == {"a": 1, "c": 3}
    assert changed.document["options"] == {"other": 2}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "Payload validation error: 'Missing required property: name'."),
        ({"name": ""}, "Payload validation error: 'String is too short, minimum 1' on property name."),
        ({"name": 5}, "Payload validation error: 'Expected type string but found type integer' on property name."),
        ({"name": "x", "id": "y"}, "Payload validation error: 'Additional properties not allowed: id'."),
        ({"name": "x", "loud": "y"}, "Payload validation error: 'Additional properties not allowed: loud'."),
        (
            {"name": "x", "kind": "strict", "options": {"z": 1}},
            "Payload validation error: 'Additional properties not allowed: z' on property options.",
        ),
    ],
)
async def test_bad_input_is_refused_with_the_property(
    store: Store, tenant: TenantScope, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidBody) as refusal:
        async with store.transaction() as tx:
            await documents.create(tx, tenant, THINGS, given)
    assert refusal.value.message == message


async def test_an_immutable_member_is_refused_in_a_patch(store: Store, tenant: TenantScope) -> None:
    async with store.transaction() as tx:
        made = await documents.create(tx, tenant, THINGS, {"name": "x"})
    with pytest.raises(InvalidBody):
        async with store.transaction() as tx:
            await documents.update(tx, tenant, THINGS, made.id, {"kind": "strict"})


async def test_a_stale_version_is_refused(store: Store, tenant: TenantScope) -> None:
    async with store.transaction() as tx:
        made = await documents.create(tx, tenant, THINGS, {"name": "x"})
        await documents.update(tx, tenant, THINGS, made.id, {"name": "y"}, if_version=1)
    with pytest.raises(PreconditionFailed):
        async with store.transaction() as tx:
            await documents.update(tx, tenant, THINGS, made.id, {"name": "z"}, if_version=1)


async def test_deleting_takes_children_along_and_clears_references(store: Store, tenant: TenantScope) -> None:
    async with store.transaction() as tx:
        ada = await documents.create(tx, tenant, THINGS, {"name": "ada"})
        bob = await documents.create(tx, tenant, THINGS, {"name": "bob", "friend": ada.id})
        note = await documents.create(tx, tenant, NOTES, {"text": "hello"}, parent=ada.id)
        assert await documents.delete(tx, tenant, THINGS, ada.id)

    assert await documents.find(store, tenant, NOTES, note.id) is None
    assert (await documents.get(store, tenant, THINGS, bob.id)).friend is UNSET


async def test_a_reference_to_nothing_is_refused_in_the_words_of_what_is_missing(
    store: Store, tenant: TenantScope
) -> None:
    with pytest.raises(NotFound, match="No such thing"):
        async with store.transaction() as tx:
            await documents.create(tx, tenant, THINGS, {"name": "x", "friend": "nobody"})


async def test_a_part_of_a_field_is_looked_up_by_and_bounds_what_is_unique(store: Store, tenant: TenantScope) -> None:
    async with store.transaction() as tx:
        made = await documents.create(tx, tenant, ENTRIES, {"name": "a", "tags": ["home", "x"]})
        await documents.create(tx, tenant, ENTRIES, {"name": "a", "tags": ["work"]})

    assert [e.id for e in await documents.find_all(store, tenant, ENTRIES, area="home")] == [made.id]
    assert "area" not in (await documents.select(store, tenant, ENTRIES, area="home"))[0].document
    with pytest.raises(Conflict):
        async with store.transaction() as tx:
            await documents.create(tx, tenant, ENTRIES, {"name": "a", "tags": ["home"]})


async def test_an_update_loses_nothing_that_happened_in_a_column(store: Store, tenant: TenantScope) -> None:
    async with store.transaction() as tx:
        made = await documents.create(tx, tenant, ENTRIES, {"name": "a"}, server={"uses": 1})
        await tx.run("update entries set uses = 2 where id = :id", id=made.id)
        stale = await documents.read(tx, tenant, ENTRIES, made.id)
        assert stale is not None
        stale.document["uses"] = 1
        await documents.save(tx, tenant, ENTRIES, stale, documents.typed(ENTRIES, stale), now=1)

    assert (await documents.get(store, tenant, ENTRIES, made.id)).uses == 2


async def test_a_singleton_has_its_defaults_until_it_is_changed(store: Store, tenant: TenantScope) -> None:
    assert (await documents.singleton(store, tenant, PREFERENCES)).colour == "green"
    async with store.transaction() as tx:
        await documents.update(tx, tenant, PREFERENCES, documents.SINGLETON_ID, {"flags": {"a": True}})
    assert (await documents.singleton(store, tenant, PREFERENCES)).flags == {"a": True}


async def test_the_cache_is_dropped_by_a_committed_change(store: Store, tenant: TenantScope) -> None:
    async with store.transaction() as tx:
        made = await documents.create(tx, tenant, THINGS, {"name": "x"})
    before = await documents.cached(store, tenant, THINGS, made.id)
    assert await documents.cached(store, tenant, THINGS, made.id) is before
    async with store.transaction() as tx:
        await documents.update(tx, tenant, THINGS, made.id, {"name": "y"})
    after = await documents.cached(store, tenant, THINGS, made.id)
    assert after is not None
    assert after.name == "y"


async def test_another_tenant_sees_nothing(store: Store, tenant: TenantScope) -> None:
    other = TenantScope("t2", "other", "other.test", Sealer(bytes(32)), FakeClock(), REGISTRY, Silent())
    async with store.transaction() as tx:
        made = await documents.create(tx, tenant, THINGS, {"name": "x"})
    assert await documents.find(store, other, THINGS, made.id) is None


def test_a_marker_inside_a_union_is_refused() -> None:
    class Lost(Document):
        name: Annotated[str, Secret()] | None = None

    with pytest.raises(DeclarationError, match="wrap the whole type"):
        project(Lost)


def test_a_marker_inside_a_part_is_refused() -> None:
    """It would have no effect: what is to be sealed would be stored and served."""

    class Inner(Part):
        password: Annotated[str | UnsetType, Sealed("write_only_secrets")] = UNSET

    class Outer(Document):
        inner: list[Inner] | None = None

    with pytest.raises(DeclarationError, match=r"Inner\.password"):
        project(Outer)


def test_a_column_that_input_could_set_is_refused() -> None:
    class Open(Document):
        uses: Annotated[int | UnsetType, InColumn("bigint")] = UNSET

    with pytest.raises(DeclarationError, match="server only"):
        project(Open)


def test_restore_order_puts_parents_first() -> None:
    names = [declaration.name for declaration in REGISTRY.order]
    assert names.index("things") < names.index("notes")
