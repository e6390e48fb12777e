"""Making, changing and removing users, for the Management API, sign-up and imports alike.

Passwords arrive here hashed: hashing is done before the transaction (`prepare_password`).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from freehold.domain import protection
from freehold.domain.connections.password_policy import password_policy
from freehold.domain.sessions import device_credentials
from freehold.domain.sessions.refresh_tokens import remember_tokens_of, revoke_refresh_tokens_of
from freehold.domain.sessions.sessions import end_sessions_of
from freehold.domain.tickets.tickets import cancel_tickets
from freehold.domain.users import credentials, linked
from freehold.domain.users.databases import Database
from freehold.domain.users.documents import DATABASE, MFA_SECRETS, USERS, User
from freehold.domain.users.identifiers import (
    canonical_email,
    canonical_username,
    is_email,
    is_phone_number,
    stored_email,
    stored_phone_number,
    stored_username,
)
from freehold.domain.users.linked import identity_id
from freehold.domain.users.password_policy import check_password
from freehold.domain.users.profiles import database_identity, default_names, fill_defaults
from freehold.domain.users.provider_tokens import forget_tokens
from freehold.kernel import vault
from freehold.kernel.clock import iso
from freehold.kernel.crypto.ids import new_object_id
from freehold.kernel.crypto.passwords.pool import PasswordPool
from freehold.kernel.declare import SYSTEM, Actor, TenantScope, documents
from freehold.kernel.declare.documents import Record
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import BadRequest, Conflict
from freehold.kernel.store import Reader, Transaction

IDENTIFIERS = ("email", "username", "phone_number")
_OWNER = {
    kind: f"select id from users where tenant_id = :tenant_id and ix_{kind} = :value and ix_realm = :realm"  # noqa: S608 - kinds above
    for kind in IDENTIFIERS
}
_LINKED_OWNER = {
    kind: "select user_id from linked_identities where tenant_id = :tenant_id "  # noqa: S608 - kinds above
    f"and {kind} = :value and realm = :realm"
    for kind in IDENTIFIERS
}


class PreparedPassword(msgspec.Struct, frozen=True):
    """A password that keeps the connection's rules, hashed."""

    stored: str
    history: int = 0


async def prepare_password(
    reader: Reader,
    tenant: TenantScope,
    pool: PasswordPool,
    database: Database,
    *,
    password: str,
    profile: Mapping[str, Any],
    identity: str | None = None,
) -> PreparedPassword | None:
    """Check a new password against the connection's rules and hash it; with `identity`, against its history too.

    None where a database of the tenant's own keeps it. Takes as long as a hash: call it before a transaction.
    Raises PasswordRefused, TooManyRequests.
    """
    policy = password_policy(dict(database.options))
    check_password(password, policy, profile)
    if not database.keeps_passwords:
        return None
    if identity is not None and policy.history_size:
        hashes = await credentials.read_hashes(reader, tenant, identity)
        await credentials.check_history(pool, hashes, password, size=policy.history_size)
    return PreparedPassword(await pool.hash(password), policy.history_size)


async def create_user(
    tx: Transaction,
    tenant: TenantScope,
    database: Database,
    given: Mapping[str, Any],
    *,
    password: PreparedPassword | None = None,
    id_: str | None = None,
) -> Record:
    """Store a new user of a database or passwordless connection; `given` are members of the profile.

    `id_` is the part of the user's id behind the provider. Raises InvalidBody for a malformed identifier, BadRequest
    for one that the connection does not take, Conflict for one that is taken.
    """
    values = {name: value for name, value in given.items() if value is not None}
    normalize_identifiers(values)
    check_identifiers(database, values)
    own_id = id_ or new_object_id(tenant.clock.now())
    user_id = f"{database.provider}|{own_id}"
    identity = database_identity(database.name, own_id, provider=database.provider)
    if values.get("email") is not None:
        values.setdefault("email_verified", False)
    if values.get("phone_number") is not None:
        values.setdefault("phone_verified", False)
    fill_defaults(values)
    for name in ("user_metadata", "app_metadata"):
        if name in values:
            values[name] = {key: value for key, value in values[name].items() if value is not None}
    now = tenant.clock.now_ms()
    values.update(user_id=user_id, identities=[identity], created_at=iso(now), updated_at=iso(now))
    await check_free(tx, tenant, database.name, values)
    if await documents.read(tx, tenant, USERS, user_id) or await linked.owner_of(tx, tenant, user_id):
        raise documents.clash(USERS)
    document = msgspec.convert(values, User)
    record = await documents.insert(tx, tenant, USERS, document, id_=user_id, now=now)
    if password is not None:
        await credentials.store_hash(tx, tenant, user_id, password.stored)
    return record


async def save_user(tx: Transaction, tenant: TenantScope, current: Record, values: Mapping[str, Any]) -> Record:
    """Store the new state of a user that was read in this transaction; `updated_at` is set here."""
    now = tenant.clock.now_ms()
    document = msgspec.convert({**values, "updated_at": iso(now)}, User)
    return await documents.save(tx, tenant, USERS, current, document, now=now)


