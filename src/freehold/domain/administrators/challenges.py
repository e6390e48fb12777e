"""What is asked of one browser and answered once, in minutes: the second half of a sign-in, a passkey's signature.

The value is random; the row holds its SHA-256, and what the browser must show besides (`bound_to`).
"""

from datetime import timedelta
from hmac import compare_digest
from typing import Literal

import msgspec

from freehold.domain.sessions.tokens import hashed, new_secret, plausible
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Transaction

Purpose = Literal["second_factor", "passkey"]
LIFETIME = timedelta(minutes=10)


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """One open question."""

    value_hash: str
    administrator_id: str | None
    payload: str


async def put_challenge(
    tx: Transaction,
    tenant: TenantScope,
    purpose: Purpose,
    *,
    bound_to: str,
    administrator_id: str | None = None,
    payload: str = "",
) -> str:
    """Ask something; the value names the question."""
    value, value_hash = new_secret()
    await tx.run(
        """insert into administrator_challenges (tenant_id, value_hash, purpose, bound_to, administrator_id, payload,
        expires_at_ms) values (:tenant_id, :value_hash, :purpose, :bound_to, :administrator_id, :payload, :expires)""",
        tenant_id=tenant.id,
        value_hash=value_hash,
        purpose=purpose,
        bound_to=hashed(bound_to),
        administrator_id=administrator_id,
        payload=payload,
        expires=tenant.clock.now_ms() + int(LIFETIME.total_seconds() * 1000),
    )
    return value


async def find_challenge(
    reader: Reader, tenant: TenantScope, purpose: Purpose, value: str | None, *, bound_to: str | None
) -> Challenge | None:
    """The question, if it is still open and was put to this browser."""
    if not value or not bound_to or not plausible(value):
        return None
    row = await reader.one(
        """select bound_to, administrator_id, payload from administrator_challenges where tenant_id = :tenant_id
        and value_hash = :value_hash and purpose = :purpose and expires_at_ms > :now""",
        tenant_id=tenant.id,
        value_hash=hashed(value),
        purpose=purpose,
        now=tenant.clock.now_ms(),
    )
    if row is None or not compare_digest(row[0], hashed(bound_to)):
        return None
    return Challenge(value_hash=hashed(value), administrator_id=row[1], payload=row[2])


async def close_challenge(tx: Transaction, tenant: TenantScope, challenge: Challenge) -> bool:
    """Take the answer: exactly one caller gets True."""
    return (
        await tx.run(
            "delete from administrator_challenges where tenant_id = :tenant_id and value_hash = :value_hash",
            tenant_id=tenant.id,
            value_hash=challenge.value_hash,
        )
        > 0
    )
