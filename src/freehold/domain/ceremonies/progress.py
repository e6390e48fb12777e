"""What happens by itself: waiting, preparing, the file, its removal. Every function may be called again."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from freehold.domain.audit import SYSTEM_ACTOR, AuditActor
from freehold.domain.ceremonies import clocks
from freehold.domain.ceremonies.completeness import Incomplete, check_complete, valid_approvers
from freehold.domain.ceremonies.notices import announce
from freehold.domain.ceremonies.people import is_sole, requester_of
from freehold.domain.ceremonies.pieces import Piece
from freehold.domain.ceremonies.policy import Policy, Reason, from_snapshot
from freehold.domain.ceremonies.records import Ceremony, WrongState, move, note
from freehold.domain.ceremonies.states import STEPS
from freehold.kernel.clock import iso
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Conflict
from freehold.kernel.store import Reader, Transaction

REMINDER_MS = 86_400_000
"""So often a waiting export is brought to mind."""
TOPIC_BUILD = "ceremony.build"
TOPIC_DESTROY = "ceremony.destroy"


class Artefact(msgspec.Struct, frozen=True, kw_only=True):
    """The finished file, as the ceremony remembers it after it is gone."""

    id: str
    size: int
    sha256: str
    store_key: str
    counts: dict[str, Any]
    recipients: tuple[str, ...]
    created_at_ms: int
    expires_at_ms: int
    signed_by: str = ""
    """The fingerprint of the tenant's key that signed it; empty when none did."""


class Gone(Conflict):
    """409: there is no file that could be had, not yet or not any more."""

    code = "no_artefact"

    def __init__(self, state: str) -> None:
        super().__init__(f"There is no file to be had: the ceremony is in the state {state}.")


async def advance(
    tx: Transaction,
    tenant: TenantScope,
    ceremony: Ceremony,
    step: str,
    *,
    actor: AuditActor = SYSTEM_ACTOR,
    **options: Any,
) -> Ceremony:
    """Take a step that the server takes by itself, and tell those whom it concerns."""
    moved = await move(tx, tenant, ceremony, step, actor=actor, **options)
    if STEPS[step].notice:
        await announce(tx, tenant, moved, STEPS[step].notice, by=actor)
    return moved


async def settle(tx: Transaction, tenant: TenantScope, ceremony: Ceremony, policy: Policy) -> Ceremony:
    """Go on when all that is required is there; otherwise nothing happens."""
    if ceremony.state != "requirements_pending":
        return ceremony
    try:
        evidence = await check_complete(tx, tenant, ceremony, tenant.clock.now(), policy=policy)
    except Incomplete:
        return ceremony
    done = await advance(tx, tenant, ceremony, "complete")
    reasons = await reasons_to_wait(tx, tenant, done, evidence.pieces, policy)
    if not reasons:
        return await prepare_when_due(tx, tenant, done, policy)
    now = tenant.clock.now_ms()
    until = now + int(timedelta(hours=policy.waiting_h).total_seconds() * 1000)
    waiting = await advance(
        tx, tenant, done, "wait", not_before_ms=until, deadline_ms=now + REMINDER_MS,
        details={"not_before": iso(until), "reasons": reasons},
    )  # fmt: skip
    return await prepare_when_due(tx, tenant, waiting, policy)


async def reasons_to_wait(
    reader: Reader, tenant: TenantScope, ceremony: Ceremony, pieces: Sequence[Piece], policy: Policy
) -> list[Reason]:
    """Why the policy wants this one to wait."""
    since = tenant.clock.now_ms() - int(timedelta(hours=policy.waiting_h).total_seconds() * 1000)
    found: set[Reason] = set()
    if "always" in policy.waiting_for:
        found.add("always")
    requester = await requester_of(reader, tenant, ceremony)
    if await is_sole(reader, tenant, requester):
        found.add("sole_administrator")
    for recipient in ceremony.request.recipients:
        row = await reader.one(
            """select min(accepted_at_ms) from ceremony_evidence
            where tenant_id = :tenant_id and kind = 'recipient_key' and subject = :fingerprint""",
            tenant_id=tenant.id,
            fingerprint=recipient.fingerprint,
        )
        if row is None or row[0] is None or row[0] > since:
            found.add("new_key")
    for person in await valid_approvers(reader, tenant, ceremony, pieces, policy):
        if max(person.created_at_ms, person.totp_since_ms or 0, person.reset_at_ms or 0) > since:
            found.add("new_approver")
    return sorted(found & set(policy.waiting_for))


async def prepare_when_due(tx: Transaction, tenant: TenantScope, ceremony: Ceremony, policy: Policy) -> Ceremony:
    """Order the file when nothing has to be waited for any more; otherwise nothing happens. Raises Incomplete."""
    if ceremony.state not in {"requirements_complete", "waiting"} or not is_due(tenant, ceremony):
        return ceremony
    if await clocks.is_frozen(tx, tenant):
        return ceremony
    await check_complete(tx, tenant, ceremony, tenant.clock.now(), policy=policy)
    moved = await advance(tx, tenant, ceremony, "prepare")
    await tx.enqueue(TOPIC_BUILD, tenant.id, ceremony.id.encode())
    return moved


