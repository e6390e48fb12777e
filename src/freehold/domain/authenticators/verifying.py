"""Is this the code? Each try takes a place first, and what was right once is never right again.

Tries are counted by user and kind of factor, wherever they come from: whoever gets here knows the password already.
Using a code is one conditional statement, so that of two requests with the same code one wins, on any database.
What comes of a try is in the tenant's log, and whoever is blocked is told by mail that somebody knows their password;
`facts` are the members of the log's entries that only the caller knows.
"""

from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any

import msgspec

from freehold.domain import protection
from freehold.domain.authenticators.authenticators import (
    Authenticator,
    add_totp,
    confirm_totp,
    ensure_row,
    factors_of,
    open_secret,
    replace_recovery,
)
from freehold.domain.messaging import Mailer
from freehold.domain.protection.counters import note_once
from freehold.kernel.crypto.otp import BadTotpSecret, match_totp, new_recovery_code, normalise_code
from freehold.kernel.crypto.passwords.pool import PasswordPool
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Conflict, TooManyRequests
from freehold.kernel.store import Reader, Store, Transaction, UniqueViolation

MAX_FAILURES = 10
BLOCKED_FOR = timedelta(hours=1)
"""From the last try on. So at most 240 codes a day can be tried, as at Auth0."""
LONGEST_CODE = 64

_USE_STEP = """
update authenticators set last_step = :step, last_auth_at_ms = :now
where tenant_id = :tenant_id and user_id = :user_id and slot = :slot and (last_step is null or last_step < :step)
"""
_USE_RECOVERY = """
update authenticators set last_step = :step, last_auth_at_ms = :now
where tenant_id = :tenant_id and user_id = :user_id and slot = :slot and coalesce(last_step, 0) = :seen
"""


class TooManyCodes(TooManyRequests):
    """Ten codes in a row were wrong."""

    code = "too_many_attempts"

    def __init__(self) -> None:
        super().__init__(
            "Too many wrong codes. Wait some time before retrying.", retry_after_s=int(BLOCKED_FOR.total_seconds())
        )


class AlreadyEnrolled(Conflict):
    """There is a second factor; another one takes more than a password."""

    code = "already_enrolled"

    def __init__(self) -> None:
        super().__init__("User is already enrolled.")


class ProvedRecovery(msgspec.Struct, frozen=True):
    """A recovery code that was right and is used up by `use_recovery`, together with what comes of it."""

    id: str
    slot: str
    seen: int
    digest: str
    """Of the hash that was compared with: another one in its place is another code."""


async def verify_totp(
    tx: Transaction, tenant: TenantScope, user_id: str, code: str, *, facts: Mapping[str, Any]
) -> Authenticator | None:
    """Use a code of one of the user's apps; None when it is none of theirs or was used. Raises TooManyCodes.

    The try counts when the transaction commits, so the caller must not undo it for a wrong code.
    """
    await _take_place(tx, tenant, user_id, "totp")
    for one in (await factors_of(tx, tenant, user_id)).totp:
        step = await _match(tx, tenant, one, code)
        if step is not None and await _use_step(tx, tenant, one, step):
            await _succeeded(tx, tenant, user_id, "totp", facts)
            return one
    await _failed(tx, tenant, user_id, "totp", facts)
    return None


async def confirm_pending(
    tx: Transaction, tenant: TenantScope, user_id: str, code: str, *, facts: Mapping[str, Any]
) -> Authenticator | None:
    """Let the pending app count that shows this code. Raises TooManyCodes; counts as `verify_totp` does."""
    await _take_place(tx, tenant, user_id, "totp")
    pending = (await factors_of(tx, tenant, user_id)).pending
    step = None if pending is None else await _match(tx, tenant, pending, code)
    if pending is None or step is None:
        await _failed(tx, tenant, user_id, "totp", facts)
        return None
    confirmed = await confirm_totp(tx, tenant, pending, step=step)
    await _enrolled(tx, tenant, user_id, facts)
    return confirmed


async def match_new(
    tx: Transaction, tenant: TenantScope, user_id: str, secret: str, code: str, *, facts: Mapping[str, Any]
) -> int | None:
    """The step of a code by which somebody proves that their app has taken a new secret. Raises TooManyCodes."""
    await _take_place(tx, tenant, user_id, "totp")
    step = match_totp(secret, code[:LONGEST_CODE], now=tenant.clock.now(), last_step=None)
    if step is None:
        await _failed(tx, tenant, user_id, "totp", facts)
    return step


async def enrol(
    tx: Transaction,
    tenant: TenantScope,
    user_id: str,
    *,
    secret: str,
    step: int,
    recovery_hash: str | None,
    facts: Mapping[str, Any],
    first: bool = False,
) -> Authenticator:
    """Store an app that was proved by `match_new`, and the recovery code that was shown with it.

    With `first`, raises AlreadyEnrolled when the user has a second factor by now.
    """
    if first and (await factors_of(tx, tenant, user_id)).enrolled:
        raise AlreadyEnrolled
    if recovery_hash is not None:
        await replace_recovery(tx, tenant, user_id, recovery_hash)
    try:
        made = await add_totp(tx, tenant, user_id, secret=secret, step=step)
    except UniqueViolation:  # on PostgreSQL somebody else can be as far at the same moment
        raise AlreadyEnrolled from None
    await _enrolled(tx, tenant, user_id, facts)
    return made


