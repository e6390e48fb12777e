"""Refresh tokens, their rotation and the detection of reuse (RFC 9700 section 4.14.2).

One row is one grant with all the tokens that descended from it. A token is a random handle, from which the row's id
follows, and a random secret. The row keeps the hashes of the tokens that still work (one, or a few after uses within
the leeway) and of the one used last. So a token whose handle is known but whose hash is neither was used before: the
row goes, and with it every token of the family, without any history having been kept.

An exchange is decided by one conditional statement on `generation`; whoever loses reads again and decides anew, on
what the winner left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from hashlib import sha256
from typing import Any

import msgspec
from msgspec.structs import replace

from freehold.domain.sessions.sessions import Device
from freehold.domain.sessions.tokens import Writer, hashed, plausible
from freehold.kernel.clock import iso
from freehold.kernel.crypto.ids import new_token
from freehold.kernel.crypto.jose import b64u_encode
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Row, Transaction

HANDLE_LENGTH = 16
"""Characters of a token that name its family: 96 random bits."""
SECRET_BYTES = 32
MOST_LIVE_TOKENS = 8
"""How many tokens of one family may work at once after uses within the leeway."""
NOTE_EVERY_MS = 60_000
"""How often the use of a token that does not rotate is written down."""
REVOKED_GRANT_KEPT = timedelta(days=31)
"""Longer than any access token lives (2,592,000 s)."""

_COLUMNS = (
    "id, live, previous, generation, rotated_at_ms, user_id, client_id, session_id, grant_id, connection, rotating, "
    "created_at_ms, last_exchanged_at_ms, idle_expires_at_ms, expires_at_ms, resource_servers, context, device, "
    "metadata"
)
_SELECT = f"select {_COLUMNS} from refresh_tokens where tenant_id = :tenant_id "  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshPolicy:
    """A client's `refresh_token` settings; a lifetime of None never ends."""

    rotating: bool = False
    leeway: timedelta = timedelta(0)
    lifetime: timedelta | None = None
    idle_lifetime: timedelta | None = None


