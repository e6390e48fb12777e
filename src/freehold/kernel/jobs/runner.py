"""Takes jobs out of the queue and hands each to the handler of its topic.

An exception of a handler is the job's failure, logged here and turned into a retry with growing pauses, and in the
end into a dead job that stays visible. The runner sleeps until something is due; a commit in this process that
enqueued wakes it at once, jobs of other processes are seen at the next slow look.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from freehold.kernel import log
from freehold.kernel.clock import Clock
from freehold.kernel.errors import FreeholdError, Unavailable
from freehold.kernel.jobs import queue
from freehold.kernel.jobs.queue import Job
from freehold.kernel.jobs.schedule import Periodic, enqueue_due
from freehold.kernel.store import Store

CONCURRENCY = 4
LEASE_S = 60.0
LOOK_S = 5.0
GRACE_S = 10.0

Handler = Callable[[Job], Awaitable[None]]

_log = log.get_logger("jobs")


class GiveUp(FreeholdError):
    """Raised by a handler: trying again cannot help."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often a job is tried, and the pauses between: `first_s`, doubled each time, at most `longest_s`."""

    max_attempts: int = 10
    first_s: float = 5.0
    longest_s: float = 3600.0

    def pause_s(self, attempt: int) -> float:
        """The pause after a failed attempt."""
        return float(min(self.longest_s, self.first_s * 2 ** (attempt - 1)))


class JobRunner:
    """Runs jobs until stopped. Any number of runners, in any number of processes, share one queue.

    `services` is handed to handlers as `job.services`; set it before `start`.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        handlers: Mapping[str, Handler],
        *,
        periodic: Sequence[Periodic] = (),
        policies: Mapping[str, RetryPolicy] | None = None,
        concurrency: int = CONCURRENCY,
        lease_s: float = LEASE_S,
        services: Any = None,
    ) -> None:
        for task in periodic:
            if task.topic not in handlers:
                raise ValueError(f"The periodic topic {task.topic} has no handler")
        self.services = services
        self._store = store
        self._clock = clock
        self._handlers = dict(handlers)
        self._periodic = tuple(periodic)
        self._policies = dict(policies or {})
        self._concurrency = concurrency
        self._lease_s = lease_s
        self._running: dict[asyncio.Task[None], Job] = {}
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        store.on_enqueue(self._wake.set)

    async def start(self) -> None:
        """Begin to take jobs."""
        self._loop = asyncio.create_task(self._run_forever())

    async def stop(self, *, grace_s: float = GRACE_S) -> None:
        """Take no more jobs, let the running ones end, and give back those that do not."""
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
            self._loop = None
        if self._running:
            await asyncio.wait(self._running, timeout=grace_s)
        for task in list(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def run_due(self) -> int:
        """Run what is due now, and what that makes due, to the end; how many jobs that was. For tests and commands."""
        done = 0
        while True:
            await enqueue_due(self._store, self._periodic, now_ms=self._clock.now_ms())
            jobs = await self._claim(self._concurrency)
            if not jobs:
                return done
            await asyncio.gather(*(self._run(job) for job in jobs))
            done += len(jobs)

    async def _run_forever(self) -> None:
        while True:
            try:
                pause_s = await self._look()
            except Exception as error:  # noqa: BLE001 - the edge of the queue: log, and look again later
                _log.error("job_queue_unreadable", exc_info=None if isinstance(error, Unavailable) else error)
                pause_s = LOOK_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            self._wake.clear()

    async def _look(self) -> float:
        """Start what is due and there is room for; how long there is nothing to do."""
        now_ms = self._clock.now_ms()
        upcoming = [await enqueue_due(self._store, self._periodic, now_ms=now_ms)]
        room = self._concurrency - len(self._running)
        if room > 0:
            due_ms = await queue.next_due_ms(self._store, self._handlers)
            if due_ms is not None and due_ms <= now_ms:
                for job in await self._claim(room):
                    task = asyncio.create_task(self._run(job))
                    self._running[task] = job
                    task.add_done_callback(self._ended)
                return 0 if len(self._running) < self._concurrency else LOOK_S
            upcoming.append(due_ms)
        return min([LOOK_S, *(max(0.0, (ms - now_ms) / 1000) for ms in upcoming if ms is not None)])

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._wake.set()

    async def _claim(self, limit: int) -> list[Job]:
        jobs = await queue.claim(
            self._store,
            self._handlers,
            limit=limit,
            now_ms=self._clock.now_ms(),
            lease_ms=int(self._lease_s * 1000),
            services=self.services,
        )
        ours = []
        for job in jobs:
            # The count includes attempts that ended with the process, so a job that kills its worker ends as well.
            if job.attempt > self._policy(job).max_attempts:
                await queue.bury(self._store, job, error="the worker died each time")
                _log.error("job_dead", topic=job.topic, job_id=job.id, attempts=job.attempt - 1)
            else:
                ours.append(job)
        return ours

    async def _run(self, job: Job) -> None:
        log.begin_request(job.id)
        log.bind(tenant_id=job.tenant_id, topic=job.topic)
        try:
            await self._handle(job)
            await queue.finish(self._store, job)
        except asyncio.CancelledError:
            with contextlib.suppress(Unavailable):
                await queue.release(self._store, job, now_ms=self._clock.now_ms())
            raise
        except queue.LeaseLost:
            _log.warning("job_lease_lost", job_id=job.id, attempt=job.attempt)
        except Exception as error:  # noqa: BLE001 - the edge of the job: log, and try again later
            await self._failed(job, error)

    async def _handle(self, job: Job) -> None:
        """The handler, with a heartbeat beside it. Raises LeaseLost when another worker took over."""
        handler = asyncio.ensure_future(self._handlers[job.topic](job))
        try:
            while not (await asyncio.wait({handler}, timeout=self._lease_s / 3))[0]:
                until_ms = self._clock.now_ms() + int(self._lease_s * 1000)
                if not await self._still_ours(job, until_ms) and not handler.done():
                    raise queue.LeaseLost("The job was taken over by another worker")
        finally:
            if not handler.done():
                handler.cancel()
                await asyncio.wait({handler})
        await handler

    async def _still_ours(self, job: Job, until_ms: int) -> bool:
        try:
            return await queue.extend(self._store, job, until_ms=until_ms)
        except Unavailable:
            return True  # nobody else can take it over while the database does not answer

    async def _failed(self, job: Job, error: Exception) -> None:
        # Only our own messages are known to be free of secrets.
        reason = type(error).__name__ + (f": {error}" if isinstance(error, FreeholdError) else "")
        policy = self._policy(job)
        try:
            if isinstance(error, GiveUp) or job.attempt >= policy.max_attempts:
                _log.error("job_dead", exc_info=error, job_id=job.id, attempts=job.attempt)
                await queue.bury(self._store, job, error=reason[:500])
            else:
                _log.warning("job_failed", exc_info=error, job_id=job.id, attempt=job.attempt)
                due_ms = self._clock.now_ms() + int(policy.pause_s(job.attempt) * 1000)
                await queue.retry(self._store, job, due_ms=due_ms, error=reason[:500])
        except Unavailable:
            _log.warning("job_outcome_not_recorded", job_id=job.id)  # it comes back when its lease ends

    def _policy(self, job: Job) -> RetryPolicy:
        return self._policies.get(job.topic, _DEFAULT_POLICY)


_DEFAULT_POLICY = RetryPolicy()
