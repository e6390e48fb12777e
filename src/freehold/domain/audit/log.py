"""Writing the audit log: one chain and one tree per tenant, in the transaction of what it tells about.

Whoever appends holds the row of `audit_heads` until the commit, so concurrent writers stay one chain. An entry of a
ceremony counts only when a place besides the database has accepted it: it is handed over before the commit, and the
signed tree head after it, because only then it is true.
"""

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from freehold.domain.audit import keys, lines, merkle
from freehold.domain.audit.entries import COLUMNS, START, SYSTEM_ACTOR, AuditActor, Entry, canonical_details, sealed
from freehold.domain.audit.entries import details_hash as hash_of_details
from freehold.domain.audit.keys import TreeHead
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Unavailable
from freehold.kernel.store import Reader, Transaction

CHECKPOINT_ENTRIES = 100
PENDING_LIMIT = 5000
"""So many entries are handed to the other places at once; more follow at the next round."""

_INSERT = """
insert into audit_entries (tenant_id, seq, time_ms, action, actor_kind, actor_id, actor_email, session_id, mfa_at_ms,
    ip, ceremony_id, digest, details, details_hash, previous, leaf)
values (:tenant_id, :seq, :time_ms, :action, :kind, :id, :email, :session_id, :mfa_at_ms,
    :ip, :ceremony_id, :digest, :details, :details_hash, :previous, :leaf)
"""
_GROW = """
update audit_heads set size = size + :by where tenant_id = :tenant_id returning size, frontier, last_leaf
"""


async def record(
    tx: Transaction,
    tenant: TenantScope,
    *,
    action: str,
    actor: AuditActor,
    ceremony_id: str = "",
    digest: str = "",
    details: dict[str, Any],
) -> Entry:
    """Append an entry. With a ceremony it is signed and handed to another place as well.

    Raises Unavailable when no other place takes an entry of a ceremony: the step must not happen then.
    """
    await _ensure_begun(tx, tenant)
    entry = await _append(
        tx, tenant, action=action, actor=actor, ceremony_id=ceremony_id, digest=digest, details=details
    )
    if ceremony_id:
        head = await checkpoint(tx, tenant)
        await hand_over(tx, tenant, up_to=head.size)
    elif entry.seq % CHECKPOINT_ENTRIES == 0:
        await checkpoint(tx, tenant)
    return entry


async def checkpoint(tx: Transaction, tenant: TenantScope) -> TreeHead:
    """Sign the log as it stands, unless the latest head says so already."""
    await _ensure_begun(tx, tenant)
    found = await keys.current_key(tx, tenant)
    if found is None:
        # Restored without its vault: a new key goes on, and the log itself says so.
        found = await _new_key(tx, tenant)
    size, frontier, _ = await _head(tx, tenant)
    latest = await latest_head(tx, tenant)
    if latest is not None and latest.size == size:
        return latest
    head = keys.signed_head(tenant, *found, size=size, frontier=frontier)
    await tx.run(
        """insert into audit_checkpoints (tenant_id, size, root, time_ms, kid, signature)
        values (:tenant_id, :size, :root, :time_ms, :kid, :signature)""",
        tenant_id=tenant.id,
        size=head.size,
        root=head.root,
        time_ms=head.time_ms,
        kid=head.kid,
        signature=head.signature,
    )
    if tenant.witness is not None:
        witness = tenant.witness
        tx.after_commit(lambda: witness.publish(lines.of_head(head)))
    return head


async def latest_head(reader: Reader, tenant: TenantScope) -> TreeHead | None:
    """The latest signed tree head."""
    row = await reader.one(
        """select size, root, time_ms, kid, signature from audit_checkpoints
        where tenant_id = :tenant_id order by size desc limit 1""",
        tenant_id=tenant.id,
    )
    return None if row is None else TreeHead.of_row(tenant.id, row)


async def hand_over(tx: Transaction, tenant: TenantScope, *, up_to: int) -> int:
    """Give the other places the entries they do not have yet; answers up to which they have them then.

    Raises Unavailable when none of them takes any.
    """
    if tenant.witness is None:
        raise Unavailable("No place but the database is set up to take audit entries.", code="audit_unavailable")
    row = await tx.one("select size, head_size from audit_witnessed where tenant_id = :tenant_id", tenant_id=tenant.id)
    since: int
    since, head_since = row or (0, 0)
    while since < up_to:
        rows = await tx.all(
            f"""select {COLUMNS} from audit_entries
            where tenant_id = :tenant_id and seq > :since and seq <= :up_to order by seq limit :limit""",  # noqa: S608
            tenant_id=tenant.id, since=since, up_to=up_to, limit=PENDING_LIMIT,
        )  # fmt: skip
        if not rows:
            break
        entries = [Entry.of_row(tenant.id, row) for row in rows]
        await tenant.witness.accept([lines.of_entry(entry) for entry in entries])
        since = entries[-1].seq
    await _set_witnessed(tx, tenant, size=since, head_size=head_since)
    return since


