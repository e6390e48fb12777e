"""Telling a demonstration step by step: what is done, how long it took, and an end when something is not true."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from freehold.demo.browser import NotThere


class NotTrue(Exception):
    """A step of the demonstration did not come out as it should."""


@dataclass(slots=True)
class Step:
    """One step that came out."""

    title: str
    detail: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Telling:
    """A demonstration in a folder of its own; `tell` is called with each step that came out."""

    folder: Path
    users: int
    tell: Callable[[Step], None]
    begin: Callable[[str], None] = lambda _title: None
    steps: list[Step] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        """Tell it from the first step to the last. Raises NotTrue."""
        raise NotImplementedError

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Time a step; one that fails says so by its title."""
        self.begin(title)
        step = Step(title)
        started = time.perf_counter()
        try:
            yield step
        except (NotTrue, NotThere, httpx.HTTPError, KeyError, ValueError) as error:
            raise NotTrue(f"{title}: {error!r}" if isinstance(error, KeyError) else f"{title}: {error}") from error
        step.seconds = time.perf_counter() - started
        self.steps.append(step)
        self.tell(step)


def require(condition: bool, what: str) -> None:
    """Hold a step to what it claims. Raises NotTrue."""
    if not condition:
        raise NotTrue(what)
