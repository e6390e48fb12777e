"""Profiles in the form that nearly everybody's has, which become rows with no second look.

An import of a million users can spend some ten microseconds on each, so what is true of nearly all of them is told here
by types and a few comparisons: one identity, a plain e-mail address, no user name, all times in one form. Whoever
deviates in anything takes the long way, which knows every form; both make the same rows.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import UNSET, UnsetType

from freehold.domain.users.documents import LOGIN_PROVIDERS
from freehold.domain.users.identifiers import LONGEST_EMAIL

LONGEST_ID = 255
MOST_HOURS = 100_000

# What `identifiers.is_email` takes and keeps as it is, of the addresses nearly everybody has.
_PLAIN_EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_HOUR = re.compile(r"[12]\d{3}-\d\d-\d\dT\d\d", re.ASCII)
_MINUTES = {
    f":{minute:02}:{second:02}": (minute * 60 + second) * 1000 for minute in range(60) for second in range(60)
}  # fmt: skip
_MILLISECONDS = {f".{number:03}Z": number for number in range(1000)}

# What nearly all metadata is made of. Types end where depth would have to be counted.
_Plain = str | int | float | bool | None
_Inner = _Plain | list[_Plain] | dict[str, _Plain]
Value = _Plain | list[_Inner] | dict[str, _Inner]

UserRow = tuple[
    str, int, int, str, str | None, str | None, int | None, str | None, str | None, str | None, str, str,
]  # fmt: skip
"""A user's row without the tenant and the version, in the order of `arrivals.USER_COLUMNS`."""


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


class _Hours(dict[str, int]):
    """Milliseconds at the beginning of each hour that occurs. Raises KeyError for what is no hour."""

    def __missing__(self, text: str) -> int:
        if _HOUR.fullmatch(text) is None:
            raise KeyError(text)
        try:
            moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
        except ValueError:
            raise KeyError(text) from None
        if len(self) >= MOST_HOURS:
            self.clear()
        found = self[text] = int(moment.timestamp()) * 1000
        return found


_hours = _Hours()
_encode_lines = msgspec.json.Encoder().encode_lines


def usual_rows(users: Sequence[UsualUser]) -> list[UserRow] | None:
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
    if not all(map(_PLAIN_EMAIL.fullmatch, emails)) or max(map(len, emails)) > LONGEST_EMAIL:
        return None
    last_logins = [None if user.last_login is UNSET else user.last_login for user in users]
    try:
        created = _milliseconds([user.created_at for user in users])
        updated = _milliseconds([user.updated_at for user in users])
        _milliseconds([text for text in last_logins if text is not None])
    except KeyError:
        return None
    last_ips = [None if user.last_ip is UNSET else user.last_ip for user in users]
    counts = [None if user.logins_count is UNSET else user.logins_count for user in users]
    if "\0" in "".join(filter(None, last_ips)):
        return None
    for user in users:
        # These stand in columns, or in the vault.
        user.last_login = user.last_ip = user.logins_count = user.password_hash = UNSET
    documents = _encode_lines(users).decode().split("\n")
    documents.pop()
    connections = [first.connection for first in firsts]
    realms = [
        connection if first.provider in LOGIN_PROVIDERS else user_id
        for user_id, connection, first in zip(ids, connections, firsts, strict=True)
    ]
    nothing = [None] * len(users)
    return list(
        zip(
            ids, created, updated, documents, last_logins, last_ips, counts, emails, nothing, nothing, connections,
            realms, strict=True,
        )
    )  # fmt: skip


def _milliseconds(times: list[str]) -> list[int]:
    """Since the epoch, of times as Auth0 writes them. Raises KeyError for every other form."""
    return [_hours[text[:13]] + _MINUTES[text[13:19]] + _MILLISECONDS[text[19:]] for text in times]
