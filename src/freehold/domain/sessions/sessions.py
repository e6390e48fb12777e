"""Single sign-on sessions: one row per browser that signed in, found by the cookie's hash.

A session is written when it begins, when another application joins, and otherwise at most once a minute, so that silent
sign-ins cost reads only. The cookie's value changes whenever the user authenticates (no session fixation).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from freehold.domain.sessions.tokens import Writer, hashed, new_secret, plausible
from freehold.kernel.clock import iso
from freehold.kernel.crypto.ids import new_token
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Row, Transaction

TOUCH_EVERY_MS = 60_000
_COLUMNS = (
    "id, user_id, connection, created_at_ms, updated_at_ms, authenticated_at_ms, last_interacted_at_ms, "
    "idle_expires_at_ms, expires_at_ms, persistent, clients, device, methods, metadata"
)
_SELECT = f"select {_COLUMNS} from sessions where tenant_id = :tenant_id "  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long a session lives without use and in all: the tenant's `idle_session_lifetime` and `session_lifetime`."""

    idle: timedelta = timedelta(hours=72)
    absolute: timedelta = timedelta(hours=168)


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request comes from."""

    ip: str = ""
    user_agent: str = ""

    @property
    def cut_user_agent(self) -> str:
        """The user agent at a length worth keeping."""
        return self.user_agent[:512]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One signed-in browser. Times are milliseconds."""

    id: str
    user_id: str
    connection: str
    created_at_ms: int
    updated_at_ms: int
    authenticated_at_ms: int
    last_interacted_at_ms: int
    idle_expires_at_ms: int
    expires_at_ms: int
    persistent: bool
    clients: tuple[str, ...] = ()
    device: Mapping[str, Any] = msgspec.field(default_factory=dict)
    methods: Sequence[Mapping[str, Any]] = ()
    metadata: Mapping[str, Any] | None = None

    @property
    def auth_time(self) -> int:
        """When the user last authenticated, in seconds: the claim of OpenID Connect Core section 2."""
        return self.authenticated_at_ms // 1000

    def is_live(self, now_ms: int) -> bool:
        """Whether it has not ended by time."""
        return now_ms < self.idle_expires_at_ms and now_ms < self.expires_at_ms


async def create_session(
    tx: Transaction,
    tenant: TenantScope,
    *,
    user_id: str,
    connection: str,
    client_id: str,
    device: Device,
    methods: Sequence[str] = ("pwd",),
    lifetimes: Lifetimes = Lifetimes(),
    persistent: bool = True,
) -> tuple[Session, str]:
    """Begin a session; the second answer is the cookie's value, which is kept nowhere."""
    now = tenant.clock.now_ms()
    value, token_hash = new_secret()
    ip, agent = device.ip, device.cut_user_agent
    session = Session(
        id=new_token(24),
        user_id=user_id,
        connection=connection,
        created_at_ms=now,
        updated_at_ms=now,
        authenticated_at_ms=now,
        last_interacted_at_ms=now,
        idle_expires_at_ms=now + min(_ms(lifetimes.idle), _ms(lifetimes.absolute)),
        expires_at_ms=now + _ms(lifetimes.absolute),
        persistent=persistent,
        clients=(client_id,),
        device={"initial_ip": ip, "initial_user_agent": agent, "last_ip": ip, "last_user_agent": agent},
        methods=_methods(methods, now),
    )
    await tx.add(
        """insert into sessions (tenant_id, id, token_hash, user_id, connection, created_at_ms, updated_at_ms,
        authenticated_at_ms, last_interacted_at_ms, idle_expires_at_ms, expires_at_ms, persistent, clients, device,
        methods) values (:tenant_id, :id, :token_hash, :user_id, :connection, :now, :now, :now, :now, :idle, :expires,
        :persistent, :clients, :device, :methods)""",
        tenant_id=tenant.id,
        id=session.id,
        token_hash=token_hash,
        user_id=user_id,
        connection=connection,
        now=now,
        idle=session.idle_expires_at_ms,
        expires=session.expires_at_ms,
        persistent=int(persistent),
        clients=_json(session.clients),
        device=_json(session.device),
        methods=_json(session.methods),
    )
    return session, value


