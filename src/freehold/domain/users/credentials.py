"""Password hashes in the vault: the only module that reads or writes them for sign-in.

An identity owns up to three kinds: the current hash (name empty), one that came with an import and was not used yet
(`imported`), and earlier ones where the connection keeps a history (`earlier/...`). An imported hash is replaced by our
own at the first sign-in that proves it.
"""

import msgspec

from freehold.domain.users.documents import PASSWORD_HASHES
from freehold.domain.users.password_policy import history_refused
from freehold.kernel import vault
from freehold.kernel.crypto.passwords import PasswordNotUsable, PasswordTooLong
from freehold.kernel.crypto.passwords.pool import PasswordPool
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Transaction

CURRENT = ""
IMPORTED = "imported"
_EARLIER = "earlier/"


class Hashes(msgspec.Struct, frozen=True):
    """What is known of one identity's passwords."""

    current: str | None = None
    imported: str | None = None
    earlier: tuple[str, ...] = ()
    """Latest first."""

    @property
    def exist(self) -> bool:
        """Whether there is a password to sign in with."""
        return self.current is not None or self.imported is not None


class Verification(msgspec.Struct, frozen=True):
    """Whether a password was right, and the hash to store with the sign-in when the old one should be replaced."""

    ok: bool
    replacement: str | None = None
    imported: bool = False
    """The hash that was checked came with an import."""


async def read_hashes(reader: Reader, tenant: TenantScope, identity_id: str) -> Hashes:
    """The hashes of an identity."""
    found = await vault.open_owned(reader, tenant, PASSWORD_HASHES.name, identity_id)
    earlier = sorted((name for name in found if name.startswith(_EARLIER)), reverse=True)
    return Hashes(
        current=found[CURRENT].decode() if CURRENT in found else None,
        imported=found[IMPORTED].decode() if IMPORTED in found else None,
        earlier=tuple(found[name].decode() for name in earlier),
    )


async def verify_password(
    reader: Reader, tenant: TenantScope, pool: PasswordPool, *, identity_id: str | None, password: str
) -> Verification:
    """Check a password. An identity that does not exist, or has none, costs as much as a wrong password.

    Raises TooManyRequests when too many passwords are waiting.
    """
    hashes = Hashes() if identity_id is None else await read_hashes(reader, tenant, identity_id)
    stored = hashes.imported or hashes.current
    if stored is None:
        await pool.verify_nobody(password)
        return Verification(ok=False)
    imported = hashes.imported is not None
    if not await pool.verify(stored, password):
        return Verification(ok=False, imported=imported)
    if not imported and not pool.needs_rehash(stored):
        return Verification(ok=True)
    try:
        return Verification(ok=True, replacement=await pool.hash(password), imported=imported)
    except (PasswordTooLong, PasswordNotUsable):
        # Another scheme took what ours does not: the old hash goes on.
        return Verification(ok=True, imported=imported)


async def check_history(pool: PasswordPool, hashes: Hashes, password: str, *, size: int) -> None:
    """Refuse a password among the last `size`, the current one included. Raises PasswordRefused."""
    if size <= 0:
        return
    known = [stored for stored in (hashes.imported or hashes.current, *hashes.earlier) if stored is not None]
    for stored in known[:size]:
        if await pool.verify(stored, password):
            raise history_refused()


async def store_hash(tx: Transaction, tenant: TenantScope, identity_id: str, stored: str, *, history: int = 0) -> None:
    """Make this the identity's password; the one before goes, or joins the history while that is kept."""
    hashes = await read_hashes(tx, tenant, identity_id)
    before = hashes.imported or hashes.current
    earlier = (before, *hashes.earlier) if before is not None else hashes.earlier
    await vault.drop(tx, tenant, PASSWORD_HASHES.name, identity_id)
    await vault.put(tx, tenant, PASSWORD_HASHES.name, identity_id, stored.encode())
    for age, old in enumerate(reversed(earlier[: max(0, history - 1)])):
        name = f"{_EARLIER}{age:04}"
        await vault.put(tx, tenant, PASSWORD_HASHES.name, identity_id, old.encode(), name=name)


async def store_rehash(tx: Transaction, tenant: TenantScope, identity_id: str, stored: str) -> None:
    """Put our own hash of the same password in the place of an imported or an older one."""
    await vault.put(tx, tenant, PASSWORD_HASHES.name, identity_id, stored.encode())
    await vault.drop(tx, tenant, PASSWORD_HASHES.name, identity_id, name=IMPORTED)


async def drop_hashes(tx: Transaction, tenant: TenantScope, identity_id: str) -> None:
    """Forget an identity's passwords."""
    await vault.drop(tx, tenant, PASSWORD_HASHES.name, identity_id)
