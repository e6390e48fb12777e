"""Removing rows whose time is over, from every table that declares when it is.

Nothing of them is accepted any more, so they only take up room. They are found by reading through the table, away from
the requests, rather than by an index that every request would pay for; and removed a batch at a time, so that no
sign-in waits behind it.
"""

from freehold.kernel.declare.scope import TenantScope
from freehold.kernel.declare.shapes import Ephemeral, Expiry, Stored
from freehold.kernel.store import Store

BATCH = 1000
PATIENCE_S = 60.0


async def remove_expired(store: Store, tenant: TenantScope) -> int:
    """Remove what is over; answers how many rows that were."""
    removed = 0
    for declaration in tenant.registry.by_name.values():
        if isinstance(declaration, Stored | Ephemeral):
            for expiry in declaration.expiry:
                removed += await _remove(store, tenant, declaration, expiry)
    return removed


async def _remove(store: Store, tenant: TenantScope, declaration: Stored | Ephemeral, expiry: Expiry) -> int:
    table = declaration.table
    names = [column for column in table.key if column != "tenant_id"]
    key = ", ".join(names)
    over = f"tenant_id = :tenant_id and {expiry.column} <= :before"
    find = (
        f"select {key} from {table.name} where {over} "  # noqa: S608 - declared names
        f"and ({key}) > ({', '.join(f':{name}' for name in names)}) order by {key} limit :batch"
    )
    # Looked at again: a row may have got more time meanwhile.
    remove = f"delete from {table.name} where {over} and {' and '.join(f'{name} = :{name}' for name in names)}"  # noqa: S608
    known = {"tenant_id": tenant.id, "before": tenant.clock.now_ms() - expiry.kept_s * 1000}
    removed, after = 0, dict.fromkeys(names, "")
    while True:
        rows = await store.search(find, timeout_s=PATIENCE_S, batch=BATCH, **known, **after)
        if not rows:
            return removed
        found = [dict(zip(names, row, strict=True)) for row in rows]
        async with store.transaction() as tx:
            await tx.run_many(remove, [{**known, **one} for one in found])
        removed, after = removed + len(found), found[-1]
