"""Forgetting what has ended by time: nothing of it is accepted any more, so it only takes up room.

Rows are found by reading and removed a batch at a time, so that no sign-in waits behind the deletion.
"""

from freehold.domain.sessions.codes import REMEMBERED
from freehold.kernel.declare import TenantScope
from freehold.kernel.jobs import Job
from freehold.kernel.store import Store, Values

BATCH = 1000

# What to look for, and by which column to remove it; `:now` is the present, `:since` a day before.
_ENDED = (
    (
        "select id from sessions where tenant_id = :tenant_id and id > :after "
        "and (expires_at_ms <= :now or idle_expires_at_ms <= :now) order by id limit :batch",
        "delete from sessions where tenant_id = :tenant_id and one_of(id, :values)",
    ),
    (
        "select id from refresh_tokens where tenant_id = :tenant_id and id > :after "
        "and (expires_at_ms <= :now or idle_expires_at_ms <= :now) order by id limit :batch",
        "delete from refresh_tokens where tenant_id = :tenant_id and one_of(id, :values)",
    ),
    (
        "select code_hash from authorization_codes where tenant_id = :tenant_id and code_hash > :after "
        "and expires_at_ms <= :since order by code_hash limit :batch",
        "delete from authorization_codes where tenant_id = :tenant_id and one_of(code_hash, :values)",
    ),
    (
        "select grant_id from revoked_grants where tenant_id = :tenant_id and grant_id > :after "
        "and expires_at_ms <= :now order by grant_id limit :batch",
        "delete from revoked_grants where tenant_id = :tenant_id and one_of(grant_id, :values)",
    ),
    (
        "select id from login_transactions where tenant_id = :tenant_id and id > :after and expires_at_ms <= :now "
        "order by id limit :batch",
        "delete from login_transactions where tenant_id = :tenant_id and one_of(id, :values)",
    ),
)


async def forget(job: Job) -> None:
    """Forget what has ended, in every tenant."""
    for tenant in await job.services.tenants.all():
        await forget_ended(job.services.store, tenant)


async def forget_ended(store: Store, tenant: TenantScope) -> int:
    """Remove the tenant's ended sessions, tokens, codes and sign-ins; answers how many rows there were.

    A used code is remembered for a day, so that its second use is noticed.
    """
    now = tenant.clock.now_ms()
    since = now - int(REMEMBERED.total_seconds() * 1000)
    removed = 0
    for find, remove in _ENDED:
        after = ""
        while True:
            rows = await store.search(
                find, timeout_s=60, tenant_id=tenant.id, after=after, now=now, since=since, batch=BATCH
            )
            if not rows:
                break
            after = rows[-1][0]
            removed += await store.run(remove, tenant_id=tenant.id, values=Values([row[0] for row in rows]))
    return removed
