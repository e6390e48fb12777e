"""Who is blocked after too many failures, and the end of it."""

import msgspec

from freehold.domain.protection.brute_force import purpose_of
from freehold.domain.protection.settings import BRUTE_FORCE, BruteForce
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.store import Reader, Transaction

_SIGN_IN = purpose_of("")


class Block(msgspec.Struct, frozen=True):
    """A place from which a user cannot sign in to a connection."""

    connection: str
    subject: str
    ip: str


async def blocks_of(reader: Reader, tenant: TenantScope, subject: str) -> list[Block]:
    """The places that are blocked for a canonical identifier, see `users.attempt_subject`."""
    rules: BruteForce = await documents.singleton(reader, tenant, BRUTE_FORCE)
    rows = await reader.all(
        """select purpose, ip from attempts where tenant_id = :tenant_id and subject = :subject and count >= :limit
        and expires_at_ms > :now order by purpose, ip""",
        tenant_id=tenant.id,
        subject=subject,
        limit=rules.max_attempts,
        now=tenant.clock.now_ms(),
    )
    return [Block(purpose.removeprefix(_SIGN_IN), subject, ip) for purpose, ip in rows if purpose.startswith(_SIGN_IN)]


async def unblock(tx: Transaction, tenant: TenantScope, subject: str) -> None:
    """Let the failures of all places count anew, whatever the connection."""
    purposes = await tx.all(
        "select distinct purpose from attempts where tenant_id = :tenant_id and subject = :subject",
        tenant_id=tenant.id,
        subject=subject,
    )
    for (purpose,) in purposes:
        if purpose.startswith(_SIGN_IN):
            await tx.run(
                "delete from attempts where tenant_id = :tenant_id and subject = :subject and purpose = :purpose",
                tenant_id=tenant.id,
                subject=subject,
                purpose=purpose,
            )
