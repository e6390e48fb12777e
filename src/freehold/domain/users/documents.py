"""The user: one person's profile, with the identities they sign in with.

What changes at each sign-in stands in columns. Password hashes are in the vault, owned by the identity's id.
"""

from typing import Annotated, Any

from msgspec import UNSET, UnsetType

from freehold.domain.users.identifiers import canonical_email, canonical_username
from freehold.kernel.crypto.ids import new_object_id
from freehold.kernel.declare import (
    Collection,
    Document,
    InColumn,
    IndexedPart,
    Merge,
    Scopes,
    ServerSet,
    Text,
    Unique,
    VaultKind,
)

DATABASE = "auth0"
"""The provider of database identities, as Auth0 calls it: it is part of every user id, so it stays."""
LOGIN_PROVIDERS = frozenset({DATABASE, "email", "sms"})
"""Providers whose identities are found by what is typed; all others by the subject that their issuer gave."""


def main_connection(identities: Any) -> str | None:
    """The connection a user belongs to: that of the first identity."""
    return identities[0]["connection"] if identities else None


def main_realm(identities: Any) -> str | None:
    """Within what the user's identifiers must be unique; see `realm`."""
    return realm(identities[0]) if identities else None


def realm(identity: Any) -> str:
    """Within what identifiers must be unique: the connection, or the identity itself where nobody signs in by them."""
    connection: str = identity["connection"]
    return connection if identity["provider"] in LOGIN_PROVIDERS else f"{identity['provider']}|{identity['user_id']}"


class User(Document, kw_only=True):
    """One person."""

    user_id: Annotated[str, ServerSet()]
    email: Annotated[str | UnsetType, Unique(within=("realm",), canonical=canonical_email)] = UNSET
    email_verified: bool | UnsetType = UNSET
    username: Annotated[str | UnsetType, Unique(within=("realm",), canonical=canonical_username)] = UNSET
    phone_number: Annotated[str | UnsetType, Unique(within=("realm",))] = UNSET
    phone_verified: bool | UnsetType = UNSET
    name: str | UnsetType = UNSET
    nickname: str | UnsetType = UNSET
    given_name: str | UnsetType = UNSET
    family_name: str | UnsetType = UNSET
    picture: str | UnsetType = UNSET
    user_metadata: Annotated[dict[str, Any] | UnsetType, Merge()] = UNSET
    app_metadata: Annotated[dict[str, Any] | UnsetType, Merge()] = UNSET
    blocked: bool | UnsetType = UNSET
    identities: Annotated[
        list[dict[str, Any]],
        ServerSet(),
        IndexedPart("connection", main_connection, index=False),
        IndexedPart("realm", main_realm, index=False),
    ]
    created_at: Annotated[str, ServerSet()]
    updated_at: Annotated[str, ServerSet()]
    last_password_reset: Annotated[str | UnsetType, ServerSet()] = UNSET
    multifactor: Annotated[list[str] | UnsetType, ServerSet()] = UNSET
    multifactor_last_modified: Annotated[str | UnsetType, ServerSet()] = UNSET
    other_attributes: Annotated[dict[str, Any] | UnsetType, ServerSet()] = UNSET
    """Further root attributes that an identity provider or an import gave; served beside the others."""
    last_login: Annotated[str | UnsetType, ServerSet(), InColumn("text")] = UNSET
    last_ip: Annotated[str | UnsetType, ServerSet(), InColumn("text")] = UNSET
    logins_count: Annotated[int | UnsetType, ServerSet(), InColumn("bigint")] = UNSET


USERS = Collection(
    document=User,
    path="users",
    key="user_id",
    new_id=lambda: f"{DATABASE}|{new_object_id()}",
    scopes=Scopes.of("users"),
    operations=frozenset(),
    not_found=Text("The user does not exist.", "inexistent_user"),
    conflict=Text("The user already exists.", "auth0_idp_error"),
    cached=False,
)

PASSWORD_HASHES = VaultKind(
    name="password_hashes",
    description="Hashes of passwords, owned by an identity: the current one, one that was imported and not used yet, "
    "and earlier ones where the connection keeps a history.",
)
MFA_SECRETS = VaultKind(
    name="mfa_secrets",
    description="Factors of a second step, owned by a user: TOTP secrets, phone numbers and addresses for codes.",
)
