"""Links that are good for one thing, once, for a while: an invitation, a new password.

An invitation is worth what the one who sent it may do: it is void when they are blocked, removed or no longer `admin`.
"""

from datetime import timedelta
from typing import Any, Literal

import msgspec

from freehold.domain.administrators.people import OPERATOR, Administrator, Role, address_of, find_administrator
from freehold.domain.sessions.tokens import hashed, new_secret, plausible
from freehold.domain.users.identifiers import canonical_email
from freehold.kernel.crypto.ids import new_id
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import FreeholdError
from freehold.kernel.store import Reader, Transaction

Kind = Literal["invitation", "password"]
State = Literal["open", "used", "expired", "void", "unknown"]
PASSWORD_LIFETIME = timedelta(hours=2)

_SELECT = """select id, kind, administrator_id, email, role, issued_by, created_at_ms, expires_at_ms, used_at_ms
from administrator_links where tenant_id = :tenant_id """


class LinkOver(FreeholdError):
    """410: the link was used, is too old, or is void."""

    status, code = 410, "link_over"

    def __init__(self, state: State) -> None:
        super().__init__("This link was used before, is too old, or was withdrawn. Ask for a new one.")
        self.state = state


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """What a link stands for."""

    id: str
    kind: Kind
    administrator_id: str | None
    email: str
    """Empty in the invitation for whoever comes first."""
    role: Role
    issued_by: str
    created_at_ms: int
    expires_at_ms: int
    used_at_ms: int | None


async def issue_invitation(
    tx: Transaction, tenant: TenantScope, *, email: str, role: Role, issued_by: str, lifetime: timedelta
) -> tuple[Link, str]:
    """An invitation and the value of its link; earlier ones to the same address are withdrawn."""
    address = address_of(email)
    await tx.run(
        """delete from administrator_links where tenant_id = :tenant_id and email_key = :email_key
        and kind = 'invitation' and used_at_ms is null""",
        tenant_id=tenant.id,
        email_key=canonical_email(address),
    )
    return await _issue(tx, tenant, "invitation", None, address, role, issued_by, lifetime)


async def issue_first_invitation(tx: Transaction, tenant: TenantScope, *, lifetime: timedelta) -> str | None:
    """The address of the invitation for whoever comes first, who says their own e-mail address.

    An earlier one is void from now on. None when the tenant has an administrator already.
    """
    if await _has_administrator(tx, tenant):
        return None
    await tx.run(
        "delete from administrator_links where tenant_id = :tenant_id and email_key = '' and used_at_ms is null",
        tenant_id=tenant.id,
    )
    _, value = await _issue(tx, tenant, "invitation", None, "", "admin", OPERATOR, lifetime)
    return invitation_url(tenant, value)


async def issue_password_link(
    tx: Transaction, tenant: TenantScope, person: Administrator, *, issued_by: str
) -> tuple[Link, str]:
    """A link under which somebody sets a new password; earlier ones are worthless from now on."""
    await drop_password_links(tx, tenant, person.id)
    return await _issue(
        tx, tenant, "password", person.id, person.email, person.role, issued_by, PASSWORD_LIFETIME
    )  # fmt: skip


async def find_link(reader: Reader, tenant: TenantScope, value: str | None, kind: Kind) -> tuple[State, Link | None]:
    """A link and what state it is in; looking at it does not use it, because mail scanners follow links."""
    if not value or not plausible(value):
        return "unknown", None
    row = await reader.one(
        _SELECT + "and value_hash = :value_hash and kind = :kind",
        tenant_id=tenant.id,
        value_hash=hashed(value),
        kind=kind,
    )
    if row is None:
        return "unknown", None
    link = _link(row)
    if link.used_at_ms is not None:
        return "used", link
    if link.expires_at_ms <= tenant.clock.now_ms():
        return "expired", link
    if kind == "invitation" and not await _may_invite(reader, tenant, link.issued_by):
        return "void", link
    if kind == "invitation" and not link.email and await _has_administrator(reader, tenant):
        return "void", link
    return "open", link