async def find_session(reader: Reader, tenant: TenantScope, value: str | None) -> Session | None:
    """The live session of a cookie's value, or None."""
    if not value or not plausible(value):
        return None
    row = await reader.one(_SELECT + "and token_hash = :token_hash", tenant_id=tenant.id, token_hash=hashed(value))
    session = None if row is None else _session(row)
    return session if session and session.is_live(tenant.clock.now_ms()) else None


async def find_session_by_id(reader: Reader, tenant: TenantScope, session_id: str) -> Session | None:
    """The live session with this id (the `sid` claim), or None."""
    row = await reader.one(_SELECT + "and id = :id", tenant_id=tenant.id, id=session_id)
    session = None if row is None else _session(row)
    return session if session and session.is_live(tenant.clock.now_ms()) else None


async def sessions_of(
    reader: Reader, tenant: TenantScope, user_id: str, *, after: str = "", limit: int = 1000
) -> list[Session]:
    """A user's live sessions, ordered by id, those behind `after`."""
    rows = await reader.all(
        _SELECT + "and user_id = :user_id and id > :after and idle_expires_at_ms > :now and expires_at_ms > :now "
        "order by id limit :limit",
        tenant_id=tenant.id,
        user_id=user_id,
        after=after,
        now=tenant.clock.now_ms(),
        limit=limit,
    )
    return [_session(row) for row in rows]


def is_due(session: Session, *, client_id: str, now_ms: int) -> bool:
    """Whether a use of the session has to be written: a new application, or a minute since the last time."""
    return client_id not in session.clients or now_ms - session.last_interacted_at_ms >= TOUCH_EVERY_MS


async def touch_session(
    writer: Writer,
    tenant: TenantScope,
    session: Session,
    *,
    client_id: str,
    device: Device,
    lifetimes: Lifetimes = Lifetimes(),
) -> Session:
    """Note that the session was used; writes only when `is_due`. The session as it is now."""
    now = tenant.clock.now_ms()
    if not is_due(session, client_id=client_id, now_ms=now):
        return session
    clients = session.clients if client_id in session.clients else (*session.clients, client_id)
    touched = replace(
        session,
        updated_at_ms=now,
        last_interacted_at_ms=now,
        idle_expires_at_ms=min(now + _ms(lifetimes.idle), session.expires_at_ms),
        clients=clients,
        device={**session.device, "last_ip": device.ip, "last_user_agent": device.cut_user_agent},
    )
    await writer.run(
        """update sessions set updated_at_ms = :now, last_interacted_at_ms = :now, idle_expires_at_ms = :idle,
        clients = :clients, device = :device where tenant_id = :tenant_id and id = :id""",
        now=now,
        idle=touched.idle_expires_at_ms,
        clients=_json(clients),
        device=_json(touched.device),
        tenant_id=tenant.id,
        id=session.id,
    )
    return touched


async def reauthenticate(
    tx: Transaction,
    tenant: TenantScope,
    session: Session,
    *,
    connection: str,
    client_id: str,
    device: Device,
    methods: Sequence[str] = ("pwd",),
    lifetimes: Lifetimes = Lifetimes(),
    persistent: bool = True,
) -> tuple[Session, str] | None:
    """Note that the session's user authenticated again: it begins anew, under its old id and a new cookie value.

    None when it has ended meanwhile.
    """
    now = tenant.clock.now_ms()
    value, token_hash = new_secret()
    renewed = replace(
        session,
        connection=connection,
        authenticated_at_ms=now,
        updated_at_ms=now,
        last_interacted_at_ms=now,
        idle_expires_at_ms=now + min(_ms(lifetimes.idle), _ms(lifetimes.absolute)),
        expires_at_ms=now + _ms(lifetimes.absolute),
        persistent=persistent,
        clients=session.clients if client_id in session.clients else (*session.clients, client_id),
        device={**session.device, "last_ip": device.ip, "last_user_agent": device.cut_user_agent},
        methods=_methods(methods, now),
    )
    changed = await tx.run(
        """update sessions set token_hash = :token_hash, connection = :connection, authenticated_at_ms = :now,
        updated_at_ms = :now, last_interacted_at_ms = :now, idle_expires_at_ms = :idle, expires_at_ms = :expires,
        persistent = :persistent, clients = :clients, device = :device, methods = :methods
        where tenant_id = :tenant_id and id = :id""",
        token_hash=token_hash,
        connection=connection,
        now=now,
        idle=renewed.idle_expires_at_ms,
        expires=renewed.expires_at_ms,
        persistent=int(persistent),
        clients=_json(renewed.clients),
        device=_json(renewed.device),
        methods=_json(renewed.methods),
        tenant_id=tenant.id,
        id=session.id,
    )
    return (renewed, value) if changed else None


