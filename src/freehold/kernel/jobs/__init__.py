"""Background work: enqueued in the transaction that causes it, done at least once, retried, scheduled.

`Transaction.enqueue` puts a job in; a `JobRunner` takes it out. Heavy work goes on to a child process (`child`).
"""

from freehold.kernel.jobs.child import ChildFailed, run_in_child
from freehold.kernel.jobs.queue import (
    SYSTEM_TENANT,
    DeadJob,
    Job,
    LeaseLost,
    count_by_state,
    find_dead,
    revive,
)
from freehold.kernel.jobs.runner import GiveUp, Handler, JobRunner, RetryPolicy
from freehold.kernel.jobs.schedule import Periodic

__all__ = [
    "SYSTEM_TENANT",
    "ChildFailed",
    "DeadJob",
    "GiveUp",
    "Handler",
    "Job",
    "JobRunner",
    "LeaseLost",
    "Periodic",
    "RetryPolicy",
    "count_by_state",
    "find_dead",
    "revive",
    "run_in_child",
]
