"""What an import found and did: counts, and a finding for everything an administrator should know.

Findings go into a scratch database on disk, so that a million of them take no memory. A finding never holds a secret.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import msgspec

SHOWN_PER_KIND = 10

# Each kind of finding and what it says to whoever runs the import.
KINDS = {
    "user_refused": "Users that cannot be taken in",
    "user_conflict": "Users whose identifier somebody else has",
    "duplicate_user": "Users that occur more than once in the files",
    "user_without_hash": "Users of a database without a password hash: they set a new password",
    "hash_without_user": "Password hashes without a user",
    "hash_refused": "Password hashes that cannot be used",
    "duplicate_hash": "Password hashes that occur more than once",
    "factor_without_user": "MFA factors without a user",
    "factor_refused": "MFA factors that cannot be used",
    "connection_unknown": "Connections that users name and nobody has",
    "field_kept": "Fields kept beside the profile",
    "field_without_place": "Fields that have no place here and are not imported",
    "masked_secret": "Secrets that are masked in the export: set them by hand",
    "resource_refused": "Configuration that cannot be taken in",
    "resource_unknown": "Configuration this release does not have",
    "note": "Worth knowing",
}


@dataclass(slots=True)
class Report:
    """Counts and findings of one import."""

    scratch: sqlite3.Connection
    tenant: str
    dry_run: bool
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scratch.execute("create table if not exists findings (kind text, place text, who text, detail text)")
        self.scratch.execute("delete from findings")

    def count(self, piece: str, what: str, number: int = 1) -> None:
        """Add to a count."""
        self.counts.setdefault(piece, Counter())[what] += number

    def number(self, piece: str, what: str) -> int:
        """A count so far."""
        return self.counts[piece][what] if piece in self.counts else 0

    def find(self, kind: str, place: str, who: str = "", detail: str = "") -> None:
        """File a finding."""
        assert kind in KINDS, kind
        self.scratch.execute("insert into findings values (?, ?, ?, ?)", (kind, place, who[:300], detail[:1000]))

    def found(self) -> dict[str, int]:
        """How many findings of each kind, in the order of KINDS."""
        rows = dict(self.scratch.execute("select kind, count(*) from findings group by kind").fetchall())
        return {kind: rows[kind] for kind in KINDS if kind in rows}

    def findings(self, kind: str, limit: int = -1) -> Iterator[dict[str, str]]:
        """The findings of a kind in the order in which they were made."""
        sql = "select kind, place, who, detail from findings where kind = ? order by rowid limit ?"
        for row in self.scratch.execute(sql, (kind, limit)):
            yield dict(zip(("kind", "where", "who", "detail"), row, strict=True))

    def summary(self) -> dict[str, Any]:
        """Everything but the findings themselves."""
        return {
            "tenant": self.tenant,
            "dry_run": self.dry_run,
            "counts": {piece: dict(counter) for piece, counter in self.counts.items()},
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "found": self.found(),
        }

    def write_json(self, file: IO[bytes]) -> None:
        """The whole report as one JSON object, a finding on each line."""
        head = msgspec.json.encode(self.summary())
        file.write(head[:-1] + b',"findings":[')
        separator = b"\n"
        for kind in KINDS:
            for finding in self.findings(kind):
                file.write(separator + msgspec.json.encode(finding))
                separator = b",\n"
        file.write(b"\n]}\n")

    def lines(self) -> Iterator[str]:
        """The report for people: counts, then the first findings of each kind."""
        for piece, counter in self.counts.items():
            yield f"{piece:16} " + ", ".join(f"{number:,} {what}" for what, number in counter.items())
        for kind, number in self.found().items():
            yield ""
            yield f"{KINDS[kind]} ({number:,}):"
            for finding in self.findings(kind, SHOWN_PER_KIND):
                parts = [finding["where"], finding["who"], finding["detail"]]
                yield "  " + "  ".join(part for part in parts if part)
            if number > SHOWN_PER_KIND:
                yield f"  ... and {number - SHOWN_PER_KIND:,} more; --report FILE names all of them"
