"""Making, changing and removing users who are kept in a database of the tenant's own.

Without import mode that database is the truth: what changes here has changed there first, and a script that fails, or
is missing, stops it. With import mode users belong here once they came, and the database is only asked whether it
knows somebody already. Scripts run before the transaction that stores the rest.
"""

from collections.abc import Mapping
from typing import Any

from freehold.domain.extensions import databases
from freehold.domain.extensions.databases import ExternalUser, ScriptFailed, ScriptName, ScriptRefused, has_script
from freehold.domain.users.accounts import IDENTIFIERS, check_free, check_identifiers, normalize_identifiers
from freehold.domain.users.databases import Database
from freehold.domain.users.documents import USERS
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import BadRequest, Conflict

_CHANGES: Mapping[str, ScriptName] = {
    "email": "change_email", "username": "change_username", "phone_number": "change_phone_number",
}  # fmt: skip
_VERIFIED = {"email": "email_verified", "phone_number": "phone_verified"}
_TOLD = (*IDENTIFIERS, "given_name", "family_name", "name", "nickname", "picture", "user_metadata", "app_metadata")
UNKNOWN = "The user does not exist."


async def find_elsewhere(
    services: Any, tenant: TenantScope, database: Database, identifier: str
) -> ExternalUser | None:
    """Whom the tenant's own database knows by this identifier; nobody where there is no such database or script."""
    if not identifier or not database.is_custom or not has_script(database.options, "get_user"):
        return None
    return await databases.find_user(services, tenant, database, identifier)


async def create_elsewhere(
    services: Any, tenant: TenantScope, database: Database, given: Mapping[str, Any], *, password: str,
    client_id: str = "",
) -> ExternalUser | None:  # fmt: skip
    """Make a new user in the tenant's own database, unless users are kept here, and answer how they are known there.

    Raises Conflict for somebody who is known there or here, what `check_identifiers` raises, ScriptFailed.
    """
    if not database.is_custom:
        return None
    values = {name: value for name, value in given.items() if value is not None}
    normalize_identifiers(values)
    check_identifiers(database, values)
    await check_free(services.store, tenant, database.name, values)
    await _refuse_known(services, tenant, database, values)
    if database.keeps_passwords:
        return None
    user = {
        "client_id": client_id, "tenant": tenant.name, "connection": database.name, "password": password,
        **{name: values[name] for name in _TOLD if name in values},
    }  # fmt: skip
    try:
        await databases.tell_script(services, tenant, database, "create", [user], hidden=[password])
    except ScriptRefused as error:
        if error.code == "user_exists":
            raise Conflict(error.message, code=USERS.conflict.code or "") from None
        raise
    made = await databases.log_in(services, tenant, database, _identifier(values), password)
    if made is None:
        raise ScriptFailed(databases.FAILED)
    return made


def profile_of(given: Mapping[str, Any], made: ExternalUser | None) -> dict[str, Any]:
    """The profile of a new user: what was given, and what the tenant's own database says of it."""
    return {**given, **(made.profile if made else {})}


async def change_elsewhere(
    services: Any, tenant: TenantScope, database: Database, before: Mapping[str, Any], given: Mapping[str, Any], *,
    user_id: str,
) -> int | None:  # fmt: skip
    """Change identifiers or the password in the tenant's own database; the password's time, if that has one.

    Raises Conflict for an identifier that is known there or here, NotFound, ScriptFailed.
    """
    if not database.is_custom:
        return None
    changed = {name: given[name] for name in IDENTIFIERS if given.get(name) is not None}
    normalize_identifiers(changed)
    changed = {name: value for name, value in changed.items() if value != before.get(name)}
    if changed:
        check_identifiers(database, {**before, **changed})
        await check_free(services.store, tenant, database.name, changed, besides=user_id)
        await _refuse_known(services, tenant, database, changed)
    if database.keeps_passwords:
        return None
    for name, value in changed.items():
        if not has_script(database.options, _CHANGES[name]):
            raise databases.ScriptMissing(f"{_CHANGES[name]} script does not exist")
        verified = [bool(given.get(_VERIFIED[name], False))] if name in _VERIFIED else []
        told = [before.get(name) or _identifier(before), value, *verified]
        if await databases.tell_script(services, tenant, database, _CHANGES[name], told) is False:
            raise ScriptRefused(f"The {name} was not changed.", code="custom_script_error")
    if given.get("password") is not None:
        return await change_password_elsewhere(services, tenant, database, _identifier(before), given["password"])
    return None


async def change_password_elsewhere(
    services: Any, tenant: TenantScope, database: Database, identifier: str, password: str
) -> int | None:
    """Set a password in the tenant's own database; when it says it was set, in milliseconds. Raises ScriptFailed."""
    known = await find_elsewhere(services, tenant, database, identifier)
    if known is None and has_script(database.options, "get_user"):
        raise ScriptRefused(UNKNOWN, code="inexistent_user")
    answered = await databases.tell_script(
        services, tenant, database, "change_password", [identifier, password], hidden=[password]
    )
    if not answered:
        raise ScriptRefused("The password was not changed.", code="custom_script_error")
    at = answered.get("last_password_reset") if isinstance(answered, dict) else None
    return at if isinstance(at, int) and not isinstance(at, bool) and 0 < at < _LATEST_MS else None


async def verify_elsewhere(services: Any, tenant: TenantScope, database: Database, email: str) -> None:
    """Tell the tenant's own database that an address is verified. Raises ScriptFailed when it does not agree."""
    if not await databases.tell_script(services, tenant, database, "verify", [email]):
        raise ScriptRefused("The address was not verified.", code="custom_script_error")


async def delete_elsewhere(services: Any, tenant: TenantScope, database: Database | None, user_id: str) -> None:
    """Remove a user from the tenant's own database, unless users are kept here. Raises ScriptFailed."""
    if database is not None and database.is_custom and not database.keeps_passwords:
        await databases.tell_script(services, tenant, database, "delete", [user_id.partition("|")[2]])


async def _refuse_known(services: Any, tenant: TenantScope, database: Database, values: Mapping[str, Any]) -> None:
    for name in IDENTIFIERS:
        if values.get(name) and await find_elsewhere(services, tenant, database, values[name]) is not None:
            raise Conflict(USERS.conflict.message, code=USERS.conflict.code or "")


def _identifier(values: Mapping[str, Any]) -> str:
    found = next((values[name] for name in IDENTIFIERS if values.get(name)), None)
    if found is None:
        raise BadRequest("The user has no identifier.", code="invalid_body")
    return str(found)


_LATEST_MS = 253_402_300_799_999
"""The end of the year 9999: what comes later is no time that could be written."""
