"""The right to begin one download: good for a minute, for one session, once.

A ticket that has begun a download can continue it while its minute lasts; whoever comes later asks for another, which
takes a fresh sign-in but no second start from the beginning.
"""

from datetime import timedelta
from hashlib import sha256

import msgspec

from freehold.domain.audit import AuditActor
from freehold.kernel.crypto.ids import new_token
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Transaction
from freehold.surfaces.ceremony.delivery.access import record_access
from freehold.surfaces.ceremony.delivery.artefacts import Artefact, Gone, released_to
from freehold.surfaces.ceremony.delivery.deadlines import UptimeReader, read_uptime

LIFETIME = timedelta(seconds=60)
_LIFETIME_MS = int(LIFETIME.total_seconds() * 1000)


class Ticket(msgspec.Struct, frozen=True):
    """A ticket that was found."""

    value_hash: str
    artefact_id: str
    administrator_id: str
    session_id: str
    expires_at_ms: int
    opened_at_ms: int | None

    def is_over(self, now_ms: int) -> bool:
        """Whether its minute has passed, or is still to come because the clock was set back."""
        return not 0 < self.expires_at_ms - now_ms <= _LIFETIME_MS


async def issue_ticket(
    tx: Transaction, tenant: TenantScope, artefact_id: str, actor: AuditActor, *, uptime: UptimeReader = read_uptime
) -> tuple[str, Artefact]:
    """A ticket for the administrator and session of `actor`, who has just shown both factors. Raises Gone."""
    artefact, _ = await released_to(tx, tenant, artefact_id, actor.id, uptime=uptime)
    value, now_ms = new_token(), tenant.clock.now_ms()
    await tx.run(
        """insert into download_tickets (tenant_id, value_hash, artefact_id, administrator_id, session_id,
        created_at_ms, expires_at_ms)
        values (:tenant_id, :value_hash, :artefact_id, :administrator_id, :session_id, :now_ms, :expires_at_ms)""",
        tenant_id=tenant.id,
        value_hash=hash_of(value),
        artefact_id=artefact.id,
        administrator_id=actor.id,
        session_id=actor.session_id,
        now_ms=now_ms,
        expires_at_ms=now_ms + _LIFETIME_MS,
    )
    await record_access(tx, tenant, artefact, actor, "asked")
    return value, artefact


async def find_ticket(reader: Reader, tenant: TenantScope, value: str) -> Ticket | None:
    """The ticket, also one that is over."""
    row = await reader.one(
        """select value_hash, artefact_id, administrator_id, session_id, expires_at_ms, opened_at_ms
        from download_tickets where tenant_id = :tenant_id and value_hash = :value_hash""",
        tenant_id=tenant.id,
        value_hash=hash_of(value),
    )
    return None if row is None else Ticket(*row)


async def open_ticket(tx: Transaction, tenant: TenantScope, ticket: Ticket, *, start: int) -> bool:
    """Use the ticket; true when this began the download, false when it continues it. Raises Gone."""
    now_ms = tenant.clock.now_ms()
    if not ticket.is_over(now_ms) and await tx.run(
        """update download_tickets set opened_at_ms = :now_ms where tenant_id = :tenant_id
        and value_hash = :value_hash and opened_at_ms is null""",
        tenant_id=tenant.id,
        value_hash=ticket.value_hash,
        now_ms=now_ms,
    ):
        return True
    if ticket.is_over(now_ms):
        raise Gone("The link was good for a minute, which is over. Ask for another.", code="ticket_expired")
    if start == 0:
        raise Gone("The link has been used. Ask for another.", code="ticket_used")
    return False


def hash_of(value: str) -> str:
    """The form in which a ticket is stored; its 256 random bits need no key."""
    return sha256(value.encode()).hexdigest()
