"""PATCH on a user: what may change together, and what each change brings with it.

At most one of password, user name, phone number and e-mail changes at a time; a new address or number is unverified
unless said otherwise, and a new password closes what the old one opened.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from freehold.domain.users.accounts import (
    PreparedPassword,
    check_free,
    check_identifiers,
    normalize_identifiers,
    prepare_password,
    renamed,
    save_user,
    set_password,
)
from freehold.domain.users.custom_changes import change_elsewhere
from freehold.domain.users.databases import Database, find_database, is_enabled
from freehold.domain.users.documents import DATABASE, USERS
from freehold.domain.users.linked import identity_id, replace_linked
from freehold.kernel.declare import Length, Pattern, TenantScope, documents
from freehold.kernel.declare.documents import Record
from freehold.kernel.errors import BadRequest, PreconditionFailed
from freehold.kernel.store import Store, Transaction

Name = Annotated[str, Length(1, 150)] | UnsetType | None
LongName = Annotated[str, Length(1, 300)] | UnsetType | None
METADATA = ("user_metadata", "app_metadata")
_IDENTITY_FIELDS = ("email", "email_verified", "username", "phone_number", "phone_verified")
_NAMES = ("given_name", "family_name", "name", "nickname", "picture")
# Pairs that cannot change together, as Auth0 names them.
_APART = (
    ("password", "email"),
    ("password", "email_verified"),
    ("password", "phone_number"),
    ("password", "phone_verified"),
    ("username", "email"),
    ("username", "email_verified"),
    ("username", "phone_number"),
    ("username", "password"),
    ("phone_number", "email"),
)
_EVENTS = {"email": "sce", "username": "scu", "phone_number": "scpn", "password": "scp"}


class UserPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of PATCH on a user; null removes a member."""

    email: str | UnsetType | None = UNSET
    email_verified: bool | UnsetType = UNSET
    username: Annotated[str, Length(1, 128)] | UnsetType | None = UNSET
    phone_number: Annotated[str, Pattern(r"^\+[0-9]{1,15}$")] | UnsetType | None = UNSET
    phone_verified: bool | UnsetType = UNSET
    password: Annotated[str, Length(1, 4096)] | UnsetType | None = UNSET
    blocked: bool | UnsetType = UNSET
    given_name: Name = UNSET
    family_name: Name = UNSET
    name: LongName = UNSET
    nickname: LongName = UNSET
    picture: Annotated[str, Length(1, 2048)] | UnsetType | None = UNSET
    user_metadata: dict[str, Any] | UnsetType = UNSET
    app_metadata: dict[str, Any] | UnsetType = UNSET
    connection: Annotated[str, Length(1, 128)] | UnsetType = UNSET
    client_id: Annotated[str, Length(1, 64)] | UnsetType = UNSET
    verify_email: bool | UnsetType = UNSET
    verify_phone_number: bool | UnsetType = UNSET


class PreparedChange(msgspec.Struct, frozen=True):
    """A change that was looked over before the transaction: the identity it concerns and the hashed password."""

    given: dict[str, Any]
    identity: str = ""
    database: Database | None = None
    password: PreparedPassword | None = None
    password_at_ms: int | None = None
    """When a database of the tenant's own says that it set the password."""

    @property
    def sets_password(self) -> bool:
        """Whether the user has another password afterwards, here or in a database of the tenant's own."""
        return self.given.get("password") is not None


async def prepare_change(services: Any, tenant: TenantScope, user_id: str, patch: UserPatch) -> PreparedChange:
    """Check what can be checked without a transaction, hash a new password, and ask the tenant's own database.

    Raises NotFound, BadRequest for members that exclude each other, PasswordRefused, ScriptFailed.
    """
    store: Store = services.store
    given: dict[str, Any] = msgspec.to_builtins(patch)
    _check_together(given)
    touched = [name for name in (*_IDENTITY_FIELDS, "password") if name in given]
    if not touched:
        return PreparedChange(given)
    record = await documents.read(store, tenant, USERS, user_id)
    if record is None:
        raise documents.missing(USERS)
    identity = _chosen(record.document, given.get("connection"))
    database = await find_database(store, tenant, identity["connection"])
    if database is None:
        raise BadRequest("Connection does not exist.", code="inexistent_connection")
    if database.provider != identity["provider"] or (database.provider != DATABASE and "password" in given):
        raise BadRequest("Connection is not supported for this operation.", code="operation_not_supported")
    if ("password" in given or "email" in given) and not await is_enabled(store, tenant, database):
        raise BadRequest(
            "Cannot change email or password for users in a disabled connection.", code="operation_not_supported"
        )
    prepared = None
    if given.get("password") is not None:
        prepared = await prepare_password(
            store, tenant, services.passwords, database,
            password=given["password"], profile=record.document, identity=identity_id(identity),
        )  # fmt: skip
    before = record.document if identity_id(identity) == user_id else identity.get("profileData") or {}
    at_ms = await change_elsewhere(services, tenant, database, before, given, user_id=user_id)
    return PreparedChange(given, identity_id(identity), database, prepared, at_ms)


