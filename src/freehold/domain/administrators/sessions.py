"""Sessions of administrators: who is signed in to a dashboard, since when, and how they proved it.

The browser's cookie, or the token that a script was given, is a random value; the row holds its SHA-256. The value is
changed at every authentication, so that one learned before is worth nothing afterwards.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import msgspec

from freehold.domain.administrators.people import Administrator
from freehold.domain.sessions.tokens import hashed, new_secret, plausible
from freehold.kernel.crypto.ids import new_id
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Store, Transaction

Via = Literal["browser", "api"]
LONGEST_USER_AGENT = 400
TOUCH_EVERY_MS = 60_000
"""How exact the end by idleness is; a row is not written at every request."""

_COLUMNS = """id, administrator_id, via, amr, created_at_ms, authenticated_at_ms, mfa_at_ms, last_seen_at_ms,
idle_expires_at_ms, expires_at_ms, ip, user_agent"""
_SELECT = f"select {_COLUMNS} from administrator_sessions where tenant_id = :tenant_id "  # noqa: S608 - constant


class AdminSession(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody signed in. `amr`: `pwd`, `otp`, `recovery`, `webauthn`, and `mfa` where it was more than one factor."""

    id: str
    administrator_id: str
    via: Via
    amr: tuple[str, ...]
    created_at_ms: int
    authenticated_at_ms: int
    mfa_at_ms: int | None
    last_seen_at_ms: int
    idle_expires_at_ms: int
    expires_at_ms: int
    ip: str
    user_agent: str


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """How somebody has just shown who they are."""

    amr: tuple[str, ...]
    mfa: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long a session lasts without use, and at most."""

    idle: timedelta
    absolute: timedelta


async def begin_session(
    tx: Transaction,
    tenant: TenantScope,
    person: Administrator,
    *,
    proof: Proof,
    lifetimes: Lifetimes,
    via: Via,
    ip: str,
    user_agent: str,
) -> tuple[AdminSession, str]:
    """A new session, and the value that opens it."""
    now = tenant.clock.now_ms()
    value, token_hash = new_secret()
    absolute = now + int(lifetimes.absolute.total_seconds() * 1000)
    session = AdminSession(
        id=new_id("ads_"),
        administrator_id=person.id,
        via=via,
        amr=proof.amr,
        created_at_ms=now,
        authenticated_at_ms=now,
        mfa_at_ms=now if proof.mfa else None,
        last_seen_at_ms=now,
        idle_expires_at_ms=min(absolute, now + int(lifetimes.idle.total_seconds() * 1000)),
        expires_at_ms=absolute,
        ip=ip,
        user_agent=user_agent[:LONGEST_USER_AGENT],
    )
    await tx.run(
        """insert into administrator_sessions (tenant_id, id, token_hash, administrator_id, via, amr, created_at_ms,
        authenticated_at_ms, mfa_at_ms, last_seen_at_ms, idle_expires_at_ms, expires_at_ms, ip, user_agent)
        values (:tenant_id, :id, :token_hash, :administrator_id, :via, :amr, :now, :now, :mfa_at, :now, :idle,
        :expires, :ip, :user_agent)""",
        tenant_id=tenant.id,
        id=session.id,
        token_hash=token_hash,
        administrator_id=person.id,
        via=via,
        amr=_encoded(proof.amr),
        now=now,
        mfa_at=session.mfa_at_ms,
        idle=session.idle_expires_at_ms,
        expires=absolute,
        ip=ip,
        user_agent=session.user_agent,
    )
    await tx.run(
        "update administrators set last_sign_in_at_ms = :now where tenant_id = :tenant_id and id = :id",
        now=now,
        tenant_id=tenant.id,
        id=person.id,
    )
    return session, value


async def find_session(reader: Reader, tenant: TenantScope, value: str | None, *, via: Via) -> AdminSession | None:
    """The live session that this value opens."""
    if value is None or not plausible(value):
        return None
    row = await reader.one(
        _SELECT + "and token_hash = :token_hash and via = :via and idle_expires_at_ms > :now and expires_at_ms > :now",
        tenant_id=tenant.id,
        token_hash=hashed(value),
        via=via,
        now=tenant.clock.now_ms(),
    )
    return None if row is None else _session(row)


async def sessions_of(reader: Reader, tenant: TenantScope, administrator_id: str) -> list[AdminSession]:
    """Somebody's live sessions, the latest used first."""
    rows = await reader.all(
        _SELECT + "and administrator_id = :administrator_id and idle_expires_at_ms > :now and expires_at_ms > :now "
        "order by last_seen_at_ms desc, id",
        tenant_id=tenant.id,
        administrator_id=administrator_id,
        now=tenant.clock.now_ms(),
    )
    return [_session(row) for row in rows]


