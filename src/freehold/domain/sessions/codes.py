"""Authorization codes (RFC 6749 section 4.1.2): single use, and a second use revokes what the first one got."""

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import Any

import msgspec

from freehold.domain.sessions.refresh_tokens import note_revoked, revoke_grant, revoked_token
from freehold.domain.sessions.tokens import hashed, new_secret, plausible
from freehold.kernel.crypto.ids import new_token
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Transaction

CODE_LIFETIME = timedelta(minutes=10)

_COLUMNS = "client_id, user_id, grant_id, payload, expires_at_ms, consumed_at_ms, access_token_hash"
_SELECT = f"select {_COLUMNS} from authorization_codes where tenant_id = :tenant_id and code_hash = :code_hash"  # noqa: S608
_CONSUME = f"""
update authorization_codes set consumed_at_ms = :now, access_token_hash = :token_hash
where tenant_id = :tenant_id and code_hash = :code_hash and client_id = :client_id
and consumed_at_ms is null and expires_at_ms > :now returning {_COLUMNS}
"""  # noqa: S608 - columns above


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """What a code stands for. `payload` is the protocol's: redirect_uri, scope, nonce, challenge, session ..."""

    client_id: str
    user_id: str
    grant_id: str
    payload: Mapping[str, Any]


class CodeOutcome(Enum):
    """What became of a code."""

    REDEEMED = "redeemed"
    REUSED = "reused"
    """It was used before: what it got is revoked. Commit, then refuse."""
    UNKNOWN = "unknown"
    """No such code, another client's, or past its time."""


async def issue_code(
    tx: Transaction,
    tenant: TenantScope,
    *,
    client_id: str,
    user_id: str,
    payload: Mapping[str, Any],
    lifetime: timedelta = CODE_LIFETIME,
) -> str:
    """A new code. The tokens issued for it carry its `grant_id`."""
    value, code_hash = new_secret()
    await tx.add(
        """insert into authorization_codes (tenant_id, code_hash, client_id, user_id, grant_id, payload, expires_at_ms)
        values (:tenant_id, :code_hash, :client_id, :user_id, :grant_id, :payload, :expires)""",
        tenant_id=tenant.id,
        code_hash=code_hash,
        client_id=client_id,
        user_id=user_id,
        grant_id=new_token(16),
        payload=msgspec.json.encode(payload).decode(),
        expires=tenant.clock.now_ms() + int(lifetime.total_seconds() * 1000),
    )
    return value


async def find_code(reader: Reader, tenant: TenantScope, value: str) -> Code | None:
    """What an unused, live code stands for, without using it."""
    if not plausible(value):
        return None
    row = await reader.one(_SELECT, tenant_id=tenant.id, code_hash=hashed(value))
    if row is None or row[5] is not None or row[4] <= tenant.clock.now_ms():
        return None
    return _code(row)


async def consume_code(
    tx: Transaction, tenant: TenantScope, value: str, *, client_id: str, access_token: str = ""
) -> tuple[CodeOutcome, Code | None]:
    """Use a code: exactly one caller gets it, and hands out `access_token` with what else it gives.

    Commit whatever the outcome: a reuse has revoked what was issued.
    """
    if not plausible(value):
        return CodeOutcome.UNKNOWN, None
    code_hash = hashed(value)
    won = await tx.one(
        _CONSUME, now=tenant.clock.now_ms(), token_hash=hashed(access_token), tenant_id=tenant.id, code_hash=code_hash,
        client_id=client_id,
    )  # fmt: skip
    if won is not None:
        return CodeOutcome.REDEEMED, _code(won)
    row = await tx.one(_SELECT, tenant_id=tenant.id, code_hash=code_hash)
    if row is None or row[0] != client_id:
        return CodeOutcome.UNKNOWN, None
    code = _code(row)
    if row[5] is None:
        return CodeOutcome.UNKNOWN, None
    await revoke_grant(tx, tenant, user_id=code.user_id, grant_id=code.grant_id)
    if row[6] is not None:
        await note_revoked(tx, tenant, revoked_token(row[6]))
    return CodeOutcome.REUSED, code


def _code(row: Any) -> Code:
    return Code(client_id=row[0], user_id=row[1], grant_id=row[2], payload=msgspec.json.decode(row[3]))
