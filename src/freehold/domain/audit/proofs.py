"""Proofs out of the log: that an entry is in the tree of a signed head, that one head continues another."""

import asyncio
from collections.abc import Sequence

import msgspec

from freehold.domain.audit import merkle
from freehold.domain.audit.entries import COLUMNS, Entry
from freehold.domain.audit.keys import TreeHead
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import NotFound
from freehold.kernel.store import Reader


class Proof(msgspec.Struct, frozen=True):
    """An entry with its audit path to the root of a head."""

    entry: Entry
    path: tuple[str, ...]


async def entries_of(reader: Reader, tenant: TenantScope, ceremony_id: str) -> list[Entry]:
    """All entries of a ceremony, in order."""
    rows = await reader.all(
        f"""select {COLUMNS} from audit_entries
        where tenant_id = :tenant_id and ceremony_id = :ceremony_id order by seq""",  # noqa: S608 - a constant
        tenant_id=tenant.id,
        ceremony_id=ceremony_id,
    )
    return [Entry.of_row(tenant.id, row) for row in rows]


async def head_of_size(reader: Reader, tenant: TenantScope, size: int) -> TreeHead:
    """The signed head of this size. Raises NotFound."""
    row = await reader.one(
        """select size, root, time_ms, kid, signature from audit_checkpoints
        where tenant_id = :tenant_id and size = :size""",
        tenant_id=tenant.id,
        size=size,
    )
    if row is None:
        raise NotFound("There is no signed tree head of this size.")
    return TreeHead.of_row(tenant.id, row)


async def prove(reader: Reader, tenant: TenantScope, entries: Sequence[Entry], head: TreeHead) -> list[Proof]:
    """Inclusion proofs of entries in the tree of the head."""
    leaves = await _leaves(reader, tenant, head.size)
    paths = await asyncio.to_thread(merkle.Paths, leaves)
    return [
        Proof(entry, tuple(step.hex() for step in paths.inclusion(entry.seq - 1)))
        for entry in entries
    ]  # fmt: skip


async def prove_consistency(reader: Reader, tenant: TenantScope, first: int, second: int) -> list[str]:
    """The proof that the tree of size `first` is the beginning of the one of size `second`. Raises NotFound."""
    leaves = await _leaves(reader, tenant, second)
    if not 0 < first <= second:
        raise NotFound("A proof leads from a tree with entries to one that is no smaller.")
    return [step.hex() for step in await asyncio.to_thread(merkle.consistency_path, leaves, first)]


async def _leaves(reader: Reader, tenant: TenantScope, size: int) -> list[bytes]:
    rows = await reader.all(
        "select leaf from audit_entries where tenant_id = :tenant_id and seq <= :size order by seq",
        tenant_id=tenant.id,
        size=size,
    )
    if len(rows) != size:
        raise NotFound("The log has no tree of this size.")
    return [bytes.fromhex(row[0]) for row in rows]