async def add_method(tx: Transaction, tenant: TenantScope, session: Session, method: str) -> tuple[Session, str] | None:
    """Note that the session's user has shown one thing more; the cookie's value changes, `auth_time` does not.

    None when it has ended meanwhile.
    """
    now = tenant.clock.now_ms()
    value, token_hash = new_secret()
    others = [known for known in session.methods if known.get("name") != method]
    methods = [*others, *_methods([method], now)]
    changed = await tx.run(
        """update sessions set token_hash = :token_hash, updated_at_ms = :now, methods = :methods
        where tenant_id = :tenant_id and id = :id""",
        token_hash=token_hash,
        now=now,
        methods=_json(methods),
        tenant_id=tenant.id,
        id=session.id,
    )
    return (replace(session, updated_at_ms=now, methods=methods), value) if changed else None


async def set_session_metadata(
    tx: Transaction, tenant: TenantScope, session_id: str, metadata: Mapping[str, Any] | None
) -> None:
    """Replace what the tenant keeps with a session; None removes it."""
    await tx.run(
        "update sessions set metadata = :metadata, updated_at_ms = :now where tenant_id = :tenant_id and id = :id",
        metadata=None if metadata is None else _json(metadata),
        now=tenant.clock.now_ms(),
        tenant_id=tenant.id,
        id=session_id,
    )


async def end_session(writer: Writer, tenant: TenantScope, session_id: str) -> bool:
    """End one session; answers whether there was one. Its refresh tokens live on, as after a logout at Auth0."""
    sql = "delete from sessions where tenant_id = :tenant_id and id = :id"
    return await writer.run(sql, tenant_id=tenant.id, id=session_id) > 0


async def end_sessions_of(writer: Writer, tenant: TenantScope, user_id: str, *, but: str = "") -> int:
    """End a user's sessions, except the one named; answers how many there were."""
    sql = "delete from sessions where tenant_id = :tenant_id and user_id = :user_id and id <> :but"
    return await writer.run(sql, tenant_id=tenant.id, user_id=user_id, but=but)


def shown(session: Session) -> dict[str, Any]:
    """A session as the Management API shows it."""
    return {
        "id": session.id,
        "user_id": session.user_id,
        "created_at": iso(session.created_at_ms),
        "updated_at": iso(session.updated_at_ms),
        "authenticated_at": iso(session.authenticated_at_ms),
        "idle_expires_at": iso(session.idle_expires_at_ms),
        "expires_at": iso(session.expires_at_ms),
        "last_interacted_at": iso(session.last_interacted_at_ms),
        "device": {"initial_asn": "", "last_asn": "", **session.device},
        "clients": [{"client_id": client_id} for client_id in session.clients],
        "authentication": {"methods": session.methods},
        "cookie": {"mode": "persistent" if session.persistent else "non-persistent"},
        "session_metadata": session.metadata,
    }


def _session(row: Row) -> Session:
    (
        id_, user_id, connection, created, updated, authenticated, interacted, idle, expires, persistent,
        clients, device, methods, metadata,
    ) = row  # fmt: skip
    return Session(
        id=id_,
        user_id=user_id,
        connection=connection,
        created_at_ms=created,
        updated_at_ms=updated,
        authenticated_at_ms=authenticated,
        last_interacted_at_ms=interacted,
        idle_expires_at_ms=idle,
        expires_at_ms=expires,
        persistent=bool(persistent),
        clients=tuple(msgspec.json.decode(clients)),
        device=msgspec.json.decode(device),
        methods=msgspec.json.decode(methods),
        metadata=None if metadata is None else msgspec.json.decode(metadata),
    )


def _methods(names: Sequence[str], now_ms: int) -> list[dict[str, Any]]:
    return [{"name": name, "timestamp": iso(now_ms)} for name in names]


def _ms(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
