"""Users whose connection was deleted: they go with it, in the background, a few in each transaction.

Otherwise whoever makes a connection of the same name later would find the old accounts in it.
"""

import msgspec

from freehold.domain.users.accounts import delete_user
from freehold.kernel.declare import TenantScope
from freehold.kernel.jobs import Job

AT_ONCE = 50


class Deleted(msgspec.Struct):
    """Which connection has gone, and when: users made since then belong to a new one."""

    name: str
    before_ms: int


async def remove_users(job: Job) -> None:
    """Remove the users of a connection that was deleted."""
    tenant: TenantScope = await job.services.tenants.by_id(job.tenant_id)
    gone = msgspec.json.decode(job.payload, type=Deleted)
    store, after = job.services.store, ""
    while True:
        rows = await store.search(
            """select id from users where tenant_id = :tenant_id and id > :after and ix_connection = :name
            and created_at <= :before_ms order by id limit :at_once""",
            timeout_s=60,
            tenant_id=tenant.id,
            after=after,
            name=gone.name,
            before_ms=gone.before_ms,
            at_once=AT_ONCE,
        )
        if not rows:
            return
        async with store.transaction() as tx:
            for (user_id,) in rows:
                await delete_user(tx, tenant, user_id)
        after = rows[-1][0]
