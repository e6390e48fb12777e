"""One attempt at a step: who makes it is checked anew, it happens wholly or not at all, and a refusal is recorded."""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
import rfc8785

from freehold.domain import audit
from freehold.domain.administrators import Acting, Administrator, AdminSession, Role
from freehold.domain.audit import AuditActor
from freehold.domain.ceremonies import clocks
from freehold.domain.ceremonies.notices import announce
from freehold.domain.ceremonies.people import actor_of, check_acting
from freehold.domain.ceremonies.policy import Policy, policy_in_force, policy_of
from freehold.domain.ceremonies.records import (
    CameWithAnArchive,
    Ceremony,
    ChangedMeanwhile,
    began_here,
    get_ceremony,
    move,
    note,
)
from freehold.domain.ceremonies.rollbacks import refusal_of_freeze
from freehold.domain.ceremonies.states import STEPS
from freehold.kernel.config import Settings
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import BadRequest, Conflict, FreeholdError, Unavailable
from freehold.kernel.store import Store, Transaction

KEY_LIFETIME = timedelta(days=1)
LONGEST_KEY = 200


class NotOffered(Conflict):
    """409: the operator does not offer exports to this tenant."""

    code = "not_offered"

    def __init__(self) -> None:
        super().__init__("The export ceremony is not offered on this tenant's plan.")


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What an administrator brings along to a step."""

    store: Store
    tenant: TenantScope
    settings: Settings
    acting: Acting
    ip: str = ""
    key: str = ""
    """The client's idempotency key; the same key with the same question gives the same answer and happens once."""

    @property
    def policy(self) -> Policy:
        """The policy in force now."""
        return policy_of(self.settings, self.tenant)

    def policy_for(self, ceremony: Ceremony) -> Policy:
        """What this ceremony demands: what it was requested under, and what has become stricter since."""
        return policy_in_force(self.settings, self.tenant, ceremony.request.policy)


class Acted(msgspec.Struct, frozen=True, kw_only=True):
    """The inside of a step: a transaction, and the person as they are now."""

    tx: Transaction
    tenant: TenantScope
    person: Administrator
    session: AdminSession
    actor: AuditActor
    policy: Policy

    async def move(self, ceremony: Ceremony, step: str, **options: Any) -> Ceremony:
        """Take a step of the table; everybody whom it concerns is told after the commit."""
        moved = await move(self.tx, self.tenant, ceremony, step, actor=self.actor, **options)
        if STEPS[step].notice:
            await announce(self.tx, self.tenant, moved, STEPS[step].notice, by=self.actor)
        return moved

    async def note(self, ceremony: Ceremony, action: str, *, details: dict[str, Any], notice: str = "") -> Ceremony:
        """Record what changes the ceremony without moving it."""
        noted = await note(self.tx, self.tenant, ceremony, action, actor=self.actor, details=details)
        if notice:
            await announce(self.tx, self.tenant, noted, notice, by=self.actor)
        return noted


Body = Callable[[Acted, Ceremony], Awaitable[Ceremony]]


async def perform(
    attempt: Attempt,
    name: str,
    ceremony_id: str,
    body: Body,
    *,
    asked: dict[str, Any] | None = None,
    version: int | None = None,
    role: Role = "admin",
    forward: bool = True,
) -> Ceremony:
    """Make the attempt at a ceremony that exists; its state afterwards.

    `version`: the one that the caller saw; another one is refused. `forward`: whether secrets come nearer to leaving.
    """
    tenant = attempt.tenant
    question = _question(name, ceremony_id, asked)
    try:
        async with attempt.store.transaction() as tx:
            person, session = await check_acting(tx, tenant, attempt.acting, role=role)
            done = await _taken(tx, attempt, question)
            if done is not None:
                return await get_ceremony(tx, tenant, done)
            if forward:
                await check_forward(tx, attempt)
            ceremony = await get_ceremony(tx, tenant, ceremony_id)
            if version is not None and ceremony.version != version:
                raise ChangedMeanwhile
            if not await began_here(tx, tenant, ceremony):
                raise CameWithAnArchive
            actor = actor_of(person, session, attempt.ip)
            policy = attempt.policy_for(ceremony)
            acted = Acted(tx=tx, tenant=tenant, person=person, session=session, actor=actor, policy=policy)
            changed = await body(acted, ceremony)
            await _remember(tx, attempt, question, changed.id)
            return changed
    except FreeholdError as error:
        await record_refusal(attempt, name, ceremony_id, error)
        raise


