"""What a tenant's code asks for a session or a refresh token: an earlier end, another kind of cookie, notes of its own.

Code can end things earlier and never later than the tenant's own settings would: of several moments the first holds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from freehold.domain.sessions.refresh_tokens import (
    RefreshToken,
    revoke_refresh_token,
    revoke_refresh_tokens_of,
    set_refresh_token_metadata,
)
from freehold.domain.sessions.sessions import Session, end_session, set_session_metadata
from freehold.domain.sessions.tokens import hashed
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Transaction

MOST_ENTRIES, LONGEST_ENTRY = 25, 255
Commands = Sequence[tuple[str, Sequence[Any]]]


async def adjust_session(tx: Transaction, tenant: TenantScope, session: Session, commands: Commands) -> Session:
    """Carry out `setExpiresAt`, `setIdleExpiresAt`, `setCookieMode` and the metadata's; the session as it is now."""
    if not commands:
        return session
    metadata = _metadata(session.metadata, commands)
    changed = replace(
        session,
        expires_at_ms=min([session.expires_at_ms, *_moments(commands, "setExpiresAt")]),
        idle_expires_at_ms=min(
            [session.idle_expires_at_ms, *_moments(commands, "setIdleExpiresAt"), *_moments(commands, "setExpiresAt")]
        ),
        persistent=next(
            (given[0] == "persistent" for name, given in reversed(commands) if name == "setCookieMode"),
            session.persistent,
        ),
        metadata=metadata,
    )
    await tx.run(
        """update sessions set expires_at_ms = :expires, idle_expires_at_ms = :idle, persistent = :persistent
        where tenant_id = :tenant_id and id = :id""",
        expires=changed.expires_at_ms, idle=changed.idle_expires_at_ms, persistent=int(changed.persistent),
        tenant_id=tenant.id, id=session.id,
    )  # fmt: skip
    if metadata != session.metadata:
        await set_session_metadata(tx, tenant, session.id, metadata)
    return changed


async def adjust_refresh_token(tx: Transaction, tenant: TenantScope, token: RefreshToken, commands: Commands) -> None:
    """Carry out `setExpiresAt`, `setIdleExpiresAt` and the metadata's."""
    if not commands:
        return
    ends = _moments(commands, "setExpiresAt")
    idle = [*_moments(commands, "setIdleExpiresAt"), *ends]
    await tx.run(
        """update refresh_tokens set expires_at_ms = :expires, idle_expires_at_ms = :idle
        where tenant_id = :tenant_id and id = :id""",
        expires=_earliest(token.expires_at_ms, ends), idle=_earliest(token.idle_expires_at_ms, idle),
        tenant_id=tenant.id, id=token.id,
    )  # fmt: skip
    metadata = _metadata(token.metadata, commands)
    if metadata != token.metadata:
        await set_refresh_token_metadata(tx, tenant, token.id, metadata)


async def hand_over(
    tx: Transaction, tenant: TenantScope, session: Session, *, user_id: str, value: str | None
) -> Session:
    """Make a session another user's. One that went with its user when the two were linked is made again."""
    changed = await tx.run(
        "update sessions set user_id = :user_id where tenant_id = :tenant_id and id = :id",
        user_id=user_id, tenant_id=tenant.id, id=session.id,
    )  # fmt: skip
    if not changed and value:
        await tx.run(
            """insert into sessions (tenant_id, id, token_hash, user_id, connection, created_at_ms, updated_at_ms,
            authenticated_at_ms, last_interacted_at_ms, idle_expires_at_ms, expires_at_ms, persistent, clients, device,
            methods) values (:tenant_id, :id, :token_hash, :user_id, :connection, :created, :now, :authenticated, :now,
            :idle, :expires, :persistent, :clients, :device, :methods)""",
            tenant_id=tenant.id, id=session.id, token_hash=hashed(value), user_id=user_id,
            connection=session.connection, created=session.created_at_ms, now=tenant.clock.now_ms(),
            authenticated=session.authenticated_at_ms, idle=session.idle_expires_at_ms, expires=session.expires_at_ms,
            persistent=int(session.persistent), clients=_json(session.clients), device=_json(session.device),
            methods=_json(session.methods),
        )  # fmt: skip
    return replace(session, user_id=user_id)


async def revoke(
    tx: Transaction, tenant: TenantScope, *, user_id: str, session_id: str | None, token_id: str | None,
    session: Commands, refresh_token: Commands,
) -> None:  # fmt: skip
    """Carry out `session.revoke`, with its refresh tokens unless they are to be kept, and `refreshToken.revoke`."""
    asked = next((given for name, given in session if name == "revoke"), None)
    if asked is not None and session_id:
        await end_session(tx, tenant, session_id)
        options = asked[1] if len(asked) > 1 and isinstance(asked[1], dict) else {}
        if not options.get("preserveRefreshTokens"):
            await revoke_refresh_tokens_of(tx, tenant, user_id, session_id=session_id)
    if token_id and any(name == "revoke" for name, _ in refresh_token):
        await revoke_refresh_token(tx, tenant, token_id)


def _moments(commands: Commands, wanted: str) -> list[int]:
    return [int(given[0]) for name, given in commands if name == wanted]


def _earliest(known: int | None, others: Sequence[int]) -> int | None:
    ends = [*others] if known is None else [known, *others]
    return min(ends, default=None)


def _metadata(known: Mapping[str, Any] | None, commands: Commands) -> Mapping[str, Any] | None:
    kept = dict(known or {})
    touched = False
    for name, given in commands:
        if name == "evictMetadata":
            kept, touched = {}, True
        elif name == "deleteMetadata" or (name == "setMetadata" and given[1:] in ([], [None])):
            touched = kept.pop(given[0], None) is not None or touched
        elif name == "setMetadata" and (given[0] in kept or len(kept) < MOST_ENTRIES):
            kept[given[0]], touched = str(given[1])[:LONGEST_ENTRY], True
    return (kept or None) if touched else known


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
