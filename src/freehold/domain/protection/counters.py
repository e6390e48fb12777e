"""Counting what somebody may try only so often, atomically and for all server processes together."""

from datetime import timedelta

from freehold.kernel.declare import Ephemeral, Expiry, TenantScope
from freehold.kernel.store import Reader, Transaction
from freehold.kernel.store.schema import Column, Index, Table

ATTEMPTS = Ephemeral(
    table=Table(
        "attempts",
        (
            Column("tenant_id", "text"),
            Column("purpose", "text"),
            Column("subject", "text"),
            Column("ip", "text"),
            Column("count", "bigint"),
            Column("noted_at_ms", "bigint", null=True),
            Column("expires_at_ms", "bigint"),
        ),
        key=("tenant_id", "purpose", "subject", "ip"),
        indexes=(Index(("tenant_id", "subject")),),
    ),
    because="Who is guessing at one server has to begin anew at another; counts only say what happened lately here.",
    expiry=(Expiry("expires_at_ms"),),
)

_ROW = "tenant_id = :tenant_id and purpose = :purpose and subject = :subject and ip = :ip"
_TAKE = """
insert into attempts (tenant_id, purpose, subject, ip, count, expires_at_ms)
values (:tenant_id, :purpose, :subject, :ip, 1, :expires)
on conflict (tenant_id, purpose, subject, ip) do update set
count = case when attempts.expires_at_ms <= :now then 1 else attempts.count + 1 end,
noted_at_ms = case when attempts.expires_at_ms <= :now then null else attempts.noted_at_ms end,
expires_at_ms = :expires
where attempts.count < :limit or attempts.expires_at_ms <= :now
"""


async def count_of(reader: Reader, tenant: TenantScope, purpose: str, subject: str, ip: str = "") -> int:
    """How many places are taken."""
    row = await reader.one(
        f"select count from attempts where {_ROW} and expires_at_ms > :now",  # noqa: S608 - constant
        tenant_id=tenant.id,
        purpose=purpose,
        subject=subject,
        ip=ip,
        now=tenant.clock.now_ms(),
    )
    return 0 if row is None else int(row[0])


async def take_place(
    tx: Transaction, tenant: TenantScope, purpose: str, subject: str, ip: str = "", *, limit: int, lasts: timedelta
) -> bool:
    """Take one of `limit` places; False when there is none left. The count is forgotten that long after the last."""
    now = tenant.clock.now_ms()
    return (
        await tx.run(
            _TAKE,
            tenant_id=tenant.id,
            purpose=purpose,
            subject=subject,
            ip=ip,
            limit=limit,
            now=now,
            expires=now + int(lasts.total_seconds() * 1000),
        )
        > 0
    )


async def give_back(tx: Transaction, tenant: TenantScope, purpose: str, subject: str, ip: str = "") -> None:
    """Give a place back that came to nothing."""
    await tx.run(
        f"update attempts set count = count - 1 where {_ROW} and count > 0",  # noqa: S608 - constant
        tenant_id=tenant.id,
        purpose=purpose,
        subject=subject,
        ip=ip,
    )


async def note_once(
    tx: Transaction, tenant: TenantScope, purpose: str, subject: str, ip: str = "", *, limit: int
) -> bool:
    """True for exactly one caller after all places have been taken, who then tells whom it concerns."""
    return (
        await tx.run(
            f"update attempts set noted_at_ms = :now where {_ROW} and count >= :limit and noted_at_ms is null",  # noqa: S608 - constant
            tenant_id=tenant.id,
            purpose=purpose,
            subject=subject,
            ip=ip,
            limit=limit,
            now=tenant.clock.now_ms(),
        )
        > 0
    )


async def forget(tx: Transaction, tenant: TenantScope, purpose: str, subject: str, ip: str | None = None) -> int:
    """Begin to count anew, for one address or, without one, for all; how many counts that were."""
    return await tx.run(
        "delete from attempts where tenant_id = :tenant_id and purpose = :purpose and subject = :subject "
        "and (:every = 1 or ip = :ip)",
        tenant_id=tenant.id,
        purpose=purpose,
        subject=subject,
        every=int(ip is None),
        ip=ip or "",
    )
