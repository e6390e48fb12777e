"""kill -9 of a real server at any moment of a ceremony, and in each state it rests in.

After the restart the ceremony is in a state of the protocol, no file holds a secret, none belongs to nothing, the log
is whole, and nothing can be fetched that is not ready. Then it is brought to an end, and the next one begins.
"""

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from freehold.domain.administrators import find_by_email, set_blocked
from freehold.domain.ceremonies.states import WITH_FILE
from freehold.kernel.config import Settings
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store
from tests.faults.ceremony.live import REQUESTER, Person, Play, Stage, set_up, wait_for
from tests.support import ceremony_by_http as steps
from tests.support.ceremony_by_http import API, ok
from tests.support.server import LiveServer

AT_LEAST_S = 0.15
"""Phases that are shorter are killed up to this late, so that the moment of the answer is met as well."""
SEEDS = 40
"""Each kills a server in every other of the ten phases: 200 points, of each phase as many."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return set_up(tmp_path_factory.mktemp("kills"))


@pytest.fixture(scope="module")
def lasts(stage: Stage) -> dict[str, float]:
    return undisturbed(stage)


def kill(live: LiveServer) -> None:
    os.kill(live.process.pid, signal.SIGKILL)
    live.process.wait()


def undisturbed(stage: Stage) -> dict[str, float]:
    """How long each phase takes."""
    with stage.serving() as live:
        play = Play(stage, live)
        play.join()
        assert play.error is None, play.error
        assert play.received == play.size > 1_000_000
        stage.judge(live)
        moments = [*play.began.values()]
        return {name: after - at for name, at, after in zip(play.began, moments, moments[1:], strict=False)}


def kill_often(stage: Stage, lasts: dict[str, float], phases: Sequence[str], seed: int) -> None:
    """Kill a server in each of the phases, at a random moment.

    The server that shows what is left of one ceremony is the one that is killed in the next.
    """
    chance = random.Random(seed)
    play: Play | None = None
    for phase in phases:
        with stage.serving() as live:
            settle(stage, live, play)
            play = Play(stage, live)
            play.reached[phase].wait()
            time.sleep(chance.uniform(0, max(AT_LEAST_S, lasts[phase])))
            kill(live)
            play.join()
            assert play.error is None, (phase, play.error)
        stage.no_writer_left()
    with stage.serving() as live:
        settle(stage, live, play)
        stage.judge(live)


def settle(stage: Stage, live: LiveServer, play: Play | None) -> None:
    """Judge what is left of a play, and bring it to an end, which is judged with the next."""
    found = stage.judge(live)
    if play is not None and play.received:
        assert found is not None
        assert found["state"] in {*WITH_FILE, "destroyed"}
    stage.end(live, found)


def test_a_server_that_is_killed_while_it_builds_leaves_a_ceremony_as_the_protocol_knows_it(stage: Stage) -> None:
    kill_often(stage, {"build": 0.5}, ["build"], seed=0)


@pytest.mark.slow
def test_a_server_that_is_killed_leaves_a_ceremony_as_the_protocol_knows_it(
    stage: Stage, lasts: dict[str, float]
) -> None:
    kill_often(stage, lasts, ("build", "download", "remove"), seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_server_that_is_killed_at_any_moment_leaves_a_legal_ceremony(
    stage: Stage, lasts: dict[str, float], seed: int
) -> None:
    kill_often(stage, lasts, [*lasts][seed % 2 :: 2], seed)


# --- each state in which a ceremony rests -------------------------------------------------------------------------


class Resting:
    """A ceremony that is led from state to state, with the server killed and started again in each."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.env: dict[str, str] = {}
        self.before: dict[str, Any] = {}
        self.id = ""
        self.approver: Person | None = None

    def serving(self) -> Any:
        return self.stage.serving(**self.env)

    def act(self, step: Any, expected: str) -> None:
        """See what is there after a restart, do something, and kill the server again."""
        with self.serving() as live:
            self.check(live)
            with self.stage.requester.http(live) as http:
                step(live, http)
                path = f"{API}/{self.id}"
                wait_for(lambda: ok(http.get(path))["state"] == expected)
                self.before = ok(http.get(path))
            kill(live)
        self.stage.no_writer_left()

    def check(self, live: LiveServer) -> None:
        """All is as it was before the server was killed."""
        if not self.before:
            return
        self.stage.judge(live)
        with self.stage.requester.http(live) as http:
            after = ok(http.get(f"{API}/{self.id}"))
        assert after == self.before

    def draft(self, live: LiveServer, http: Any) -> None:
        self.id = str(ok(http.post(API, json=steps.asked(self.stage.executive, REQUESTER)), 201)["id"])

    def submit(self, live: LiveServer, http: Any) -> None:
        ok(http.post(f"{API}/{self.id}/submit"))

    def cancel(self, live: LiveServer, http: Any) -> None:
        ok(http.post(f"{API}/{self.id}/cancel", json={"reason": "enough"}))

    def review(self, decision: str) -> Any:
        def step(live: LiveServer, http: Any) -> None:
            live.freehold("ceremony", "review", self.id, decision, "--reason", "a test")

        return step

    def hand_in(self, live: LiveServer, http: Any) -> None:
        self.approver = approver = self.stage.approver()
        ok(steps.possess(http, self.id, REQUESTER))
        ok(steps.authorize(http, self.id))
        with approver.http(live) as other:
            ok(steps.approve(other, self.id, approver.code()))
        ok(steps.sign(http, self.id, self.stage.signer))

    def complete(self, live: LiveServer, http: Any) -> None:
        for step in (self.draft, self.submit, self.hand_in):
            step(live, http)

    def fetch(self, live: LiveServer, http: Any) -> None:
        assert steps.download(http, self.id).status_code == 200

    def let_it_lapse(self, live: LiveServer, http: Any) -> None:
        """Its time passes, for which nobody can wait here."""

        async def lapse(store: Store, tenant: TenantScope, settings: Settings) -> None:
            await store.run("update ceremonies set deadline_ms = 1 where id = :id", id=self.id)

        self.stage.looking(lapse)

    def block_the_approver(self, live: LiveServer, http: Any) -> None:
        self.stage.looking(lambda store, tenant, _: self._set_blocked(store, tenant, blocked=True))

    def unblock_the_approver(self) -> None:
        self.stage.looking(lambda store, tenant, _: self._set_blocked(store, tenant, blocked=False))

    async def _set_blocked(self, store: Store, tenant: TenantScope, *, blocked: bool) -> None:
        assert self.approver is not None
        async with store.transaction() as tx:
            person = await find_by_email(tx, tenant, self.approver.email)
            assert person is not None
            await set_blocked(tx, tenant, person.id, blocked=blocked)


