"""Every way out, at every state; and the operator's part."""

from freehold.domain.audit import OPERATOR
from freehold.domain.ceremonies import clocks
from freehold.domain.ceremonies.attempts import Acted, Attempt, perform
from freehold.domain.ceremonies.people import NotYours
from freehold.domain.ceremonies.pieces import add_piece
from freehold.domain.ceremonies.progress import advance, order_removal
from freehold.domain.ceremonies.records import Ceremony, get_ceremony
from freehold.domain.ceremonies.states import WITH_FILE
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store

LONGEST_REASON = 500


async def cancel(attempt: Attempt, ceremony_id: str, *, reason: str = "", version: int | None = None) -> Ceremony:
    """Any administrator with all rights ends a ceremony, at every state; a file that is there is removed."""

    async def body(acted: Acted, ceremony: Ceremony) -> Ceremony:
        if ceremony.state == "draft" and acted.person.id != ceremony.requester_id:
            raise NotYours("A draft is its author's.")
        return await _cancelled(acted, ceremony, reason)

    return await perform(attempt, "cancel", ceremony_id, body, asked={"reason": reason}, version=version, forward=False)


async def review(store: Store, tenant: TenantScope, ceremony_id: str, *, passed: bool, reason: str = "") -> Ceremony:
    """The operator's review, where the policy wants one. Raises WrongState."""
    async with store.transaction() as tx:
        ceremony = await get_ceremony(tx, tenant, ceremony_id)
        step = "pass_review" if passed else "reject"
        moved = await advance(tx, tenant, ceremony, step, actor=OPERATOR, reason=_cut(reason))
        if passed:
            await add_piece(tx, tenant, moved, "review", subject="operator", details={"reason": _cut(reason)})
        return moved


async def end_by_operator(store: Store, tenant: TenantScope, ceremony_id: str, *, reason: str) -> Ceremony:
    """The operator ends a ceremony: before there is a file it is cancelled, afterwards the file is removed."""
    async with store.transaction() as tx:
        ceremony = await get_ceremony(tx, tenant, ceremony_id)
        if ceremony.state in WITH_FILE:
            moved = await advance(tx, tenant, ceremony, "withdraw", actor=OPERATOR, reason=_cut(reason) or "operator")
            await order_removal(tx, tenant, moved)
            return moved
        if ceremony.state == "expired" and ceremony.is_active:
            await order_removal(tx, tenant, ceremony)
            return ceremony
        return await advance(tx, tenant, ceremony, "cancel", actor=OPERATOR, reason=_cut(reason) or "operator")


async def confirm_clock(store: Store, tenant: TenantScope) -> bool:
    """The operator says that the clock is right; False when nothing was frozen."""
    async with store.transaction() as tx:
        return await clocks.confirm(tx, tenant)


async def _cancelled(acted: Acted, ceremony: Ceremony, reason: str) -> Ceremony:
    if ceremony.state in WITH_FILE:
        moved = await acted.move(ceremony, "withdraw", reason=_cut(reason) or "cancelled")
        await order_removal(acted.tx, acted.tenant, moved)
        return moved
    return await acted.move(ceremony, "cancel", reason=_cut(reason) or "cancelled")


def _cut(reason: str) -> str:
    return "".join(c for c in reason if c.isprintable())[:LONGEST_REASON]
