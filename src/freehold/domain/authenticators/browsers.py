"""Browsers that a user has chosen not to be asked for a code on: a random value in a cookie, its SHA-256 here.

One browser may be remembered for several users; the value is shared and each user's row stands for itself.
"""

from datetime import timedelta
from hashlib import sha256

from freehold.domain.authenticators.policies import Guardian
from freehold.kernel.crypto.ids import new_token
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Transaction

_REMEMBER = """
insert into remembered_browsers (tenant_id, user_id, value_hash, created_at_ms, expires_at_ms)
values (:tenant_id, :user_id, :value_hash, :now, :expires)
on conflict (tenant_id, user_id, value_hash) do update set created_at_ms = :now, expires_at_ms = :expires
"""
_KNOWN = """
select 1 from remembered_browsers where tenant_id = :tenant_id and user_id = :user_id and value_hash = :value_hash
and expires_at_ms > :now and created_at_ms > :oldest
"""
_EXTEND = """
update remembered_browsers set expires_at_ms = :expires
where tenant_id = :tenant_id and user_id = :user_id and value_hash = :value_hash
"""


def lifetime(guardian: Guardian) -> timedelta:
    """How long a browser is remembered when it is not used."""
    return timedelta(seconds=min(guardian.mfa_session_inactivity_timeout, guardian.mfa_session_overall_timeout))


async def remember_browser(
    tx: Transaction, tenant: TenantScope, user_id: str, *, value: str | None, guardian: Guardian
) -> str:
    """Do not ask this user for a code on this browser for a while; answers the cookie's value, old or new."""
    value = value if value and _is_plausible(value) else new_token()
    now = tenant.clock.now_ms()
    await tx.run(
        _REMEMBER,
        tenant_id=tenant.id,
        user_id=user_id,
        value_hash=_hash(value),
        now=now,
        expires=now + int(lifetime(guardian).total_seconds() * 1000),
    )
    return value


async def is_remembered(
    reader: Reader, tenant: TenantScope, user_id: str, value: str | None, *, guardian: Guardian
) -> bool:
    """Whether this user need not be asked on the browser with this cookie."""
    if not value or not _is_plausible(value):
        return False
    now = tenant.clock.now_ms()
    row = await reader.one(
        _KNOWN,
        tenant_id=tenant.id,
        user_id=user_id,
        value_hash=_hash(value),
        now=now,
        oldest=now - guardian.mfa_session_overall_timeout * 1000,
    )
    return row is not None


async def extend(tx: Transaction, tenant: TenantScope, user_id: str, value: str, *, guardian: Guardian) -> None:
    """Note that a remembered browser was used: idleness counts from now on."""
    await tx.run(
        _EXTEND,
        tenant_id=tenant.id,
        user_id=user_id,
        value_hash=_hash(value),
        expires=tenant.clock.now_ms() + int(lifetime(guardian).total_seconds() * 1000),
    )


def _is_plausible(value: str) -> bool:
    return 20 <= len(value) <= 100 and value.isascii()


def _hash(value: str) -> str:
    return sha256(value.encode()).hexdigest()
