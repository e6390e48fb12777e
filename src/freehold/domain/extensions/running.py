"""Runs one piece of a tenant's code in the sandbox: finds its packages, hands it its secrets, notes how it went."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from freehold.domain.extensions import action_modules, bindings, npm, secrets, versions
from freehold.domain.extensions.executions import Execution
from freehold.domain.extensions.sandbox import Outcome, Sandbox, Script, ScriptError, Step
from freehold.domain.extensions.sandbox.auth0_globals import globals_named_in
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.declare.documents import Record
from freehold.kernel.errors import FreeholdError
from freehold.kernel.store import Store

TRIGGER_S = 20.0
"""All actions of a trigger together (Auth0 docs, "Actions Limitations")."""


_NOTHING = action_modules.Included()


class Deadline:
    """What is left of the time that all code of one trigger has together."""

    def __init__(self, seconds: float = TRIGGER_S) -> None:
        self._ends = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds, never less than a moment."""
        return max(0.05, self._ends - time.monotonic())


async def run(
    services: Any,
    tenant: TenantScope,
    script: Script,
    function: str,
    given: Sequence[Any],
    *,
    name: str,
    execution: Execution,
    deadline: Deadline,
    secret_values: Mapping[str, str] | None = None,
    answers: Mapping[str, Any] | None = None,
    hidden: Sequence[str] = (),
) -> Outcome:
    """Call a function of a script and add it to the execution. A sandbox that cannot run it is an outcome as well.

    `hidden` are further values that no record may hold, such as a password.
    """
    steps = [(name, Step(script, function, secret_values or {}))]
    ran = await run_all(
        services, tenant, steps, given, execution=execution, deadline=deadline, answers=answers, hidden=hidden
    )  # fmt: skip
    return ran[0]


async def run_all(
    services: Any,
    tenant: TenantScope,
    steps: Sequence[tuple[str, Step]],
    given: Sequence[Any],
    *,
    execution: Execution,
    deadline: Deadline,
    answers: Mapping[str, Any] | None = None,
    hidden: Sequence[str] = (),
    following: Callable[[Any, Sequence[Any]], Sequence[Any]] = lambda _, given: given,
) -> list[Outcome]:
    """Call functions, each with a name for the record, one after the other, and add those that ran to the execution.

    At least the first ran; the caller looks at the outcomes and goes on with what is left. `following` says what a
    function was given from the answer of the one before and what that was given, as its kind does in the worker.
    """
    sandbox: Sandbox = services.sandbox
    started_ms = tenant.clock.now_ms()
    try:
        outcomes = await sandbox.run(
            tenant.id, [step for _, step in steps], given, timeout_s=deadline.left(), answers=answers
        )
    except FreeholdError as error:
        outcomes = [Outcome(error=ScriptError("load", type(error).__name__, error.message))]
    ended_ms = tenant.clock.now_ms()
    spent = 0.0
    for number, ((name, step), outcome) in enumerate(zip(steps, outcomes, strict=False), 1):
        began_ms = min(ended_ms, started_ms + int(spent))
        spent += outcome.duration_ms
        over_ms = ended_ms if number == len(outcomes) else min(ended_ms, started_ms + int(spent))
        execution.add(
            name, outcome, given=given, started_ms=began_ms, ended_ms=over_ms,
            secrets=[*step.secrets.values(), *hidden], script=step.script, function=step.function,
        )  # fmt: skip
        if number < len(outcomes):
            given = following(outcome.value, given)
    return outcomes


async def legacy_script(services: Any, tenant: TenantScope, id_: str, code: str, kind: str) -> Script:
    """A rule, hook or database script, with the packages that its text names and the globals that it uses."""
    modules = await npm.installed_for(services, tenant, code)
    return Script(id_, "1", code, kind=kind, modules=modules, globals=globals_named_in(code).globals)


async def deployed_at(store: Store, tenant: TenantScope, trigger: str) -> list[tuple[str, Record]]:
    """Names and versions of the actions that run at a trigger, in order; kept with the tenant's cache."""
    entries = tenant.cached(store.cache_epoch(tenant.id))
    key = ("deployed at", trigger)
    found: list[tuple[str, Record]] | None = entries.get(key)
    if found is None:
        found = []
        for binding in await bindings.bound_to(store, tenant, trigger):
            action = await documents.read(store, tenant, tenant.registry.collection("actions"), binding.action_id)
            running = [
                v for v in await versions.versions_of(store, tenant, binding.action_id) if v.document["deployed"]
            ]
            if action is not None and running:
                found.append((action.document["name"], running[0]))
        entries[key] = found
    return found


async def secrets_of(store: Store, tenant: TenantScope, version: Record) -> Mapping[str, str]:
    """The secrets of a deployed version and of its modules; kept with the tenant's cache, as its signing keys are."""
    entries = tenant.cached(store.cache_epoch(tenant.id))
    key = ("secrets of version", version.id)
    if key not in entries:
        own = await secrets.values_of(store, tenant, versions.owner(version.id))
        entries[key] = {**own, **(await _included(store, tenant, version)).secrets}
    found: Mapping[str, str] = entries[key]
    return found


async def script_of(store: Store, tenant: TenantScope, version: Record) -> Script:
    """A version of an action as the sandbox loads it, with the modules that it includes."""
    body = version.document
    shared = (await _included(store, tenant, version)).code
    return Script(
        version.id, str(body["number"]), body["code"], kind="action", modules=body["module_set"], shared=shared
    )


async def _included(store: Store, tenant: TenantScope, version: Record) -> action_modules.Included:
    if not version.document["modules"]:
        return _NOTHING
    entries = tenant.cached(store.cache_epoch(tenant.id))
    key = ("modules of version", version.id)
    if key not in entries:
        entries[key] = await action_modules.included(store, tenant, version.document)
    found: action_modules.Included = entries[key]
    return found