@pytest.fixture
def resting(stage: Stage) -> Iterator[Resting]:
    resting = Resting(stage)
    yield resting
    with resting.serving() as live:
        resting.check(live)
        stage.end(live, resting.before)


def test_a_server_that_is_killed_with_a_file_comes_back_with_it(resting: Resting) -> None:
    resting.act(resting.complete, "ready")
    resting.act(resting.fetch, "downloaded")


@pytest.mark.slow
def test_a_server_that_is_killed_in_a_state_comes_back_in_it(resting: Resting) -> None:
    resting.act(resting.draft, "draft")
    resting.act(resting.submit, "requirements_pending")
    resting.act(resting.hand_in, "ready")
    resting.act(resting.fetch, "downloaded")
    resting.act(resting.cancel, "destroyed")


@pytest.mark.slow
def test_a_server_that_is_killed_in_a_rarer_state_comes_back_in_it(resting: Resting) -> None:
    resting.env = {"FREEHOLD_CEREMONY_MANUAL_REVIEW": "true", "FREEHOLD_CEREMONY_WAITING_FOR": "always"}
    resting.act(resting.draft, "draft")
    resting.act(resting.submit, "eligibility_review")
    resting.act(resting.review("reject"), "rejected")
    resting.act(resting.draft, "draft")
    resting.act(resting.submit, "eligibility_review")
    resting.act(resting.review("approve"), "requirements_pending")
    resting.act(resting.hand_in, "waiting")
    resting.act(resting.cancel, "cancelled")


@pytest.mark.slow
def test_a_server_that_is_killed_after_an_end_of_its_own_comes_back_with_it(resting: Resting) -> None:
    resting.env = {"FREEHOLD_CEREMONY_WAITING_FOR": "always"}
    resting.act(resting.draft, "draft")
    resting.act(resting.let_it_lapse, "expired")
    resting.act(resting.draft, "draft")
    resting.act(resting.submit, "requirements_pending")
    resting.act(resting.hand_in, "waiting")
    try:
        resting.act(resting.block_the_approver, "failed")
    finally:
        resting.unblock_the_approver()
