"""Reading the whole log again: is it one unbroken chain, and the one that was signed and seen elsewhere?

Compared are the entries with their own hashes, the chain, the tree, the signed heads in the database, and what the
file beside it holds: a database that was put back to an older copy is consistent in itself, and only the file tells.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from freehold.domain.audit import keys, merkle
from freehold.domain.audit.entries import COLUMNS, START, Entry, canonical_details, details_hash, leaf_of
from freehold.domain.audit.keys import TreeHead
from freehold.kernel.clock import parse_iso, to_ms
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import BadRequest
from freehold.kernel.store import Store


class Verdict(msgspec.Struct, frozen=True):
    """What reading the log again gave."""

    size: int
    root: str
    heads: int
    """How many signed heads it was compared with, wherever they stood."""
    first_bad: int | None = None
    reason: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.first_bad is None


@dataclass(slots=True)
class Seen:
    """What a file beside the database holds of one tenant."""

    leaves: dict[int, str] = field(default_factory=dict)
    """The leaf hash of each number, the last one written counting."""
    heads: list[TreeHead] = field(default_factory=list)
    strange: int = 0
    """Lines that cannot be read."""


async def check_log(
    store: Store, tenant: TenantScope, *, seen: Seen | None = None, known: Iterable[TreeHead] = ()
) -> Verdict:
    """Read the tenant's log and compare; `known` are heads that somebody kept elsewhere."""
    seen = seen or Seen()
    async with store.snapshot() as view:
        public = await keys.public_keys(view, tenant)
        rows = await view.all(
            """select size, root, time_ms, kid, signature from audit_checkpoints
            where tenant_id = :tenant_id order by size""",
            tenant_id=tenant.id,
        )
        heads = [*(TreeHead.of_row(tenant.id, row) for row in rows), *seen.heads, *known]
        reading = _Reading(tenant.id, seen.leaves, _by_size(heads), public)
        scan = view.scan(
            f"select {COLUMNS} from audit_entries where tenant_id = :tenant_id order by seq",  # noqa: S608
            tenant_id=tenant.id,
        )
        async for chunk in scan:
            for row in chunk:
                reading.take(Entry.of_row(tenant.id, row))
        stands = await view.one("select size from audit_heads where tenant_id = :tenant_id", tenant_id=tenant.id)
    reading.end(stands[0] if stands else 0)
    remarks = [f"{seen.strange} lines of the file cannot be read"] if seen.strange else []
    if reading.first_bad is None and max(seen.leaves, default=0) > reading.size:
        remarks.append(f"the file holds entries after {reading.size} of which no head says that they were committed")
    return Verdict(
        reading.size, merkle.root_of_frontier(reading.frontier).hex(), len(heads), reading.first_bad, reading.reason,
        tuple(remarks),
    )  # fmt: skip


def read_file(path: Path, tenant_id: str) -> Seen:
    """What a file of lines holds of one tenant."""
    seen = Seen()
    with path.open("rb") as file:
        for line in file:
            try:
                value = msgspec.json.decode(line)
                if value["tenant"] != tenant_id:
                    continue
                if value["kind"] == "head":
                    seen.heads.append(head_of(value))
                else:
                    seen.leaves[int(value["seq"])] = str(value["leaf"])
            except (msgspec.MsgspecError, KeyError, TypeError, ValueError, UnicodeDecodeError, BadRequest):
                seen.strange += bool(line.strip())
    return seen


def last_heads(path: Path) -> dict[str, TreeHead]:
    """The last signed head of each tenant in a file of lines."""
    found: dict[str, TreeHead] = {}
    with path.open("rb") as file:
        for line in file:
            if b'"head"' not in line:
                continue
            with suppress(msgspec.MsgspecError, KeyError, TypeError, UnicodeDecodeError, BadRequest):
                value = msgspec.json.decode(line)
                if value["kind"] == "head":
                    head = head_of(value)
                    found[head.tenant_id] = head
    return found


def head_of(value: Mapping[str, Any]) -> TreeHead:
    """A signed head from its shown form. Raises BadRequest."""
    try:
        head = TreeHead(
            tenant_id=str(value["tenant"]), size=int(value["size"]), root=str(value["root"]),
            time_ms=to_ms(parse_iso(str(value["time"]))), kid=str(value["kid"]), signature=str(value["signature"]),
        )  # fmt: skip
        bytes.fromhex(head.signature + head.root)
    except (KeyError, TypeError, ValueError):
        raise BadRequest("This is no signed tree head.") from None
    return head


def _by_size(heads: Iterable[TreeHead]) -> dict[int, list[TreeHead]]:
    by_size: dict[int, list[TreeHead]] = {}
    for head in heads:
        by_size.setdefault(head.size, []).append(head)
    return by_size


@dataclass(slots=True)
class _Reading:
    """The log read so far."""

    tenant_id: str
    seen: Mapping[int, str]
    heads: Mapping[int, list[TreeHead]]
    public: Mapping[str, bytes]
    size: int = 0
    previous: str = START
    frontier: list[bytes] = field(default_factory=list)
    vouched: int = 0
    """Up to here a signed head has confirmed the entries."""
    first_bad: int | None = None
    reason: str = ""

    def take(self, entry: Entry) -> None:
        """Check the next entry."""
        if self.first_bad is not None:
            return
        expected = self.size + 1
        if entry.seq != expected:
            missing = entry.seq > expected
            self._bad(expected, "it is missing" if missing else f"number {entry.seq} stands in its place")
        elif entry.previous != self.previous:
            self._bad(expected, "it does not follow the entry before it")
        elif not _is_itself(entry):
            self._bad(expected, "it is not what its hash is of")
        elif self.seen.get(expected, entry.leaf) != entry.leaf:
            self._bad(expected, "the file beside the database holds another entry of this number")
        else:
            self.frontier = merkle.extended(self.frontier, self.size, bytes.fromhex(entry.leaf))
            self.size, self.previous = expected, entry.leaf
            self._compare()

    def end(self, stands_at: int) -> None:
        """Check that nothing is missing at the end."""
        if self.first_bad is not None:
            return
        beyond = [size for size in self.heads if size > self.size]
        if beyond:
            self._bad(
                self.size + 1,
                f"it is missing: a signed head speaks of {max(beyond)} entries, here are {self.size}; entries were cut "
                "off, or an older copy of the database was put back",
            )
        elif stands_at != self.size:
            self._bad(self.size + 1, f"the log says that it has {stands_at} entries and has {self.size}")

    def _compare(self) -> None:
        root = merkle.root_of_frontier(self.frontier).hex()
        for head in self.heads.get(self.size, ()):
            key = self.public.get(head.kid)
            if key is None or keys.fingerprint(key) != head.kid:
                self._bad(self.vouched + 1, f"the head of {self.size} entries is signed by a key the log does not know")
            elif not keys.is_signed(key, head.message, bytes.fromhex(head.signature)):
                self._bad(self.vouched + 1, f"the signature of the head of {self.size} entries does not hold")
            elif head.root != root:
                self._bad(self.vouched + 1, f"the signed head of {self.size} entries is of other entries")
            else:
                continue
            return
        if self.size in self.heads:
            self.vouched = self.size

    def _bad(self, seq: int, reason: str) -> None:
        self.first_bad, self.reason = seq, reason


def _is_itself(entry: Entry) -> bool:
    try:
        canonical = canonical_details(msgspec.json.decode(entry.details))
    except (msgspec.MsgspecError, ValueError):
        return False
    return (
        canonical == entry.details
        and details_hash(entry.details) == entry.details_hash
        and leaf_of(entry.signed_part).hex() == entry.leaf
    )
