"""Sign-ins under way: what `/authorize` asked for and how far the user has come, kept at the server.

The browser holds a random reference; the row is found by its hash, and a step saves by compare-and-set, so that the
same form sent twice at once advances a sign-in only once.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from freehold.domain.sessions.tokens import Writer, hashed, new_secret, plausible
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader

LOGIN_LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class LoginTransaction:
    """One sign-in under way; `payload` belongs to the login state machine."""

    id: str
    version: int
    payload: dict[str, Any]


async def begin_login(
    writer: Writer, tenant: TenantScope, payload: dict[str, Any], *, lifetime: timedelta = LOGIN_LIFETIME
) -> str:
    """Store a new sign-in; answers the reference to hand to the browser."""
    value, id_ = new_secret()
    await writer.run(
        """insert into login_transactions (tenant_id, id, version, payload, expires_at_ms)
        values (:tenant_id, :id, 1, :payload, :expires)""",
        tenant_id=tenant.id,
        id=id_,
        payload=msgspec.json.encode(payload).decode(),
        expires=tenant.clock.now_ms() + int(lifetime.total_seconds() * 1000),
    )
    return value


async def find_login(reader: Reader, tenant: TenantScope, reference: str | None) -> LoginTransaction | None:
    """The sign-in of a reference, or None when there is none or its time is over."""
    if not reference or not plausible(reference):
        return None
    row = await reader.one(
        """select id, version, payload from login_transactions
        where tenant_id = :tenant_id and id = :id and expires_at_ms > :now""",
        tenant_id=tenant.id,
        id=hashed(reference),
        now=tenant.clock.now_ms(),
    )
    return None if row is None else LoginTransaction(row[0], row[1], msgspec.json.decode(row[2]))


async def save_login(writer: Writer, tenant: TenantScope, login: LoginTransaction, payload: dict[str, Any]) -> bool:
    """Store the next state of a sign-in; False when another request came first."""
    changed = await writer.run(
        """update login_transactions set payload = :payload, version = version + 1
        where tenant_id = :tenant_id and id = :id and version = :version""",
        payload=msgspec.json.encode(payload).decode(),
        tenant_id=tenant.id,
        id=login.id,
        version=login.version,
    )
    return changed > 0


async def finish_login(writer: Writer, tenant: TenantScope, login: LoginTransaction) -> bool:
    """Consume a sign-in; exactly one caller gets True."""
    changed = await writer.run(
        "delete from login_transactions where tenant_id = :tenant_id and id = :id and version = :version",
        tenant_id=tenant.id,
        id=login.id,
        version=login.version,
    )
    return changed > 0
