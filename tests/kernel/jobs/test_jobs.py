"""What the job queue promises, on both databases."""

import asyncio

import msgspec
import pytest

from freehold.kernel.clock import FakeClock
from freehold.kernel.jobs import (
    SYSTEM_TENANT,
    GiveUp,
    Handler,
    Job,
    JobRunner,
    LeaseLost,
    Periodic,
    RetryPolicy,
    count_by_state,
    find_dead,
    queue,
    revive,
)
from freehold.kernel.store import Store


class Recorder:
    """A handler that notes its jobs and fails as often as told."""

    def __init__(self, *, failures: int = 0, error: Exception | None = None) -> None:
        self.jobs: list[Job] = []
        self.failures = failures
        self.error = error or ZeroDivisionError()

    async def __call__(self, job: Job) -> None:
        self.jobs.append(job)
        if len(self.jobs) <= self.failures:
            raise self.error

    @property
    def payloads(self) -> list[bytes]:
        return [job.payload for job in self.jobs]


async def enqueue(store: Store, *payloads: bytes, topic: str = "mail", not_before_ms: int = 0) -> list[str]:
    async with store.transaction() as tx:
        return [await tx.enqueue(topic, "acme", payload, not_before_ms=not_before_ms) for payload in payloads]


async def states(store: Store) -> dict[tuple[str, str], int]:
    return await count_by_state(store)


async def test_a_job_is_done_once_and_leaves_the_queue(store: Store, clock: FakeClock) -> None:
    mail = Recorder()
    runner = JobRunner(store, clock, {"mail": mail}, services="the services")
    await enqueue(store, b"one", b"two")

    assert await runner.run_due() == 2
    assert await runner.run_due() == 0

    assert sorted(mail.payloads) == [b"one", b"two"]
    assert (mail.jobs[0].tenant_id, mail.jobs[0].attempt, mail.jobs[0].services) == ("acme", 1, "the services")
    assert await states(store) == {}


async def test_a_rolled_back_transaction_enqueues_nothing(store: Store, clock: FakeClock) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.transaction() as tx:
            await tx.enqueue("mail", "acme", b"never")
            raise ZeroDivisionError

    assert await JobRunner(store, clock, {"mail": Recorder()}).run_due() == 0


async def test_a_job_waits_for_its_time(store: Store, clock: FakeClock) -> None:
    mail = Recorder()
    runner = JobRunner(store, clock, {"mail": mail})
    await enqueue(store, b"later", not_before_ms=clock.now_ms() + 60_000)

    clock.advance(seconds=59)
    assert await runner.run_due() == 0
    clock.advance(seconds=1)
    assert await runner.run_due() == 1


async def test_topics_without_a_handler_are_left_to_others(store: Store, clock: FakeClock) -> None:
    await enqueue(store, b"x", topic="from-a-newer-version")

    assert await JobRunner(store, clock, {"mail": Recorder()}).run_due() == 0
    assert await states(store) == {("from-a-newer-version", "queued"): 1}


async def test_a_failed_job_is_tried_again_after_growing_pauses(store: Store, clock: FakeClock) -> None:
    mail = Recorder(failures=3)
    runner = JobRunner(store, clock, {"mail": mail}, policies={"mail": RetryPolicy(first_s=10, longest_s=25)})
    await enqueue(store, b"x")

    ran = []
    for _second in range(70):
        ran.append(await runner.run_due())
        clock.advance(seconds=1)

    assert [second for second, count in enumerate(ran) if count] == [0, 10, 30, 55]
    assert [job.attempt for job in mail.jobs] == [1, 2, 3, 4]
    assert await states(store) == {}


async def test_a_job_that_always_fails_ends_dead_visible_and_can_be_revived(store: Store, clock: FakeClock) -> None:
    mail = Recorder(failures=2)
    runner = JobRunner(store, clock, {"mail": mail}, policies={"mail": RetryPolicy(max_attempts=2, first_s=1)})
    (job_id,) = await enqueue(store, b"x")
    await runner.run_due()
    clock.advance(seconds=3600)
    await runner.run_due()

    (dead,) = await find_dead(store, "acme")
    assert (dead.id, dead.attempts, dead.last_error) == (job_id, 2, "ZeroDivisionError")
    assert await find_dead(store, "other") == []
    async with store.transaction() as tx:
        assert not await revive(tx, "other", job_id, now_ms=clock.now_ms())
        assert await revive(tx, "acme", job_id, now_ms=clock.now_ms())
    assert await runner.run_due() == 1
    assert await states(store) == {}


async def test_a_hopeless_job_is_not_tried_again(store: Store, clock: FakeClock) -> None:
    mail = Recorder(failures=1, error=GiveUp("The mail provider was removed"))
    runner = JobRunner(store, clock, {"mail": mail})
    await enqueue(store, b"x")

    await runner.run_due()

    (dead,) = await find_dead(store, "acme")
    assert dead.last_error == "GiveUp: The mail provider was removed"


