"""I15 and I16 as properties: calls that come again do nothing, and no receipt but the genuine one is taken for it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold.domain import ceremonies
from freehold.domain.administrators import Administrator
from freehold.domain.ceremonies import Attempt, Ceremony
from freehold.domain.ceremonies.bundle import write_bundle
from freehold.domain.ceremonies.verify import BundleRefused, verify_bundle
from tests.support.ceremonies import Hall, open_hall

CHECKS = (HealthCheck.too_slow, HealthCheck.data_too_large)
Call = Callable[[Attempt], Awaitable[Ceremony]]
WAY = ("draft", "submit", "possess", "authorize", "approve", "sign", "cancel")


@dataclass
class Going:
    """One ceremony whose calls are kept, so that each can be made again as it was."""

    hall: Hall
    ada: Administrator
    bob: Administrator
    number: int
    ceremony: Ceremony | None = None
    calls: list[tuple[Administrator, str, Call]] = field(default_factory=list)

    async def take(self, name: str) -> None:
        """The next call, with an idempotency key of its own."""
        person = self.bob if name == "approve" else self.ada
        call: Call = await getattr(self, f"_{name}")()
        self.calls.append((person, f"{name}-{self.number}", call))
        self.ceremony = await self.again(len(self.calls) - 1)

    async def again(self, which: int) -> Ceremony:
        """A call as it was, by the same person."""
        person, key, call = self.calls[which]
        return await call(await self.hall.attempt(person, key=key))

    async def effects(self) -> list[Any]:
        """All that calls leave behind but sessions and what counts tries."""
        queries = (
            "select id, state, version, digest from ceremonies order by id",
            "select id, kind, subject, receipt from ceremony_evidence order by id",
            "select seq, action from audit_entries order by seq",
            "select topic, payload from work_queue order by id",
        )
        return [await self.hall.store.all(query) for query in queries]

    @property
    def one(self) -> Ceremony:
        assert self.ceremony is not None
        return self.ceremony

    async def _draft(self) -> Call:
        asked = self.hall.given(self.ada)
        return lambda attempt: ceremonies.draft(attempt, asked)

    async def _submit(self) -> Call:
        return lambda attempt: ceremonies.submit(attempt, self.one.id)

    async def _possess(self) -> Call:
        words = await self.hall.words(self.one)
        return lambda attempt: ceremonies.possess(attempt, self.one.id, words)

    async def _authorize(self) -> Call:
        text = ceremonies.authorization_text(self.one.request)
        return lambda attempt: ceremonies.authorize(attempt, self.one.id, tenant_name="acme", text=text)

    async def _approve(self) -> Call:
        code, groups = self.hall.code(self.bob), ceremonies.groups(bytes.fromhex(self.one.digest))
        return lambda attempt: ceremonies.decide(attempt, self.one.id, "approve", code=code, digest_groups=groups)

    async def _sign(self) -> Call:
        signed = await self.hall.signed(self.one)
        return lambda attempt: ceremonies.upload_form(attempt, self.one.id, "openpgp", signed)

    async def _cancel(self) -> Call:
        return lambda attempt: ceremonies.cancel(attempt, self.one.id)


@dataclass
class World:
    """What all examples share: a tenant, and a loop to act in."""

    runner: asyncio.Runner
    hall: Hall
    ada: Administrator
    bob: Administrator
    genuine: bytes
    examples: int = 0

    async def go(self, length: int, repeats: list[tuple[int, int]]) -> None:
        """Go on the way for some steps, and make earlier calls again in between: (after which, which)."""
        self.examples += 1
        going = Going(self.hall, self.ada, self.bob, self.examples)
        try:
            for at, name in enumerate(WAY[:length]):
                await going.take(name)
                for which in [which for after, which in repeats if after == at >= which]:
                    before = await going.effects()
                    repeated = await going.again(which)
                    assert repeated == going.ceremony, (name, WAY[which])
                    assert await going.effects() == before, (name, WAY[which])
        finally:
            if going.ceremony is not None and (going.one.is_active or going.one.state == "draft"):
                await ceremonies.cancel(await self.hall.attempt(self.ada), going.one.id)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        world = runner.run(_made(stack, runner, tmp_path_factory.mktemp("repeating")))
        yield world
        runner.run(stack.aclose())


async def _made(stack: AsyncExitStack, runner: asyncio.Runner, folder: Path) -> World:
    hall = await stack.enter_async_context(open_hall(folder))
    ada, bob = await hall.administrator("ada"), await hall.administrator("bob")
    ceremony = await hall.at("ready", ada, bob)
    genuine = await write_bundle(hall.store, hall.tenant, ceremony)
    await ceremonies.cancel(await hall.attempt(ada), ceremony.id)
    await hall.remove(ceremony)
    return World(runner, hall, ada, bob, genuine)


@settings(max_examples=5, deadline=None, suppress_health_check=CHECKS)
@given(
    st.integers(1, len(WAY)),
    st.lists(st.tuples(st.integers(0, len(WAY) - 1), st.integers(0, len(WAY) - 1)), max_size=6, unique=True),
)
def test_whichever_calls_come_again_and_whenever_they_have_no_effect(
    world: World, length: int, repeats: list[tuple[int, int]]
) -> None:
    world.runner.run(world.go(length, repeats))


def test_each_call_may_come_again_after_each_other(world: World) -> None:
    every = [(after, which) for after in range(len(WAY)) for which in range(after + 1)]
    world.runner.run(world.go(len(WAY), every))


@st.composite
def bends(draw: st.DrawFn, genuine: bytes) -> bytes:
    """Another file: bytes changed, cut out, put in, moved or doubled, anywhere."""
    at = draw(st.integers(0, len(genuine) - 1))
    end = min(len(genuine), at + draw(st.integers(1, 300)))
    piece = genuine[at:end]
    match draw(st.sampled_from(("changed", "cut", "put in", "moved", "doubled", "zeros"))):
        case "changed":
            return genuine[:at] + bytes([genuine[at] ^ draw(st.integers(1, 255))]) + genuine[at + 1 :]
        case "cut":
            return genuine[:at] + genuine[end:]
        case "put in":
            return genuine[:at] + draw(st.binary(min_size=1, max_size=40)) + genuine[at:]
        case "moved":
            rest = genuine[:at] + genuine[end:]
            to = draw(st.integers(0, len(rest)))
            return rest[:to] + piece + rest[to:]
        case "doubled":
            return genuine[:end] + piece + genuine[end:]
        case _:
            return genuine[:at] + bytes(len(piece)) + genuine[end:]


@settings(max_examples=60, deadline=None, suppress_health_check=CHECKS)
@given(st.data())
def test_whatever_is_bent_about_a_receipt_it_is_refused(world: World, data: st.DataObject) -> None:
    bent = data.draw(bends(world.genuine))
    if bent == world.genuine:
        assert world.runner.run(verify_bundle(bent)).complete
    else:
        with pytest.raises(BundleRefused):
            world.runner.run(verify_bundle(bent))
