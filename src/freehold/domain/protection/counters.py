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


Place = tuple[str, str, str]
"""Purpose, subject and address of a row."""


async def counts_of(reader: Reader, tenant: TenantScope, first: Place, second: Place) -> dict[str, tuple[int, int]]:
    """Count and end, in milliseconds, of two rows by their purpose, where they are there and not over."""
    rows = await reader.all(
        """select purpose, count, expires_at_ms from attempts where tenant_id = :tenant_id and expires_at_ms > :now
        and (purpose = :purpose_1 and subject = :subject_1 and ip = :ip_1
        or purpose = :purpose_2 and subject = :subject_2 and ip = :ip_2)""",
        tenant_id=tenant.id,
        now=tenant.clock.now_ms(),
        purpose_1=first[0],
        subject_1=first[1],
        ip_1=first[2],
        purpose_2=second[0],
        subject_2=second[1],
        ip_2=second[2],
    )
    return {purpose: (count, ends) for purpose, count, ends in rows}


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


_USE = """
insert into attempts (tenant_id, purpose, subject, ip, count, expires_at_ms)
values (:tenant_id, :purpose, '', :ip, 1, :now + :rate)
on conflict (tenant_id, purpose, subject, ip) do update set
count = attempts.count + 1,
noted_at_ms = case when attempts.expires_at_ms <= :now then null else attempts.noted_at_ms end,
expires_at_ms = case when attempts.expires_at_ms <= :now then :now else attempts.expires_at_ms end + :rate
where attempts.expires_at_ms <= :full
"""


async def use_one(tx: Transaction, tenant: TenantScope, purpose: str, ip: str, *, most: int, rate_ms: int) -> bool:
    """Use one of `most` tries, of which one comes back after each `rate_ms`; False when there is none.

    The row's end is when all are back (the generic cell rate algorithm), so it goes by itself.
    """
    now = tenant.clock.now_ms()
    return (
        await tx.run(
            _USE, tenant_id=tenant.id, purpose=purpose, ip=ip, now=now, rate=rate_ms, full=_full(now, most, rate_ms)
        )
        > 0
    )


def is_full(now: int, ends: int, *, most: int, rate_ms: int) -> bool:
    """Whether a row that ends then has no try left."""
    return ends > _full(now, most, rate_ms)


async def note_used_up(tx: Transaction, tenant: TenantScope, purpose: str, ip: str, *, most: int, rate_ms: int) -> bool:
    """True for one caller an hour after the last try was used, who then tells whom it concerns."""
    now = tenant.clock.now_ms()
    return (
        await tx.run(
            f"update attempts set noted_at_ms = :now where {_ROW} and expires_at_ms > :full "  # noqa: S608 - constant
            "and (noted_at_ms is null or noted_at_ms <= :before)",
            tenant_id=tenant.id,
            purpose=purpose,
            subject="",
            ip=ip,
            now=now,
            full=_full(now, most, rate_ms),
            before=now - 3_600_000,
        )
        > 0
    )


def _full(now: int, most: int, rate_ms: int) -> int:
    """The latest end of a row that has a try left."""
    return now + (most - 1) * rate_ms


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
