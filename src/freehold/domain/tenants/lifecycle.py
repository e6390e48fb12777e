"""Putting a tenant back to new, and moving it to another domain."""

from freehold.domain.access import CLIENT_GRANTS, RESOURCE_SERVERS
from freehold.domain.tenants import management_client
from freehold.domain.tenants.directory import EVERY_TENANT, bootstrap, empty
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.store import Store, Transaction

KEPT_BY_RESET = frozenset({"tenants", "data_keys", "signing_keys", "vault"})


async def reset(store: Store, tenant: TenantScope) -> None:
    """Put a tenant back to new in one transaction.

    Its signing keys and its management client's credentials stay, so tokens already issued to scripts keep working.
    """
    known = await management_client.credentials(store, tenant)
    async with store.transaction() as tx:
        await empty(tx, tenant, keep=KEPT_BY_RESET)
        await tx.run("delete from vault where tenant_id = :id and kind <> 'private_keys'", id=tenant.id)
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
            await documents.save(tx, tenant, RESOURCE_SERVERS, record, documents.typed(RESOURCE_SERVERS, record), now=now)
    for record in await documents.select(tx, tenant, CLIENT_GRANTS):
        audience = str(record.document["audience"])
        if audience.startswith(old):
            record.document["audience"] = new + audience.removeprefix(old)
            await documents.save(tx, tenant, CLIENT_GRANTS, record, documents.typed(CLIENT_GRANTS, record), now=now)
    await tx.run("update tenants set domain = :domain where tenant_id = :id", domain=domain, id=tenant.id)
    tx.touch(tenant.id)
    tx.touch(EVERY_TENANT)
