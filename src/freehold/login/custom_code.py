"""Where the pages and the database endpoints ask a tenant's code: before somebody registers, and after what happened.

A tenant without code at a point pays one look into its cache.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import asdict

from freehold.domain.access import roles_of
from freehold.domain.applications import CLIENTS, Client
from freehold.domain.extensions import notices, points
from freehold.domain.extensions.executions import Execution, keep_all
from freehold.domain.extensions.hooks import HookTrigger
from freehold.domain.users import USERS, Database, Profile
from freehold.kernel.clock import iso
from freehold.kernel.declare import documents
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


async def before_reset(http: Request, user: Profile, database: Database, *, client_id: Any) -> notices.Reset:
    """What code says to somebody who has shown that a mail reached them, before they set a new password."""
    services, tenant = http.services, http.tenant
    if not await notices.has_action(services.store, tenant, notices.RESET):
        return notices.Reset()
    record = await documents.read(services.store, tenant, USERS, user.user_id)
    known = dict(record.document) if record is not None else asdict(user)
    client = await documents.cached(services.store, tenant, CLIENTS, client_id) if client_id else None
    none = {"client_id": "", "name": "", "metadata": {}}
    language = http.headers.get("accept-language", "").partition(",")[0]
    found = await notices.run_post_challenge(services, tenant, {
        "user": {**{name: known[name] for name in _TOLD if known.get(name) is not None},
                 "identities": [_identity(each) for each in known.get("identities") or ()]},
        "client": client_facts(client) if client is not None else none,
        "connection": _connection(database), "request": request_facts(http),
        "authentication": {"methods": [{"name": "email", "timestamp": iso(tenant.clock.now_ms())}]},
        "authorization": {"roles": [name for _, name in await roles_of(services.store, tenant, user.user_id)]},
        "stats": {"logins_count": int(known.get("logins_count") or 0)},
        "transaction": {"locale": language.partition("-")[0] or "en", "ui_locales": []},
    })  # fmt: skip
    async with services.store.transaction() as tx:
        await keep_all(tx, tenant, found.executions)
    return found


def _identity(identity: Any) -> dict[str, Any]:
    known = identity if isinstance(identity, dict) else asdict(identity)
    names = ("connection", "provider", "user_id", "isSocial")
    return {name: known[name] for name in names if name in known}


def _connection(database: Database) -> dict[str, Any]:
    return {"id": database.id, "name": database.name, "strategy": database.strategy, "metadata": {}}