async def prove_recovery(
    store: Store, tenant: TenantScope, pool: PasswordPool, user_id: str, code: str, *, facts: Mapping[str, Any]
) -> ProvedRecovery | None:
    """Compare a recovery code, which takes as long as a password, also when there is none. Raises TooManyRequests."""
    async with store.transaction() as tx:
        await _take_place(tx, tenant, user_id, "recovery-code")
    typed = normalise_code(code[:LONGEST_CODE])
    known = (await factors_of(store, tenant, user_id)).recovery
    if not known:
        await pool.verify_nobody(typed)
    for one in known:
        stored = await open_secret(store, tenant, one)
        if stored and typed and await pool.verify(stored, typed):
            return ProvedRecovery(one.id, one.slot, one.last_step or 0, _digest(stored))
    async with store.transaction() as tx:
        await _failed(tx, tenant, user_id, "recovery-code", facts)
    return None


async def use_recovery(
    tx: Transaction,
    tenant: TenantScope,
    user_id: str,
    proved: ProvedRecovery,
    *,
    replacement: str,
    facts: Mapping[str, Any],
) -> bool:
    """Use a proved recovery code up and put the hash of the next one in its place; exactly one caller gets True."""
    known = await factors_of(tx, tenant, user_id)
    one = next((one for one in known.recovery if (one.id, one.slot) == (proved.id, proved.slot)), None)
    if one is None:
        return False
    await ensure_row(tx, tenant, one)
    won = await tx.run(
        _USE_RECOVERY,
        step=proved.seen + 1,
        now=tenant.clock.now_ms(),
        tenant_id=tenant.id,
        user_id=user_id,
        slot=one.slot,
        seen=proved.seen,
    )
    # Looked at behind the statement: whoever had to wait for another's use of the code finds another hash here.
    if not won or _digest(await open_secret(tx, tenant, one)) != proved.digest:
        return False
    await replace_recovery(tx, tenant, user_id, replacement)
    await _succeeded(tx, tenant, user_id, "recovery-code", facts)
    return True


async def fresh_recovery(pool: PasswordPool) -> tuple[str, str]:
    """A new recovery code, and the hash that is stored of it. Takes as long as a password."""
    code = new_recovery_code()
    return code, await pool.hash(code)


async def _match(reader: Reader, tenant: TenantScope, one: Authenticator, code: str) -> int | None:
    """The step of a code that this very app may still use."""
    secret = await open_secret(reader, tenant, one)
    try:
        return match_totp(secret, code[:LONGEST_CODE], now=tenant.clock.now(), last_step=one.last_step)
    except BadTotpSecret:
        return None


async def _use_step(tx: Transaction, tenant: TenantScope, one: Authenticator, step: int) -> bool:
    await ensure_row(tx, tenant, one)
    return (
        await tx.run(
            _USE_STEP,
            step=step,
            now=tenant.clock.now_ms(),
            tenant_id=tenant.id,
            user_id=one.user_id,
            slot=one.slot,
        )
        > 0
    )


async def _take_place(tx: Transaction, tenant: TenantScope, user_id: str, kind: str) -> None:
    if not await protection.take_place(
        tx, tenant, _purpose(kind), user_id, limit=MAX_FAILURES, lasts=BLOCKED_FOR
    ):  # fmt: skip
        raise TooManyCodes


async def _succeeded(tx: Transaction, tenant: TenantScope, user_id: str, kind: str, facts: Mapping[str, Any]) -> None:
    await protection.forget(tx, tenant, _purpose(kind), user_id)
    event = "gd_auth_succeed" if kind == "totp" else "gd_recovery_succeed"
    await tenant.events.record(tx, tenant, event, **{**facts, "user_id": user_id})


async def _enrolled(tx: Transaction, tenant: TenantScope, user_id: str, facts: Mapping[str, Any]) -> None:
    await protection.forget(tx, tenant, _purpose("totp"), user_id)
    await tenant.events.record(tx, tenant, "gd_enrollment_complete", **{**facts, "user_id": user_id})


async def _failed(tx: Transaction, tenant: TenantScope, user_id: str, kind: str, facts: Mapping[str, Any]) -> None:
    own = {**facts, "user_id": user_id}
    await tenant.events.record(tx, tenant, "gd_auth_failed" if kind == "totp" else "gd_recovery_failed", **own)
    if await note_once(tx, tenant, _purpose(kind), user_id, limit=MAX_FAILURES):
        event = "gd_otp_rate_limit_exceed" if kind == "totp" else "gd_recovery_rate_limit_exceed"
        await tenant.events.record(tx, tenant, event, **own)
        await Mailer().send_too_many_codes(tx, tenant, user_id, ip=facts.get("ip"))


def _purpose(kind: str) -> str:
    return f"second factor {kind}"


def _digest(stored: str) -> str:
    return sha256(stored.encode()).hexdigest()
