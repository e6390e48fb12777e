"""A wall clock that was set stops what it could have hastened.

Waiting times are wall times, which somebody may set. So beside each reading of the wall clock stands one of a clock
that nobody can set; when the two drift apart by more than five minutes, or the wall clock goes back behind what this
installation has seen, ceremonies freeze until the operator has looked. What takes secrets away is never frozen.
"""

from typing import Any

from freehold.domain import audit
from freehold.domain.audit import OPERATOR, SYSTEM_ACTOR
from freehold.kernel import log
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Conflict
from freehold.kernel.store import Reader, Transaction

TOLERATED_MS = 5 * 60_000

_log = log.get_logger("ceremonies")


class ClockJumped(Conflict):
    """409: the server's clock was set; nothing goes forward until the operator has confirmed it."""

    code = "clock_jumped"

    def __init__(self) -> None:
        super().__init__("The server's clock was set. Its operator has to confirm the time first.")


async def look(tx: Transaction, tenant: TenantScope) -> bool:
    """Compare the clocks and remember the reading; False when ceremonies are frozen."""
    wall, steady, start = tenant.clock.now_ms(), tenant.clock.steady_ms(), tenant.clock.start_id()
    where: dict[str, Any] = {"tenant_id": tenant.id}
    row = await tx.one(
        "select wall_ms, steady_ms from ceremony_clocks where tenant_id = :tenant_id and start_id = :start_id",
        **where, start_id=start,
    )  # fmt: skip
    latest = await tx.one("select max(wall_ms) from ceremony_clocks where tenant_id = :tenant_id", **where)
    jump = 0
    if row is not None:
        jump = (wall - row[0]) - (steady - row[1])
    elif latest is not None and latest[0] is not None and latest[0] > wall:
        jump = wall - latest[0]
    if await is_frozen(tx, tenant):
        return False
    if abs(jump) > TOLERATED_MS:
        await tx.run(
            """insert into ceremony_freezes (tenant_id, since_ms, jump_ms) values (:tenant_id, :now, :jump)
            on conflict (tenant_id) do nothing""",
            **where, now=wall, jump=jump,
        )  # fmt: skip
        await audit.record(tx, tenant, action="ceremony.clock_jumped", actor=SYSTEM_ACTOR, details={"jump_ms": jump})
        _log.error("clock_jumped", tenant_id=tenant.id, jump_ms=jump)
        return False
    if row is None:
        await _set_base(tx, tenant)
    return True


async def is_frozen(reader: Reader, tenant: TenantScope) -> bool:
    """Whether ceremonies of the tenant are frozen."""
    return await reader.one(
        "select 1 from ceremony_freezes where tenant_id = :tenant_id", tenant_id=tenant.id
    ) is not None  # fmt: skip


async def confirm(tx: Transaction, tenant: TenantScope) -> bool:
    """The operator says that the clock is right as it is; False when nothing was frozen."""
    thawed = await tx.run(
        "delete from ceremony_freezes where tenant_id = :tenant_id and jump_ms <> 0", tenant_id=tenant.id
    )
    await tx.run("delete from ceremony_clocks where tenant_id = :tenant_id", tenant_id=tenant.id)
    await _set_base(tx, tenant)
    if thawed:
        await audit.record(tx, tenant, action="ceremony.clock_confirmed", actor=OPERATOR, details={})
    return thawed > 0


async def _set_base(tx: Transaction, tenant: TenantScope) -> None:
    # The first reading since a start stays: comparing with the latest one would let a clock creep.
    await tx.run(
        """insert into ceremony_clocks (tenant_id, start_id, wall_ms, steady_ms)
        values (:tenant_id, :start_id, :wall, :steady) on conflict (tenant_id, start_id) do nothing""",
        tenant_id=tenant.id,
        start_id=tenant.clock.start_id(),
        wall=tenant.clock.now_ms(),
        steady=tenant.clock.steady_ms(),
    )
