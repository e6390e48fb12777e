"""Runs one piece of a tenant's code in the sandbox: finds its packages, hands it its secrets, notes how it went."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from freehold.domain.extensions import action_modules, bindings, npm, secrets, versions
from freehold.domain.extensions.executions import Execution
from freehold.domain.extensions.sandbox import Outcome, Sandbox, Script, ScriptError
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
    sandbox: Sandbox = services.sandbox
    started_ms = tenant.clock.now_ms()
    try:
        outcome = await sandbox.call(
            tenant.id, script, function, given, secrets=secret_values, timeout_s=deadline.left(), answers=answers
        )
    except FreeholdError as error:
        outcome = Outcome(error=ScriptError("load", type(error).__name__, error.message))
    hide = [*(secret_values or {}).values(), *hidden]
    execution.add(
        name, outcome, given=given, started_ms=started_ms, ended_ms=tenant.clock.now_ms(), secrets=hide,
        script=script, function=function,
    )  # fmt: skip
    return outcome


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
