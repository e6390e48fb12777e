"""The points outside of a sign-in where code runs: client credentials, registration, changed passwords.

Each runs its hook first, if one is enabled, and then its actions, as at Auth0. What is asked before something happens
gives an answer; what is told afterwards runs as a job, and nobody waits for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from freehold.domain.extensions import hooks
from freehold.domain.extensions.commands import METHODS, BadCommand, are_scopes, checked
from freehold.domain.extensions.executions import Execution, keep
from freehold.domain.extensions.running import Deadline, deployed_at, legacy_script, run, script_of, secrets_of
from freehold.domain.extensions.sandbox import ScriptError
from freehold.kernel import log
from freehold.kernel.declare import TenantScope
from freehold.kernel.jobs import Job
from freehold.kernel.store import Store, Transaction

TOPIC_TELL = "extensions.tell"
FAILED = "Custom code failed. The tenant's log says why."
_HANDLERS = {
    "credentials-exchange": "onExecuteCredentialsExchange",
    "pre-user-registration": "onExecutePreUserRegistration",
    "post-user-registration": "onExecutePostUserRegistration",
    "post-change-password": "onExecutePostChangePassword",
    "password-reset-post-challenge": "onExecutePostChallenge",
    "custom-email-provider": "onExecuteCustomEmailProvider",
}
_log = log.get_logger("extensions")


@dataclass(slots=True)
class Exchange:
    """What code decided about a client's token."""

    scopes: list[str]
    claims: dict[str, Any] = field(default_factory=dict)
    denied: tuple[str, str] | None = None
    """An OAuth error code and a description."""
    executions: list[Execution] = field(default_factory=list)


@dataclass(slots=True)
class Registration:
    """What code decided about somebody who signs up."""

    user_metadata: dict[str, Any] = field(default_factory=dict)
    app_metadata: dict[str, Any] = field(default_factory=dict)
    denied: tuple[str, str] | None = None
    """The reason for the log, and what the person is told."""
    executions: list[Execution] = field(default_factory=list)


async def has_code(store: Store, tenant: TenantScope, trigger: hooks.HookTrigger) -> bool:
    """Whether anything runs at a point; answered from the tenant's cache."""
    return bool(await hooks.enabled_hook(store, tenant, trigger) or await deployed_at(store, tenant, trigger))


async def run_credentials_exchange(
    services: Any, tenant: TenantScope, *, client: dict[str, Any], audience: str, scopes: list[str],
    request: dict[str, Any],
) -> Exchange:  # fmt: skip
    """What a client's token may hold. `client` has `client_id`, `name` and `metadata`."""
    trigger: hooks.HookTrigger = "credentials-exchange"
    found = Exchange(list(scopes))
    deadline = Deadline()
    hook_client = {"id": client["client_id"], "name": client["name"], "tenant": tenant.name,
                   "metadata": client.get("metadata") or {}}  # fmt: skip
    given = [hook_client, scopes, audience, {}]
    answered, error = await _run_hook(services, tenant, trigger, given, found.executions, deadline)
    if error is not None:
        found.denied = _exchange_refusal(error)
        return found
    if isinstance(answered, dict):
        scope = answered.pop("scope", None)
        if are_scopes(scope):
            found.scopes = scope
        found.claims |= answered
    event = {
        "client": client, "resource_server": {"identifier": audience}, "request": request_event(request),
        "accessToken": {"customClaims": {}, "scope": found.scopes}, "tenant": {"id": tenant.name},
        "transaction": {"requested_scopes": scopes},
    }  # fmt: skip
    commands, failed = await run_actions(services, tenant, trigger, event, found.executions, deadline)
    for name, values in commands:
        if name == "access.deny":
            code = values[0] if values and values[0] in ("invalid_scope", "invalid_request") else "server_error"
            found.denied = (code, str(values[1] if len(values) > 1 else values[0] if values else "Access denied"))
        elif name == "accessToken.setCustomClaim":
            found.claims[values[0]] = values[1] if len(values) > 1 else None
        elif name == "transaction.addTargetScope":
            found.scopes += [values[0]] if values[0] not in found.scopes else []
        elif name == "transaction.removeTargetScope":
            found.scopes = [scope for scope in found.scopes if scope != values[0]]
        elif name == "transaction.setTargetScopes":
            found.scopes = list(values[0])
        elif name == "transaction.clearTargetScopes":
            found.scopes = []
    if failed:
        found.denied = ("server_error", FAILED)
    return found


async def run_pre_registration(
    services: Any, tenant: TenantScope, *, user: dict[str, Any], password: str, connection: dict[str, Any],
    client: dict[str, Any] | None, request: dict[str, Any],
) -> Registration:  # fmt: skip
    """Whether somebody may sign up, and what their metadata shall be. Only a hook sees the password."""
    trigger: hooks.HookTrigger = "pre-user-registration"
    found = Registration()
    deadline = Deadline()
    context = {
        "connection": {"id": connection["id"], "name": connection["name"], "tenant": tenant.name},
        "requestLanguage": request.get("language"), "renderLanguage": request.get("language"),
    }  # fmt: skip
    seen = _hook_user(tenant, user) | {"password": password}
    answered, error = await _run_hook(
        services, tenant, trigger, [seen, context], found.executions, deadline, hidden=[password]
    )
    if error is not None:
        told = error.details.get("userMessage") if error.type == "PreUserRegistrationError" else None
        found.denied = (error.message or FAILED, str(told or "The sign-up was refused."))
        return found
    changes = answered.get("user") if isinstance(answered, dict) else None
    if isinstance(changes, dict):
        for name in ("user_metadata", "app_metadata"):
            if isinstance(changes.get(name), dict):
                getattr(found, name).update(changes[name])
    event = {
        "user": user, "connection": connection, "request": request_event(request), "tenant": {"id": tenant.name},
        **({"client": client} if client else {}),
    }  # fmt: skip
    commands, failed = await run_actions(services, tenant, trigger, event, found.executions, deadline)
    for name, values in commands:
        if name == "user.setUserMetadata":
            found.user_metadata[values[0]] = values[1] if len(values) > 1 else None
        elif name == "user.setAppMetadata":
            found.app_metadata[values[0]] = values[1] if len(values) > 1 else None
        elif name in {"access.deny", "validation.error"}:
            reason = str(values[0] if values else "denied")
            found.denied = (reason, str(values[1] if len(values) > 1 and values[1] else "The sign-up was refused."))
    if failed:
        found.denied = (FAILED, "The sign-up was refused.")
    return found