async def create(
    attempt: Attempt, name: str, body: Callable[[Acted], Awaitable[Ceremony]], asked: dict[str, Any]
) -> Ceremony:
    """Make an attempt that begins a ceremony."""
    tenant = attempt.tenant
    question = _question(name, "", asked)
    try:
        async with attempt.store.transaction() as tx:
            person, session = await check_acting(tx, tenant, attempt.acting)
            done = await _taken(tx, attempt, question)
            if done is not None:
                return await get_ceremony(tx, tenant, done)
            await check_forward(tx, attempt)
            actor = actor_of(person, session, attempt.ip)
            acted = Acted(tx=tx, tenant=tenant, person=person, session=session, actor=actor, policy=attempt.policy)
            made = await body(acted)
            await _remember(tx, attempt, question, made.id)
            return made
    except FreeholdError as error:
        await record_refusal(attempt, name, "", error)
        raise


async def earlier_answer(attempt: Attempt, name: str, ceremony_id: str, asked: dict[str, Any]) -> Ceremony | None:
    """The ceremony, when a call with this key has been made already; `perform` says so too, but only in the end.

    For steps that count tries or look at the ceremony before: they would refuse now what they have done.
    """
    if not attempt.key:
        return None
    try:
        async with attempt.store.transaction() as tx:
            await check_acting(tx, attempt.tenant, attempt.acting)
            done = await _taken(tx, attempt, _question(name, ceremony_id, asked))
            return None if done is None else await get_ceremony(tx, attempt.tenant, done)
    except FreeholdError as error:
        await record_refusal(attempt, name, ceremony_id, error)
        raise


async def check_forward(tx: Transaction, attempt: Attempt) -> None:
    """Refuse what a set clock, an older database or the operator's policy stops.

    Raises ClockJumped, RolledBack, NotOffered.
    """
    if not attempt.policy.offered:
        raise NotOffered
    if not await clocks.look(tx, attempt.tenant):
        raise await refusal_of_freeze(tx, attempt.tenant)


async def record_refusal(attempt: Attempt, name: str, ceremony_id: str, error: FreeholdError) -> None:
    """Let the audit log show an attempt that was refused; where the log itself is what fails, nothing can be said."""
    if error.code == "audit_unavailable":
        return
    if isinstance(error, clocks.ClockJumped):
        # What was seen of the clock went with the transaction; here it stays.
        async with attempt.store.transaction() as tx:
            await clocks.look(tx, attempt.tenant)
    acting = attempt.acting
    actor = actor_of(acting.administrator, acting.session, attempt.ip)
    try:
        async with attempt.store.transaction() as tx:
            await audit.record(
                tx, attempt.tenant, action="ceremony.refused", actor=actor, ceremony_id=ceremony_id[:64],
                details={"step": name, "code": error.code},
            )  # fmt: skip
    except Unavailable:
        return
    error.is_recorded = True


def _question(name: str, ceremony_id: str, asked: dict[str, Any] | None) -> str:
    return hashlib.sha256(rfc8785.dumps([name, ceremony_id, asked or {}])).hexdigest()


async def _taken(tx: Transaction, attempt: Attempt, question: str) -> str | None:
    """The ceremony that an earlier call with this key was about. Raises Conflict for a key used for something else."""
    if not attempt.key:
        return None
    if len(attempt.key) > LONGEST_KEY or not attempt.key.isprintable():
        raise BadRequest(f"An idempotency key has at most {LONGEST_KEY} printable characters.")
    row = await tx.one(
        """select asked, ceremony_id from ceremony_idempotency
        where tenant_id = :tenant_id and administrator_id = :id and key = :key and expires_at_ms > :now""",
        tenant_id=attempt.tenant.id,
        id=attempt.acting.administrator.id,
        key=attempt.key,
        now=attempt.tenant.clock.now_ms(),
    )
    if row is None:
        return None
    if row[0] != question:
        raise Conflict("This idempotency key was used for something else.", code="idempotency_key_reused")
    found: str = row[1]
    return found


async def _remember(tx: Transaction, attempt: Attempt, question: str, ceremony_id: str) -> None:
    if not attempt.key:
        return
    now = attempt.tenant.clock.now_ms()
    await tx.run(
        """delete from ceremony_idempotency
        where tenant_id = :tenant_id and administrator_id = :id and key = :key and expires_at_ms <= :now""",
        tenant_id=attempt.tenant.id,
        id=attempt.acting.administrator.id,
        key=attempt.key,
        now=now,
    )
    taken = await tx.run(
        """insert into ceremony_idempotency (tenant_id, administrator_id, key, asked, ceremony_id, expires_at_ms)
        values (:tenant_id, :id, :key, :asked, :ceremony_id, :expires)
        on conflict (tenant_id, administrator_id, key) do nothing""",
        tenant_id=attempt.tenant.id,
        id=attempt.acting.administrator.id,
        key=attempt.key,
        asked=question,
        ceremony_id=ceremony_id,
        expires=now + int(KEY_LIFETIME.total_seconds() * 1000),
    )
    if not taken:
        raise ChangedMeanwhile
