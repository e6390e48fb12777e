"""Names that custom code asks for: in threads of their own, a few at once."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from freehold.domain.extensions.sandbox.lookups import OF_ONE_PROCESS, Lookups


class SlowNames:
    """The system's resolver, which does not answer before it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.let = threading.Event()

    def __call__(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked.append(host)
        if not self.let.wait(60):
            raise OSError
        return [(0, 0, 0, "", ("192.0.2.1", port))]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowNames]:
    names = SlowNames()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    yield names
    names.let.set()


async def until_asked(slow: SlowNames, count: int) -> None:
    async with asyncio.timeout(60):
        while len(slow.asked) < count:
            await asyncio.sleep(0.001)


async def test_one_process_cannot_take_the_threads_of_others(slow: SlowNames) -> None:
    lookups = Lookups()
    hostile, neighbour = lookups.of_one_process(), lookups.of_one_process()
    many = [asyncio.ensure_future(hostile(f"h{n}.test", 80)) for n in range(20)]
    await until_asked(slow, OF_ONE_PROCESS)
    other = asyncio.ensure_future(neighbour("n.test", 80))
    await until_asked(slow, OF_ONE_PROCESS + 1)

    assert slow.asked == ["h0.test", "h1.test", "n.test"]
    slow.let.set()
    assert await other == ["192.0.2.1"]
    assert await asyncio.gather(*many) == [["192.0.2.1"]] * 20


async def test_a_thread_counts_until_it_ends_whoever_stopped_waiting(slow: SlowNames) -> None:
    lookups = Lookups().of_one_process()
    for n in range(OF_ONE_PROCESS):
        waiting = asyncio.ensure_future(lookups(f"h{n}.test", 80))
        await until_asked(slow, n + 1)
        waiting.cancel()
    late = asyncio.ensure_future(lookups("late.test", 80))
    await asyncio.sleep(0.02)

    assert "late.test" not in slow.asked
    slow.let.set()
    assert await late == ["192.0.2.1"]


async def test_the_servers_own_threads_stay_free(slow: SlowNames) -> None:
    lookups = [Lookups().of_one_process() for _ in range(20)]
    many = [asyncio.ensure_future(each(f"{n}.test", 80)) for each in lookups for n in range(2)]
    await until_asked(slow, 40)

    async with asyncio.timeout(60):
        assert await asyncio.to_thread(lambda: "ran") == "ran"
    slow.let.set()
    await asyncio.gather(*many)


async def test_a_number_is_no_question(slow: SlowNames) -> None:
    assert await Lookups().of_one_process()("2001:DB8::1", 80) == ["2001:db8::1"]
    assert slow.asked == []


async def test_a_name_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", gone)
    with pytest.raises(OSError, match="unknown"):
        await Lookups().of_one_process()("gone.test", 80)
