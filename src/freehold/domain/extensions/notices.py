"""Two points where an action stands in the way: before a forgotten password is set anew, and where mail is handed over.

Sending a mail by code (`custom-email-provider`) is tried again like every delivery; what the mail says is in no record,
because its links open accounts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from freehold.domain.extensions.executions import Execution, keep_all
from freehold.domain.extensions.points import FAILED, request_event, run_actions
from freehold.domain.extensions.running import Deadline, deployed_at
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store

RESET, EMAIL = "password-reset-post-challenge", "custom-email-provider"
NOT_OFFERED = "Code asks for another step before the password is set, which is not offered here."


@dataclass(slots=True)
class Reset:
    """What code says to somebody who is about to set a new password."""

    denied: str | None = None
    """Why not, for the person."""
    result_url: str | None = None
    executions: list[Execution] = field(default_factory=list)


async def has_action(store: Store, tenant: TenantScope, trigger: str) -> bool:
    """Whether an action runs at a trigger; answered from the tenant's cache."""
    return bool(await deployed_at(store, tenant, trigger))


async def run_post_challenge(services: Any, tenant: TenantScope, event: dict[str, Any]) -> Reset:
    """Ask the actions at `password-reset-post-challenge`. What they ask for and cannot have, refuses."""
    found = Reset()
    event = {**event, "request": request_event(event["request"]), "tenant": {"id": tenant.name}}
    commands, failed = await run_actions(services, tenant, RESET, event, found.executions, Deadline())
    for name, values in commands:
        if name == "access.deny":
            found.denied = str((values or [""])[0] or "Access denied")
        elif name == "transaction.setResultUrl":
            found.result_url = str(values[0])
        else:
            found.denied = found.denied or NOT_OFFERED
    if failed:
        found.denied = FAILED
    return found


async def send_by_action(
    services: Any, tenant: TenantScope, *, notification: dict[str, Any], user: dict[str, Any], hidden: Sequence[str]
) -> tuple[Literal["sent", "drop", "retry"], str]:
    """Hand a mail to the action at `custom-email-provider`: what became of it, and why. The record is kept."""
    executions: list[Execution] = []
    event = {
        "notification": notification, "user": user, "request": request_event({}), "tenant": {"id": tenant.name},
        "client": {"client_id": "", "name": "", "metadata": {}}, "transaction": {},
    }  # fmt: skip
    commands, failed = await run_actions(services, tenant, EMAIL, event, executions, Deadline(), hidden=hidden)
    async with services.store.transaction() as tx:
        await keep_all(tx, tenant, executions)
    if failed:
        return "retry", FAILED
    for name, values in commands:
        if name in {"notification.drop", "notification.retry"}:
            return ("drop" if name.endswith("drop") else "retry"), str((values or [""])[0])
    return "sent", ""