async def use_link(tx: Transaction, tenant: TenantScope, value: str, kind: Kind) -> Link:
    """Use a link; exactly one caller gets it. Raises LinkOver."""
    state, link = await find_link(tx, tenant, value, kind)
    if state != "open" or link is None:
        raise LinkOver(state)
    used = await tx.run(
        """update administrator_links set used_at_ms = :now where tenant_id = :tenant_id and id = :id
        and used_at_ms is null""",
        now=tenant.clock.now_ms(),
        tenant_id=tenant.id,
        id=link.id,
    )
    if not used:
        raise LinkOver("used")
    return link


async def open_invitations(reader: Reader, tenant: TenantScope) -> list[Link]:
    """The invitations that can still be accepted, the newest first."""
    rows = await reader.all(
        _SELECT + "and kind = 'invitation' and used_at_ms is null and expires_at_ms > :now "
        "order by created_at_ms desc, id",
        tenant_id=tenant.id,
        now=tenant.clock.now_ms(),
    )
    return [link for link in map(_link, rows) if link.email and await _may_invite(reader, tenant, link.issued_by)]


async def withdraw_invitation(tx: Transaction, tenant: TenantScope, link_id: str) -> Link | None:
    """Withdraw an invitation that was not accepted yet; None when there is no such one."""
    row = await tx.one(
        _SELECT + "and id = :id and kind = 'invitation' and used_at_ms is null", tenant_id=tenant.id, id=link_id
    )
    if row is None:
        return None
    await tx.run(
        "delete from administrator_links where tenant_id = :tenant_id and id = :id", tenant_id=tenant.id, id=link_id
    )
    return _link(row)


async def drop_password_links(tx: Transaction, tenant: TenantScope, administrator_id: str) -> None:
    """Make somebody's open links to a new password worthless."""
    await tx.run(
        """delete from administrator_links where tenant_id = :tenant_id and administrator_id = :administrator_id
        and kind = 'password' and used_at_ms is null""",
        tenant_id=tenant.id,
        administrator_id=administrator_id,
    )


def invitation_url(tenant: TenantScope, value: str) -> str:
    """The address of an invitation."""
    return f"{tenant.issuer}admin/invitation?token={value}"


def password_url(tenant: TenantScope, value: str) -> str:
    """The address under which a new password is set."""
    return f"{tenant.issuer}admin/new-password?token={value}"


async def _may_invite(reader: Reader, tenant: TenantScope, issued_by: str) -> bool:
    if issued_by == OPERATOR:
        return True
    issuer = await find_administrator(reader, tenant, issued_by)
    return issuer is not None and issuer.role == "admin" and not issuer.blocked


async def _has_administrator(reader: Reader, tenant: TenantScope) -> bool:
    row = await reader.one("select 1 from administrators where tenant_id = :id limit 1", id=tenant.id)
    return row is not None


async def _issue(
    tx: Transaction,
    tenant: TenantScope,
    kind: Kind,
    administrator_id: str | None,
    email: str,
    role: Role,
    issued_by: str,
    lifetime: timedelta,
) -> tuple[Link, str]:
    value, value_hash = new_secret()
    now = tenant.clock.now_ms()
    link = Link(
        id=new_id("adl_"),
        kind=kind,
        administrator_id=administrator_id,
        email=email,
        role=role,
        issued_by=issued_by,
        created_at_ms=now,
        expires_at_ms=now + int(lifetime.total_seconds() * 1000),
        used_at_ms=None,
    )
    await tx.run(
        """insert into administrator_links (tenant_id, id, value_hash, kind, administrator_id, email, email_key, role,
        issued_by, created_at_ms, expires_at_ms)
        values (:tenant_id, :id, :value_hash, :kind, :administrator_id, :email, :email_key, :role, :issued_by, :now,
        :expires)""",
        tenant_id=tenant.id,
        id=link.id,
        value_hash=value_hash,
        kind=kind,
        administrator_id=administrator_id,
        email=email,
        email_key=canonical_email(email),
        role=role,
        issued_by=issued_by,
        now=now,
        expires=link.expires_at_ms,
    )
    return link, value


def _link(row: Any) -> Link:
    return Link(
        id=row[0],
        kind=row[1],
        administrator_id=row[2],
        email=row[3],
        role=row[4],
        issued_by=row[5],
        created_at_ms=row[6],
        expires_at_ms=row[7],
        used_at_ms=row[8],
    )
