"""Who may act: looked up again at every step, because a role, a block or a key may have gone meanwhile."""

from collections.abc import Sequence
from datetime import timedelta

from freehold.domain.administrators import (
    Acting,
    Administrator,
    AdminSession,
    FreshAuthenticationNeeded,
    Role,
    RoleTooLow,
    SignInNeeded,
    find_administrator,
    list_administrators,
    same_person,
    sessions_of,
)
from freehold.domain.audit import AuditActor
from freehold.domain.ceremonies.policy import Policy
from freehold.domain.ceremonies.records import Ceremony
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Forbidden
from freehold.kernel.store import Reader

FRESH = timedelta(minutes=5)


class NotYours(Forbidden):
    """403: this step is for somebody else."""

    code = "not_yours"


class NotASecondPerson(Forbidden):
    """403: this administrator does not count as another person."""

    code = "not_a_second_person"


async def check_acting(
    reader: Reader, tenant: TenantScope, acting: Acting, *, role: Role = "admin"
) -> tuple[Administrator, AdminSession]:
    """The administrator and the session as they are now.

    Raises SignInNeeded, RoleTooLow, FreshAuthenticationNeeded: two factors must have been shown minutes ago.
    """
    person = await find_administrator(reader, tenant, acting.administrator.id)
    if person is None or person.blocked:
        raise SignInNeeded
    now = tenant.clock.now_ms()
    session = next((s for s in await sessions_of(reader, tenant, person.id) if s.id == acting.session.id), None)
    if session is None or min(session.expires_at_ms, session.idle_expires_at_ms) <= now:
        raise SignInNeeded
    if not person.may(role):
        raise RoleTooLow(role)
    since = now - int(FRESH.total_seconds() * 1000)
    if session.mfa_at_ms is None or "mfa" not in session.amr:
        raise FreshAuthenticationNeeded
    # A time to come is no fresh one: the clock was set back since.
    if not (since <= session.mfa_at_ms <= now and since <= session.authenticated_at_ms <= now):
        raise FreshAuthenticationNeeded
    return person, session


def actor_of(person: Administrator, session: AdminSession, ip: str) -> AuditActor:
    """How the audit log names somebody."""
    return AuditActor("administrator", person.id, person.email, session.id, session.mfa_at_ms, ip or session.ip)


async def requester_of(reader: Reader, tenant: TenantScope, ceremony: Ceremony) -> Administrator:
    """The requester, who must still be an administrator with all rights, under the same address. Raises Forbidden."""
    person = await find_administrator(reader, tenant, ceremony.requester_id)
    if person is None or person.blocked or not person.may("admin"):
        raise Forbidden("The requester is no administrator with all rights any more.", code="requester_gone")
    if person.email != ceremony.request.requester.email:
        raise Forbidden("The requester has another address now than in the request.", code="requester_changed")
    return person


async def check_distinct(
    reader: Reader, tenant: TenantScope, person: Administrator, others: Sequence[Administrator], policy: Policy
) -> None:
    """Refuse a person who is, as far as one can tell, one of the others. Raises NotASecondPerson."""
    for other in others:
        why = await same_person(reader, tenant, person, other, min_age_h=policy.second_person_min_age_h)
        if why is not None:
            raise NotASecondPerson(why)


async def is_sole(reader: Reader, tenant: TenantScope, requester: Administrator) -> bool:
    """Whether nobody else could confirm: no other administrator with all rights who is not blocked."""
    return not any(
        person.id != requester.id and not person.blocked and person.may("admin")
        for person in await list_administrators(reader, tenant)
    )
