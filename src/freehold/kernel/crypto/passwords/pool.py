"""Password hashing beside the event loop: as many threads as cores, and a queue that says no when it is full.

Every scheme lets go of the GIL while it works, so threads are enough; more of them than cores would only
ruin everybody else's response time. A full queue is an answer (429) given at once, never a server that stops answering.

When sign-ins queue up and the accelerator is there (`lanes.py`), a thread takes up to five bcrypts of the same
cost at once. It never waits for more to come: one alone is done alone.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from freehold.kernel.crypto import passwords
from freehold.kernel.crypto.passwords.bcrypt import Computation, matches, run_together
from freehold.kernel.crypto.passwords.lanes import MOST_LANES, Lanes, load
from freehold.kernel.crypto.passwords.policy import DEFAULT_POLICY, HashPolicy
from freehold.kernel.errors import TooManyRequests, Unavailable

Answer = TypeVar("Answer")


class _Job(Generic[Answer]):
    """Work for a thread, and the future that its caller waits for."""

    def __init__(self, run: Callable[[], Answer]) -> None:
        self.run = run
        self.future: Future[Answer] = Future()


class _BcryptJob(_Job[Answer]):
    """Work that is one run of bcrypt and may be done together with others."""

    def __init__(self, computation: Computation, finish: Callable[[str], Answer]) -> None:
        super().__init__(lambda: finish(computation.run()))
        self.computation = computation
        self.finish = finish


class PasswordPool:
    """Checks and makes password hashes in threads."""

    def __init__(
        self, threads: int | None = None, *, max_waiting: int = 256, accelerator_folder: Path | None = None
    ) -> None:
        """`max_waiting` passwords may wait beside those being worked on; at 50 ms each, 256 are 13 s of one core.

        With an `accelerator_folder` the accelerator is compiled there when the first queue forms.
        """
        self._limit = max_waiting
        self._accelerator_folder = accelerator_folder
        self._lanes: Lanes | None = None
        self._queue: deque[_Job[Any]] = deque()
        self._changed = threading.Condition()
        self._idle = threads or len(os.sched_getaffinity(0))
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"passwords-{number}", daemon=True) for number in range(self._idle)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_accelerated(self) -> bool:
        """Whether several bcrypts are done at once."""
        return self._lanes is not None

    @property
    def waiting(self) -> int:
        """How many passwords wait for a thread."""
        return max(0, self._pending - self.threads)

    async def verify(self, stored: str, password: str) -> bool:
        """Whether this is the password. Raises TooManyRequests.

        A wrong password for a hash that is cheaper than ours costs one of ours on top, so that the time of the answer
        does not tell which users were imported, nor which exist.
        """
        check = None if passwords.is_cheap(stored) else passwords.bcrypt_check(stored, password)
        if check is None:
            return await self._run(_Job(lambda: _verify_evenly(stored, password)))
        own, computation = check
        return await self._run(_BcryptJob(computation, partial(matches, own)))

    async def hash(self, password: str, policy: HashPolicy = DEFAULT_POLICY) -> str:
        """The storage string of a new password. Raises TooManyRequests, PasswordTooLong, PasswordNotUsable."""
        computation = passwords.bcrypt_hash_of_new(password, policy)
        if computation is None:
            return await self._run(_Job(lambda: passwords.hash_password(password, policy)))
        return await self._run(_BcryptJob(computation, str))

    def accelerate(self, folder: Path) -> bool:
        """Load the accelerator now, which takes a second or so when it has to be compiled; whether it is there."""
        self._lanes = load(folder)
        return self.is_accelerated

    def _start_accelerating(self, folder: Path) -> None:
        self._accelerator_folder = None  # once
        threading.Thread(target=self.accelerate, args=(folder,), name="accelerator", daemon=True).start()

    def close(self) -> None:
        """Stop taking work; what runs is finished, what waits is refused."""
        with self._changed:
            self._closed = True
            refused = [*self._queue]
            self._queue.clear()
            self._changed.notify_all()
        for job in refused:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(Unavailable("the server is stopping"))
        for thread in self._threads:
            thread.join()

    async def _run(self, job: _Job[Answer]) -> Answer:
        with self._changed:
            waiting = len(self._queue) - self._idle
            if self._closed:
                raise Unavailable("the server is stopping")
            if waiting >= self._limit:
                raise TooManyRequests("too many people are signing in at this moment", retry_after_s=1)
            self._queue.append(job)
            self._changed.notify()
            if waiting >= 0 and self._accelerator_folder is not None:
                self._start_accelerating(self._accelerator_folder)
        try:
            return await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            with self._changed:  # whoever went away gives the place back
                if job in self._queue:
                    self._queue.remove(job)
            raise

    def _work(self) -> None:
        while batch := self._take():
            answers = self._do(batch)
            with self._changed:  # before anybody is answered, so that whoever comes back at once finds the place free
                self._idle += 1
            for answer in answers:
                answer()

    def _do(self, batch: list[_Job[Any]]) -> list[Callable[[], None]]:
        """Do the work; what is left is to tell."""
        if len(batch) == 1:
            return [_answer(batch[0], batch[0].run)]
        jobs = [job for job in batch if isinstance(job, _BcryptJob)]
        try:
            assert self._lanes is not None
            computed = run_together([job.computation for job in jobs], self._lanes)
        except BaseException as error:  # noqa: BLE001 - as in `_answer`
            return [partial(job.future.set_exception, error) for job in jobs]
        return [_answer(job, partial(job.finish, text)) for job, text in zip(jobs, computed, strict=True)]

    def _take(self) -> list[_Job[Any]]:
        """The next job, and those that can be done together with it; empty when the pool is closed."""
        with self._changed:
            while True:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return []
                batch = [self._queue.popleft()]
                if self._lanes is not None and isinstance(batch[0], _BcryptJob):
                    batch += islice(self._like(batch[0]), MOST_LANES - 1)
                    for job in batch[1:]:
                        self._queue.remove(job)
                batch = [job for job in batch if job.future.set_running_or_notify_cancel()]
                if batch:
                    self._idle -= 1
                    return batch

    def _like(self, first: _BcryptJob[Any]) -> Iterator[_Job[Any]]:
        cost = first.computation.cost
        return (job for job in self._queue if isinstance(job, _BcryptJob) and job.computation.cost == cost)


def _answer(job: _Job[Answer], work: Callable[[], Answer]) -> Callable[[], None]:
    try:
        return partial(job.future.set_result, work())
    except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the caller, who waits for it
        return partial(job.future.set_exception, error)


def _verify_evenly(stored: str, password: str) -> bool:
    if passwords.verify(stored, password):
        return True
    if passwords.is_cheap(stored):
        passwords.verify(passwords.DUMMY, password)
    return False