async def apply_change(
    tx: Transaction, tenant: TenantScope, user_id: str, change: PreparedChange, *, if_version: int | None = None
) -> Record:
    """Store a prepared change. Raises NotFound, Conflict for an identifier that is taken, InvalidBody.

    With `if_version`, raises PreconditionFailed when the user is at another version.
    """
    if if_version is not None:
        seen = await documents.read(tx, tenant, USERS, user_id)
        if seen is None or seen.version != if_version:
            raise PreconditionFailed("The object was changed since it was read.")
    if change.sets_password:
        await set_password(
            tx, tenant, user_id=user_id, identity=change.identity, password=change.password,
            at_ms=change.password_at_ms,
        )  # fmt: skip
    current = await documents.read(tx, tenant, USERS, user_id)
    if current is None:
        raise documents.missing(USERS)
    after = dict(current.document)
    changed = {name: value for name, value in change.given.items() if name in _IDENTITY_FIELDS}
    if changed and change.database is not None:
        await _change_identity(tx, tenant, current, after, change, changed)
    for name in _NAMES:
        if name in change.given:
            _set(after, name, change.given[name])
    if "blocked" in change.given:
        after["blocked"] = change.given["blocked"]
    for name in METADATA:
        if name in change.given:
            merged = merge_metadata(after.get(name), change.given[name])
            _set(after, name, merged if merged or name in after else None)
    record = await save_user(tx, tenant, current, after)
    await _record_events(tx, tenant, record, change)
    return record


def merge_metadata(before: dict[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata after a change: members replace one level deep, null removes one, an empty object removes all."""
    if not given:
        return {}
    return {key: value for key, value in {**(before or {}), **given}.items() if value is not None}


def _check_together(given: Mapping[str, Any]) -> None:
    for one, other in _APART:
        if one in given and other in given:
            raise BadRequest(f"Cannot update {one} and {other} simultaneously", code="operation_not_supported")


def _chosen(document: Mapping[str, Any], connection: str | None) -> Mapping[str, Any]:
    """The identity that a change concerns: of the connection named, or the first. Raises BadRequest."""
    identities = document["identities"]
    if connection is None:
        first: Mapping[str, Any] = identities[0]
        return first
    found: Mapping[str, Any] | None = next((one for one in identities if one["connection"] == connection), None)
    if found is None:
        raise BadRequest("Connection does not exist.", code="inexistent_connection")
    return found


async def _change_identity(
    tx: Transaction,
    tenant: TenantScope,
    current: Record,
    after: dict[str, Any],
    change: PreparedChange,
    changed: dict[str, Any],
) -> None:
    """Change identifiers or their verification, of the user or of a linked identity."""
    assert change.database is not None
    normalize_identifiers(changed)
    primary = change.identity == current.id
    identities = [dict(identity) for identity in after["identities"]]
    linked_one = None if primary else next((i for i in identities if identity_id(i) == change.identity), None)
    if not primary and linked_one is None:
        raise documents.missing(USERS)
    target = after if linked_one is None else dict(linked_one.get("profileData") or {})
    before = dict(target)
    for identifier, verified in (("email", "email_verified"), ("phone_number", "phone_verified")):
        if identifier in changed and changed[identifier] != before.get(identifier):
            target[verified] = False
    for name, value in changed.items():
        _set(target, name, value)
    for identifier, verified in (("email", "email_verified"), ("phone_number", "phone_verified")):
        if identifier not in target:
            target.pop(verified, None)
    check_identifiers(change.database, target)
    new = {name: target[name] for name in changed if name in target and target[name] != before.get(name)}
    await check_free(tx, tenant, change.database.name, new, besides=current.id)
    if linked_one is None:
        renamed(before, after)
    else:
        linked_one["profileData"] = target
        after["identities"] = identities
        await replace_linked(tx, tenant, current.id, identities)


def _set(values: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        values.pop(name, None)
    else:
        values[name] = value


async def _record_events(tx: Transaction, tenant: TenantScope, record: Record, change: PreparedChange) -> None:
    for name, code in _EVENTS.items():
        if name in change.given:
            await tenant.events.record(
                tx, tenant, code,
                user_id=record.id, user_name=record.document.get("email") or record.document.get("username"),
                connection=change.database.name if change.database else None,
                connection_id=change.database.id if change.database else None,
                description="Changed through the Management API",
            )  # fmt: skip
