"""Password hashing beside the event loop: as many threads as cores, and a queue that says no when it is full.

Every scheme lets go of the GIL while it works, so threads are enough; more of them than cores would only
ruin everybody else's response time. A full queue is an answer (429) given at once, never a server that stops answering.

When sign-ins queue up and the accelerator is there (`lanes.py`), a thread is given up to five bcrypts of the same
cost at once. It never waits for more to come: one alone is done alone.

A pool belongs to one event loop, and all its state is changed there; the threads get work and give answers.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
        self.future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()


class _BcryptJob(_Job[Answer]):
    """Work that is one run of bcrypt and may be done together with others."""

    def __init__(self, computation: Computation, finish: Callable[[str], Answer]) -> None:
        super().__init__(lambda: finish(computation.run()))
        self.computation = computation
        self.finish = finish


class PasswordPool:
    """Checks and makes password hashes in threads."""

    def __init__(
        self,
        threads: int | None = None,
        *,
        max_waiting: int = 256,
        accelerator_folder: Path | None = None,
        policy: HashPolicy = DEFAULT_POLICY,
    ) -> None:
        """`max_waiting` passwords may wait beside those being worked on; at 50 ms each, 256 are 13 s of one core.

        New passwords are hashed by the `policy`, and every refusal takes as long as a check of such a hash.
        With an `accelerator_folder` the accelerator is compiled there when the first queue forms.
        """
        self._idle = threads or len(os.sched_getaffinity(0))
        self._limit = max_waiting
        self._policy = policy
        self._dummy = passwords.dummy_of(policy)
        self._queue: deque[_Job[Any]] = deque()
        self._executor = ThreadPoolExecutor(self._idle, thread_name_prefix="passwords")
        self._accelerator_folder = accelerator_folder
        self._lanes: Lanes | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many passwords wait for a thread."""
        return len(self._queue)

    @property
    def is_accelerated(self) -> bool:
        """Whether several bcrypts are done at once."""
        return self._lanes is not None

    async def verify(self, stored: str, password: str) -> bool:
        """Whether this is the password. Raises TooManyRequests.

        A wrong password for a hash that is cheaper than ours costs one of ours on top, so that the time of the answer
        does not tell which users were imported, nor which exist.
        """
        cheap = passwords.is_cheap(stored, self._policy)
        check = None if cheap else passwords.bcrypt_check(stored, password)
        if check is None:
            on_top = self._dummy if cheap else None
            return await self._run(_Job(lambda: _verify_evenly(stored, password, on_top)))
        own, computation = check
        return await self._run(_BcryptJob(computation, partial(matches, own)))

    async def verify_nobody(self, password: str) -> None:
        """Take as long as a wrong password, for an account that does not exist. Raises TooManyRequests."""
        await self.verify(self._dummy, password)

    def needs_rehash(self, stored: str) -> bool:
        """Whether the hash should be replaced at the next sign-in."""
        return passwords.needs_rehash(stored, self._policy)

    async def hash(self, password: str, policy: HashPolicy | None = None) -> str:
        """The storage string of a new password. Raises TooManyRequests, PasswordTooLong, PasswordNotUsable."""
        chosen = policy or self._policy
        computation = passwords.bcrypt_hash_of_new(password, chosen)
        if computation is None:
            return await self._run(_Job(lambda: passwords.hash_password(password, chosen)))
        return await self._run(_BcryptJob(computation, str))

    def accelerate(self, folder: Path) -> bool:
        """Load the accelerator now, which takes a second or so when it has to be compiled; whether it is there."""
        self._lanes = load(folder)
        return self.is_accelerated

    def close(self) -> None:
        """Stop taking work; what runs is finished, what waits is refused."""
        self._closed = True
        while self._queue:
            waiting = self._queue.popleft().future
            if not waiting.done():
                waiting.set_exception(Unavailable("the server is stopping"))
        self._executor.shutdown(wait=True)

    async def _run(self, job: _Job[Answer]) -> Answer:
        if self._closed:
            raise Unavailable("the server is stopping")
        if not self._idle:
            self._accelerate_once()
            if len(self._queue) >= self._limit:
                raise TooManyRequests("too many people are signing in at this moment", retry_after_s=1)
        self._queue.append(job)
        self._hand_out()
        try:
            return await job.future
        finally:
            if job.future.cancelled() and job in self._queue:  # whoever went away gives the place back
                self._queue.remove(job)

    def _hand_out(self) -> None:
        """Give the threads that have nothing to do what waits."""
        while self._idle and self._queue:
            batch = self._take()
            self._idle -= 1
            work = asyncio.get_running_loop().run_in_executor(self._executor, _do, batch, self._lanes)
            work.add_done_callback(partial(self._tell, batch))

    def _take(self) -> list[_Job[Any]]:
        """The next job, and those that can be done together with it."""
        first = self._queue.popleft()
        if self._lanes is None or not isinstance(first, _BcryptJob):
            return [first]
        cost = first.computation.cost
        like = (job for job in self._queue if isinstance(job, _BcryptJob) and job.computation.cost == cost)
        others = list(islice(like, MOST_LANES - 1))
        for job in others:
            self._queue.remove(job)
        return [first, *others]

    def _tell(self, batch: list[_Job[Any]], work: "asyncio.Future[list[Any]]") -> None:
        """Answer the callers, or hand them the error; then go on with who waits."""
        self._idle += 1
        error = work.exception()
        for position, job in enumerate(batch):
            if job.future.done():  # cancelled meanwhile
                continue
            if error is not None:
                job.future.set_exception(error)
            else:
                job.future.set_result(work.result()[position])
        self._hand_out()

    def _accelerate_once(self) -> None:
        folder, self._accelerator_folder = self._accelerator_folder, None
        if folder is not None:
            threading.Thread(target=self.accelerate, args=(folder,), name="accelerator", daemon=True).start()


def _do(batch: list[_Job[Any]], lanes: Lanes | None) -> list[Any]:
    """The answers to a batch, in a thread."""
    together = [job for job in batch if isinstance(job, _BcryptJob)]
    if lanes is None or len(together) < 2:
        return [job.run() for job in batch]
    computed = run_together([job.computation for job in together], lanes)
    return [job.finish(text) for job, text in zip(together, computed, strict=True)]


def _verify_evenly(stored: str, password: str, on_top: str | None) -> bool:
    if passwords.verify(stored, password):
        return True
    if on_top is not None:
        passwords.verify(on_top, password)
    return False
