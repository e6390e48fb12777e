"""A recorded execution runs again, with the code and the secrets of now, beside what it did then.

Nothing comes of what it asks the server for. What it does elsewhere, in a database of its own say, it does again.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from freehold.domain.extensions.commands import METHODS
from freehold.domain.extensions.executions import Execution, Record, get_record
from freehold.domain.extensions.pieces import find_piece, script_for
from freehold.domain.extensions.running import Deadline, run
from freehold.kernel.declare import TenantScope

_ASKED = ("auth0.users.updateAppMetadata", "auth0.users.updateUserMetadata")


class Replay(msgspec.Struct, frozen=True):
    """How one result of a record came out again."""

    name: str
    then: Mapping[str, Any]
    now: Mapping[str, Any] | None
    """None when it could not run."""
    reason: str = ""
    """Why it could not."""
    changed: bool = False
    """Whether the code is another than it was."""

    @property
    def same(self) -> bool:
        """Whether it answered, or threw, the same."""
        return self.now is not None and all(self.then.get(key) == self.now.get(key) for key in ("answered", "error"))


async def replay(services: Any, tenant: TenantScope, id_: str) -> list[Replay]:
    """Run everything of a record again, each piece with what it was given then. Raises NotFound."""
    record = await get_record(services.store, tenant, id_)
    return [await _again(services, tenant, record, result) for result in record.results]


def shown(replays: list[Replay]) -> dict[str, Any]:
    """For the Management API and for commands."""
    members = ("answered", "error", "logs")
    return {
        "results": [
            {
                "action_name": each.name, "same": each.same, "code_changed": each.changed,
                "then": {name: each.then[name] for name in members if name in each.then},
                **({"now": {name: each.now[name] for name in members if name in each.now}} if each.now else {}),
                **({"reason": each.reason} if each.reason else {}),
            }
            for each in replays
        ],
        "same": all(each.same for each in replays),
    }  # fmt: skip


async def _again(services: Any, tenant: TenantScope, record: Record, result: Mapping[str, Any]) -> Replay:
    name, ran = str(result["action_name"]), result.get("script") or {}
    if result.get("given") is None:
        return Replay(name, result, None, "What went in was too large to be recorded.")
    piece = await find_piece(services.store, tenant, str(ran.get("id", "")))
    if piece is None:
        return Replay(name, result, None, "Its code is not here any more.")
    execution = Execution(record.trigger_id, tenant.clock.now_ms())
    given = list(result["given"])
    if piece.kind == "actions" and len(given) == 2:
        given[1] = {**given[1], "methods": METHODS.get(record.trigger_id, ())}
    await run(
        services, tenant, await script_for(services, tenant, piece), str(ran.get("function", "")), given, name=name,
        execution=execution, deadline=Deadline(), secret_values=piece.secrets, answers=dict.fromkeys(_ASKED, _nothing),
    )  # fmt: skip
    return Replay(name, result, execution.results[0], changed=piece.digest != ran.get("code"))


async def _nothing(content: Any) -> None:
    """The answer to whatever a piece of code asks of the server."""
    del content
