"""Who may sign in to a tenant's dashboard, and what they may do there.

There is always one administrator with the role `admin` who is not blocked, once there is any. An address belongs to
one administrator of the tenant, however it is written.
"""

from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec

from freehold.domain.users.identifiers import canonical_email, is_email, stored_email
from freehold.kernel import vault
from freehold.kernel.crypto.ids import new_id
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import BadRequest, Conflict, NotFound
from freehold.kernel.store import Reader, Transaction, UniqueViolation

Role = Literal["admin", "editor", "viewer"]
ROLES: tuple[Role, ...] = get_args(Role)
"""What a person may do, the most first: `admin` everything, `editor` change the tenant's data but not who administers
it, `viewer` look."""
OPERATOR = "operator"
"""Who made an administrator with a command on the server."""
LONGEST_NAME = 200

_COLUMNS = """id, email, name, role, blocked, created_at_ms, created_by, totp_since_ms, recovery_since_ms, reset_at_ms,
reset_by, last_sign_in_at_ms"""
_SELECT = f"select {_COLUMNS} from administrators where tenant_id = :tenant_id "  # noqa: S608 - constant


class Administrator(msgspec.Struct, frozen=True, kw_only=True):
    """A person who may sign in to the dashboard of a tenant."""

    id: str
    email: str
    name: str
    role: Role
    blocked: bool
    created_at: datetime
    created_by: str
    """The id of the administrator who invited this one, or `operator`."""
    totp_since_ms: int | None = None
    recovery_since_ms: int | None = None
    reset_at_ms: int | None = None
    """When another administrator, or the operator, last took this one's factors or password away."""
    reset_by: str | None = None
    last_sign_in_at_ms: int | None = None

    @property
    def created_at_ms(self) -> int:
        """When the invitation was accepted."""
        return round(self.created_at.timestamp() * 1000)

    @property
    def email_key(self) -> str:
        """The form in which addresses are compared."""
        return canonical_email(self.email)

    def may(self, role: Role) -> bool:
        """Whether this person may do what a role may."""
        return ROLES.index(self.role) <= ROLES.index(role)


class LastAdministrator(Conflict):
    """409: without this one nobody could administer the tenant."""

    code = "last_administrator"

    def __init__(self) -> None:
        super().__init__("This is the last administrator who can sign in. Give somebody else the role admin first.")


class UnknownAdministrator(NotFound):
    """404: the tenant has no such administrator."""

    code = "inexistent_administrator"

    def __init__(self) -> None:
        super().__init__("There is no such administrator.")


class AddressTaken(Conflict):
    """409: another administrator of the tenant has the address."""

    code = "administrator_exists"

    def __init__(self) -> None:
        super().__init__("There is an administrator with this address already.")


def owner_of(administrator_id: str) -> str:
    """Whose values in the vault an administrator's are."""
    return f"admin|{administrator_id}"


async def find_administrator(reader: Reader, tenant: TenantScope, administrator_id: str) -> Administrator | None:
    """The administrator with this id."""
    row = await reader.one(_SELECT + "and id = :id", tenant_id=tenant.id, id=administrator_id)
    return None if row is None else _administrator(row)


async def get_administrator(reader: Reader, tenant: TenantScope, administrator_id: str) -> Administrator:
    """The administrator with this id. Raises UnknownAdministrator."""
    found = await find_administrator(reader, tenant, administrator_id)
    if found is None:
        raise UnknownAdministrator
    return found


async def find_by_email(reader: Reader, tenant: TenantScope, email: str) -> Administrator | None:
    """The administrator with this address, however it is written."""
    row = await reader.one(
        _SELECT + "and email_key = :email_key", tenant_id=tenant.id, email_key=canonical_email(email.strip())
    )
    return None if row is None else _administrator(row)


async def list_administrators(reader: Reader, tenant: TenantScope) -> list[Administrator]:
    """All of them, by address."""
    return [_administrator(row) for row in await reader.all(_SELECT + "order by email_key", tenant_id=tenant.id)]


async def add_administrator(
    tx: Transaction, tenant: TenantScope, *, email: str, name: str, role: Role, created_by: str
) -> Administrator:
    """A new administrator, without a password yet. Raises BadRequest, AddressTaken."""
    address, now = address_of(email), tenant.clock.now_ms()
    name = " ".join(name.split()) or address
    if len(name) > LONGEST_NAME:
        raise BadRequest(f"A name has at most {LONGEST_NAME} characters.")
    id_ = new_id("adm_")
    try:
        await tx.run(
            """insert into administrators (tenant_id, id, email, email_key, name, role, blocked, created_at_ms,
            created_by, password_changed_at_ms)
            values (:tenant_id, :id, :email, :email_key, :name, :role, 0, :now, :created_by, :now)""",
            tenant_id=tenant.id,
            id=id_,
            email=address,
            email_key=canonical_email(address),
            name=name,
            role=role,
            now=now,
            created_by=created_by,
        )
    except UniqueViolation:
        raise AddressTaken from None
    return await get_administrator(tx, tenant, id_)


