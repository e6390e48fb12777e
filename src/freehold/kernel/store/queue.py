"""How a job gets into the queue; `freehold.kernel.jobs` takes it out again."""

import secrets
from typing import Any, Protocol


class _Runs(Protocol):
    async def run(self, sql: str, /, **params: Any) -> int: ...


async def insert_job(
    tx: _Runs, topic: str, tenant_id: str, payload: bytes, *, now_ms: int, not_before_ms: int = 0
) -> str:
    """Write a job's row; its id, which sorts by time."""
    job_id = f"{now_ms:012x}{secrets.token_hex(8)}"
    await tx.run(
        """insert into work_queue (tenant_id, id, topic, payload, state, due_ms, attempts, enqueued_at_ms)
        values (:tenant_id, :id, :topic, :payload, 'queued', :due_ms, 0, :now_ms)""",
        tenant_id=tenant_id,
        id=job_id,
        topic=topic,
        payload=payload,
        due_ms=max(now_ms, not_before_ms),
        now_ms=now_ms,
    )
    return job_id
