"""How a job gets into the queue; `freehold.kernel.jobs` takes it out again."""

import secrets
from typing import Any

INSERT_JOB = """insert into work_queue (tenant_id, id, topic, payload, state, due_ms, attempts, enqueued_at_ms)
    values (:tenant_id, :id, :topic, :payload, 'queued', :due_ms, 0, :now_ms)"""


def job_row(topic: str, tenant_id: str, payload: bytes, *, now_ms: int, not_before_ms: int = 0) -> dict[str, Any]:
    """The parameters of `INSERT_JOB`; the id sorts by time."""
    return {
        "tenant_id": tenant_id,
        "id": f"{now_ms:012x}{secrets.token_hex(8)}",
        "topic": topic,
        "payload": payload,
        "due_ms": max(now_ms, not_before_ms),
        "now_ms": now_ms,
    }