async def change_role(tx: Transaction, tenant: TenantScope, administrator_id: str, role: Role) -> Administrator:
    """Give somebody another role. Raises UnknownAdministrator, LastAdministrator."""
    await lock(tx, tenant)
    person = await get_administrator(tx, tenant, administrator_id)
    if role != "admin":
        await _check_another(tx, tenant, person)
    await tx.run(
        "update administrators set role = :role where tenant_id = :tenant_id and id = :id",
        role=role,
        tenant_id=tenant.id,
        id=person.id,
    )
    return await get_administrator(tx, tenant, administrator_id)


async def set_blocked(tx: Transaction, tenant: TenantScope, administrator_id: str, *, blocked: bool) -> Administrator:
    """Keep somebody out, or let them in again; whoever is blocked is signed out everywhere.

    Raises UnknownAdministrator, LastAdministrator.
    """
    await lock(tx, tenant)
    person = await get_administrator(tx, tenant, administrator_id)
    if blocked:
        await _check_another(tx, tenant, person)
    await tx.run(
        "update administrators set blocked = :blocked where tenant_id = :tenant_id and id = :id",
        blocked=int(blocked),
        tenant_id=tenant.id,
        id=person.id,
    )
    if blocked:
        await _drop_openings(tx, tenant, person)
    return await get_administrator(tx, tenant, administrator_id)


async def remove_administrator(tx: Transaction, tenant: TenantScope, administrator_id: str) -> Administrator:
    """Remove somebody with everything of theirs; answers who it was. Raises UnknownAdministrator, LastAdministrator."""
    await lock(tx, tenant)
    person = await get_administrator(tx, tenant, administrator_id)
    await _check_another(tx, tenant, person)
    await _drop_openings(tx, tenant, person)
    for kind in ("password_hashes", "mfa_secrets"):
        await vault.drop(tx, tenant, kind, owner_of(person.id))
    where: dict[str, Any] = {"tenant_id": tenant.id, "id": person.id}
    await tx.run("delete from administrator_passkeys where tenant_id = :tenant_id and administrator_id = :id", **where)
    await tx.run("delete from administrator_devices where tenant_id = :tenant_id and administrator_id = :id", **where)
    await tx.run("delete from administrators where tenant_id = :tenant_id and id = :id", **where)
    return person


def address_of(email: str) -> str:
    """The form an address is kept in. Raises BadRequest for what is no address."""
    if not is_email(email.strip()):
        raise BadRequest("That is no e-mail address.", code="invalid_email")
    return stored_email(email.strip())


def role_of(text: str) -> Role:
    """The role of this name. Raises BadRequest."""
    for role in ROLES:
        if role == text:
            return role
    raise BadRequest(f"A role is one of {', '.join(ROLES)}.", code="invalid_role")


async def lock(tx: Transaction, tenant: TenantScope) -> None:
    """Let changes of who administers the tenant happen one after the other, on PostgreSQL too."""
    await tx.run("update tenants set name = name where tenant_id = :tenant_id", tenant_id=tenant.id)


async def _check_another(tx: Transaction, tenant: TenantScope, person: Administrator) -> None:
    """Raise LastAdministrator when nobody else could administer the tenant."""
    if person.role != "admin" or person.blocked:
        return
    other = await tx.one(
        """select 1 from administrators where tenant_id = :tenant_id and id <> :id and role = 'admin' and blocked = 0
        limit 1""",
        tenant_id=tenant.id,
        id=person.id,
    )
    if other is None:
        raise LastAdministrator


async def _drop_openings(tx: Transaction, tenant: TenantScope, person: Administrator) -> None:
    """End the sessions and make worthless the links and half sign-ins of somebody."""
    where: dict[str, Any] = {"tenant_id": tenant.id, "id": person.id}
    await tx.run("delete from administrator_sessions where tenant_id = :tenant_id and administrator_id = :id", **where)
    await tx.run(
        "delete from administrator_challenges where tenant_id = :tenant_id and administrator_id = :id", **where
    )
    await tx.run("delete from administrator_links where tenant_id = :tenant_id and administrator_id = :id", **where)


def _administrator(row: Any) -> Administrator:
    return Administrator(
        id=row[0],
        email=row[1],
        name=row[2],
        role=row[3],
        blocked=bool(row[4]),
        created_at=datetime.fromtimestamp(row[5] / 1000, UTC),
        created_by=row[6],
        totp_since_ms=row[7],
        recovery_since_ms=row[8],
        reset_at_ms=row[9],
        reset_by=row[10],
        last_sign_in_at_ms=row[11],
    )
