"""Auth0's user export: lines, an array or CSV of profiles, as users of a tenant here.

The usual line is decoded straight into a user. What deviates goes the slow way, which says what is odd about it: every
field ends up in the profile, beside it (`other_attributes`), or in the report.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from freehold.domain.users import User
from freehold.domain.users.identifiers import LONGEST_EMAIL, stored_email
from freehold.domain.users.profiles import fill_defaults
from freehold.kernel.crypto.passwords import BadHash, parse_bcrypt, parse_custom_hash
from freehold.kernel.declare.validation import InvalidBody
from freehold.surfaces.importers.lines import BadFile, bad_line, first_byte, read_lines
from freehold.surfaces.importers.report import Report

LONGEST_ARRAY = 64 * 1024 * 1024
LONGEST_ID = 255
MOST_DEPTH = 100

_FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(User)) - {"other_attributes"}
_TIMES = ("created_at", "updated_at", "last_login", "last_password_reset", "multifactor_last_modified")
# Tokens of an identity provider, which belong to it and are not carried over.
_PROVIDER_TOKENS = ("access_token", "access_token_secret", "refresh_token", "expires_in")
_BOOLEANS = frozenset({"email_verified", "phone_verified", "blocked"})
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")


class _Line(User, forbid_unknown_fields=True):
    """A line that needs no second look."""


class Refused(Exception):
    """A user that cannot be taken in, and why."""


USUAL, ODD, SKIP = 0, 1, 2
"""How a row is read the second time: straight, with a second look, or not at all."""
_FILE = 1 << 40


class Row(msgspec.Struct, gc=False):
    """One user of the export with what the file itself says of their credentials."""

    reader: "UserReader"
    file: int
    number: int
    """The line, or the item of an array."""
    position: int
    """Among the rows of all files, from 0."""
    user: User | None
    """None: refused, and in the report."""
    stored: str | None = None
    """A hash that came with the profile (bulk import format)."""
    factors: tuple[tuple[str, bytes], ...] = ()

    @property
    def where(self) -> int:
        """The place as a number."""
        return self.file * _FILE + self.number

    @property
    def place(self) -> str:
        """The place for people."""
        return self.elsewhere(self.where)

    def elsewhere(self, where: int) -> str:
        """Another place for people."""
        return f"{self.reader.files[where // _FILE]} {where % _FILE}"

    def mark(self, mark: int) -> None:
        """Say how this row is read the second time."""
        self.reader.marks[self.position] = mark


_fast = msgspec.json.Decoder(_Line)
_slow = msgspec.json.Decoder(dict[str, Any])


class UserReader:
    """Reads user files of one export; `connections` renames connections, `default` is for rows that name none."""

    def __init__(self, report: Report, *, now: str, connections: Mapping[str, str], default: str) -> None:
        self.report = report
        self.now = now
        self.connections = connections
        self.default = default
        self.files: list[str] = []
        self.marks = bytearray()
        """One of USUAL, ODD and SKIP for each row that was read."""
        self._again = False

    def read(self, path: Path, marks: bytearray | None = None, position: int = 0) -> Iterator[Row]:
        """Every user of a file, in order; with the `marks` of the first time nothing is reported. Raises BadFile."""
        start = first_byte(path)
        self._again = marks is not None
        self.files.append(f"{path.name} {'item' if start == b'[' else 'line'}")
        if marks is None and start in {b"{", b""}:
            yield from self._lines(path, position)
        elif start in {b"{", b""}:
            assert marks is not None
            yield from self._lines_again(path, marks, position)
        else:
            values = self._array(path) if start == b"[" else self._csv(path)
            for offset, (number, value) in enumerate(values):
                if marks is None:
                    self.marks.append(ODD)
                elif marks[position + offset] == SKIP:
                    continue
                yield self._row(number, position + offset, value)

    def _lines(self, path: Path, position: int) -> Iterator[Row]:
        file, mark, renamed = len(self.files) - 1, self.marks.append, bool(self.connections)
        for offset, (number, text) in enumerate(read_lines(path), start=position):
            user = None if renamed else _straight(text)
            if user is not None:
                mark(USUAL)
                yield Row(self, file, number, offset, user)
                continue
            mark(ODD)
            yield self._row(number, offset, _values(text, path, number))

    def _lines_again(self, path: Path, marks: bytearray, position: int) -> Iterator[Row]:
        file, straight = len(self.files) - 1, _fast.decode
        for offset, (number, text) in enumerate(read_lines(path), start=position):
            if marks[offset] == USUAL:
                yield Row(self, file, number, offset, straight(text))
            elif marks[offset] == ODD:
                yield self._row(number, offset, _values(text, path, number))

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

    def _row(self, number: int, position: int, values: dict[str, Any]) -> Row:
        row = Row(self, len(self.files) - 1, number, position, None)
        who = str(values.get("user_id") or values.get("email") or "")
        try:
            row.stored = self._own_hash(values)
            row.factors = self._own_factors(values)
            row.user = self._user(row.place, who, values)
        except Refused as refusal:
            if not self._again:
                row.mark(SKIP)
                self.report.find("user_refused", row.place, who, str(refusal))
        return row

    def _find(self, kind: str, place: str, who: str, detail: str) -> None:
        if not self._again:
            self.report.find(kind, place, who, detail)

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
                self._find("note", place, who, "the address is not one that mail can be sent to; kept as it is")
        fill_defaults(values)
        others = {name: value for name, value in values.items() if name not in _FIELDS}
        for name in others:
            del values[name]
            if not self._again:
                self.report.count("fields beside the profile", name)
        if others:
            values["other_attributes"] = others
        for name in ("user_id", "email", "username", "phone_number"):
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
            self._find("field_without_place", place, who, f"identities[].{name}: a token of the provider")
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


def _straight(text: bytes) -> User | None:
    """The user of a line that can be stored as it is, None for one that needs a second look."""
    if text.count(b"[") + text.count(b"{") > MOST_DEPTH:
        return None
    try:
        user = _fast.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # the second look finds out what it is
    return user if is_usual(user) else None


def _values(text: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        values = _slow.decode(text)
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


def is_usual(user: User) -> bool:
    """Whether a decoded line can be stored as it is."""
    identities = user.identities
    if not identities:
        return False
    first = identities[0]
    try:
        if f"{first['provider']}|{first['user_id']}" != user.user_id or len(user.user_id) > LONGEST_ID:
            return False
        for identity in identities:
            if type(identity["user_id"]) is not str or type(identity["connection"]) is not str:
                return False
            for name in _PROVIDER_TOKENS:
                if name in identity:
                    return False
        if len(identities) > 1 and not all(isinstance(i.get("profileData", {}), dict) for i in identities):
            return False
    except KeyError:
        return False
    email = user.email
    if email is not UNSET and (user.email_verified is UNSET or not _is_plain_email(email)):
        return False
    if user.name is UNSET or user.nickname is UNSET or user.picture is UNSET or user.other_attributes is not UNSET:
        return False
    for moment in (user.created_at, user.updated_at):
        if len(moment) != 24 or moment[-1] != "Z" or not _is_time(moment):
            return False
    return user.username is UNSET or user.username.isprintable()


# What `identifiers.is_email` takes and keeps as it is, of the addresses nearly everybody has.
_PLAIN_EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


def _is_plain_email(email: str) -> bool:
    return _PLAIN_EMAIL.fullmatch(email) is not None and len(email) <= LONGEST_EMAIL


def _is_time(moment: str) -> bool:
    try:
        datetime.fromisoformat(moment)
    except ValueError:
        return False
    return True


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
