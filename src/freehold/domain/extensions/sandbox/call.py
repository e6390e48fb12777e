"""A call of custom code on its way: what is asked, what of it runs, and how each step ended."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from freehold.domain.extensions.sandbox.api import ErrorKind, LogLine, Outcome, ScriptError, Step
from freehold.domain.extensions.sandbox.modules import Package
from freehold.domain.extensions.sandbox.visits import Visits

BEGIN_S = 0.3

Answerer = Callable[[Any], Awaitable[Any]]


@dataclass(eq=False)
class Call:
    """A call on its way; `result` is settled exactly once, with the outcomes of the steps that ran."""

    id: str
    steps: Sequence[Step]
    arguments: str
    answers: Mapping[str, Answerer]
    result: "asyncio.Future[list[Outcome]]"
    deadline: float
    packages: dict[str, Package] = field(default_factory=dict)
    begin_s: float = BEGIN_S
    began_at: float = 0.0
    sent_at: float = 0.0
    attempts: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    # Of the step that runs.
    step_at: float = 0.0
    logs: list[LogLine] = field(default_factory=list)
    output: int = 0
    asked: int = 0
    visits: Visits = field(default_factory=Visits)

    @property
    def began(self) -> bool:
        """Whether a script may have done something already."""
        return self.began_at > 0

    @property
    def running(self) -> Step:
        """The step that runs, or will be the first."""
        return self.steps[len(self.outcomes)]

    def settle(
        self, value: Any = None, error: ScriptError | None = None, *, spoilt: bool = False, more: bool = False,
        said_ms: float | None = None,
    ) -> None:  # fmt: skip
        """Say how the step that runs ended; with `more` the next one runs now, otherwise the call is over."""
        if self.result.done():
            return
        now = time.monotonic()
        if said_ms is not None:
            # Messages come together, so that the process knows better, within what can be.
            duration = max(0.0, min(said_ms, (now - self.sent_at) * 1000))
        else:
            duration = (now - self.step_at) * 1000 if self.began else 0.0
        visits = self.visits.listed()
        self.outcomes.append(
            Outcome(value, error, tuple(self.logs), duration, spoilt, visits, self.visits.left_out)
        )  # fmt: skip
        self.logs, self.output, self.asked, self.visits, self.step_at = [], 0, 0, Visits(), now
        if not more:
            self.result.set_result(self.outcomes)

    def fail(self, kind: ErrorKind, type_: str, message: str) -> None:
        """Say that it ended without a value."""
        self.settle(error=ScriptError(kind, type_, message))
