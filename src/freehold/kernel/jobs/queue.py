"""The queue's rows: claimed with a lease, finished, retried, buried.

A row waits until `due_ms`. A claim moves `due_ms` to the end of the lease and writes a lease of its own into the row,
so that a job whose process died comes back by itself, and whoever lost the lease can change the row no more. A job is
therefore done at least once; `Job.finish` makes it exactly once for effects in the same database.
"""

import secrets
from collections.abc import Iterable
from typing import Any

import msgspec

from freehold.kernel.errors import Conflict
from freehold.kernel.store import Reader, Store, Transaction, Values

SYSTEM_TENANT = ""


class LeaseLost(Conflict):
    """Another worker has taken the job over; its effects are not ours to commit."""


class Job(msgspec.Struct, frozen=True):
    """One claimed job, as its handler sees it. `attempt` counts from 1; `services` is what the runner was given."""

    tenant_id: str
    id: str
    topic: str
    payload: bytes
    attempt: int
    enqueued_at_ms: int
    lease: str
    services: Any = None

    async def finish(self, tx: Transaction) -> None:
        """Take the job out of the queue in the transaction of its effects. Raises LeaseLost."""
        if not await tx.run(_FINISH, tenant_id=self.tenant_id, id=self.id, lease=self.lease):
            raise LeaseLost("The job was taken over by another worker")


class DeadJob(msgspec.Struct, frozen=True):
    """A job that was given up; it stays until someone revives or drops it."""

    tenant_id: str
    id: str
    topic: str
    attempts: int
    last_error: str
    enqueued_at_ms: int


async def next_due_ms(reader: Reader, topics: Iterable[str]) -> int | None:
    """When the next of these jobs becomes due."""
    row = await reader.one(
        """select due_ms from work_queue where state = 'queued' and one_of(topic, :topics)
        order by due_ms limit 1""",
        topics=Values(topics),
    )
    return row[0] if row else None


async def claim(
    store: Store, topics: Iterable[str], *, limit: int, now_ms: int, lease_ms: int, services: Any
) -> list[Job]:
    """Up to `limit` due jobs, longest due first, ours until the lease ends."""
    lease = secrets.token_hex(8)
    async with store.transaction() as tx:
        rows = await tx.all(
            """update work_queue set lease = :lease, due_ms = :until_ms, attempts = attempts + 1
            where (tenant_id, id) in (
                select tenant_id, id from work_queue
                where state = 'queued' and due_ms <= :now_ms and one_of(topic, :topics)
                order by due_ms limit :limit skip_locked())
            returning tenant_id, id, topic, payload, attempts, enqueued_at_ms""",
            lease=lease,
            until_ms=now_ms + lease_ms,
            now_ms=now_ms,
            topics=Values(topics),
            limit=limit,
        )
    return sorted((Job(*[*row, lease, services]) for row in rows), key=lambda job: job.id)


async def extend(store: Store, job: Job, *, until_ms: int) -> bool:
    """Prolong the lease; false when it is ours no more."""
    return bool(
        await store.run(
            "update work_queue set due_ms = :until_ms where tenant_id = :tenant_id and id = :id and lease = :lease",
            until_ms=until_ms,
            tenant_id=job.tenant_id,
            id=job.id,
            lease=job.lease,
        )
    )


async def finish(store: Store, job: Job) -> None:
    """Take a job out of the queue; nothing happens when its handler has done so."""
    await store.run(_FINISH, tenant_id=job.tenant_id, id=job.id, lease=job.lease)


async def retry(store: Store, job: Job, *, due_ms: int, error: str) -> None:
    """Put a failed job back until then."""
    await _end_lease(store, job, state="queued", due_ms=due_ms, attempts=job.attempt, error=error)


async def release(store: Store, job: Job, *, now_ms: int) -> None:
    """Put a job back as if it had not been claimed."""
    await _end_lease(store, job, state="queued", due_ms=now_ms, attempts=job.attempt - 1, error=None)


async def bury(store: Store, job: Job, *, error: str) -> None:
    """Give a job up; the row stays to be seen."""
    await _end_lease(store, job, state="dead", due_ms=0, attempts=job.attempt, error=error)


async def find_dead(reader: Reader, tenant_id: str) -> list[DeadJob]:
    """The tenant's jobs that were given up, oldest first."""
    rows = await reader.all(
        """select tenant_id, id, topic, attempts, coalesce(last_error, ''), enqueued_at_ms from work_queue
        where state = 'dead' and tenant_id = :tenant_id order by id""",
        tenant_id=tenant_id,
    )
    return [DeadJob(*row) for row in rows]


async def revive(tx: Transaction, tenant_id: str, id_: str, *, now_ms: int) -> bool:
    """Give a dead job a fresh start; false when there is none of this id."""
    return bool(
        await tx.run(
            """update work_queue set state = 'queued', due_ms = :now_ms, attempts = 0
            where tenant_id = :tenant_id and id = :id and state = 'dead'""",
            now_ms=now_ms,
            tenant_id=tenant_id,
            id=id_,
        )
    )


async def count_by_state(reader: Reader) -> dict[tuple[str, str], int]:
    """How many jobs of each topic are in each state, over all tenants: for the operator's metrics."""
    rows = await reader.all("select topic, state, count(*) from work_queue group by topic, state")
    return {(topic, state): count for topic, state, count in rows}


async def _end_lease(store: Store, job: Job, *, state: str, due_ms: int, attempts: int, error: str | None) -> None:
    await store.run(
        """update work_queue set state = :state, due_ms = :due_ms, attempts = :attempts, lease = null,
            last_error = coalesce(:error, last_error)
        where tenant_id = :tenant_id and id = :id and lease = :lease""",
        state=state,
        due_ms=due_ms,
        attempts=attempts,
        error=error,
        tenant_id=job.tenant_id,
        id=job.id,
        lease=job.lease,
    )


_FINISH = "delete from work_queue where tenant_id = :tenant_id and id = :id and lease = :lease"