async def touch_session(store: Store, tenant: TenantScope, session: AdminSession, *, idle: timedelta) -> None:
    """Note that the session is used, once a minute at most."""
    now = tenant.clock.now_ms()
    if now - session.last_seen_at_ms < TOUCH_EVERY_MS:
        return
    async with store.transaction() as tx:
        await tx.run(
            """update administrator_sessions set last_seen_at_ms = :now, idle_expires_at_ms = :idle
            where tenant_id = :tenant_id and id = :id and last_seen_at_ms < :now""",
            now=now,
            idle=min(session.expires_at_ms, now + int(idle.total_seconds() * 1000)),
            tenant_id=tenant.id,
            id=session.id,
        )


async def renew_session(tx: Transaction, tenant: TenantScope, session: AdminSession, proof: Proof) -> str | None:
    """Note a fresh authentication and change the value that opens the session; None when it has ended meanwhile.

    Methods add up; the time of a second factor is kept where this authentication had none.
    """
    now = tenant.clock.now_ms()
    value, token_hash = new_secret()
    # A recovery code stands for a lost factor; a real one given afterwards takes its place.
    kept = tuple(method for method in session.amr if method != "recovery") if proof.mfa else session.amr
    renewed = await tx.run(
        """update administrator_sessions set token_hash = :token_hash, authenticated_at_ms = :now, amr = :amr,
        mfa_at_ms = coalesce(:mfa_at, mfa_at_ms), last_seen_at_ms = :now
        where tenant_id = :tenant_id and id = :id and expires_at_ms > :now""",
        token_hash=token_hash,
        now=now,
        amr=_encoded(tuple(dict.fromkeys((*kept, *proof.amr)))),
        mfa_at=now if proof.mfa else None,
        tenant_id=tenant.id,
        id=session.id,
    )
    return value if renewed else None


async def end_session(tx: Transaction, tenant: TenantScope, session_id: str, *, administrator_id: str) -> bool:
    """End one of somebody's sessions; False when they have no such one."""
    return (
        await tx.run(
            """delete from administrator_sessions where tenant_id = :tenant_id and id = :id
            and administrator_id = :administrator_id""",
            tenant_id=tenant.id,
            id=session_id,
            administrator_id=administrator_id,
        )
        > 0
    )


async def end_sessions_of(tx: Transaction, tenant: TenantScope, administrator_id: str, *, but: str = "") -> int:
    """End somebody's sessions, all or all but one; how many they were."""
    return await tx.run(
        """delete from administrator_sessions where tenant_id = :tenant_id and administrator_id = :administrator_id
        and id <> :but""",
        tenant_id=tenant.id,
        administrator_id=administrator_id,
        but=but,
    )


def _encoded(amr: tuple[str, ...]) -> str:
    return msgspec.json.encode(amr).decode()


def _session(row: Any) -> AdminSession:
    return AdminSession(
        id=row[0],
        administrator_id=row[1],
        via=row[2],
        amr=tuple(msgspec.json.decode(row[3])),
        created_at_ms=row[4],
        authenticated_at_ms=row[5],
        mfa_at_ms=row[6],
        last_seen_at_ms=row[7],
        idle_expires_at_ms=row[8],
        expires_at_ms=row[9],
        ip=row[10],
        user_agent=row[11],
    )
