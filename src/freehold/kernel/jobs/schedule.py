"""Jobs that come round: each period puts one job of the topic into the queue, whichever worker sees it first."""

from collections.abc import Sequence

import msgspec

from freehold.kernel.jobs.queue import SYSTEM_TENANT
from freehold.kernel.store import Store


class Periodic(msgspec.Struct, frozen=True):
    """Enqueue a job of this topic, without a tenant, every so many seconds; after downtime once, not often."""

    topic: str
    every_s: int


async def enqueue_due(store: Store, tasks: Sequence[Periodic], *, now_ms: int) -> int | None:
    """Enqueue what is due; when the next one will be."""
    if not tasks:
        return None
    known = {row[0]: row[1] for row in await store.all("select name, next_ms from work_schedule")}
    upcoming = []
    for task in tasks:
        due_ms = known.get(task.topic)
        # A row further away than a period is from a longer period that was shortened since.
        if due_ms is None or due_ms <= now_ms or due_ms > now_ms + task.every_s * 1000:
            await _enqueue(store, task, seen_ms=due_ms, now_ms=now_ms)
            due_ms = now_ms + task.every_s * 1000
        upcoming.append(due_ms)
    return min(upcoming)


async def _enqueue(store: Store, task: Periodic, *, seen_ms: int | None, now_ms: int) -> None:
    next_ms = now_ms + task.every_s * 1000
    async with store.transaction() as tx:
        # One worker changes the row it has seen; the others find another one and leave the work to it.
        if seen_ms is None:
            won = await tx.run(
                """insert into work_schedule (name, next_ms, last_started_at_ms) values (:name, :next_ms, :now_ms)
                on conflict (name) do nothing""",
                name=task.topic,
                next_ms=next_ms,
                now_ms=now_ms,
            )
        else:
            won = await tx.run(
                """update work_schedule set next_ms = :next_ms, last_started_at_ms = :now_ms
                where name = :name and next_ms = :seen_ms""",
                name=task.topic,
                next_ms=next_ms,
                now_ms=now_ms,
                seen_ms=seen_ms,
            )
        if won:
            await tx.enqueue(task.topic, SYSTEM_TENANT, b"")
