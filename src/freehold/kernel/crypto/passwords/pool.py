"""Password hashing beside the event loop: as many threads as cores, and a queue that says no when it is full.

Every scheme lets go of the GIL while it works, so threads are enough; more of them than cores would only
ruin everybody else's response time. A full queue is an answer (429) given at once, never a server that stops answering.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from freehold.kernel.crypto import passwords
from freehold.kernel.crypto.passwords.policy import DEFAULT_POLICY, HashPolicy
from freehold.kernel.errors import TooManyRequests

Answer = TypeVar("Answer")


class PasswordPool:
    """Checks and makes password hashes in threads."""

    def __init__(self, threads: int | None = None, *, max_waiting: int = 256) -> None:
        """`max_waiting` passwords may wait beside those being worked on; at 50 ms each, 256 are 13 s of one core."""
        self.threads = threads or len(os.sched_getaffinity(0))
        self._limit = self.threads + max_waiting
        self._pending = 0
        self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="passwords")

    @property
    def waiting(self) -> int:
        """How many passwords wait for a thread."""
        return max(0, self._pending - self.threads)

    async def verify(self, stored: str, password: str) -> bool:
        """Whether this is the password. Raises TooManyRequests.

        A wrong password for a hash that is cheaper than ours costs one of ours on top, so that the time of the answer
        does not tell which users were imported, nor which exist.
        """
        return await self._run(lambda: _verify_evenly(stored, password))

    async def hash(self, password: str, policy: HashPolicy = DEFAULT_POLICY) -> str:
        """The storage string of a new password. Raises TooManyRequests, PasswordTooLong, PasswordNotUsable."""
        return await self._run(lambda: passwords.hash_password(password, policy))

    def close(self) -> None:
        """Stop taking work; what runs is finished, what waits is dropped."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def _run(self, work: Callable[[], Answer]) -> Answer:
        if self._pending >= self._limit:
            raise TooManyRequests("too many people are signing in at this moment", retry_after_s=1)
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._pending -= 1


def _verify_evenly(stored: str, password: str) -> bool:
    if passwords.verify(stored, password):
        return True
    if passwords.is_cheap(stored):
        passwords.verify(passwords.DUMMY, password)
    return False