async def test_text_of_unknown_errors_is_not_stored(store: Store, clock: FakeClock) -> None:
    mail = Recorder(failures=1, error=ValueError("password is hunter2"))
    await enqueue(store, b"x")

    await JobRunner(store, clock, {"mail": mail}, policies={"mail": RetryPolicy(max_attempts=1)}).run_due()

    (dead,) = await find_dead(store, "acme")
    assert dead.last_error == "ValueError"


async def test_the_job_of_a_dead_worker_comes_back_when_its_lease_ends(store: Store, clock: FakeClock) -> None:
    mail = Recorder()
    await enqueue(store, b"x")
    lost = await queue.claim(store, ["mail"], limit=1, now_ms=clock.now_ms(), lease_ms=60_000, services=None)
    runner = JobRunner(store, clock, {"mail": mail})

    assert await runner.run_due() == 0
    clock.advance(seconds=60)
    assert await runner.run_due() == 1
    assert (lost[0].attempt, mail.jobs[0].attempt) == (1, 2)


async def test_a_job_that_kills_its_worker_each_time_ends_dead(store: Store, clock: FakeClock) -> None:
    await enqueue(store, b"x")
    for _ in range(2):
        await queue.claim(store, ["mail"], limit=1, now_ms=clock.now_ms(), lease_ms=1000, services=None)
        clock.advance(seconds=1)
    mail = Recorder()

    await JobRunner(store, clock, {"mail": mail}, policies={"mail": RetryPolicy(max_attempts=2)}).run_due()

    assert mail.jobs == []
    assert len(await find_dead(store, "acme")) == 1


async def test_who_lost_the_lease_changes_nothing(store: Store, clock: FakeClock) -> None:
    await enqueue(store, b"x")
    (late,) = await queue.claim(store, ["mail"], limit=1, now_ms=clock.now_ms(), lease_ms=1000, services=None)
    clock.advance(seconds=1)
    (current,) = await queue.claim(store, ["mail"], limit=1, now_ms=clock.now_ms(), lease_ms=1000, services=None)

    assert not await queue.extend(store, late, until_ms=clock.now_ms() + 10**6)
    await queue.bury(store, late, error="x")
    await queue.retry(store, late, due_ms=0, error="x")
    await queue.finish(store, late)
    with pytest.raises(LeaseLost):
        async with store.transaction() as tx:
            await late.finish(tx)

    assert await states(store) == {("mail", "queued"): 1}
    assert await queue.extend(store, current, until_ms=clock.now_ms())


async def test_a_job_finished_with_its_effects_has_them_exactly_once(store: Store, clock: FakeClock) -> None:
    """The worker dies after the commit, or before it: the effect is there once."""
    deaths = iter(["after the commit", "before the commit"])

    async def handler(job: Job) -> None:
        died = next(deaths, None)
        async with store.transaction() as tx:
            await tx.enqueue("effect", "acme", job.payload)
            if died == "before the commit":
                raise ZeroDivisionError
            await job.finish(tx)
        if died == "after the commit":
            raise ZeroDivisionError

    runner = JobRunner(store, clock, {"mail": handler})
    await enqueue(store, b"one", b"two")
    for _ in range(5):
        await runner.run_due()
        clock.advance(seconds=3600)

    assert await states(store) == {("effect", "queued"): 2}


async def test_many_runners_share_the_work_without_doing_it_twice(store: Store, clock: FakeClock) -> None:
    mail = Recorder()
    runners = [JobRunner(store, clock, {"mail": mail}) for _ in range(5)]
    await enqueue(store, *(b"%d" % n for n in range(60)))

    await asyncio.gather(*(runner.run_due() for runner in runners))

    assert len(mail.payloads) == len(set(mail.payloads)) == 60


async def test_a_periodic_task_runs_once_per_period_whoever_sees_it(store: Store, clock: FakeClock) -> None:
    sweep = Recorder()
    runners = [JobRunner(store, clock, {"sweep": sweep}, periodic=[Periodic("sweep", 3600)]) for _ in range(4)]

    counts = []
    for _hour in range(3):
        for _minute in range(6):
            await asyncio.gather(*(runner.run_due() for runner in runners))
            clock.advance(seconds=600)
        counts.append(len(sweep.jobs))

    assert counts == [1, 2, 3]
    assert {job.tenant_id for job in sweep.jobs} == {SYSTEM_TENANT}


async def test_a_period_missed_many_times_is_made_up_for_once(store: Store, clock: FakeClock) -> None:
    sweep = Recorder()
    runner = JobRunner(store, clock, {"sweep": sweep}, periodic=[Periodic("sweep", 60)])
    await runner.run_due()
    clock.advance(seconds=86_400)

    await runner.run_due()

    assert len(sweep.jobs) == 2


