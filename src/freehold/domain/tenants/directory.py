"""Which tenants this server has, found by host name, by name, and made, emptied or moved.

A tenant's domain is a host, with the port when it is not 443, and its issuer is `https://` + domain + `/`.
"""

import re
from dataclasses import dataclass, field

from freehold.kernel.clock import Clock
from freehold.kernel.config import PUBLIC_DOMAIN
from freehold.kernel.crypto.ids import new_client_id, new_id
from freehold.kernel.crypto.sealing import Keyring, Sealer
from freehold.kernel.declare.registry import Registry
from freehold.kernel.declare.scope import EventSink, TenantScope, Witness
from freehold.kernel.errors import BadRequest, Conflict, NotFound
from freehold.kernel.store import Store, Transaction

EVERY_TENANT = ""
"""The pseudo tenant whose cache epoch moves when a tenant appears, moves or goes."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SELECT = """
select t.tenant_id, t.name, t.domain, k.wrapped from tenants t join data_keys k on k.tenant_id = t.tenant_id
"""


@dataclass(slots=True)
class TenantDirectory:
    """Finds tenants; scopes are kept until any tenant changes."""

    store: Store
    keyring: Keyring
    clock: Clock
    registry: Registry
    events: EventSink
    witness: Witness | None = None
    _epoch: int = -1
    _by_host: dict[str, TenantScope] = field(default_factory=dict)

    async def by_host(self, host: str) -> TenantScope | None:
        """The tenant that answers on this Host header value, or None."""
        if self.store.cache_epoch(EVERY_TENANT) != self._epoch:
            await self._load()
        found = self._by_host.get(host)
        if found is None and not host.islower():
            found = self._by_host.get(host.lower())
        if found is None and host.endswith(":443"):
            found = self._by_host.get(host[:-4].lower())
        return found

    async def by_name(self, name: str) -> TenantScope:
        """The tenant of this name. Raises NotFound."""
        for tenant in await self.all():
            if tenant.name == name:
                return tenant
        raise NotFound(f"There is no tenant called {name[:64]}.")

    async def by_id(self, tenant_id: str) -> TenantScope:
        """The tenant with this id. Raises NotFound."""
        for tenant in await self.all():
            if tenant.id == tenant_id:
                return tenant
        raise NotFound("There is no such tenant.")

    async def all(self) -> list[TenantScope]:
        """All tenants, ordered by name."""
        if self.store.cache_epoch(EVERY_TENANT) != self._epoch:
            await self._load()
        return sorted(self._by_host.values(), key=lambda tenant: tenant.name)

    async def create(self, name: str, domain: str, *, tenant_id: str | None = None, bare: bool = False) -> TenantScope:
        """Make a tenant with what a new Auth0 tenant contains, or with nothing at all for a restore (`bare`).

        Raises BadRequest for a name that is no DNS label, Conflict when name or domain is taken.
        """
        check_name(name)
        check_domain(domain)
        async with self.store.transaction() as tx:
            tenant = await self.create_in(tx, name, domain, tenant_id=tenant_id)
            if not bare:
                await bootstrap(tx, tenant)
        self._epoch = -1
        return await self.by_name(name)

    async def create_in(
        self, tx: Transaction, name: str, domain: str, *, tenant_id: str | None = None, created_at: int | None = None
    ) -> TenantScope:
        """Insert the tenant's row and a new data key, in the caller's transaction. Raises Conflict."""
        taken = "select name from tenants where name = :name or domain = :domain or tenant_id = :tenant_id"
        id_ = tenant_id or new_id("t_", 10)
        if await tx.one(taken, name=name, domain=domain, tenant_id=id_):
            raise Conflict(f"A tenant with the name {name} or the domain {domain} exists already.")
        now = self.clock.now_ms()
        data_key = self.keyring.new_data_key()
        await tx.run(
            "insert into tenants (tenant_id, name, domain, management_client_id, created_at) "
            "values (:tenant_id, :name, :domain, :management_client_id, :created_at)",
            tenant_id=id_,
            name=name,
            domain=domain,
            management_client_id=new_client_id(),
            created_at=now if created_at is None else created_at,
        )
        await self._insert_key(tx, id_, data_key)
        tx.touch(EVERY_TENANT)
        return self.scope(id_, name, domain, data_key)

    async def adopt(self, tx: Transaction, tenant_id: str, name: str, domain: str) -> TenantScope:
        """Give a tenant that is being restored a data key here; its own row comes with its data. Raises Conflict."""
        taken = "select 1 from tenants where name = :name or domain = :domain or tenant_id = :tenant_id"
        if await tx.one(taken, name=name, domain=domain, tenant_id=tenant_id):
            raise Conflict(f"The tenant {name} ({domain}) is here already; delete it first, or restore elsewhere.")
        data_key = self.keyring.new_data_key()
        await self._insert_key(tx, tenant_id, data_key)
        tx.touch(EVERY_TENANT)
        return self.scope(tenant_id, name, domain, data_key)

    async def _insert_key(self, tx: Transaction, tenant_id: str, data_key: bytes) -> None:
        await tx.run(
            "insert into data_keys (tenant_id, wrapped, created_at) values (:tenant_id, :wrapped, :created_at)",
            tenant_id=tenant_id,
            wrapped=self.keyring.wrap(data_key),
            created_at=self.clock.now_ms(),
        )

    async def delete(self, name: str) -> None:
        """Remove a tenant and every row of it. Raises NotFound."""
        tenant = await self.by_name(name)
        async with self.store.transaction() as tx:
            await erase(tx, tenant)
        self._epoch = -1

    def scope(self, tenant_id: str, name: str, domain: str, data_key: bytes) -> TenantScope:
        """The scope of a tenant whose data key is known."""
        return TenantScope(
            tenant_id, name, domain, Sealer(data_key), self.clock, self.registry, self.events, witness=self.witness
        )

    async def _load(self) -> None:
        epoch = self.store.cache_epoch(EVERY_TENANT)
        known = {tenant.id: tenant for tenant in self._by_host.values()}
        by_host: dict[str, TenantScope] = {}
        for tenant_id, name, domain, wrapped in await self.store.all(_SELECT):
            tenant = known.get(tenant_id)
            if tenant is None or (tenant.name, tenant.domain) != (name, domain):
                tenant = self.scope(tenant_id, name, domain, self.keyring.unwrap(bytes(wrapped)))
            by_host[domain] = tenant
        self._by_host, self._epoch = by_host, epoch


def check_name(name: str) -> None:
    """Refuse a tenant name that is not one lower-case DNS label. Raises BadRequest."""
    if not _NAME.fullmatch(name):
        raise BadRequest("A tenant's name has 1 to 63 lower-case letters, digits and hyphens, none at the ends.")


def check_domain(domain: str) -> None:
    """Refuse what cannot stand in an issuer. Raises BadRequest."""
    if not PUBLIC_DOMAIN.fullmatch(domain):
        raise BadRequest("A domain is host or host:port in lower case, such as login.example.com, without https://.")


async def bootstrap(tx: Transaction, tenant: TenantScope) -> None:
    """Make what each package gives a new tenant, in the order of the registry."""
    for package in tenant.registry.packages:
        if package.bootstrap:
            await package.bootstrap(tx, tenant)


async def erase(tx: Transaction, tenant: TenantScope) -> None:
    """Delete every row of the tenant, in every table that has tenants."""
    await empty(tx, tenant, keep=frozenset())
    tx.touch(tenant.id)
    tx.touch(EVERY_TENANT)


async def empty(tx: Transaction, tenant: TenantScope, *, keep: frozenset[str]) -> None:
    """Delete the tenant's rows in all tables but those named."""
    for table in tenant.registry.tables:
        if table.name not in keep and any(column.name == "tenant_id" for column in table.columns):
            sql = f"delete from {table.name} where tenant_id = :tenant_id"  # noqa: S608 - a declared table
            await tx.run(sql, tenant_id=tenant.id)