async def tell(
    tx: Transaction, tenant: TenantScope, trigger: hooks.HookTrigger, *, user: Mapping[str, Any],
    connection: Mapping[str, Any], request: Mapping[str, Any],
) -> None:  # fmt: skip
    """Let the code at `post-user-registration` or `post-change-password` run after this transaction."""
    content = [trigger, dict(user), dict(connection), dict(request)]
    await tx.enqueue(TOPIC_TELL, tenant.id, msgspec.json.encode(content))


async def run_told(job: Job) -> None:
    """The job of `tell`: nothing waits for it, and what it answers is of no consequence."""
    trigger, user, connection, request = msgspec.json.decode(job.payload)
    tenant: TenantScope = await job.services.tenants.by_id(job.tenant_id)
    executions: list[Execution] = []
    deadline = Deadline()
    facts = {"id": user.get("user_id"), "last_password_reset": user.get("last_password_reset")}
    hook_user = _hook_user(tenant, user) | facts
    context = {"connection": {"id": connection["id"], "name": connection["name"], "tenant": tenant.name}}
    _, error = await _run_hook(job.services, tenant, trigger, [hook_user, context], executions, deadline)
    event = {"user": user, "connection": connection, "request": request_event(request), "tenant": {"id": tenant.name}}
    _, failed = await run_actions(job.services, tenant, trigger, event, executions, deadline)
    if error is not None or failed:
        _log.warning("custom_code_failed", trigger=trigger)
    async with job.services.store.transaction() as tx:
        for execution in executions:
            await keep(tx, tenant, execution)


async def _run_hook(
    services: Any, tenant: TenantScope, trigger: hooks.HookTrigger, given: list[Any], executions: list[Execution],
    deadline: Deadline, hidden: Sequence[str] = (),
) -> tuple[Any, ScriptError | None]:  # fmt: skip
    hook = await hooks.enabled_hook(services.store, tenant, trigger)
    if hook is None:
        return None, None
    execution = Execution(trigger, tenant.clock.now_ms())
    executions.append(execution)
    script = await legacy_script(services, tenant, hook.id, hook.script, "hook")
    outcome = await run(
        services, tenant, script, "", given, name=hook.name, execution=execution, deadline=deadline,
        secret_values=await hooks.secrets_of(services.store, tenant, hook.id), hidden=hidden,
    )  # fmt: skip
    if outcome.error is not None:
        return None, outcome.error
    answered = outcome.value
    return (answered[0] if isinstance(answered, list) and answered else None), None


async def run_actions(
    services: Any, tenant: TenantScope, trigger: str, event: dict[str, Any], executions: list[Execution],
    deadline: Deadline, hidden: Sequence[str] = (),
) -> tuple[list[tuple[str, list[Any]]], bool]:  # fmt: skip
    """What the actions asked for, up to one that refuses; and whether one failed."""
    bound = await deployed_at(services.store, tenant, trigger)
    commands: list[tuple[str, list[Any]]] = []
    if not bound:
        return commands, False
    execution = Execution(trigger, tenant.clock.now_ms())
    executions.append(execution)
    for name, version in bound:
        around = {"trigger": trigger, "methods": METHODS[trigger], "domain": tenant.domain}
        script = await script_of(services.store, tenant, version)
        outcome = await run(
            services, tenant, script, _HANDLERS[trigger], [event, around], name=name, execution=execution,
            deadline=deadline, secret_values=await secrets_of(services.store, tenant, version), hidden=hidden,
        )  # fmt: skip
        if outcome.error is not None:
            return commands, True
        try:
            asked = checked(trigger, outcome.value)
        except BadCommand as error:
            execution.status = "partial"
            execution.results[-1]["error"] = {"id": "command", "msg": str(error), "url": ""}
            return commands, True
        commands += asked
        if any(command in {"access.deny", "validation.error"} for command, _ in asked):
            break
    return commands, False


def _hook_user(tenant: TenantScope, user: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "tenant": tenant.name,
        "username": user.get("username"),
        "email": user.get("email"),
        "emailVerified": bool(user.get("email_verified")),
        "phoneNumber": user.get("phone_number"),
        "phoneNumberVerified": bool(user.get("phone_verified")),
        "user_metadata": user.get("user_metadata") or {},
        "app_metadata": user.get("app_metadata") or {},
    }


def request_event(request: Mapping[str, Any]) -> dict[str, Any]:
    """`event.request`, with what code may count on."""
    return {"body": {}, "geoip": {}, **request}


def _exchange_refusal(error: ScriptError) -> tuple[str, str]:
    if error.kind != "script":
        return "server_error", FAILED
    codes = {"InvalidScopeError": "invalid_scope", "InvalidRequestError": "invalid_request"}
    return codes.get(error.type, "server_error"), error.message or FAILED
