"""Passwords of administrators: long, not among those everybody tries, and without one's own name in it."""

from freehold.domain.administrators.links import drop_password_links
from freehold.domain.administrators.people import Administrator, owner_of
from freehold.domain.connections.password_policy import PasswordPolicy
from freehold.domain.users import credentials
from freehold.domain.users.credentials import Verification
from freehold.domain.users.password_policy import check_password
from freehold.kernel.crypto.passwords.pool import PasswordPool
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Transaction

MIN_LENGTH = 12
POLICY = PasswordPolicy(min_length=MIN_LENGTH, common_blocked=True, personal_fields=("email", "name"))


async def prepare_password(pool: PasswordPool, password: str, *, email: str, name: str) -> str:
    """The hash of a new password. Raises PasswordRefused, PasswordTooLong, PasswordNotUsable, TooManyRequests."""
    check_password(password, POLICY, {"email": email, "name": name})
    return await pool.hash(password)


async def store_password(tx: Transaction, tenant: TenantScope, administrator_id: str, stored: str) -> None:
    """Make this the password; open links to set one are worthless from now on."""
    await credentials.store_hash(tx, tenant, owner_of(administrator_id), stored)
    await drop_password_links(tx, tenant, administrator_id)
    await tx.run(
        "update administrators set password_changed_at_ms = :now where tenant_id = :tenant_id and id = :id",
        now=tenant.clock.now_ms(),
        tenant_id=tenant.id,
        id=administrator_id,
    )


async def verify_password(
    reader: Reader, tenant: TenantScope, pool: PasswordPool, person: Administrator | None, password: str
) -> Verification:
    """Check a password; for nobody it takes as long. Raises TooManyRequests."""
    identity = None if person is None else owner_of(person.id)
    return await credentials.verify_password(reader, tenant, pool, identity_id=identity, password=password)


async def store_rehash(tx: Transaction, tenant: TenantScope, administrator_id: str, stored: str) -> None:
    """Put a dearer hash of the same password in the place of an older one."""
    await credentials.store_rehash(tx, tenant, owner_of(administrator_id), stored)


async def drop_password(tx: Transaction, tenant: TenantScope, administrator_id: str) -> None:
    """Forget the password; a link to set a new one is the only way in."""
    await credentials.drop_hashes(tx, tenant, owner_of(administrator_id))
