"""The Management API of recorded executions that Auth0 does not have: list them, look into one, run it again.

A record holds what the flow knew of a person, so that reading it takes what reading the tenant's log does.
"""

from typing import Any

from freehold.domain.extensions import executions, replays
from freehold.kernel.declare import Operation
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.paging import Page


async def list_executions(call: Call) -> dict[str, Any]:
    """GET actions/executions: the latest first, of one `trigger_id` if it is named."""
    page = Page.offset(call)
    found = await executions.records_of(
        call.store, call.tenant, trigger=call.query("trigger_id") or "", skip=page.start, most=page.limit
    )
    return {"executions": [executions.shown(each) for each in found]}


async def get_recording(call: Call) -> dict[str, Any]:
    """GET actions/executions/{id}/recording: with what went in, came out and was printed."""
    return executions.whole(await executions.get_record(call.store, call.tenant, call.params["id"]))


async def run_again(call: Call) -> dict[str, Any]:
    """Run before the transaction begins, which no code of a tenant's may hold open."""
    return replays.shown(await replays.replay(call.services, call.tenant, call.params["id"]))


async def answer(call: Call) -> dict[str, Any]:
    """POST actions/executions/{id}/replay: what each piece of code does now, beside what it did then."""
    found: dict[str, Any] = call.prepared
    return found


_ONE = "actions/executions/{id}"
OPERATIONS = (
    Operation(
        method="GET", path="actions/executions", scopes=("read:logs",), handler=list_executions,
        name="actions.executions.list",
    ),
    Operation(
        method="GET", path=_ONE + "/recording", scopes=("read:logs",), handler=get_recording,
        name="actions.executions.recording",
    ),
    Operation(
        method="POST", path=_ONE + "/replay", scopes=("create:actions",), before=run_again, handler=answer,
        name="actions.executions.replay", audit="Run a recorded execution again",
    ),
)  # fmt: skip
