"""A tenant of the configuration packages alone, on an in-memory store, with as much of a user as a role needs."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from freehold.domain import access, applications, connections
from freehold.domain.tenants.settings import SETTINGS
from freehold.kernel import vault
from freehold.kernel.clock import FakeClock
from freehold.kernel.crypto.sealing import Sealer
from freehold.kernel.declare import (
    Actor,
    Collection,
    Document,
    Package,
    Scopes,
    ServerSet,
    TenantScope,
    Text,
    VaultKind,
    documents,
)
from freehold.kernel.declare.documents import Record
from freehold.kernel.declare.registry import Registry
from freehold.kernel.store import Store, Transaction, create_schema, open_store


class User(Document):
    user_id: Annotated[str, ServerSet()]
    email: str = ""


USERS = Collection(
    document=User,
    path="users",
    key="user_id",
    scopes=Scopes.of("users"),
    not_found=Text("The user does not exist.", "inexistent_user"),
)
PEOPLE = Package(
    name="users",
    declarations=(USERS, VaultKind(name="private_keys", description="-")),
)
SETTINGS_PACKAGE = Package(name="settings", declarations=(SETTINGS,))
REGISTRY = Registry(
    (access.PACKAGE, applications.PACKAGE, connections.PACKAGE, SETTINGS_PACKAGE, PEOPLE),
    own_tables=(vault.VAULT_TABLE,),
)


class Silent:
    async def record(self, tx: Any, tenant: Any, type: str, **fields: Any) -> None:  # noqa: A002
        return None


@dataclass
class Called:
    """Stands for an authorised request to an operation."""

    tenant: TenantScope
    tx: Transaction
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    queries: Mapping[str, str] = field(default_factory=dict)
    actor: Actor = field(default_factory=lambda: Actor("api"))
    prepared: Any = None

    @property
    def reader(self) -> Transaction:
        return self.tx

    def query(self, name: str) -> str | None:
        return self.queries.get(name)

    async def shown(self, declaration: Any, record: Record, *, created: bool = False) -> dict[str, Any]:
        return record.document

    def paged(self, name: str, items: Any) -> Any:
        return items

    def describe(self, description: str, **fields: Any) -> None:
        return None


@dataclass
class Configured:
    """A bootstrapped tenant and its store, with each write in a transaction of its own."""

    store: Store
    tenant: TenantScope

    async def create(
        self, declaration: Collection[Any], given: Mapping[str, Any], *, actor: Actor | None = None, parent: str = ""
    ) -> dict[str, Any]:
        async with self.store.transaction() as tx:
            record = await documents.create(
                tx, self.tenant, declaration, given, actor=actor or Actor("system"), parent=parent
            )
        return record.document

    async def update(
        self, declaration: Any, id_: str, given: Mapping[str, Any], *, actor: Actor | None = None
    ) -> dict[str, Any]:
        async with self.store.transaction() as tx:
            record = await documents.update(tx, self.tenant, declaration, id_, given, actor=actor or Actor("system"))
        return record.document

    async def delete(self, declaration: Collection[Any], id_: str, *, actor: Actor | None = None) -> bool:
        async with self.store.transaction() as tx:
            return await documents.delete(tx, self.tenant, declaration, id_, actor=actor or Actor("system"))

    async def read(self, declaration: Any, id_: str) -> dict[str, Any] | None:
        record = await documents.read(self.store, self.tenant, declaration, id_)
        return record.document if record else None

    async def user(self, name: str) -> str:
        async with self.store.transaction() as tx:
            record = await documents.create(tx, self.tenant, USERS, {}, server={"user_id": f"auth0|{name}"})
        return record.id

    async def call(self, operation: Any, **given: Any) -> Any:
        """Run an operation's handler in a transaction."""
        async with self.store.transaction() as tx:
            return await operation(Called(self.tenant, tx, **given))


@pytest.fixture
async def configured() -> AsyncIterator[Configured]:
    clock = FakeClock()
    store = open_store("sqlite:///:memory:", clock=clock)
    await create_schema(store, REGISTRY.tables)
    tenant = TenantScope("t1", "acme", "acme.test", Sealer(bytes(32)), clock, REGISTRY, Silent())
    async with store.transaction() as tx:
        for package in REGISTRY.packages:
            if package.bootstrap:
                await package.bootstrap(tx, tenant)
    yield Configured(store, tenant)
    await store.close()
