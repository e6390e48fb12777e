"""The life of a ceremony as data: which step leads from where to where, who may take it, and who hears of it.

    draft -> submitted -> eligibility_review -> requirements_pending -> requirements_complete [-> waiting]
          -> preparing -> ready -> downloaded -> expired -> destroyed

Besides: rejected by the review, cancelled by people, failed by error, expired when nobody goes on. While a file is
there every way out leads through expired, because the file and its key have to be destroyed first.
"""

from datetime import timedelta
from typing import Literal

import msgspec

State = Literal[
    "draft", "submitted", "eligibility_review", "rejected", "requirements_pending", "requirements_complete", "waiting",
    "preparing", "ready", "downloaded", "expired", "destroyed", "cancelled", "failed",
]  # fmt: skip

LIFETIMES: dict[State, timedelta] = {
    "draft": timedelta(hours=24),
    "eligibility_review": timedelta(days=7),
    "requirements_pending": timedelta(days=14),
    "preparing": timedelta(hours=6),
}
"""How long nothing may happen in a state; then the ceremony expires, or fails where a machine was to act."""

DRAFT: frozenset[State] = frozenset({"draft"})
PREPARING: frozenset[State] = frozenset({"preparing"})
BEFORE_BUILD: frozenset[State] = frozenset(
    {"submitted", "eligibility_review", "requirements_pending", "requirements_complete", "waiting"}
)
WITH_FILE: frozenset[State] = frozenset({"ready", "downloaded"})
ACTIVE: frozenset[State] = BEFORE_BUILD | PREPARING | WITH_FILE
"""A tenant has at most one ceremony in these, or expired with a file that is still to be destroyed."""
ACTIVE_SQL = (
    "(" + " or ".join(f"state = '{state}'" for state in sorted(ACTIVE)) + " or (state = 'expired' and artefact <> ''))"
)
TERMINAL: frozenset[State] = frozenset({"rejected", "destroyed", "cancelled", "failed"})
"""No way leads on; nor does one from expired when there never was a file."""

Who = Literal["requester", "administrator", "operator", "system"]


class Step(msgspec.Struct, frozen=True):
    """One step: from any of these states to that one."""

    name: str
    sources: frozenset[State]
    target: State
    who: frozenset[Who]
    notice: str = ""
    """What all administrators are mailed."""


def _step(name: str, sources: frozenset[State] | set[State], target: State, who: str, notice: str = "") -> Step:
    return Step(name, frozenset(sources), target, frozenset(who.split()), notice)  # type: ignore[arg-type]


_ALL = (
    _step("change", DRAFT | BEFORE_BUILD, "draft", "requester"),
    _step("submit", {"draft"}, "submitted", "requester", "requested"),
    _step("review", {"submitted"}, "eligibility_review", "system"),
    _step("pass_review", {"eligibility_review"}, "requirements_pending", "system operator"),
    _step("reject", {"eligibility_review"}, "rejected", "system operator", "rejected"),
    _step("complete", {"requirements_pending"}, "requirements_complete", "system"),
    _step("wait", {"requirements_complete"}, "waiting", "system", "waiting"),
    _step("prepare", {"requirements_complete", "waiting"}, "preparing", "system"),
    _step("finish_build", {"preparing"}, "ready", "system", "ready"),
    _step("fail", {"requirements_complete", "waiting", "preparing"}, "failed", "system", "failed"),
    _step("download", {"ready"}, "downloaded", "requester", "downloaded"),
    _step("lapse", {"draft", "submitted", "eligibility_review", "requirements_pending"}, "expired", "system", "lapsed"),
    _step("expire", WITH_FILE, "expired", "system"),
    _step("withdraw", WITH_FILE, "expired", "requester administrator operator", "cancelled"),
    _step("destroy", {"expired"}, "destroyed", "system operator", "destroyed"),
    _step(
        "cancel", DRAFT | BEFORE_BUILD | PREPARING, "cancelled", "requester administrator operator", "cancelled"
    ),
)  # fmt: skip
STEPS: dict[str, Step] = {step.name: step for step in _ALL}
