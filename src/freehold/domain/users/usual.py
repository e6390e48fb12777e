"""Profiles in the form that nearly everybody's has, which become rows with no second look.

An import of a million users can spend some ten microseconds on each, so what is true of nearly all of them is told here
by types and a few comparisons: one identity, a plain e-mail address, no user name, all times in one form. Whoever
deviates in anything takes the long way, which knows every form; both make the same rows.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from freehold.domain.users.documents import LOGIN_PROVIDERS
from freehold.domain.users.identifiers import LONGEST_EMAIL

LONGEST_ID = 255
LONGEST_LOCAL = 64

# What `identifiers.is_email` takes and keeps as it is, of the addresses nearly everybody has.
_IN_ADDRESSES = b"@abcdefghijklmnopqrstuvwxyz0123456789.!#$%&'*+/=?^_`{|}~-"
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_MOMENT = b"0000-00-00T00:00:00.000Z"

# What nearly all metadata is made of. Types end where depth would have to be counted.
_Plain = str | int | float | bool | None
_Inner = _Plain | list[_Plain] | dict[str, _Plain]
Value = _Plain | list[_Inner] | dict[str, _Inner]

UserRow = tuple[
    str, int, int, str, str | None, str | None, int | None, str | None, str | None, str | None, str, str,
]  # fmt: skip
"""A user's row without the tenant and the version, in the order of `UserRows`."""


class UserRows(msgspec.Struct, array_like=True, gc=False):
    """Rows of the users table without the tenant and the version, a column at a time: Python's cheaper way round."""

    id: list[str] = []
    created_at: list[int] = []
    updated_at: list[int] = []
    document: list[bytes] = []
    """Some lines each: documents are taken apart only where each is needed by itself."""
    last_login: list[str | None] = []
    last_ip: list[str | None] = []
    logins_count: list[int | None] = []
    ix_email: list[str | None] = []
    ix_username: list[str | None] = []
    ix_phone_number: list[str | None] = []
    ix_connection: list[str] = []
    ix_realm: list[str] = []

    def __len__(self) -> int:
        return len(self.id)

    def columns(self) -> dict[str, list[Any]]:
        """The value of every row by the column's name."""
        return self._lists() | {"document": b"".join(self.document).decode().split("\n")[:-1]}

    def append(self, row: UserRow) -> None:
        """One more row."""
        for (name, column), value in zip(self._lists().items(), row, strict=True):
            column.append(f"{value}\n".encode() if name == "document" else value)

    def extend(self, others: "UserRows") -> None:
        """More rows."""
        for column, values in zip(self._lists().values(), others._lists().values(), strict=True):
            column.extend(values)

    def only(self, chosen: Sequence[int]) -> "UserRows":
        """The rows with these numbers, in this order."""
        found = {name: [column[number] for number in chosen] for name, column in self.columns().items()}
        return UserRows(**found | {"document": [f"{document}\n".encode() for document in found["document"]]})

    def _lists(self) -> dict[str, list[Any]]:
        return msgspec.structs.asdict(self)


class UsualIdentity(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An identity without anything of its own beside the profile."""

    connection: str
    user_id: str
    provider: str
    isSocial: bool  # noqa: N815 - the name in the profile


class UsualUser(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A profile as `documents.User` has it, and its members in the same order."""

    user_id: str
    email: str
    email_verified: bool
    name: str
    nickname: str
    given_name: str | UnsetType = UNSET
    family_name: str | UnsetType = UNSET
    picture: str
    user_metadata: dict[str, Value] | UnsetType = UNSET
    app_metadata: dict[str, Value] | UnsetType = UNSET
    blocked: bool | UnsetType = UNSET
    identities: list[UsualIdentity]
    created_at: str
    updated_at: str
    last_login: str | UnsetType = UNSET
    last_ip: str | UnsetType = UNSET
    logins_count: int | UnsetType = UNSET
    password_hash: str | UnsetType = UNSET
    """Not a member of the profile: taken out before the row is made."""


_encode_lines = msgspec.json.Encoder().encode_lines


def usual_rows(users: Sequence[UsualUser]) -> UserRows | None:
    """The rows of users, who are of no use afterwards; None if one of them is not in the usual form.

    It goes through all users once for each member, which is the cheaper way round in Python.
    """
    if any(len(user.identities) != 1 for user in users):
        return None
    firsts = [user.identities[0] for user in users]
    ids = [user.user_id for user in users]
    emails = [user.email for user in users]
    if "\0" in "".join(ids):
        return None
    if [f"{first.provider}|{first.user_id}" for first in firsts] != ids or max(map(len, ids)) > LONGEST_ID:
        return None
    if not _are_plain(emails):
        return None
    last_logins = [None if user.last_login is UNSET else user.last_login for user in users]
    try:
        created = _milliseconds([user.created_at for user in users])
        updated = _milliseconds([user.updated_at for user in users])
        _moments([text for text in last_logins if text is not None])
    except (ValueError, msgspec.ValidationError):
        return None
    last_ips = [None if user.last_ip is UNSET else user.last_ip for user in users]
    counts = [None if user.logins_count is UNSET else user.logins_count for user in users]
    if "\0" in "".join(filter(None, last_ips)):
        return None
    for user in users:
        # These stand in columns, or in the vault.
        user.last_login = user.last_ip = user.logins_count = user.password_hash = UNSET
    documents = [_encode_lines(users)]
    connections = [first.connection for first in firsts]
    realms = [
        connection if first.provider in LOGIN_PROVIDERS else user_id
        for user_id, connection, first in zip(ids, connections, firsts, strict=True)
    ]
    nothing: list[str | None] = [None] * len(users)
    return UserRows(
        ids, created, updated, documents, last_logins, last_ips, counts, [*emails], nothing, [*nothing], connections,
        realms,
    )  # fmt: skip


def _are_plain(emails: Sequence[str]) -> bool:
    """Whether `identifiers.is_email` takes all of these addresses and keeps them as they are."""
    ats = [email.find("@") for email in emails]
    if min(ats) < 1 or max(ats) > LONGEST_LOCAL or max(map(len, emails)) > LONGEST_EMAIL:
        return False
    if not (joined := "".join(emails)).isascii() or joined.encode().translate(None, _IN_ADDRESSES):
        return False
    # Many addresses share a domain, which is where the form is.
    domains = {email[at + 1 :] for email, at in zip(emails, ats, strict=True)}
    return all(map(_DOMAIN.fullmatch, domains))


def _milliseconds(times: list[str]) -> list[int]:
    """Since the epoch, of times as `_moments` takes them."""
    return [round(moment.timestamp() * 1000) for moment in _moments(times)]


def _moments(times: list[str]) -> list[datetime]:
    """Times as Auth0 writes them. Raises ValueError or ValidationError for every other form."""
    if "".join(times).encode().translate(_DIGITS) != _MOMENT * len(times):
        raise ValueError("not all times have the usual form")
    return msgspec.convert(times, list[datetime])
