"""What administrators do, in the tenant's records, with who did it and from where."""

from typing import Any

import msgspec

from freehold.domain import audit
from freehold.domain.administrators.people import OPERATOR, Administrator
from freehold.domain.administrators.sessions import AdminSession
from freehold.domain.audit import AuditActor
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Transaction

LONGEST_TEXT = 400


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever does something: an administrator in a session, somebody who is signing in, or the operator."""

    kind: str
    """`administrator`, `anonymous` or `operator`."""
    id: str = ""
    email: str = ""
    session_id: str = ""
    mfa_at_ms: int | None = None
    ip: str = ""
    user_agent: str = ""

    @property
    def name(self) -> str:
        """What an account that this one makes, or a link that it sends, is recorded under."""
        return self.id or self.kind


THE_OPERATOR = Who(kind=OPERATOR)


def acting_as(person: Administrator, session: AdminSession, *, ip: str, user_agent: str = "") -> Who:
    """An administrator who is signed in."""
    return Who(
        kind="administrator",
        id=person.id,
        email=person.email,
        session_id=session.id,
        mfa_at_ms=session.mfa_at_ms,
        ip=ip,
        user_agent=user_agent,
    )


def signing_in_as(person: Administrator | None, *, email: str = "", ip: str = "", user_agent: str = "") -> Who:
    """Somebody who has no session yet: an administrator, or whoever claims to be one."""
    if person is None:
        return Who(kind="anonymous", email=email[:LONGEST_TEXT], ip=ip, user_agent=user_agent)
    return Who(kind="administrator", id=person.id, email=person.email, ip=ip, user_agent=user_agent)


async def note(tx: Transaction, tenant: TenantScope, action: str, who: Who, **details: Any) -> None:
    """Record one thing that happened, in the transaction in which it does.

    What people do who are nobody here goes to the tenant's log, which forgets: nobody fills the audit log from outside.
    """
    if who.kind == "anonymous":
        await tenant.events.record(
            tx, tenant, "fu", description=f"Dashboard: {details.get('reason', action)}", user_name=who.email or None,
            ip=who.ip or None, user_agent=who.user_agent or None,
        )  # fmt: skip
        return
    actor = AuditActor(who.kind, who.id, who.email, who.session_id, who.mfa_at_ms, who.ip)
    if who.user_agent:
        details["user_agent"] = who.user_agent[:LONGEST_TEXT]
    await audit.record(tx, tenant, action=action, actor=actor, details=details)
