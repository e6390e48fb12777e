"""Where the pages and the database endpoints ask a tenant's code: before somebody registers, and after what happened.

A tenant without code at a point pays one look into its cache.
"""

from collections.abc import Mapping
from typing import Any

from freehold.domain.applications import Client
from freehold.domain.extensions import points
from freehold.domain.extensions.executions import Execution, keep_all
from freehold.domain.extensions.hooks import HookTrigger
from freehold.domain.users import Database
from freehold.kernel.errors import BadRequest
from freehold.kernel.http.request import Request
from freehold.kernel.store import Transaction
from freehold.login.code_facts import client_facts, request_facts

_TOLD = (
    "user_id", "email", "email_verified", "username", "phone_number", "phone_verified", "name", "nickname",
    "given_name", "family_name", "picture", "user_metadata", "app_metadata", "created_at", "updated_at",
    "last_password_reset",
)  # fmt: skip


class RegistrationRefused(BadRequest):
    """Code refused a registration: the message is for the person, `reason` for the tenant's log."""

    code = "registration_refused"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


async def before_registration(
    http: Request, database: Database, given: Mapping[str, Any], *, password: str, client: Client | None
) -> tuple[dict[str, Any], list[Execution]]:
    """The profile with what code made of its metadata, and the records of what ran. Raises RegistrationRefused."""
    services, tenant = http.services, http.tenant
    profile = dict(given)
    if not await points.has_code(services.store, tenant, "pre-user-registration"):
        return profile, []
    found = await points.run_pre_registration(
        services, tenant, user=dict(given), password=password, connection=_connection(database),
        client=client_facts(client) if client else None, request=request_facts(http),
    )  # fmt: skip
    if found.denied is not None:
        async with services.store.transaction() as tx:
            await keep_all(tx, tenant, found.executions)
        raise RegistrationRefused(*found.denied)
    for name, changes in (("user_metadata", found.user_metadata), ("app_metadata", found.app_metadata)):
        merged = {key: value for key, value in {**profile.get(name, {}), **changes}.items() if value is not None}
        if merged or name in profile:
            profile[name] = merged
    return profile, found.executions


async def tell(
    tx: Transaction, http: Request, trigger: HookTrigger, user: Mapping[str, Any], database: Database
) -> None:
    """Let the code at a point that is told afterwards run after this transaction."""
    if await points.has_code(http.services.store, http.tenant, trigger):
        told = {name: user[name] for name in _TOLD if user.get(name) is not None}
        facts = request_facts(http)
        await points.tell(tx, http.tenant, trigger, user=told, connection=_connection(database), request=facts)


def _connection(database: Database) -> dict[str, Any]:
    return {"id": database.id, "name": database.name, "strategy": database.strategy, "metadata": {}}
