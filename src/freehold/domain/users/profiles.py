"""What a user is shown as: default names and picture, the claims of a token, the profile as protocols read it."""

from collections.abc import Collection, Mapping
from hashlib import md5
from typing import Any

import msgspec
from msgspec import UNSET

from freehold.domain.users.documents import DATABASE, User
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader

_PROFILE_CLAIMS = (
    "name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture",
    "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
)  # fmt: skip
_SELECT = "select document from users where tenant_id = :tenant_id and id = :id"


class SignInIdentity(msgspec.Struct, gc=False):
    """One way in, as protocols need it."""

    connection: str
    provider: str
    user_id: str

    @property
    def id(self) -> str:
        """The identity's full id; the owner of its password hashes."""
        return f"{self.provider}|{self.user_id}"


class Profile(msgspec.Struct, kw_only=True):
    """A user as protocols see them; unset members are None."""

    user_id: str
    identities: list[SignInIdentity]
    updated_at: str
    created_at: str
    email: str | None = None
    email_verified: bool = False
    username: str | None = None
    phone_number: str | None = None
    phone_verified: bool = False
    name: str | None = None
    nickname: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    picture: str | None = None
    blocked: bool = False
    user_metadata: dict[str, Any] = {}
    app_metadata: dict[str, Any] = {}
    last_password_reset: str | None = None
    multifactor: list[str] = []
    other_attributes: dict[str, Any] = {}

    @property
    def connection(self) -> str:
        """The connection of the first identity."""
        return self.identities[0].connection


_decode = msgspec.json.Decoder(Profile).decode


def read_profile(document: str) -> Profile:
    """The profile of a stored document."""
    return _decode(document)


async def find_profile(reader: Reader, tenant: TenantScope, user_id: str) -> Profile | None:
    """A user by id, or None."""
    row = await reader.one(_SELECT, tenant_id=tenant.id, id=user_id)
    return None if row is None else _decode(row[0])


def claims_for(user: Profile, scopes: Collection[str]) -> dict[str, Any]:
    """The standard claims that the scopes give (OpenID Connect Core section 5.4), in Auth0's forms.

    `updated_at` is an ISO 8601 string, as Auth0 has it.
    """
    claims: dict[str, Any] = {}
    if "profile" in scopes:
        known = msgspec.structs.asdict(user)
        for name in _PROFILE_CLAIMS:
            value = known[name] if name in known else user.other_attributes.get(name)
            if value is not None:
                claims[name] = value
    if "email" in scopes and user.email is not None:
        claims["email"] = user.email
        claims["email_verified"] = user.email_verified
    if "phone" in scopes and user.phone_number is not None:
        claims["phone_number"] = user.phone_number
        claims["phone_number_verified"] = user.phone_verified
    if "address" in scopes and "address" in user.other_attributes:
        claims["address"] = user.other_attributes["address"]
    return claims


def fill_defaults(values: dict[str, Any]) -> None:
    """Give a profile the name, nickname and picture that Auth0 makes up when none are given."""
    if "name" in values and "nickname" in values and "picture" in values:
        return
    for name, value in default_names(values).items():
        values.setdefault(name, value)


def fill_user(user: User) -> None:
    """The same for a document, for imports that count microseconds."""
    if user.name is not UNSET and user.nickname is not UNSET and user.picture is not UNSET:
        return
    handle = user.email or user.username or user.phone_number
    if not isinstance(handle, str):
        return
    if user.name is UNSET:
        user.name = handle
    if user.nickname is UNSET:
        user.nickname = _local_part(handle) if user.email is not UNSET else handle
    if user.picture is UNSET:
        user.picture = _picture(handle)


def default_names(values: Mapping[str, Any]) -> dict[str, str]:
    """The name, nickname and picture that follow from the user's identifiers."""
    handle = values.get("email") or values.get("username") or values.get("phone_number")
    if not handle:
        return {}
    nickname = _local_part(handle) if values.get("email") else handle
    return {"name": handle, "nickname": nickname, "picture": _picture(handle)}


def _local_part(address: str) -> str:
    return address.partition("@")[0]


def _picture(handle: str) -> str:
    """Gravatar's address of a picture, by the digest that its protocol uses, with initials where there is none."""
    lowered = handle.lower()
    digest = md5(lowered.encode(), usedforsecurity=False).hexdigest()
    initials = lowered[:2]
    if not (initials.isascii() and initials.isalnum()):
        initials = "".join(c for c in initials if c.isascii() and c.isalnum()) or "un"
    return f"https://s.gravatar.com/avatar/{digest}?s=480&r=pg&d=https%3A%2F%2Fcdn.auth0.com%2Favatars%2F{initials}.png"


def database_identity(connection: str, id_: str, *, provider: str = DATABASE) -> dict[str, Any]:
    """An identity of a database or passwordless connection, as it stands in the document."""
    return {"connection": connection, "user_id": id_, "provider": provider, "isSocial": False}
