"""The ticket itself: bound to one user, one identity and the exact address it was sent to; used once.

The link holds a random value, the row its SHA-256. Looking at a ticket does not use it, because mail scanners follow
links.
"""

from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any, Literal

import msgspec

from freehold.kernel.crypto.ids import new_token
from freehold.kernel.declare import Expiry, Stored, TenantScope
from freehold.kernel.store import Reader, Transaction
from freehold.kernel.store.schema import Column, Index, Table

Kind = Literal["email_verification", "password_change", "unblock", "mfa_enrollment"]
State = Literal["open", "used", "expired", "unknown"]
LIFETIME = timedelta(days=5)
LONGEST_VALUE = 100

TICKETS = Stored(
    table=Table(
        "tickets",
        (
            Column("tenant_id", "text"),
            Column("value_hash", "text"),
            Column("kind", "text"),
            Column("user_id", "text"),
            Column("payload", "text"),
            Column("expires_at_ms", "bigint"),
            Column("used_at_ms", "bigint", null=True),
        ),
        key=("tenant_id", "value_hash"),
        indexes=(Index(("tenant_id", "user_id", "value_hash")),),
    ),
    refs={"user_id": "users"},
    cascade=frozenset({"user_id"}),
    json_columns=frozenset({"payload"}),
    # Whoever opens an old link is told that it is old.
    expiry=(Expiry("expires_at_ms", kept_s=30 * 86_400),),
)


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What a link stands for. `payload`: identity, email, client_id, result_url, mark_email_as_verified ..."""

    kind: Kind
    user_id: str
    payload: Mapping[str, Any] = msgspec.field(default_factory=dict)


async def issue_ticket(tx: Transaction, tenant: TenantScope, ticket: Ticket, *, lifetime: timedelta = LIFETIME) -> str:
    """Store a ticket and answer the value for its link."""
    value = new_token()
    await tx.run(
        """insert into tickets (tenant_id, value_hash, kind, user_id, payload, expires_at_ms)
        values (:tenant_id, :value_hash, :kind, :user_id, :payload, :expires)""",
        tenant_id=tenant.id,
        value_hash=_hash(value),
        kind=ticket.kind,
        user_id=ticket.user_id,
        payload=msgspec.json.encode(ticket.payload).decode(),
        expires=tenant.clock.now_ms() + int(lifetime.total_seconds() * 1000),
    )
    return value


async def find_ticket(
    reader: Reader, tenant: TenantScope, value: str | None, kind: Kind
) -> tuple[State, Ticket | None]:
    """A ticket and what state it is in, without using it."""
    if not value or len(value) > LONGEST_VALUE:
        return "unknown", None
    row = await reader.one(
        """select user_id, payload, expires_at_ms, used_at_ms from tickets
        where tenant_id = :tenant_id and value_hash = :value_hash and kind = :kind""",
        tenant_id=tenant.id,
        value_hash=_hash(value),
        kind=kind,
    )
    if row is None:
        return "unknown", None
    ticket = Ticket(kind=kind, user_id=row[0], payload=msgspec.json.decode(row[1]))
    if row[3] is not None:
        return "used", ticket
    return ("expired" if row[2] <= tenant.clock.now_ms() else "open"), ticket


async def use_ticket(tx: Transaction, tenant: TenantScope, value: str, kind: Kind) -> bool:
    """Use a ticket; exactly one caller gets True.

    With one that sets a password or enrols a factor, every other such ticket of the user goes too.
    """
    now = tenant.clock.now_ms()
    won = await tx.run(
        """update tickets set used_at_ms = :now where tenant_id = :tenant_id and value_hash = :value_hash
        and kind = :kind and used_at_ms is null and expires_at_ms > :now""",
        now=now,
        tenant_id=tenant.id,
        value_hash=_hash(value),
        kind=kind,
    )
    if won and kind in {"password_change", "mfa_enrollment"}:
        await tx.run(
            """update tickets set used_at_ms = :now where tenant_id = :tenant_id and kind = :kind and used_at_ms is null
            and user_id = (select user_id from tickets where tenant_id = :tenant_id and value_hash = :value_hash)""",
            now=now,
            tenant_id=tenant.id,
            kind=kind,
            value_hash=_hash(value),
        )
    return won == 1


async def cancel_tickets(tx: Transaction, tenant: TenantScope, user_id: str, kind: Kind) -> None:
    """Make a user's open tickets of one kind worthless: what they were for has happened another way."""
    await tx.run(
        """update tickets set used_at_ms = :now where tenant_id = :tenant_id and user_id = :user_id and kind = :kind
        and used_at_ms is null""",
        now=tenant.clock.now_ms(),
        tenant_id=tenant.id,
        user_id=user_id,
        kind=kind,
    )


def _hash(value: str) -> str:
    return sha256(value.encode()).hexdigest()