class RefreshToken(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that can be exchanged for tokens. Times are milliseconds.

    `resource_servers` is `[{"audience", "scopes"}]`; `context` holds what later ID tokens repeat (auth_time, amr ...).
    """

    id: str
    user_id: str
    client_id: str
    connection: str
    session_id: str | None = None
    grant_id: str | None = None
    rotating: bool = False
    created_at_ms: int = 0
    last_exchanged_at_ms: int | None = None
    idle_expires_at_ms: int | None = None
    expires_at_ms: int | None = None
    resource_servers: Sequence[Mapping[str, Any]] = ()
    context: Mapping[str, Any] = msgspec.field(default_factory=dict)
    device: Mapping[str, Any] = msgspec.field(default_factory=dict)
    metadata: Mapping[str, Any] | None = None
    live: tuple[str, ...] = ()
    previous: str | None = None
    generation: int = 0
    rotated_at_ms: int | None = None

    def is_live(self, now_ms: int) -> bool:
        """Whether it has not ended by time."""
        ends = (self.idle_expires_at_ms, self.expires_at_ms)
        return all(end is None or now_ms < end for end in ends)


class Outcome(Enum):
    """What became of an exchange."""

    EXCHANGED = "exchanged"
    """The token works on; it does not rotate."""
    ROTATED = "rotated"
    """A new token stands for the old one."""
    WITHIN_LEEWAY = "within leeway"
    """The token before this one came once more within the leeway and got a new one as well."""
    REUSED = "reused"
    """A token that was exchanged before came again: the family is revoked. Commit, then refuse."""
    UNKNOWN = "unknown"
    """No such token, another client's, or past its time."""


class Exchange(msgspec.Struct, frozen=True):
    """The outcome, the grant (also of a reused token, for the log), and the token to hand out when it changed."""

    outcome: Outcome
    token: RefreshToken | None = None
    value: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether tokens may be issued."""
        return self.outcome in {Outcome.EXCHANGED, Outcome.ROTATED, Outcome.WITHIN_LEEWAY}


async def issue_refresh_token(
    tx: Transaction,
    tenant: TenantScope,
    *,
    user_id: str,
    client_id: str,
    connection: str,
    resource_servers: Sequence[Mapping[str, Any]],
    policy: RefreshPolicy,
    device: Device,
    session_id: str | None = None,
    grant_id: str | None = None,
    context: Mapping[str, Any] | None = None,
) -> tuple[RefreshToken, str]:
    """A new refresh token; the second answer is its value, which is kept nowhere.

    `grant_id` is the authorization code's, so that a second use of the code can revoke this token.
    """
    now = tenant.clock.now_ms()
    handle = new_token(HANDLE_LENGTH * 3 // 4)
    value = handle + new_token(SECRET_BYTES)
    ip, agent = device.ip, device.cut_user_agent
    token = RefreshToken(
        id=_id_of(handle),
        live=(hashed(value),),
        user_id=user_id,
        client_id=client_id,
        connection=connection,
        session_id=session_id,
        grant_id=grant_id,
        rotating=policy.rotating,
        created_at_ms=now,
        idle_expires_at_ms=_after(now, policy.idle_lifetime),
        expires_at_ms=_after(now, policy.lifetime),
        resource_servers=resource_servers,
        context=context or {},
        device={"initial_ip": ip, "initial_user_agent": agent, "last_ip": ip, "last_user_agent": agent},
    )
    await tx.add(
        """insert into refresh_tokens (tenant_id, id, live, generation, user_id, client_id, session_id, grant_id,
        connection, rotating, created_at_ms, idle_expires_at_ms, expires_at_ms, resource_servers, context, device)
        values (:tenant_id, :id, :live, 0, :user_id, :client_id, :session_id, :grant_id, :connection, :rotating,
        :created_at_ms, :idle_expires_at_ms, :expires_at_ms, :resource_servers, :context, :device)""",
        tenant_id=tenant.id,
        id=token.id,
        live=_json(token.live),
        user_id=user_id,
        client_id=client_id,
        session_id=session_id,
        grant_id=grant_id,
        connection=connection,
        rotating=int(policy.rotating),
        created_at_ms=now,
        idle_expires_at_ms=token.idle_expires_at_ms,
        expires_at_ms=token.expires_at_ms,
        resource_servers=_json(resource_servers),
        context=_json(token.context),
        device=_json(token.device),
    )
    return token, value


async def find_refresh_token(
    reader: Reader,
    tenant: TenantScope,
    value: str,
    *,
    policy: RefreshPolicy = RefreshPolicy(),
) -> RefreshToken | None:
    """The grant of a token that would be accepted now, without using it; None for any other string."""
    token = await _find_family(reader, tenant, value)
    now, presented = tenant.clock.now_ms(), hashed(value)
    if token is None or not token.is_live(now):
        return None
    accepted = presented in token.live or _within_leeway(token, presented, policy, now)
    return token if accepted else None


async def exchange_refresh_token(
    tx: Transaction,
    tenant: TenantScope,
    value: str,
    *,
    client_id: str,
    policy: RefreshPolicy,
    device: Device = Device(),  # noqa: B008 - frozen
    seen: RefreshToken | None = None,
) -> Exchange:
    """Use a refresh token: the one place where it is decided whether a token still counts.

    The caller has checked client and user, and commits whatever the outcome is: a reuse has revoked the family. What
    `find_refresh_token` has `seen` spares reading it again: if it is the family's state no more, nothing is rotated.
    """
    presented = hashed(value)
    token = seen if seen is not None and policy.rotating and presented in seen.live else None
    while True:
        now = tenant.clock.now_ms()
        token = token or await _find_family(tx, tenant, value)
        if token is None or token.client_id != client_id or not token.is_live(now):
            return Exchange(Outcome.UNKNOWN)
        if presented in token.live:
            if not policy.rotating:
                return Exchange(Outcome.EXCHANGED, await _note_use(tx, tenant, token, policy=policy, device=device))
            outcome = Outcome.ROTATED
        elif _within_leeway(token, presented, policy, now):
            outcome = Outcome.WITHIN_LEEWAY
        else:
            first = await revoke_refresh_token(tx, tenant, token.id)
            return Exchange(Outcome.REUSED, token) if first else Exchange(Outcome.UNKNOWN)
        exchange = await _rotate(tx, tenant, token, value, outcome=outcome, policy=policy, device=device)
        if exchange is not None:
            return exchange
        token = None


async def _rotate(
    tx: Transaction,
    tenant: TenantScope,
    token: RefreshToken,
    old_value: str,
    *,
    outcome: Outcome,
    policy: RefreshPolicy,
    device: Device,
) -> Exchange | None:
    """Put a new token in the place of the presented one; None when another exchange came first."""
    now, presented = tenant.clock.now_ms(), hashed(old_value)
    value = old_value[:HANDLE_LENGTH] + new_token(SECRET_BYTES)
    others = tuple(live for live in token.live if live != presented)[-MOST_LIVE_TOKENS + 1 :]
    first_use = outcome is Outcome.ROTATED
    rotated = replace(
        token,
        live=(*others, hashed(value)),
        previous=presented,
        generation=token.generation + 1,
        # The leeway runs from the first use: using the old token again does not prolong it.
        rotated_at_ms=now if first_use else token.rotated_at_ms,
        rotating=True,
        last_exchanged_at_ms=now,
        idle_expires_at_ms=_after(now, policy.idle_lifetime),
        device={**token.device, "last_ip": device.ip, "last_user_agent": device.cut_user_agent},
    )
    won = await tx.run(
        """update refresh_tokens set live = :live, previous = :previous, generation = generation + 1,
        rotated_at_ms = :rotated_at_ms, rotating = 1, last_exchanged_at_ms = :now, idle_expires_at_ms = :idle,
        device = :device where tenant_id = :tenant_id and id = :id and generation = :generation""",
        live=_json(rotated.live),
        previous=presented,
        rotated_at_ms=rotated.rotated_at_ms,
        now=now,
        idle=rotated.idle_expires_at_ms,
        device=_json(rotated.device),
        tenant_id=tenant.id,
        id=token.id,
        generation=token.generation,
    )
    return Exchange(outcome, rotated, value) if won else None


async def _note_use(
    tx: Transaction, tenant: TenantScope, token: RefreshToken, *, policy: RefreshPolicy, device: Device
) -> RefreshToken:
    """Write down the use of a token that does not rotate, at most once a minute."""
    now = tenant.clock.now_ms()
    if now - (token.last_exchanged_at_ms or 0) < NOTE_EVERY_MS:
        return token
    used = replace(
        token,
        last_exchanged_at_ms=now,
        idle_expires_at_ms=_after(now, policy.idle_lifetime),
        device={**token.device, "last_ip": device.ip, "last_user_agent": device.cut_user_agent},
    )
    await tx.run(
        """update refresh_tokens set last_exchanged_at_ms = :now, idle_expires_at_ms = :idle, device = :device
        where tenant_id = :tenant_id and id = :id""",
        now=now,
        idle=used.idle_expires_at_ms,
        device=_json(used.device),
        tenant_id=tenant.id,
        id=token.id,
    )
    return used


def _within_leeway(token: RefreshToken, presented: str, policy: RefreshPolicy, now: int) -> bool:
    """Whether this is the token used last, used again soon enough; the one before it never is."""
    leeway_ms = policy.leeway.total_seconds() * 1000
    return token.previous == presented and token.rotated_at_ms is not None and now - token.rotated_at_ms < leeway_ms


async def refresh_token_by_id(reader: Reader, tenant: TenantScope, token_id: str) -> RefreshToken | None:
    """A live grant by its id in the Management API, or None."""
    row = await reader.one(_SELECT + "and id = :id", tenant_id=tenant.id, id=token_id)
    token = None if row is None else _token(row)
    return token if token and token.is_live(tenant.clock.now_ms()) else None


async def refresh_tokens_of(
    reader: Reader, tenant: TenantScope, user_id: str, *, client_id: str = "", after: str = "", limit: int = 1000
) -> list[RefreshToken]:
    """A user's live grants, ordered by id, those behind `after`; with `client_id`, of that client."""
    rows = await reader.all(
        _SELECT + "and user_id = :user_id and id > :after and (:client_id = '' or client_id = :client_id) "
        "and coalesce(idle_expires_at_ms, :now + 1) > :now and coalesce(expires_at_ms, :now + 1) > :now "
        "order by id limit :limit",
        tenant_id=tenant.id,
        user_id=user_id,
        client_id=client_id,
        after=after,
        now=tenant.clock.now_ms(),
        limit=limit,
    )
    return [_token(row) for row in rows]


async def revoke_refresh_token(writer: Writer, tenant: TenantScope, token_id: str) -> bool:
    """Revoke one grant; answers whether there was one."""
    sql = "delete from refresh_tokens where tenant_id = :tenant_id and id = :id"
    return await writer.run(sql, tenant_id=tenant.id, id=token_id) > 0


async def revoke_refresh_tokens_of(
    writer: Writer, tenant: TenantScope, user_id: str, *, client_id: str = "", session_id: str = ""
) -> int:
    """Revoke a user's grants, or only those of one client or one session; answers how many there were."""
    return await writer.run(
        """delete from refresh_tokens where tenant_id = :tenant_id and user_id = :user_id
        and (:client_id = '' or client_id = :client_id) and (:session_id = '' or session_id = :session_id)""",
        tenant_id=tenant.id,
        user_id=user_id,
        client_id=client_id,
        session_id=session_id,
    )


async def revoke_grant(tx: Transaction, tenant: TenantScope, *, user_id: str, grant_id: str) -> None:
    """Revoke what was issued for one authorization code: its refresh token, and by `is_grant_revoked` the rest."""
    await tx.run(
        "delete from refresh_tokens where tenant_id = :tenant_id and user_id = :user_id and grant_id = :grant_id",
        tenant_id=tenant.id,
        user_id=user_id,
        grant_id=grant_id,
    )
    await note_revoked(tx, tenant, grant_id)


async def note_revoked(tx: Transaction, tenant: TenantScope, grant_id: str) -> None:
    """Remember for longer than an access token lives that what goes by this name is revoked."""
    await tx.run(
        """insert into revoked_grants (tenant_id, grant_id, expires_at_ms) values (:tenant_id, :grant_id, :expires)
        on conflict (tenant_id, grant_id) do nothing""",
        tenant_id=tenant.id,
        grant_id=grant_id,
        expires=_after(tenant.clock.now_ms(), REVOKED_GRANT_KEPT),
    )


def revoked_token(token_hash: str) -> str:
    """What a single access token goes by among what is revoked."""
    return f"token {token_hash}"


async def remember_tokens_of(tx: Transaction, tenant: TenantScope, user_id: str) -> None:
    """Remember whose refresh tokens these were: applications of a user about to be deleted are told so."""
    for token in await refresh_tokens_of(tx, tenant, user_id):
        await note_revoked(tx, tenant, _of_deleted_user(token.id))


async def belonged_to_deleted_user(reader: Reader, tenant: TenantScope, value: str) -> bool:
    """Whether a refresh token that is not known was one of a user who is no more."""
    if not plausible(value) or len(value) <= HANDLE_LENGTH:
        return False
    return await is_grant_revoked(reader, tenant, _of_deleted_user(_id_of(value[:HANDLE_LENGTH])))


def _of_deleted_user(token_id: str) -> str:
    return f"deleted user's {token_id}"


async def is_grant_revoked(reader: Reader, tenant: TenantScope, grant_id: str) -> bool:
    """Whether what was issued for this authorization code, or goes by this name, has been revoked."""
    sql = "select 1 from revoked_grants where tenant_id = :tenant_id and grant_id = :grant_id"
    return await reader.one(sql, tenant_id=tenant.id, grant_id=grant_id) is not None


async def set_refresh_token_metadata(
    tx: Transaction, tenant: TenantScope, token_id: str, metadata: Mapping[str, Any] | None
) -> None:
    """Replace what the tenant keeps with a grant; None removes it."""
    await tx.run(
        "update refresh_tokens set metadata = :metadata where tenant_id = :tenant_id and id = :id",
        metadata=None if metadata is None else _json(metadata),
        tenant_id=tenant.id,
        id=token_id,
    )


def shown(token: RefreshToken) -> dict[str, Any]:
    """A grant as the Management API shows it."""
    return {
        "id": token.id,
        "user_id": token.user_id,
        "created_at": iso(token.created_at_ms),
        "idle_expires_at": _iso(token.idle_expires_at_ms),
        "expires_at": _iso(token.expires_at_ms),
        "device": {"initial_asn": "", "last_asn": "", **token.device},
        "client_id": token.client_id,
        "session_id": token.session_id,
        "rotating": token.rotating,
        "resource_servers": token.resource_servers,
        "refresh_token_metadata": token.metadata,
        "last_exchanged_at": _iso(token.last_exchanged_at_ms),
    }


async def _find_family(reader: Reader, tenant: TenantScope, value: str) -> RefreshToken | None:
    if not plausible(value) or len(value) <= HANDLE_LENGTH:
        return None
    row = await reader.one(_SELECT + "and id = :id", tenant_id=tenant.id, id=_id_of(value[:HANDLE_LENGTH]))
    return None if row is None else _token(row)


def _token(row: Row) -> RefreshToken:
    (
        id_, live, previous, generation, rotated_at, user_id, client_id, session_id, grant_id, connection, rotating,
        created, exchanged, idle, expires, resource_servers, context, device, metadata,
    ) = row  # fmt: skip
    return RefreshToken(
        id=id_,
        live=tuple(msgspec.json.decode(live)),
        previous=previous,
        generation=generation,
        rotated_at_ms=rotated_at,
        user_id=user_id,
        client_id=client_id,
        session_id=session_id,
        grant_id=grant_id,
        connection=connection,
        rotating=bool(rotating),
        created_at_ms=created,
        last_exchanged_at_ms=exchanged,
        idle_expires_at_ms=idle,
        expires_at_ms=expires,
        resource_servers=msgspec.json.decode(resource_servers),
        context=msgspec.json.decode(context),
        device=msgspec.json.decode(device),
        metadata=None if metadata is None else msgspec.json.decode(metadata),
    )


def _id_of(handle: str) -> str:
    """The id under which the Management API shows a family; the handle does not follow from it."""
    return b64u_encode(sha256(b"refresh token family\0" + handle.encode()).digest()[:18]).decode()


def _after(now_ms: int, span: timedelta | None) -> int | None:
    return None if span is None else now_ms + int(span.total_seconds() * 1000)


def _iso(moment_ms: int | None) -> str | None:
    return None if moment_ms is None else iso(moment_ms)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