async def delete_user(tx: Transaction, tenant: TenantScope, user_id: str, *, actor: Actor = SYSTEM) -> bool:
    """Remove a user with passwords, factors, sessions, tokens and links; answers whether there was one."""
    current = await documents.read(tx, tenant, USERS, user_id)
    if current is None:
        return False
    await remember_tokens_of(tx, tenant, user_id)
    await documents.delete(tx, tenant, USERS, user_id, actor=actor)
    for identity in current.document["identities"]:
        await credentials.drop_hashes(tx, tenant, identity_id(identity))
        await forget_tokens(tx, tenant, identity_id(identity))
    await vault.drop(tx, tenant, MFA_SECRETS.name, user_id)
    await linked.replace_linked(tx, tenant, user_id, ())
    await device_credentials.forget_user(tx, tenant, user_id)
    await tenant.events.record(
        tx, tenant, "sdu", user_id=user_id, user_name=current.document.get("email"),
        connection=current.document["identities"][0]["connection"], strategy=DATABASE, strategy_type="database",
    )  # fmt: skip
    return True


async def set_password(
    tx: Transaction,
    tenant: TenantScope,
    *,
    user_id: str,
    identity: str,
    password: PreparedPassword | None,
    keep_session: str = "",
    at_ms: int | None = None,
) -> None:
    """Give an identity a new password, or none here where a database of the tenant's own took it. Raises NotFound.

    Everything that the old one opened is closed: sessions but `keep_session`, all refresh tokens, links that were sent
    out to set a password; and what was guessed at it no longer counts.
    """
    current = await documents.read(tx, tenant, USERS, user_id)
    if current is None:
        raise documents.missing(USERS)
    if password is None:
        await credentials.drop_hashes(tx, tenant, identity)
    else:
        await credentials.store_hash(tx, tenant, identity, password.stored, history=password.history)
    await end_sessions_of(tx, tenant, user_id, but=keep_session)
    await revoke_refresh_tokens_of(tx, tenant, user_id)
    await cancel_tickets(tx, tenant, user_id, "password_change")
    await _unblock(tx, tenant, current.document, identity)
    values = {**current.document, "last_password_reset": iso(at_ms or tenant.clock.now_ms())}
    await save_user(tx, tenant, current, values)


async def _unblock(tx: Transaction, tenant: TenantScope, user: Mapping[str, Any], identity: str) -> None:
    named = next((user[name] for name in IDENTIFIERS if user.get(name)), user["user_id"])
    for one in user["identities"]:
        if identity_id(one) == identity:
            purpose = protection.purpose_of(one["connection"])
            await protection.forget(tx, tenant, purpose, canonical_username(named))


def normalize_identifiers(values: dict[str, Any]) -> None:
    """Put identifiers into the form they are kept in. Raises InvalidBody."""
    if values.get("email") is not None:
        values["email"] = stored_email(values["email"])
    if values.get("username") is not None:
        values["username"] = stored_username(values["username"])
    if values.get("phone_number") is not None:
        values["phone_number"] = stored_phone_number(values["phone_number"])


def check_identifiers(database: Database, values: Mapping[str, Any]) -> None:
    """Refuse identifiers that the connection does not take, or a user without any. Raises BadRequest."""
    username = values.get("username")
    if username is not None and not database.takes_username:
        raise BadRequest("Cannot set username for connection without requires_username.", code="invalid_body")
    if username is not None:
        least, most = database.username_bounds
        if not least <= len(username) <= most:
            word = "short, minimum" if len(username) < least else "long, maximum"
            bound = least if len(username) < least else most
            raise InvalidBody(f"Payload validation error: 'String is too {word} {bound}' on property username.")
    if not any(values.get(name) for name in IDENTIFIERS):
        wanted = "phone_number" if database.strategy == "sms" else "email"
        raise InvalidBody(f"Payload validation error: 'Missing required property: {wanted}'.")


async def check_free(
    tx: Reader, tenant: TenantScope, realm: str, values: Mapping[str, Any], *, besides: str = ""
) -> None:
    """Refuse identifiers that would find another account of the realm, be it by another kind of identifier.

    Otherwise a user name that reads like someone's address could be taken to sign in, or to keep someone out.
    Raises Conflict.
    """
    for kind, value in _collisions(values):
        params = {"tenant_id": tenant.id, "value": value, "realm": realm}
        found = await tx.one(_OWNER[kind], **params) or await tx.one(_LINKED_OWNER[kind], **params)
        if found is not None and found[0] != besides:
            raise Conflict(USERS.conflict.message, code=USERS.conflict.code or "")


def _collisions(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Kinds of identifiers and the canonical values that must not be there yet."""
    email, username, phone = (values.get(name) for name in IDENTIFIERS)
    wanted = []
    if email:
        wanted += [("email", canonical_email(email)), ("username", canonical_username(email))]
    if username:
        wanted.append(("username", canonical_username(username)))
        if is_email(username):
            wanted.append(("email", canonical_email(username)))
        if is_phone_number(username):
            wanted.append(("phone_number", username))
    if phone:
        wanted += [("phone_number", phone), ("username", phone)]
    return wanted


def renamed(before: Mapping[str, Any], after: dict[str, Any]) -> None:
    """Let names and picture that were made up from an identifier follow a change of that identifier."""
    fresh = default_names(after)
    for name, old in default_names(before).items():
        if after.get(name) == old and name in fresh:
            after[name] = fresh[name]