async def test_a_shortened_period_holds_at_once(store: Store, clock: FakeClock) -> None:
    sweep = Recorder()
    await JobRunner(store, clock, {"sweep": sweep}, periodic=[Periodic("sweep", 86_400)]).run_due()

    await JobRunner(store, clock, {"sweep": sweep}, periodic=[Periodic("sweep", 60)]).run_due()

    assert len(sweep.jobs) == 2


def test_a_periodic_task_needs_a_handler(clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="sweep"):
        JobRunner(NoStore(), clock, {}, periodic=[Periodic("sweep", 60)])  # type: ignore[arg-type]


class NoStore:
    """Stands where a store is not reached."""


# The running loop


async def run_until(runner: JobRunner, done: asyncio.Event) -> None:
    await runner.start()
    async with asyncio.timeout(30):
        await done.wait()
    await runner.stop()


async def test_a_commit_wakes_the_runner(store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freehold.kernel.jobs.runner.LOOK_S", 3600.0)
    done = asyncio.Event()

    async def handler(_job: Job) -> None:
        done.set()

    runner = JobRunner(store, clock, {"mail": handler})
    await runner.start()
    for _ in range(20):
        await asyncio.sleep(0.005)
    await enqueue(store, b"x")
    async with asyncio.timeout(30):
        await done.wait()
    await runner.stop()

    assert await states(store) == {}


async def test_the_runner_works_through_more_than_it_takes_at_once(store: Store, clock: FakeClock) -> None:
    done = asyncio.Event()
    seen: set[bytes] = set()
    at_once: list[int] = []
    running = 0

    async def handler(job: Job) -> None:
        nonlocal running
        running += 1
        at_once.append(running)
        await asyncio.sleep(0)
        running -= 1
        seen.add(job.payload)
        if len(seen) == 30:
            done.set()

    await enqueue(store, *(b"%d" % n for n in range(30)))
    await run_until(JobRunner(store, clock, {"mail": handler}, concurrency=3), done)

    assert max(at_once) <= 3
    assert await states(store) == {}


async def test_stopping_waits_for_running_jobs(store: Store, clock: FakeClock) -> None:
    started, finished = asyncio.Event(), asyncio.Event()

    async def handler(_job: Job) -> None:
        started.set()
        await asyncio.sleep(0.05)
        finished.set()

    await enqueue(store, b"x")
    await run_until(JobRunner(store, clock, {"mail": handler}), started)

    assert finished.is_set()
    assert await states(store) == {}


async def test_stopping_gives_back_what_does_not_end(store: Store, clock: FakeClock) -> None:
    started = asyncio.Event()

    async def endless(_job: Job) -> None:
        started.set()
        await asyncio.Event().wait()

    runner = JobRunner(store, clock, {"mail": endless})
    await enqueue(store, b"x")
    await runner.start()
    await started.wait()
    await runner.stop(grace_s=0.01)
    mail = Recorder()

    assert await JobRunner(store, clock, {"mail": mail}).run_due() == 1
    assert mail.jobs[0].attempt == 1


async def test_a_long_job_keeps_its_lease(store: Store, clock: FakeClock) -> None:
    mail = Recorder()

    async def long(job: Job) -> None:
        for _ in range(20):
            clock.advance(seconds=0.03)
            await asyncio.sleep(0.03)
            assert await JobRunner(store, clock, {"mail": mail}).run_due() == 0
        await mail(job)

    await enqueue(store, b"x")
    await JobRunner(store, clock, {"mail": long}, lease_s=0.3).run_due()

    assert [job.attempt for job in mail.jobs] == [1]


async def test_a_job_taken_over_is_stopped_here(store: Store, clock: FakeClock) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def endless(_job: Job) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    await enqueue(store, b"x")
    running = asyncio.create_task(JobRunner(store, clock, {"mail": endless}, lease_s=0.3).run_due())
    await started.wait()
    taken: list[Job] = []
    while not taken:  # a heartbeat may come between the two
        clock.advance(seconds=10)
        taken = await queue.claim(store, ["mail"], limit=1, now_ms=clock.now_ms(), lease_ms=10**9, services=None)

    assert await running == 1
    assert stopped.is_set()
    assert await states(store) == {("mail", "queued"): 1}


def test_the_pause_grows_to_its_limit() -> None:
    policy = RetryPolicy(first_s=5, longest_s=100)

    assert [policy.pause_s(attempt) for attempt in range(1, 8)] == [5, 10, 20, 40, 80, 100, 100]
    assert msgspec.structs.replace(policy, longest_s=1).pause_s(1) == 1


def test_handlers_are_plain_functions() -> None:
    async def handler(_job: Job) -> None: ...

    accepted: Handler = handler

    assert accepted is handler
