"""Putting a tenant back to new, and moving it to another domain."""

from freehold.domain.access import CLIENT_GRANTS, RESOURCE_SERVERS, system_apis
from freehold.domain.tenants import management_client
from freehold.domain.tenants.directory import EVERY_TENANT, TenantDirectory, bootstrap, empty
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.store import Store, Transaction

KEPT_BY_RESET = frozenset(
    {
        "tenants", "data_keys", "signing_keys", "vault", "administrators", "administrator_passkeys",
        "administrator_links", "administrator_sessions", "administrator_devices",
        "audit_keys", "audit_entries", "audit_checkpoints", "audit_heads", "audit_witnessed",
        "export_keys",
    }
)  # fmt: skip
"""What is no configuration of the tenant: whoever empties it is not locked out of it, and its audit log goes on."""


FIRST_TENANT = "main"


async def ensure_first(store: Store, tenants: TenantDirectory, domain: str) -> TenantScope:
    """The tenant of the public base URL: made when there is none, moved there when it is the only one.

    An installation started again on another port or host keeps its one tenant; with several, each stays where it is
    and those below the moved one's host follow it.
    """
    existing = await tenants.all()
    found = next((tenant for tenant in existing if tenant.domain == domain), None)
    if found is not None:
        return found
    if not existing:
        return await create(store, tenants, FIRST_TENANT, domain)
    first = min(existing, key=lambda tenant: (len(tenant.domain), tenant.name))
    async with store.transaction() as tx:
        for tenant in existing:
            if tenant is first:
                await relocate(tx, tenant, domain)
            elif tenant.domain.endswith("." + first.domain):
                await relocate(tx, tenant, tenant.domain.removesuffix(first.domain) + domain)
    return await tenants.by_name(first.name)


async def refresh(store: Store, tenants: TenantDirectory) -> None:
    """Give every tenant the scopes of what this release declares and the one before did not."""
    for tenant in await tenants.all():
        async with store.transaction() as tx:
            new = await system_apis.refresh(tx, tenant)
            if new:
                await management_client.refresh(tx, tenant, new)


async def create(store: Store, tenants: TenantDirectory, name: str, domain: str) -> TenantScope:
    """A tenant like a new Auth0 tenant, with a management client. Raises Conflict when name or domain is taken."""
    tenant = await tenants.create(name, domain)
    async with store.transaction() as tx:
        await management_client.make(tx, tenant)
    return tenant


async def reset(store: Store, tenant: TenantScope) -> None:
    """Put a tenant back to new in one transaction.

    Its signing keys and its management client's credentials stay, so tokens already issued to scripts keep working, and
    so do its administrators with what they sign in with.
    """
    known = await management_client.credentials(store, tenant)
    async with store.transaction() as tx:
        await empty(tx, tenant, keep=KEPT_BY_RESET)
        await tx.run(
            "delete from vault where tenant_id = :id and kind <> 'private_keys' and owner not like 'admin|%'",
            id=tenant.id,
        )
        await bootstrap(tx, tenant)
        await management_client.make(tx, tenant, known.client_secret if known else None)
        tx.touch(tenant.id)


async def relocate(tx: Transaction, tenant: TenantScope, domain: str) -> None:
    """Move a tenant to another domain: its issuer, and the identifiers of its system APIs with the grants on them."""
    old, new = f"https://{tenant.domain}/", f"https://{domain}/"
    now = tenant.clock.now_ms()
    for record in await documents.select(tx, tenant, RESOURCE_SERVERS):
        identifier = str(record.document["identifier"])
        if record.document.get("is_system") and identifier.startswith(old):
            record.document["identifier"] = new + identifier.removeprefix(old)
            await documents.save(
                tx, tenant, RESOURCE_SERVERS, record, documents.typed(RESOURCE_SERVERS, record), now=now
            )
    for record in await documents.select(tx, tenant, CLIENT_GRANTS):
        audience = str(record.document["audience"])
        if audience.startswith(old):
            record.document["audience"] = new + audience.removeprefix(old)
            await documents.save(tx, tenant, CLIENT_GRANTS, record, documents.typed(CLIENT_GRANTS, record), now=now)
    await tx.run("update tenants set domain = :domain where tenant_id = :id", domain=domain, id=tenant.id)
    tx.touch(tenant.id)
    tx.touch(EVERY_TENANT)
