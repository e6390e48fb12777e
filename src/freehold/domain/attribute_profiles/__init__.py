"""User attribute profiles: which claim of an enterprise provider becomes which attribute of a user.

They are kept and given back; connections do not read them yet.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, UnsetType

from freehold.kernel.crypto.ids import new_id
from freehold.kernel.declare import (
    Change,
    Collection,
    Document,
    Length,
    Package,
    Part,
    Scopes,
    ServerSet,
    Text,
)
from freehold.kernel.declare.validation import InvalidBody

MOST_ATTRIBUTES = 64
Mapping = Annotated[str, Length(1, 128)]
Short = Annotated[str, Length(1, 50)]
Claims = Annotated[list[Mapping], Length(1, 50)]
Strategy = Literal["pingfederate", "ad", "adfs", "waad", "google-apps", "okta", "oidc", "samlp"]


class UserIdOverride(Part):
    """What is the user's id with one strategy."""

    oidc_mapping: Literal["sub", "oid", "email"] | UnsetType = UNSET
    saml_mapping: Claims | UnsetType = UNSET
    scim_mapping: Mapping | UnsetType = UNSET


class UserId(Part):
    """What is the user's id."""

    oidc_mapping: Literal["sub"] | UnsetType = UNSET
    saml_mapping: Claims | UnsetType = UNSET
    scim_mapping: Mapping | UnsetType = UNSET
    strategy_overrides: dict[Strategy, UserIdOverride] | UnsetType = UNSET


class OidcMapping(Part):
    """A claim of an ID token, or an expression over it."""

    mapping: Short
    display_name: Short | UnsetType = UNSET


class AttributeOverride(Part):
    """Where an attribute comes from with one strategy."""

    oidc_mapping: OidcMapping | UnsetType = UNSET
    saml_mapping: Claims | UnsetType = UNSET
    scim_mapping: Mapping | UnsetType = UNSET


class Attribute(Part):
    """One attribute and where it comes from."""

    label: Mapping
    description: Mapping
    auth0_mapping: Short
    profile_required: bool
    oidc_mapping: OidcMapping | UnsetType = UNSET
    saml_mapping: Claims | UnsetType = UNSET
    scim_mapping: Mapping | UnsetType = UNSET
    strategy_overrides: dict[Strategy, AttributeOverride] | UnsetType = UNSET


class UserAttributeProfile(Document, kw_only=True):
    """A named set of attributes."""

    id: Annotated[str, ServerSet()]
    name: Annotated[str, Length(1, 128)]
    user_id: UserId | UnsetType | None = UNSET
    user_attributes: dict[str, Attribute]


_CLAIMS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"


def _default_user_id() -> UserId:
    """What a profile without `user_id` gets (recorded)."""
    return UserId(
        oidc_mapping="sub",
        saml_mapping=[f"{_CLAIMS}/{name}" for name in ("nameidentifier", "upn", "name")],
        scim_mapping="externalId",
    )


async def prepare(change: Change) -> None:
    """Fill in what identifies a user, and bound the attributes. Raises InvalidBody."""
    profile: Any = change.document
    if change.previous is None and profile.user_id is UNSET:
        profile.user_id = _default_user_id()
    if not 1 <= len(profile.user_attributes) <= MOST_ATTRIBUTES:
        raise InvalidBody("Payload validation error: 'Too few or too many properties' on property user_attributes.")


PROFILES: Collection[UserAttributeProfile] = Collection(
    document=UserAttributeProfile,
    path="user-attribute-profiles",
    scopes=Scopes.of("user_attribute_profiles"),
    new_id=lambda: new_id("uap_", 22),
    paging=frozenset({"checkpoint"}),
    prepare=prepare,
    not_found=Text("User attribute profile not found."),
    conflict=Text("User attribute profile conflict."),
    audit="user attribute profile",
)

PACKAGE = Package(name="attribute_profiles", declarations=(PROFILES,))

__all__ = ["PACKAGE", "PROFILES", "UserAttributeProfile"]
