"""Whatever people do in whatever order, with a clock that is set and roles that change: the invariants hold.

Steps are drawn at random, many of them out of turn, by people who may not take them, or with evidence of other things.
What is refused changes nothing; what is taken is looked at from outside, in the tables and in the log.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold.domain import audit, ceremonies
from freehold.domain.administrators import Administrator, change_role, find_administrator, set_blocked
from freehold.domain.ceremonies import Ceremony
from freehold.domain.ceremonies.bundle import write_bundle
from freehold.domain.ceremonies.notices import TOPIC_NOTICE
from freehold.domain.ceremonies.pieces import of_kind, pieces_of
from freehold.domain.ceremonies.states import STEPS, TERMINAL
from freehold.domain.ceremonies.verify import verify_bundle
from freehold.kernel.errors import FreeholdError
from tests.support.ceremonies import Hall, open_hall

LEGAL = {(source, step.target) for step in STEPS.values() for source in step.sources}
NOTICED = {f"ceremony.{step.name}" for step in STEPS.values() if step.notice}
FORWARD = ("submit", "possess", "authorize", "approve", "sign", "build", "download", "withdraw", "remove")
"""The way of a ceremony that nobody disturbs."""
DISTURBANCES = (
    "draft", "change", "cancel", "approve_own", "approve_as_viewer", "approve_twice", "sign_other", "sign_old",
    "authorize_old", "possess_wrong", "build_again", "block", "unblock", "demote", "promote", "reconcile", "an_hour",
    "a_day", "eight_days", "set_ahead", "set_back", "confirm_clock", "without_mfa",
)  # fmt: skip


class Walk:
    """One tenant, in which anything may be tried."""

    def __init__(self, hall: Hall, ada: Administrator, bob: Administrator, viewer: Administrator) -> None:
        self.hall, self.ada, self.bob, self.viewer = hall, ada, bob, viewer
        self.current: Ceremony | None = None
        self.old_signature = b""
        self.old_text = ""
        self.ended: dict[str, str] = {}
        self.taken = 0

    async def take(self, name: str) -> None:
        """Try a step; a refusal is as good as a success."""
        step: Callable[[], Awaitable[Any]] = getattr(self, f"_{name}")
        # Where there is no form to sign or no word to decrypt yet, the people of this test have nothing to try.
        with suppress(FreeholdError, ValueError, KeyError):
            await step()
            self.taken += 1
        if self.current is not None:
            self.current = await self.hall.get(self.current)

    @property
    def one(self) -> Ceremony:
        if self.current is None:
            raise ceremonies.UnknownCeremony
        return self.current

    # What people do

    async def _draft(self) -> None:
        self.current = await self.hall.draft(self.ada, kinds=("password_hashes",))

    async def _change(self) -> None:
        given = self.hall.given(self.ada, purpose=f"For the {self.taken}th reason")
        await ceremonies.change(await self.hall.attempt(self.ada), self.one.id, given)

    async def _submit(self) -> None:
        await self.hall.submit(self.ada, self.one)

    async def _possess(self) -> None:
        await self.hall.possess(self.ada, self.one)

    async def _possess_wrong(self) -> None:
        await ceremonies.possess(await self.hall.attempt(self.ada), self.one.id, ["AAAA-AAAA-AAAA-AAAA-AAAA"])

    async def _authorize(self) -> None:
        self.old_text = self.old_text or ceremonies.authorization_text(self.one.request)
        await self.hall.authorize(self.ada, self.one)

    async def _authorize_old(self) -> None:
        attempt = await self.hall.attempt(self.ada)
        await ceremonies.authorize(attempt, self.one.id, tenant_name=self.hall.tenant.name, text=self.old_text)

    async def _approve(self) -> None:
        await self.hall.approve(self.bob, self.one)

    async def _approve_own(self) -> None:
        await self.hall.approve(self.ada, self.one)

    async def _approve_as_viewer(self) -> None:
        await self.hall.approve(self.viewer, self.one)

    async def _approve_twice(self) -> None:
        code, attempt = self.hall.code(self.bob), await self.hall.attempt(self.bob)
        shown = ceremonies.groups(bytes.fromhex(self.one.digest))
        for _ in range(2):
            await ceremonies.decide(attempt, self.one.id, "approve", code=code, digest_groups=shown)

    async def _sign(self) -> None:
        signed = await self.hall.signed(self.one)
        self.old_signature = self.old_signature or signed
        await ceremonies.upload_form(await self.hall.attempt(self.ada), self.one.id, "openpgp", signed)

    async def _sign_other(self) -> None:
        signed = await self.hall.signed(self.one, self.bob.email)
        await ceremonies.upload_form(await self.hall.attempt(self.ada), self.one.id, "openpgp", signed)

    async def _sign_old(self) -> None:
        attempt = await self.hall.attempt(self.ada)
        await ceremonies.upload_form(attempt, self.one.id, "openpgp", self.old_signature)

    async def _without_mfa(self) -> None:
        await ceremonies.submit(await self.hall.attempt(self.ada, mfa=False), self.one.id)
        raise AssertionError("a password alone")

    async def _cancel(self) -> None:
        await ceremonies.cancel(await self.hall.attempt(self.bob), self.one.id)

    async def _withdraw(self) -> None:
        await ceremonies.cancel(await self.hall.attempt(self.ada), self.one.id)

    async def _download(self) -> None:
        ceremonies.check_available(self.hall.tenant, self.one)
        await self.hall.download(self.ada, self.one)

    # What happens besides

    async def _build(self) -> None:
        await self.hall.build(self.one)
        await self._was_complete()

    _build_again = _build

    async def _remove(self) -> None:
        await self.hall.remove(self.one)

    async def _reconcile(self) -> None:
        await self.hall.reconcile()

    async def _block(self) -> None:
        await self._set_blocked(blocked=True)

    async def _unblock(self) -> None:
        await self._set_blocked(blocked=False)

    async def _set_blocked(self, *, blocked: bool) -> None:
        async with self.hall.store.transaction() as tx:
            await set_blocked(tx, self.hall.tenant, self.bob.id, blocked=blocked)

    async def _demote(self) -> None:
        async with self.hall.store.transaction() as tx:
            await change_role(tx, self.hall.tenant, self.ada.id, "viewer")

    async def _promote(self) -> None:
        async with self.hall.store.transaction() as tx:
            await change_role(tx, self.hall.tenant, self.ada.id, "admin")

    async def _an_hour(self) -> None:
        self.hall.clock.advance(seconds=3600)

    async def _a_day(self) -> None:
        self.hall.clock.advance(seconds=86_400)

    async def _eight_days(self) -> None:
        self.hall.clock.advance(seconds=8 * 86_400)

    async def _set_ahead(self) -> None:
        self.hall.clock.jump(seconds=9 * 3600)

    async def _set_back(self) -> None:
        self.hall.clock.jump(seconds=-3600)

    async def _confirm_clock(self) -> None:
        await ceremonies.confirm_clock(self.hall.store, self.hall.tenant)

    # What has to be true

    async def _was_complete(self) -> None:
        """I1, I2, I4, I11: a file came about by evidence for exactly this digest, of people who may give it now."""
        ceremony = await self.hall.get(self.one)
        pieces = await pieces_of(self.hall.store, self.hall.tenant, ceremony)
        for kind in ("recipient_key", "possession", "authorization", "approval", "form", "signature"):
            assert of_kind(pieces, kind), kind
        assert {piece.digest for piece in pieces} == {ceremony.digest}
        acting = {ceremony.requester_id} | {piece.subject for piece in of_kind(pieces, "approval")}
        assert len(acting) >= 2
        for administrator_id in acting:
            person = await find_administrator(self.hall.store, self.hall.tenant, administrator_id)
            assert person is not None
            assert (person.role, person.blocked) == ("admin", False)

    async def check(self) -> None:
        """I2, I4, I5, I6, I10, I12 and I13, after any step."""
        hall = self.hall
        found = await ceremonies.list_ceremonies(hall.store, hall.tenant)
        assert sum(ceremony.is_active for ceremony in found) <= 1
        noticed = 0
        for ceremony in found:
            assert self.ended.setdefault(ceremony.id, ceremony.state) == ceremony.state
            if ceremony.state not in TERMINAL:
                del self.ended[ceremony.id]
            pieces = await pieces_of(hall.store, hall.tenant, ceremony)
            assert all(piece.digest == ceremony.digest for piece in pieces)
            assert ceremony.requester_id not in {piece.subject for piece in of_kind(pieces, "approval")}
            assert self.viewer.id not in {piece.subject for piece in of_kind(pieces, "approval")}
            noticed += await self._check_way(ceremony)
            over = ceremony.deadline_ms is not None and hall.clock.now_ms() >= ceremony.deadline_ms
            if ceremony.state not in {"ready", "downloaded"} or over:
                with pytest.raises(ceremonies.Gone):
                    ceremonies.check_available(hall.tenant, ceremony)
        told = await hall.store.one("select count(*) from work_queue where topic = :topic", topic=TOPIC_NOTICE)
        assert told is not None
        assert told[0] >= noticed

    async def _check_way(self, ceremony: Ceremony) -> int:
        state, noticed = "", 0
        for entry in await audit.entries_of(self.hall.store, self.hall.tenant, ceremony.id):
            details = msgspec.json.decode(entry.details)
            if "to" not in details:
                continue
            if state:
                assert details["from"] == state
                assert (state, details["to"]) in LEGAL
            state = details["to"]
            # Of a draft nobody was told, so nobody hears that it is over.
            noticed += entry.action in NOTICED and (entry.action, details["from"]) != ("ceremony.lapse", "draft")
        assert state in {"", ceremony.state}
        return noticed

    async def settle(self) -> None:
        """I13: what is due happens, and happening again changes nothing."""
        await self.hall.reconcile()
        await self.check()
        before = await ceremonies.list_ceremonies(self.hall.store, self.hall.tenant)
        await self.hall.reconcile()
        assert await ceremonies.list_ceremonies(self.hall.store, self.hall.tenant) == before
        assert await self.hall.log_is_whole()
        for ceremony in before:
            receipt = await verify_bundle(await write_bundle(self.hall.store, self.hall.tenant, ceremony))
            assert receipt.state == ceremony.state


async def walk(names: list[str]) -> None:
    """Take these steps one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_hall(Path(folder)) as hall:
            people = [await hall.administrator(name) for name in ("ada", "bob", "carl")]
            going = Walk(hall, people[0], people[1], await hall.administrator("dora", "viewer"))
            for name in ("draft", *names):
                await going.take(name)
                await going.check()
            await going.settle()


@st.composite
def ways(draw: st.DrawFn) -> list[str]:
    """A ceremony's way with disturbances anywhere, so that most of them come far."""
    names = list(FORWARD[: draw(st.integers(3, len(FORWARD)))])
    for name in draw(st.lists(st.sampled_from((*DISTURBANCES, *FORWARD)), min_size=1, max_size=6)):
        names.insert(draw(st.integers(0, len(names))), name)
    return names


CHECKS = (HealthCheck.too_slow, HealthCheck.data_too_large)


def test_nobody_disturbs_and_it_comes_to_its_end() -> None:
    asyncio.run(walk([*FORWARD]))


@settings(max_examples=2, deadline=None, suppress_health_check=CHECKS)
@given(ways())
def test_whatever_people_do_in_whatever_order_the_invariants_hold(names: list[str]) -> None:
    asyncio.run(walk(names))


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=CHECKS)
@given(ways())
def test_the_invariants_hold_on_many_ways(names: list[str]) -> None:
    asyncio.run(walk(names))
