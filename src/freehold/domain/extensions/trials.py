"""Trying a draft of an action: it runs in the sandbox with the event it is given, and nothing comes of what it asks."""

import time
from collections.abc import Mapping
from typing import Any

from freehold.domain.extensions import action_modules, npm, secrets
from freehold.domain.extensions.actions import ACTIONS, owner, wait_until_built
from freehold.domain.extensions.commands import METHODS
from freehold.domain.extensions.executions import Mask
from freehold.domain.extensions.sandbox import Outcome, Sandbox, Script, ScriptError
from freehold.kernel.declare import Operation, Part, documents
from freehold.kernel.declare.call import Call
from freehold.kernel.errors import BadRequest, FreeholdError

_SHORT_NAMES = {"password-reset-post-challenge": "post-challenge"}


class Trial(Part):
    """The body of a trial: `payload.event` is what the action gets."""

    payload: dict[str, Any]


def handler_of(trigger: str) -> str:
    """The function of an action that a trigger calls."""
    return "onExecute" + "".join(word.title() for word in _SHORT_NAMES.get(trigger, trigger).split("-"))


async def run_draft(call: Call) -> dict[str, Any]:
    """Run the draft before the transaction begins, which no code of a tenant's may hold open."""
    begun = time.monotonic()
    await wait_until_built(call)
    action = await documents.read(call.store, call.tenant, ACTIONS, call.params["id"])
    if action is None:
        raise documents.missing(ACTIONS)
    draft = action.document
    if draft["status"] != "built":
        raise BadRequest("The action is not built; only a built action can be tested.")
    event = call.body.payload.get("event", {})
    if not isinstance(event, dict):
        raise BadRequest("Payload validation error: 'Expected type object' on property payload.event.")
    trigger = draft["supported_triggers"][0]["id"]
    values = await secrets.values_of(call.store, call.tenant, owner(action.id))
    around = {"trigger": trigger, "methods": METHODS.get(trigger, ()), "domain": call.tenant.domain, "rules": []}
    packages = await action_modules.packages_of(call.store, call.tenant, draft)
    shared = await action_modules.included(call.store, call.tenant, draft)
    values |= shared.secrets
    sandbox: Sandbox = call.services.sandbox
    try:
        modules = await npm.installed(call.services, call.tenant, packages)
        script = Script(action.id, "draft", draft["code"], kind="action", modules=modules, shared=shared.code)
        outcome = await sandbox.call(
            call.tenant.id, script, handler_of(trigger), [{"request": {}, **event}, around], secrets=values
        )
    except FreeholdError as refusal:
        outcome = Outcome(error=ScriptError("load", type(refusal).__name__, refusal.message))
    return {"payload": shown(outcome, values, round((time.monotonic() - begun) * 1000))}


async def answer(call: Call) -> dict[str, Any]:
    """POST actions/actions/{id}/test: what the draft asked for, printed or threw, and how long it took."""
    found: dict[str, Any] = call.prepared
    return found


def shown(outcome: Outcome, values: Mapping[str, str], total_ms: int) -> dict[str, Any]:
    """An outcome as Auth0 words it, with the values of secrets masked."""
    hide = Mask(values.values())
    took = round(outcome.duration_ms)
    found: dict[str, Any] = {
        "logs": hide.in_text("\n".join(line.text for line in outcome.logs)),
        "stats": {
            "total_request_duration_ms": total_ms, "total_runtime_execution_duration_ms": took,
            "runtime_processing_duration_ms": 0, "action_duration_ms": took, "runtime_external_call_duration_ms": 0,
            "boot_duration_ms": max(0, total_ms - took), "network_duration_ms": 0,
        },
    }  # fmt: skip
    if outcome.error is not None:
        found["error"] = {"name": outcome.error.type, "message": hide.in_text(outcome.error.message)}
    else:
        found["commands"] = [{"type": name, "params": given} for name, given in hide.in_json(outcome.value) or []]
    return found


OPERATIONS = (
    Operation(
        method="POST", path="actions/actions/{id}/test", scopes=("create:actions",), body=Trial, before=run_draft,
        handler=answer, name="actions.test", audit="Test an action",
    ),
)  # fmt: skip
