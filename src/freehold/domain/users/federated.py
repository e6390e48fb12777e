"""Users who sign in somewhere else: a profile is kept here, made at the first sign-in and refreshed at later ones."""

import msgspec
from msgspec.structs import replace

from freehold.domain.extensions.databases import ExternalUser
from freehold.domain.users.accounts import normalize_identifiers, save_user
from freehold.domain.users.databases import Database
from freehold.domain.users.documents import USERS, User
from freehold.domain.users.linked import owner_of
from freehold.domain.users.profiles import fill_defaults, read_profile
from freehold.domain.users.provider_tokens import keep_tokens
from freehold.domain.users.sign_in import SignIn
from freehold.kernel.clock import iso
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.store import Transaction

_OURS = frozenset(User.__struct_encode_fields__)
_REFRESHED = ("name", "nickname", "given_name", "family_name", "picture", "email", "email_verified")


async def arrive(tx: Transaction, tenant: TenantScope, connection: Database, user: ExternalUser) -> SignIn:
    """The account of somebody whom a provider knows, made or refreshed. Raises InvalidBody for a malformed address."""
    user = _persistent(connection, user)
    own_id = f"{connection.name}|{user.id}"
    user_id = f"{connection.provider}|{own_id}"
    linked_to = await owner_of(tx, tenant, user_id)
    current = await documents.read(tx, tenant, USERS, linked_to or user_id)
    if current is None:
        current = await _make(tx, tenant, connection, user, own_id=own_id, user_id=user_id)
    elif not linked_to and connection.options.get("set_user_root_attributes") in {None, "on_each_login"}:
        changes = {name: user.profile[name] for name in _REFRESHED if name in user.profile}
        normalize_identifiers(changes)
        if user.others:
            changes["other_attributes"] = {**(current.document.get("other_attributes") or {}), **user.others}
        if any(current.document.get(name) != value for name, value in changes.items()):
            current = await save_user(tx, tenant, current, {**current.document, **changes})
    await keep_tokens(tx, tenant, user_id, user.tokens)
    return SignIn(read_profile(msgspec.json.encode(current.document).decode()), user_id)


def _persistent(connection: Database, user: ExternalUser) -> ExternalUser:
    """The user without what the connection's `non_persistent_attrs` name, or what only we say of a user."""
    left_out = set(connection.options.get("non_persistent_attrs") or ())
    profile = {name: value for name, value in user.profile.items() if name not in left_out}
    others = {name: value for name, value in user.others.items() if name not in left_out | _OURS}
    return replace(user, profile=profile, others=others)


async def _make(
    tx: Transaction, tenant: TenantScope, connection: Database, user: ExternalUser, *, own_id: str, user_id: str
) -> documents.Record:
    values = dict(user.profile)
    if user.others:
        values["other_attributes"] = dict(user.others)
    if connection.options.get("set_user_root_attributes") == "never_on_login":
        values = {name: value for name, value in values.items() if name not in _REFRESHED or "email" in name}
    normalize_identifiers(values)
    if "email" in values:
        values.setdefault("email_verified", False)
    fill_defaults(values)
    identity = {"connection": connection.name, "user_id": own_id, "provider": connection.provider, "isSocial": True}
    now = tenant.clock.now_ms()
    values.update(user_id=user_id, identities=[identity], created_at=iso(now), updated_at=iso(now))
    return await documents.insert(tx, tenant, USERS, msgspec.convert(values, User), id_=user_id, now=now)
