"""How an exported user is written: chosen members as a line of JSON, or as a line of CSV that no spreadsheet runs."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from freehold.domain.users import shown
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.store import Row

CSV_MOST_FIELDS = 30
DEFAULT_FIELDS = (
    "user_id", "given_name", "family_name", "nickname", "name", "email", "email_verified", "created_at", "updated_at",
)  # fmt: skip
WHOLE_METADATA = frozenset({"user_metadata", "app_metadata"})
# Times that this server wrote itself: nothing that a spreadsheet could run.
GENERATED = frozenset({"created_at", "updated_at", "last_login", "last_password_reset", "multifactor_last_modified"})
_STEP = re.compile(r"(?P<name>[^.\[\]]+)|\[(?P<index>\d{1,6})\]")

_encode = msgspec.json.Encoder().encode


class ExportField(msgspec.Struct, frozen=True):
    """One column: where it comes from and what it is called."""

    name: str
    title: str
    path: tuple[str | int, ...]

    @classmethod
    def of(cls, name: str, export_as: str | None = None) -> "ExportField":
        """The field of a path expression such as `identities[0].connection`. Raises InvalidBody."""
        path: list[str | int] = []
        position = 0
        while position < len(name):
            if name[position] == "." and path and position + 1 < len(name):
                position += 1
            match = _STEP.match(name, position)
            if match is None or (match["index"] is not None and not path):
                raise InvalidBody(f"Payload validation error: 'Invalid path: {name[:100]}' on property fields.name.")
            path.append(match["name"] if match["name"] is not None else int(match["index"]))
            position = match.end()
        if not path:
            raise InvalidBody("Payload validation error: 'String is too short, minimum 1' on property fields.name.")
        return cls(name, export_as or name, tuple(path))


def check_csv(fields: Sequence[ExportField]) -> None:
    """Refuse what a table cannot hold. Raises InvalidBody."""
    if len(fields) > CSV_MOST_FIELDS:
        raise InvalidBody(
            f"Payload validation error: 'Array is too long ({len(fields)}), maximum {CSV_MOST_FIELDS}' "
            "on property fields."
        )
    for field in fields:
        if field.name in WHOLE_METADATA:
            raise InvalidBody(f"{field.name} cannot be exported to CSV as a whole; name its members.")


def json_line(fields: Sequence[ExportField]) -> Callable[[Row], bytes]:
    """Writes a user as one line of JSON; members that a user does not have are left out."""

    def write(row: Row) -> bytes:
        user = shown.as_object(row)
        line = {}
        for field in fields:
            value = _find(user, field.path)
            if value is not None:
                line[field.title] = value
        return _encode(line) + b"\n"

    return write


def csv_header(fields: Sequence[ExportField]) -> bytes:
    """The first line of a table. A title is the administrator's own, and still cannot be a formula."""
    return ",".join(_quoted(_harmless(field.title)) for field in fields).encode() + b"\r\n"


def csv_line(fields: Sequence[ExportField]) -> Callable[[Row], bytes]:
    """Writes a user as a line of CSV (RFC 4180): text in quotes behind an apostrophe, as Auth0 writes it."""

    def write(row: Row) -> bytes:
        user = shown.as_object(row)
        return ",".join(_cell(field, _find(user, field.path)) for field in fields).encode() + b"\r\n"

    return write


def _cell(field: ExportField, value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            return _quoted(value if field.name in GENERATED else "'" + value)
    return _quoted("'" + _encode(value).decode())


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _harmless(title: str) -> str:
    return "'" + title if title[:1] in {"=", "+", "-", "@", "\t", "\r"} else title


def _find(user: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        if isinstance(step, int):
            if not isinstance(user, list) or step >= len(user):
                return None
            user = user[step]
        elif isinstance(user, dict):
            user = user.get(step)
        else:
            return None
    return user
