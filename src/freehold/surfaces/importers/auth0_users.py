"""Auth0's user export: lines, an array or CSV of profiles, as users of a tenant here.

The usual line is decoded straight into a user. What deviates goes the slow way, which says what is odd about it: every
field ends up in the profile, beside it (`other_attributes`), or in the report.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from freehold.domain.users import User
from freehold.domain.users.documents import DATABASE
from freehold.domain.users.identifiers import stored_email
from freehold.domain.users.profiles import fill_defaults
from freehold.domain.users.usual import UserRows, UsualUser, usual_rows
from freehold.kernel.crypto.passwords import BadHash, are_bcrypt, parse_bcrypt, parse_custom_hash
from freehold.kernel.declare.validation import InvalidBody
from freehold.surfaces.importers.lines import BadFile, bad_line, first_byte, read_blocks, read_lines
from freehold.surfaces.importers.report import Report

LONGEST_ARRAY = 64 * 1024 * 1024
MOST_DEPTH = 100
OWN = f"{DATABASE}|"

_FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(User)) - {"other_attributes"}
_TIMES = ("created_at", "updated_at", "last_login", "last_password_reset", "multifactor_last_modified")
# Tokens of an identity provider, which belong to it and are not carried over.
_PROVIDER_TOKENS = ("access_token", "access_token_secret", "refresh_token", "expires_in")
_BOOLEANS = frozenset({"email_verified", "phone_verified", "blocked"})
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")


class Refused(Exception):
    """A user that cannot be taken in, and why."""


_FILE = 1 << 40


class Row(msgspec.Struct, gc=False):
    """One user of the export with what the file itself says of their credentials."""

    where: int
    user: User | None
    """None: refused, and in the report."""
    stored: str | None = None
    """A hash that came with the profile (bulk import format)."""
    factors: tuple[tuple[str, bytes], ...] = ()

    def __len__(self) -> int:
        return 1


class Run(msgspec.Struct, gc=False):
    """Users in the usual form from consecutive lines, as rows."""

    where: int
    """The place of the first."""
    rows: UserRows
    hashes: list[str | None]
    """What came with each profile."""

    def __len__(self) -> int:
        return len(self.rows)

    def cut(self, number: int) -> "Run":
        """Take so many from the front."""
        places = range(len(self))
        front = Run(self.where, self.rows.only(places[:number]), self.hashes[:number])
        self.where += number
        self.rows, self.hashes = self.rows.only(places[number:]), self.hashes[number:]
        return front


_usual = msgspec.json.Decoder(UsualUser)
_any = msgspec.json.Decoder(dict[str, Any])


class UserReader:
    """Reads user files of one export; `connections` renames connections, `default` is for rows that name none."""

    def __init__(self, report: Report, *, now: str, connections: Mapping[str, str], default: str) -> None:
        self.report = report
        self.now = now
        self.connections = connections
        self.default = default
        self.files: list[str] = []

    def read(self, path: Path) -> Iterator[Row | Run]:
        """Every user of a file, in order. Raises BadFile."""
        start = first_byte(path)
        self.files.append(f"{path.name} {'item' if start == b'[' else 'line'}")
        if start in {b"{", b""}:
            yield from self._lines(path)
        else:
            for number, value in self._array(path) if start == b"[" else self._csv(path):
                yield self._row(number, value)

    def place(self, where: int) -> str:
        """A place for people."""
        return f"{self.files[where // _FILE]} {where % _FILE}"

    def _where(self, number: int) -> int:
        """The line of the file being read, or the item of an array, as a number that is its own in all files."""
        return (len(self.files) - 1) * _FILE + number

    def _lines(self, path: Path) -> Iterator[Row | Run]:
        for block in read_blocks(path):
            # A connection with another name is none of the usual things.
            run = None if self.connections else _run(self._where(block.number), block.length, block.content)
            if run is not None:
                yield run
                continue
            for number, text in block.lines():
                run = None if self.connections else _run(self._where(number), 1, text)
                yield run or self._row(number, _values(text, path, number))

    def _array(self, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        parts, length = [], 0
        for _, text in read_lines(path):
            parts.append(text)
            length += len(text)
            if length > LONGEST_ARRAY:
                raise BadFile(f"{path.name}: a JSON array of more than {LONGEST_ARRAY:,} bytes; give NDJSON instead")
        try:
            items = msgspec.json.decode(b"\n".join(parts), type=list[dict[str, Any]])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadFile(f"{path.name}: {error}") from None
        yield from enumerate(items, start=1)

    def _csv(self, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        texts = (line for _, line in read_lines(path))
        reader = csv.reader(_decoded(texts, path), strict=True)
        try:
            header = [_plain(cell) for cell in next(reader)]
            for number, cells in enumerate(reader, start=2):
                if len(cells) != len(header):
                    raise BadFile(f"{path.name} line {number}: {len(cells)} cells under {len(header)} titles")
                yield number, _nested(header, cells)
        except csv.Error as error:
            raise BadFile(f"{path.name}: {error}") from None

    def _row(self, number: int, values: dict[str, Any]) -> Row:
        row = Row(self._where(number), None)
        who = str(values.get("user_id") or values.get("email") or "")
        place = self.place(row.where)
        try:
            row.stored = self._own_hash(values)
            row.factors = self._own_factors(values)
            row.user = self._user(place, who, values)
        except Refused as refusal:
            self.report.find("user_refused", place, who, str(refusal))
        return row

    def _user(self, place: str, who: str, values: dict[str, Any]) -> User:
        values = {name: value for name, value in values.items() if value is not None}
        self._identify(place, who, values)
        for name in _TIMES:
            if name in values and not (isinstance(values[name], str) and _ISO_TIME.fullmatch(values[name])):
                raise Refused(f"{name} is not an ISO 8601 time")
        values.setdefault("created_at", self.now)
        values.setdefault("updated_at", values["created_at"])
        if "email" in values:
            values.setdefault("email_verified", False)
            try:
                values["email"] = stored_email(values["email"])
            except (InvalidBody, TypeError, AttributeError):
                if not isinstance(values["email"], str):
                    raise Refused("email is not text") from None
                self.report.find("note", place, who, "the address is not one that mail can be sent to; kept as it is")
        fill_defaults(values)
        others = {name: value for name, value in values.items() if name not in _FIELDS}
        for name in others:
            del values[name]
            self.report.count("fields beside the profile", name)
        if others:
            values["other_attributes"] = others
        for name in ("user_id", "email", "username", "phone_number", "last_ip"):
            if "\0" in str(values.get(name, "")):
                raise Refused(f"{name} holds a NUL character")
        try:
            return msgspec.convert(values, User)
        except msgspec.ValidationError as error:
            raise Refused(str(error)) from None

    def _identify(self, place: str, who: str, values: dict[str, Any]) -> None:
        """Give the profile its id and identities, the one that the id names first."""
        identities = values.get("identities")
        user_id = values.get("user_id")
        if not identities:
            connection = self.connections.get(values.get("connection", ""), values.pop("connection", self.default))
            if not user_id or not isinstance(user_id, str):
                raise Refused("there is no user_id")
            provider, _, own = user_id.rpartition("|") if "|" in user_id else ("auth0", "", user_id)
            provider, own = (user_id.split("|", 1)) if "|" in user_id else (provider, own)
            values["user_id"] = f"{provider}|{own}"
            values["identities"] = [
                {"connection": connection, "user_id": own, "provider": provider, "isSocial": provider != "auth0"}
            ]
            return
        if not isinstance(identities, list) or not all(isinstance(i, dict) for i in identities):
            raise Refused("identities is not a list of objects")
        fixed = [self._identity(place, who, identity) for identity in identities]
        ids = [f"{identity['provider']}|{identity['user_id']}" for identity in fixed]
        if not user_id:
            user_id = values["user_id"] = ids[0]
        if user_id not in ids:
            raise Refused("user_id is none of the identities")
        fixed.insert(0, fixed.pop(ids.index(user_id)))
        values["identities"] = fixed

    def _identity(self, place: str, who: str, identity: dict[str, Any]) -> dict[str, Any]:
        fixed = {name: value for name, value in identity.items() if name not in _PROVIDER_TOKENS}
        for name in identity.keys() - fixed.keys():
            self.report.find("field_without_place", place, who, f"identities[].{name}: a token of the provider")
        own = fixed.get("user_id")
        if isinstance(own, int) and not isinstance(own, bool):
            fixed["user_id"] = str(own)
        for name in ("provider", "user_id", "connection"):
            if not isinstance(fixed.get(name), str) or not fixed[name]:
                raise Refused(f"an identity without {name}")
        fixed["connection"] = self.connections.get(fixed["connection"], fixed["connection"])
        if "profileData" in fixed and not isinstance(fixed["profileData"], dict):
            raise Refused("profileData of an identity is not an object")
        return fixed

    def _own_hash(self, values: dict[str, Any]) -> str | None:
        plain, custom = values.pop("password_hash", None), values.pop("custom_password_hash", None)
        try:
            if isinstance(custom, dict):
                return parse_custom_hash(custom)
            return parse_bcrypt(str(plain), path="password_hash") if plain is not None else None
        except BadHash as error:
            raise Refused(error.message) from None

    def _own_factors(self, values: dict[str, Any]) -> tuple[tuple[str, bytes], ...]:
        found = []
        for number, factor in enumerate(values.pop("mfa_factors", None) or (), start=1):
            secret = factor.get("totp", {}).get("secret") if isinstance(factor, dict) else None
            content = {"type": "otp", "secret": secret} if secret else factor
            name = "otp" if secret else "factor"
            found.append((name if number == 1 else f"{name}/{number}", msgspec.json.encode(content)))
        return tuple(found)


def _run(where: int, count: int, lines: bytes) -> Run | None:
    """The users of so many lines if all can be stored as they are; None if one of them needs a second look."""
    try:
        users = _usual.decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # the second look finds out what it is
    if not users or len(users) != count:
        return None
    hashes = [None if user.password_hash is UNSET else user.password_hash for user in users]
    if not are_bcrypt([stored for stored in hashes if stored is not None]):
        return None
    rows = usual_rows(users)
    if rows is None:
        return None
    strangers = [number for number, id_ in enumerate(rows.id) if not id_.startswith(OWN)]
    if any(hashes[number] is not None for number in strangers):
        return None
    return Run(where, rows, hashes)


def _values(text: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        values = _any.decode(text)
        if text.count(b"[") + text.count(b"{") > MOST_DEPTH:
            _check_depth(values, MOST_DEPTH)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_line(path, number, error) from None
    return values


def _check_depth(value: Any, left: int) -> None:
    """Refuse what could be stored and would be too deep for everybody who reads it. Raises RecursionError."""
    if not left:
        raise RecursionError
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_depth(inner, left - 1)


def _decoded(lines: Iterator[bytes], path: Path) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        try:
            yield line.decode() + "\n"
        except UnicodeDecodeError as error:
            raise bad_line(path, number, error) from None


def _plain(cell: str) -> str:
    """A cell without the quotation mark that keeps spreadsheets from running it."""
    return cell[1:] if cell.startswith("'") else cell


def _nested(header: list[str], cells: list[str]) -> dict[str, Any]:
    """A row of CSV as a profile: `a.b` and `a[0].b` become members of members."""
    values: dict[str, Any] = {}
    for title, cell in zip(header, cells, strict=True):
        text = _plain(cell)
        if not text:
            continue
        value: Any = text
        if title in _BOOLEANS and text in {"true", "false"}:
            value = text == "true"
        elif title == "logins_count" and text.isdigit():
            value = int(text)
        steps = re.split(r"\.|(?=\[)", title)
        target: Any = values
        for step, following in zip(steps, [*steps[1:], ""], strict=True):
            empty: Any = [] if following.startswith("[") else {}
            if step.startswith("["):
                position = min(int(re.sub(r"\D", "", step) or 0), 20)
                while len(target) <= position:
                    target.append({})
                if following:
                    target = target[position]
                else:
                    target[position] = value
            elif following:
                target = target.setdefault(step, empty)
            else:
                target[step] = value
    return values
