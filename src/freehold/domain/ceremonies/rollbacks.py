"""An older copy of the database that was put back, noticed by the file of audit lines beside it.

The last signed head in that file is then of a history which this database does not have. What such a copy holds may
have been ended, destroyed or refused since, so nothing of it goes on, and nothing new begins until the operator has
looked.
"""

from typing import Any

from freehold.domain import audit
from freehold.domain.audit import OPERATOR, SYSTEM_ACTOR, TreeHead
from freehold.domain.ceremonies.clocks import ClockJumped
from freehold.kernel import log
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Conflict
from freehold.kernel.store import Reader, Store, Transaction

NO_JUMP = 0
"""What a freeze says where it is not for a clock that jumped."""

_log = log.get_logger("ceremonies")


class RolledBack(Conflict):
    """409: an older copy of the database was put back; nothing goes forward until the operator has accepted it."""

    code = "audit_rolled_back"

    def __init__(self) -> None:
        super().__init__("An older copy of the database was put back. The server's operator has to look at it first.")


async def look(tx: Transaction, tenant: TenantScope, head: TreeHead) -> bool:
    """Whether this database has the history that the head was signed for; where it has not, ceremonies freeze."""
    where: dict[str, Any] = {"tenant_id": tenant.id}
    known = await tx.one(
        "select root from audit_checkpoints where tenant_id = :tenant_id and size = :size", **where, size=head.size
    )
    if known is not None and known[0] == head.root:
        return not await is_rolled_back(tx, tenant)
    if await is_rolled_back(tx, tenant):
        return False
    await tx.run(
        """insert into ceremony_freezes (tenant_id, since_ms, jump_ms) values (:tenant_id, :now, :none)
        on conflict (tenant_id) do update set since_ms = excluded.since_ms, jump_ms = excluded.jump_ms""",
        **where, now=tenant.clock.now_ms(), none=NO_JUMP,
    )  # fmt: skip
    await audit.record(
        tx, tenant, action="ceremony.rolled_back", actor=SYSTEM_ACTOR, details={"size": head.size, "root": head.root}
    )
    _log.error("database_rolled_back", tenant_id=tenant.id, size=head.size)
    return False


async def is_rolled_back(reader: Reader, tenant: TenantScope) -> bool:
    """Whether ceremonies of the tenant are frozen for this reason."""
    found = await reader.one(
        "select 1 from ceremony_freezes where tenant_id = :tenant_id and jump_ms = :none",
        tenant_id=tenant.id,
        none=NO_JUMP,
    )
    return found is not None


async def refusal_of_freeze(reader: Reader, tenant: TenantScope) -> Conflict:
    """Why nothing goes forward."""
    return RolledBack() if await is_rolled_back(reader, tenant) else ClockJumped()


async def accept(store: Store, tenant: TenantScope) -> bool:
    """The operator has looked: from here on this database's log is the log. False when nothing was frozen.

    The caller has put the file of the other history aside; everything is handed over to a new one.
    """
    async with store.transaction() as tx:
        await tx.run("delete from audit_witnessed where tenant_id = :tenant_id", tenant_id=tenant.id)
        thawed = await tx.run(
            "delete from ceremony_freezes where tenant_id = :tenant_id and jump_ms = :none",
            tenant_id=tenant.id,
            none=NO_JUMP,
        )
        if thawed:
            await audit.record(tx, tenant, action="audit.accepted", actor=OPERATOR, details={})
    return thawed > 0