async def hand_over_head(tx: Transaction, tenant: TenantScope) -> None:
    """Make sure that the other places have the latest signed head for good. Raises Unavailable."""
    row = await tx.one("select size, head_size from audit_witnessed where tenant_id = :tenant_id", tenant_id=tenant.id)
    size, head_size = row or (0, 0)
    head = await latest_head(tx, tenant)
    if head is not None and head.size > head_size and tenant.witness is not None:
        await tenant.witness.accept([lines.of_head(head)])
        await _set_witnessed(tx, tenant, size=size, head_size=head.size)


async def bootstrap(tx: Transaction, tenant: TenantScope) -> None:
    """Begin a new tenant's log with its key; a log that is there stays as it is."""
    await _ensure_begun(tx, tenant)


async def rebuild_head(tx: Transaction, tenant: TenantScope) -> None:
    """Compute where the log stands from its entries."""
    rows = await tx.all("select leaf from audit_entries where tenant_id = :tenant_id order by seq", tenant_id=tenant.id)
    if rows:
        leaves = [bytes.fromhex(row[0]) for row in rows]
        await _begin(tx, tenant)
        await _save_head(tx, tenant, len(leaves), merkle.frontier_of(leaves), leaves[-1].hex())


async def _ensure_begun(tx: Transaction, tenant: TenantScope) -> None:
    if await tx.one("select 1 from audit_heads where tenant_id = :tenant_id", tenant_id=tenant.id):
        return
    if await _begin(tx, tenant):
        await _new_key(tx, tenant)


async def _begin(tx: Transaction, tenant: TenantScope) -> bool:
    """Insert the row everybody appends under; false when somebody else has."""
    return bool(
        await tx.run(
            """insert into audit_heads (tenant_id, size, frontier, last_leaf) values (:tenant_id, 0, '[]', :start)
            on conflict (tenant_id) do nothing""",
            tenant_id=tenant.id,
            start=START,
        )
    )


async def _new_key(tx: Transaction, tenant: TenantScope) -> tuple[str, Ed25519PrivateKey]:
    kid, key = await keys.make_key(tx, tenant)
    await _append(
        tx, tenant, action="audit.key_created", actor=SYSTEM_ACTOR,
        details={"kid": kid, "public_key": (await keys.public_keys(tx, tenant))[kid].hex()},
    )  # fmt: skip
    return kid, key


async def _append(
    tx: Transaction,
    tenant: TenantScope,
    *,
    action: str,
    actor: AuditActor,
    ceremony_id: str = "",
    digest: str = "",
    details: dict[str, Any],
) -> Entry:
    size, frontier, last_leaf = await _head(tx, tenant, grow_by=1)
    text = canonical_details(details)
    entry = sealed(
        Entry(
            tenant_id=tenant.id, seq=size, time_ms=tenant.clock.now_ms(), action=action, actor=actor,
            ceremony_id=ceremony_id, digest=digest, details=text, details_hash=hash_of_details(text),
            previous=last_leaf, leaf="",
        )
    )  # fmt: skip
    await tx.run(
        _INSERT,
        tenant_id=tenant.id, seq=entry.seq, time_ms=entry.time_ms, action=action, kind=actor.kind, id=actor.id,
        email=actor.email, session_id=actor.session_id, mfa_at_ms=actor.mfa_at_ms, ip=actor.ip,
        ceremony_id=ceremony_id, digest=digest, details=text, details_hash=entry.details_hash,
        previous=entry.previous, leaf=entry.leaf,
    )  # fmt: skip
    await _save_head(tx, tenant, size, merkle.extended(frontier, size - 1, bytes.fromhex(entry.leaf)), entry.leaf)
    return entry


async def _head(tx: Transaction, tenant: TenantScope, *, grow_by: int = 0) -> tuple[int, list[bytes], str]:
    """Where the log stands, with the row held until the commit."""
    row = await tx.one(_GROW, tenant_id=tenant.id, by=grow_by)
    if row is None:
        raise Unavailable("The tenant's audit log was not begun.", code="audit_unavailable")
    size, frontier, last_leaf = row
    return size, [bytes.fromhex(node) for node in json.loads(frontier)], last_leaf


async def _save_head(tx: Transaction, tenant: TenantScope, size: int, frontier: list[bytes], last_leaf: str) -> None:
    await tx.run(
        """update audit_heads set size = :size, frontier = :frontier, last_leaf = :last_leaf
        where tenant_id = :tenant_id""",
        tenant_id=tenant.id,
        size=size,
        frontier=json.dumps([node.hex() for node in frontier]),
        last_leaf=last_leaf,
    )


async def _set_witnessed(tx: Transaction, tenant: TenantScope, *, size: int, head_size: int) -> None:
    await tx.run(
        """insert into audit_witnessed (tenant_id, size, head_size) values (:tenant_id, :size, :head_size)
        on conflict (tenant_id) do update set size = excluded.size, head_size = excluded.head_size""",
        tenant_id=tenant.id,
        size=size,
        head_size=head_size,
    )
