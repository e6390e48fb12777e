"""Removing rows whose time is over, from every table that declares when it is."""

from freehold.kernel.declare.registry import Registry
from freehold.kernel.declare.scope import TenantScope
from freehold.kernel.declare.shapes import Ephemeral, Expiry, Stored
from freehold.kernel.store import Store

BATCH = 500
"""Rows a transaction removes, so that nobody waits long behind it."""


async def remove_expired(store: Store, registry: Registry, tenant: TenantScope) -> int:
    """Remove what is over; answers how many rows that were."""
    removed = 0
    for declaration in registry.by_name.values():
        if isinstance(declaration, Stored | Ephemeral):
            for expiry in declaration.expiry:
                removed += await _remove(store, tenant, declaration, expiry)
    return removed


async def _remove(store: Store, tenant: TenantScope, declaration: Stored | Ephemeral, expiry: Expiry) -> int:
    table = declaration.table
    key = ", ".join(column for column in table.key if column != "tenant_id")
    sql = (
        f"delete from {table.name} where tenant_id = :tenant_id and ({key}) in "  # noqa: S608 - declared names
        f"(select {key} from {table.name} where tenant_id = :tenant_id and {expiry.column} <= :before limit :batch)"
    )
    before = tenant.clock.now_ms() - expiry.kept_s * 1000
    removed = BATCH
    total = 0
    while removed == BATCH:
        async with store.transaction() as tx:
            removed = await tx.run(sql, tenant_id=tenant.id, before=before, batch=BATCH)
        total += removed
    return total