def is_due(tenant: TenantScope, ceremony: Ceremony) -> bool:
    """Whether the waiting is over, by the wall clock and, since this start of the machine, by the steady one."""
    clock = tenant.clock
    if clock.now_ms() < (ceremony.not_before_ms or 0):
        return False
    if ceremony.steady_not_before_ms is None or ceremony.start_id != clock.start_id():
        return True
    return clock.steady_ms() >= ceremony.steady_not_before_ms


async def finish_build(tx: Transaction, tenant: TenantScope, ceremony: Ceremony, *, artefact: Artefact) -> Ceremony:
    """The file is there: in the caller's transaction with its rows. Raises WrongState, ChangedMeanwhile, Incomplete."""
    if ceremony.state != "preparing":
        raise WrongState(ceremony.state)
    if await clocks.is_frozen(tx, tenant):
        raise clocks.ClockJumped
    policy = from_snapshot(ceremony.request.policy)
    await check_complete(tx, tenant, ceremony, tenant.clock.now(), policy=policy)
    latest = artefact.created_at_ms + ceremony.request.retention_days * 86_400_000
    if artefact.expires_at_ms > latest:
        raise Incomplete("kept_too_long", "The file would be kept longer than was requested.")
    shown = msgspec.to_builtins(artefact)
    return await advance(
        tx, tenant, ceremony, "finish_build", artefact=shown, deadline_ms=artefact.expires_at_ms,
        details={"artefact": shown},
    )  # fmt: skip


async def fail_build(tx: Transaction, tenant: TenantScope, ceremony: Ceremony, *, reason: str) -> Ceremony:
    """There will be no file; a new ceremony is needed. Raises WrongState."""
    return await advance(tx, tenant, ceremony, "fail", reason=reason[:500])


async def record_access(
    tx: Transaction, tenant: TenantScope, ceremony: Ceremony, *, actor: AuditActor, details: dict[str, Any]
) -> Ceremony:
    """Somebody has begun to fetch the file or a part of it. Raises Gone."""
    check_available(tenant, ceremony)
    noted = await note(tx, tenant, ceremony, "access", actor=actor, details=details)
    await announce(tx, tenant, noted, "downloaded", by=actor)
    return noted


async def record_download(
    tx: Transaction, tenant: TenantScope, ceremony: Ceremony, *, actor: AuditActor, details: dict[str, Any]
) -> Ceremony:
    """Somebody has the file completely. The policy may want it removed at once, or after so many times. Raises Gone."""
    check_available(tenant, ceremony)
    if ceremony.state == "ready":
        done = await move(tx, tenant, ceremony, "download", actor=actor, details=details, downloads=1)
        await announce(tx, tenant, done, "downloaded", by=actor)
    else:
        done = await note(tx, tenant, ceremony, "download_again", actor=actor, details=details, downloads=1)
    policy = from_snapshot(ceremony.request.policy)
    if policy.remove_after_download or done.downloads >= ceremony.request.download_limit:
        return await expire(tx, tenant, done, reason="downloaded")
    return done


def check_available(tenant: TenantScope, ceremony: Ceremony) -> None:
    """Refuse when there is no file to be had now. Raises Gone."""
    if ceremony.state not in {"ready", "downloaded"}:
        raise Gone(ceremony.state)
    if tenant.clock.now_ms() >= (ceremony.deadline_ms or 0):
        raise Gone("expired")
    if ceremony.downloads >= ceremony.request.download_limit:
        raise Gone("downloaded")


async def expire(
    tx: Transaction, tenant: TenantScope, ceremony: Ceremony, *, reason: str, actor: AuditActor = SYSTEM_ACTOR
) -> Ceremony:
    """From here on the file cannot be had; its removal is ordered. Raises WrongState."""
    moved = await move(tx, tenant, ceremony, "expire", actor=actor, reason=reason)
    await order_removal(tx, tenant, moved)
    return moved


async def order_removal(tx: Transaction, tenant: TenantScope, ceremony: Ceremony) -> None:
    """Put the removal of file and key into the queue."""
    await tx.enqueue(TOPIC_DESTROY, tenant.id, ceremony.id.encode())


async def finish_removal(
    tx: Transaction,
    tenant: TenantScope,
    ceremony: Ceremony,
    *,
    details: dict[str, Any],
    actor: AuditActor = SYSTEM_ACTOR,
) -> Ceremony:
    """File and key are gone. Called again it does nothing. Raises WrongState."""
    if ceremony.state == "destroyed":
        return ceremony
    return await advance(tx, tenant, ceremony, "destroy", actor=actor, details=details)
