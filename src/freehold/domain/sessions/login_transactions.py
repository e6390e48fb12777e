"""Sign-ins under way: what `/authorize` asked for and how far the user has come.

The browser holds a reference. At first it is all there is: what was asked for is sealed into it, so that a page that
nobody fills in costs no write and fills no table. What the user does on the way is kept in a row, found by the
reference's hash; a step saves by compare-and-set, so that the same form sent twice at once advances a sign-in only
once. A sign-in that has ended stays as an empty row until its time is over, because its reference still opens.
"""

from datetime import timedelta
from typing import Any

import msgspec

from freehold.domain.sessions.tokens import Writer, hashed, new_secret
from freehold.kernel.crypto import jose
from freehold.kernel.crypto.sealing import CannotOpen
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader

LOGIN_LIFETIME = timedelta(hours=1)
LONGEST_REFERENCE = 1500
"""What is asked for in more words than an address has room for gets its row at once."""
_CONTEXT = "login reference"
_ENDED = ""


class LoginTransaction(msgspec.Struct, frozen=True):
    """One sign-in under way; `payload` belongs to the login state machine."""

    id: str
    version: int
    """0 while there is no row of it."""
    payload: dict[str, Any]
    expires_at_ms: int


class _Sealed(msgspec.Struct):
    expires_at_ms: int
    payload: dict[str, Any]


_decode = msgspec.json.Decoder(_Sealed).decode


async def begin_login(
    writer: Writer, tenant: TenantScope, payload: dict[str, Any], *, lifetime: timedelta = LOGIN_LIFETIME
) -> str:
    """Begin a sign-in; answers the reference to hand to the browser."""
    expires_at_ms = tenant.clock.now_ms() + int(lifetime.total_seconds() * 1000)
    sealed = tenant.sealer.seal(msgspec.json.encode(_Sealed(expires_at_ms, payload)), context=_CONTEXT)
    reference = jose.b64u_encode(sealed).decode()
    if len(reference) > LONGEST_REFERENCE:
        reference, id_ = new_secret()
        await _insert(writer, tenant, LoginTransaction(id_, 0, payload, expires_at_ms), _encode(payload))
    return reference


async def find_login(reader: Reader, tenant: TenantScope, reference: str | None) -> LoginTransaction | None:
    """The sign-in of a reference, or None when there is none or it is over."""
    found = await _find(reader, tenant, reference)
    return found if found is not None and found.expires_at_ms > tenant.clock.now_ms() else None


async def has_run_out(reader: Reader, tenant: TenantScope, reference: str) -> bool:
    """Whether a reference was good for a sign-in whose time is over."""
    found = await _find(reader, tenant, reference)
    return found is not None and found.expires_at_ms <= tenant.clock.now_ms()


async def _find(reader: Reader, tenant: TenantScope, reference: str | None) -> LoginTransaction | None:
    """What a reference stands for, however old it is; None for one that was used up."""
    if not reference or len(reference) > LONGEST_REFERENCE or not reference.isascii():
        return None
    id_ = hashed(reference)
    row = await reader.one(
        """select version, payload, expires_at_ms from login_transactions
        where tenant_id = :tenant_id and id = :id""",
        tenant_id=tenant.id,
        id=id_,
    )
    if row is None:
        return _open(tenant, reference, id_)
    if row[1] == _ENDED:
        return None
    return LoginTransaction(id_, row[0], msgspec.json.decode(row[1]), row[2])


async def save_login(writer: Writer, tenant: TenantScope, login: LoginTransaction, payload: dict[str, Any]) -> bool:
    """Store the next state of a sign-in; False when another request came first."""
    return await _advance(writer, tenant, login, _encode(payload))


async def finish_login(writer: Writer, tenant: TenantScope, login: LoginTransaction) -> bool:
    """Consume a sign-in; exactly one caller gets True."""
    return await _advance(writer, tenant, login, _ENDED)


async def _advance(writer: Writer, tenant: TenantScope, login: LoginTransaction, payload: str) -> bool:
    if login.version == 0:
        return await _insert(writer, tenant, login, payload)
    changed = await writer.run(
        """update login_transactions set payload = :payload, version = version + 1
        where tenant_id = :tenant_id and id = :id and version = :version""",
        payload=payload,
        tenant_id=tenant.id,
        id=login.id,
        version=login.version,
    )
    return changed > 0


async def _insert(writer: Writer, tenant: TenantScope, login: LoginTransaction, payload: str) -> bool:
    inserted = await writer.run(
        """insert into login_transactions (tenant_id, id, version, payload, expires_at_ms)
        values (:tenant_id, :id, 1, :payload, :expires) on conflict (tenant_id, id) do nothing""",
        tenant_id=tenant.id,
        id=login.id,
        payload=payload,
        expires=login.expires_at_ms,
    )
    return inserted > 0


def _open(tenant: TenantScope, reference: str, id_: str) -> LoginTransaction | None:
    try:
        sealed = _decode(tenant.sealer.open(jose.b64u_decode(reference.encode("ascii")), context=_CONTEXT))
    except (CannotOpen, jose.InvalidToken):
        return None
    return LoginTransaction(id_, 0, sealed.payload, sealed.expires_at_ms)


def _encode(payload: dict[str, Any]) -> str:
    return msgspec.json.encode(payload).decode()
