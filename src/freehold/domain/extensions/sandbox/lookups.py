"""Questions of custom code to the system's resolver, in threads of their own.

A name whose server does not answer holds a thread for as long as the system is patient. The server resolves names for
everybody's sign-ins in a handful of threads, which a script must not fill.
"""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from threading import Thread

OF_ONE_PROCESS = 2
OF_ALL = 32


class Lookups:
    """The threads that all processes share."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(OF_ALL)

    def of_one_process(self) -> "OwnLookups":
        """What one process may have of them."""
        return OwnLookups(self._free)


class OwnLookups:
    """A resolver that asks a few names at once; more wait. A thread counts until it ends, whoever stopped waiting."""

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._shared = free
        self._own = asyncio.Semaphore(OF_ONE_PROCESS)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        with suppress(ValueError):
            return [str(ip_address(host))]
        await self._own.acquire()
        try:
            await self._shared.acquire()
        except BaseException:
            self._own.release()
            raise
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[str]] = loop.create_future()

        def done(found: Sequence[str] | Exception) -> None:
            self._own.release()
            self._shared.release()
            if answer.done():
                return
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        def ask() -> None:
            found: Sequence[str] | Exception
            try:
                told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                found = [str(address[0]) for _, _, _, _, address in told]
            except (OSError, ValueError) as error:
                found = error
            with suppress(RuntimeError):  # the server ended meanwhile
                loop.call_soon_threadsafe(done, found)

        # Not of a pool: the end of the server waits for the threads of a pool.
        Thread(target=ask, name="sandbox-lookup", daemon=True).start()
        return await answer
