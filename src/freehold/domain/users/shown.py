"""A user on the wire: the stored text with its columns put in, without decoding where nothing is to be chosen."""

from typing import Any

import msgspec

from freehold.kernel.declare.documents import Record
from freehold.kernel.declare.fields import Fields
from freehold.kernel.store import Row

COLUMNS = "id, document, last_ip, last_login, logins_count"
"""What `as_text` and `as_object` read of a row."""

_encode = msgspec.json.Encoder().encode


class _Columns(msgspec.Struct, omit_defaults=True, gc=False):
    """What of a user stands in columns; of a user who never signed in, nothing does."""

    last_ip: str | None = None
    last_login: str | None = None
    logins_count: int | None = None


def as_text(row: Row) -> bytes:
    """The user as JSON."""
    _, document, last_ip, last_login, logins_count = row
    text: bytes = document.encode()
    if b'"other_attributes":' in text:
        return _encode(as_object(row))
    columns = _encode(_Columns(last_ip, last_login, logins_count))
    return text if columns == b"{}" else text[:-1] + b"," + columns[1:]


def as_object(row: Row) -> dict[str, Any]:
    """The user as a dictionary."""
    _, document, last_ip, last_login, logins_count = row
    user: dict[str, Any] = msgspec.json.decode(document)
    for name, value in (("last_ip", last_ip), ("last_login", last_login), ("logins_count", logins_count)):
        if value is not None:
            user[name] = value
    return spread(user)


def spread(user: dict[str, Any]) -> dict[str, Any]:
    """A document with its further attributes beside the others; those never hide one of ours."""
    other = user.pop("other_attributes", None)
    return {**other, **user} if other else user


def of_record(record: Record) -> dict[str, Any]:
    """The user of a record that was read or written."""
    return spread(dict(record.document))


def page_of(rows: list[Row], fields: Fields) -> list[Any]:
    """The users of a page, each as `msgspec.Raw` where all members are shown."""
    if not fields.names:
        return [msgspec.Raw(as_text(row)) for row in rows]
    return [fields.apply(as_object(row)) for row in rows]
