"""Auth0's sensitive export: password hashes and MFA secrets, a line each, into the scratch index.

A hash line names its user by `_id` (three spellings are about) or `alt_id`, without the provider; an MFA line by the
full user id.
"""

import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from freehold.kernel.crypto.passwords import BadHash, parse_bcrypt, parse_custom_hash
from freehold.surfaces.importers.lines import decode, read_lines
from freehold.surfaces.importers.report import Report

PROVIDER = "auth0|"
BATCH = 4000


class _Identifier(msgspec.Struct):
    type: str = ""
    value: str = ""


class _HashLine(msgspec.Struct):
    id: str | dict[str, str] | None = msgspec.field(name="_id", default=None)
    other_id: str | dict[str, str] | None = msgspec.field(name="_ID", default=None)
    alt_id: str | None = None
    email: str | None = None
    username: str | None = None
    identifiers: list[_Identifier] = []
    passwordHash: str | dict[str, Any] | None = None  # noqa: N815 - the name in the export
    custom_password_hash: dict[str, Any] | None = None
    """What Freehold's own sealed exports have where the hash is no bcrypt."""
    connection: str | None = None

    @property
    def user_id(self) -> str:
        if self.alt_id:
            return PROVIDER + self.alt_id
        source = self.id if self.id is not None else self.other_id
        own = source.get("$oid", "") if isinstance(source, dict) else source
        return PROVIDER + own if own else ""

    @property
    def who(self) -> str:
        return self.email or self.username or next((i.value for i in self.identifiers if i.value), "")


class _Factor(msgspec.Struct):
    type: str = ""
    secret: str | None = None


class _FactorLine(msgspec.Struct):
    user_id: str = ""
    type: str = ""
    otp_secret: str | None = None
    recovery_code: str | None = None
    mfa_factors: list[_Factor] = []


_INSERT_HASH = "insert or ignore into hashes (id, stored, place, who) values (?, ?, ?, ?)"
_INSERT_FACTOR = "insert or ignore into factors (id, name, content, place) values (?, ?, ?, ?)"
_BASE32 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")


def load_hashes(scratch: sqlite3.Connection, path: Path, report: Report) -> None:
    """Put a password-hash file into the index. Raises BadFile for what is no NDJSON."""
    decoder = msgspec.json.Decoder(_HashLine)
    batch: list[tuple[str, str, int, str]] = []
    read = 0
    for number, text in read_lines(path):
        line = decode(decoder, text, path, number)
        read += 1
        user_id = line.user_id
        if not user_id:
            detail = "it names no user: neither _id nor alt_id"
            report.find("hash_refused", f"{path.name} line {number}", line.who, detail)
            continue
        given = line.passwordHash or line.custom_password_hash
        if given is None:
            report.find("hash_refused", f"{path.name} line {number}", user_id, "it has no passwordHash")
            continue
        try:
            stored = _stored(given)
        except BadHash as error:
            report.find("hash_refused", f"{path.name} line {number}", user_id, error.message)
            continue
        batch.append((user_id, stored, number, line.who))
        if len(batch) == BATCH:
            _store_hashes(scratch, path, report, batch)
            batch = []
    _store_hashes(scratch, path, report, batch)
    report.count("hashes", "read", read)


def _store_hashes(
    scratch: sqlite3.Connection, path: Path, report: Report, batch: list[tuple[str, str, int, str]]
) -> None:
    rows = [
        (user_id, stored, f"{path.name} line {number}", who)
        for user_id, stored, number, who in sorted(batch, key=lambda row: (row[0], row[2]))
    ]
    before = scratch.total_changes
    scratch.executemany(_INSERT_HASH, rows)
    if scratch.total_changes - before == len(rows):
        return
    for user_id, stored, place, _ in rows:
        found = scratch.execute("select place, stored from hashes where id = ?", (user_id,)).fetchone()
        if found[0] != place:
            same = "the same hash" if found[1] == stored else "another hash, and that one counts"
            report.find("duplicate_hash", place, user_id, f"also in {found[0]}: {same}")


def load_factors(scratch: sqlite3.Connection, path: Path, report: Report) -> None:
    """Put an MFA file into the index. Raises BadFile for what is no NDJSON."""
    decoder = msgspec.json.Decoder(_FactorLine)
    for number, text in read_lines(path):
        line = decode(decoder, text, path, number)
        place = f"{path.name} line {number}"
        found = list(_factors(line))
        if not line.user_id or not found:
            report.count("factors", "read")
            what = "it names no user" if not line.user_id else f"unknown factor {line.type[:40] or '(no type)'}"
            report.find("factor_refused", place, line.user_id, what)
        for name, content in found:
            report.count("factors", "read")
            if name == "otp" and not set(content["secret"]) <= _BASE32:
                report.find("factor_refused", place, line.user_id, "the secret is not Base32")
                continue
            _store_factor(scratch, line.user_id, name, msgspec.json.encode(content), place)


def _factors(line: _FactorLine) -> list[tuple[str, dict[str, str]]]:
    found = []
    if line.otp_secret:
        found.append(("otp", {"type": "otp", "secret": line.otp_secret.rstrip("=").upper()}))
    if line.recovery_code:
        found.append(("recovery-code", {"type": "recovery-code", "hash": line.recovery_code}))
    for factor in line.mfa_factors:
        if factor.type in {"totp", "otp"} and factor.secret:
            found.append(("otp", {"type": "otp", "secret": factor.secret.rstrip("=").upper()}))
    return found


def _store_factor(scratch: sqlite3.Connection, user_id: str, name: str, content: bytes, place: str) -> None:
    """A user may have several of a kind; the same one twice counts once."""
    number = 1
    while True:
        own = name if number == 1 else f"{name}/{number}"
        if scratch.execute(_INSERT_FACTOR, (user_id, own, content, place)).rowcount:
            return
        before = scratch.execute("select content from factors where id = ? and name = ?", (user_id, own)).fetchone()
        if bytes(before[0]) == content:
            return
        number += 1


def _stored(source: str | dict[str, Any]) -> str:
    if isinstance(source, dict):
        return parse_custom_hash(source)
    # Older exports put a few characters in front of the bcrypt string.
    start = source.find("$2")
    return parse_bcrypt(source[start:] if 0 < start <= 16 else source)
