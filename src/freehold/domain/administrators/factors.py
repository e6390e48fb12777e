"""Authenticator apps and recovery codes of administrators; passkeys have a module of their own.

A code of an authenticator is good once: the step it belongs to is kept, and an older one, or the same again, is none.
A recovery code stands in for a lost factor, once; the next one is given out when it is used.
"""

from datetime import timedelta

import msgspec

from freehold.domain.administrators.passkeys import Passkey, passkeys_of
from freehold.domain.administrators.people import Administrator, get_administrator, owner_of
from freehold.kernel import vault
from freehold.kernel.crypto.otp import match_totp, new_recovery_code, new_totp_secret, normalise_code
from freehold.kernel.crypto.passwords.pool import PasswordPool
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Transaction

KIND = "mfa_secrets"
TOTP, PENDING, RECOVERY = "totp", "totp_pending", "recovery_code"
PENDING_LIFETIME = timedelta(minutes=15)


class Factors(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody can show besides a password."""

    totp_since_ms: int | None
    recovery_since_ms: int | None
    passkeys: tuple[Passkey, ...]

    @property
    def any(self) -> bool:
        """Whether there is a second factor; a recovery code stands in for one and is none."""
        return self.totp_since_ms is not None or bool(self.passkeys)

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.totp_since_ms is not None) + len(self.passkeys)


class PreparedRecovery(msgspec.Struct, frozen=True):
    """A recovery code to be shown once, and the hash that is kept of it."""

    code: str
    stored: str


async def factors_of(reader: Reader, tenant: TenantScope, administrator_id: str) -> Factors:
    """Somebody's factors."""
    person = await get_administrator(reader, tenant, administrator_id)
    return Factors(
        totp_since_ms=person.totp_since_ms,
        recovery_since_ms=person.recovery_since_ms,
        passkeys=tuple(await passkeys_of(reader, tenant, administrator_id)),
    )


# --- authenticator apps ------------------------------------------------------------------------------------------


async def offer_totp(tx: Transaction, tenant: TenantScope, person: Administrator) -> str:
    """A new secret for an authenticator app; it counts once a code of it was given. Any offered before is void."""
    secret = new_totp_secret()
    value = f"{tenant.clock.now_ms()} {secret}"
    await vault.put(tx, tenant, KIND, owner_of(person.id), value.encode(), name=PENDING)
    return secret


async def offered_totp(reader: Reader, tenant: TenantScope, person: Administrator) -> str | None:
    """The secret that was offered lately."""
    stored = await vault.open_one(reader, tenant, KIND, owner_of(person.id), name=PENDING)
    if stored is None:
        return None
    at, _, secret = stored.decode().partition(" ")
    lives_ms = int(PENDING_LIFETIME.total_seconds() * 1000)
    return secret if int(at) + lives_ms > tenant.clock.now_ms() else None


async def accept_totp(tx: Transaction, tenant: TenantScope, person: Administrator, code: str) -> bool:
    """Make the offered secret the authenticator, in the place of any before; False for a wrong code."""
    secret = await offered_totp(tx, tenant, person)
    if secret is None:
        return False
    step = match_totp(secret, code, now=tenant.clock.now(), last_step=None)
    if step is None:
        return False
    await vault.put(tx, tenant, KIND, owner_of(person.id), secret.encode(), name=TOTP)
    await vault.drop(tx, tenant, KIND, owner_of(person.id), name=PENDING)
    await tx.run(
        """update administrators set totp_since_ms = :now, totp_last_step = :step
        where tenant_id = :tenant_id and id = :id""",
        now=tenant.clock.now_ms(),
        step=step,
        tenant_id=tenant.id,
        id=person.id,
    )
    return True


async def check_totp(tx: Transaction, tenant: TenantScope, person: Administrator, code: str) -> bool:
    """Whether the code is one of the authenticator's and was not used yet; it is used by this."""
    secret = await vault.open_one(tx, tenant, KIND, owner_of(person.id), name=TOTP)
    row = await tx.one(
        "select totp_last_step from administrators where tenant_id = :tenant_id and id = :id",
        tenant_id=tenant.id,
        id=person.id,
    )
    if secret is None or row is None:
        return False
    step = match_totp(secret.decode(), code, now=tenant.clock.now(), last_step=row[0])
    if step is None:
        return False
    # Of two with the same code at once only the first moves the step on.
    moved = await tx.run(
        """update administrators set totp_last_step = :step where tenant_id = :tenant_id and id = :id
        and (totp_last_step is null or totp_last_step < :step)""",
        step=step,
        tenant_id=tenant.id,
        id=person.id,
    )
    return moved > 0


async def remove_totp(tx: Transaction, tenant: TenantScope, administrator_id: str) -> None:
    """Forget the authenticator. The last step stays: a code seen before is worthless ever after."""
    for name in (TOTP, PENDING):
        await vault.drop(tx, tenant, KIND, owner_of(administrator_id), name=name)
    await tx.run(
        "update administrators set totp_since_ms = null where tenant_id = :tenant_id and id = :id",
        tenant_id=tenant.id,
        id=administrator_id,
    )


# --- recovery codes ----------------------------------------------------------------------------------------------


async def prepare_recovery(pool: PasswordPool) -> PreparedRecovery:
    """A new recovery code; hashing takes its time, so this is done before the transaction."""
    code = new_recovery_code()
    return PreparedRecovery(code, await pool.hash(code))


async def store_recovery(
    tx: Transaction, tenant: TenantScope, administrator_id: str, prepared: PreparedRecovery
) -> None:
    """Make this the recovery code; the one before is worth nothing."""
    await vault.put(tx, tenant, KIND, owner_of(administrator_id), prepared.stored.encode(), name=RECOVERY)
    await tx.run(
        """update administrators set recovery_since_ms =
        case when recovery_since_ms >= :now then recovery_since_ms + 1 else :now end
        where tenant_id = :tenant_id and id = :id""",
        now=tenant.clock.now_ms(),
        tenant_id=tenant.id,
        id=administrator_id,
    )


async def check_recovery(
    reader: Reader, tenant: TenantScope, pool: PasswordPool, person: Administrator, code: str
) -> bool:
    """Whether this is the recovery code; `use_recovery` is what uses it. Costs the same where there is none."""
    stored = await vault.open_one(reader, tenant, KIND, owner_of(person.id), name=RECOVERY)
    if stored is None:
        await pool.verify_nobody(normalise_code(code))
        return False
    return await pool.verify(stored.decode(), normalise_code(code)) and person.recovery_since_ms is not None


async def use_recovery(
    tx: Transaction, tenant: TenantScope, person: Administrator, following: PreparedRecovery
) -> bool:
    """Use the recovery code that was checked, and put the next in its place; exactly one caller gets True."""
    won = await tx.run(
        """update administrators set recovery_since_ms = :new where tenant_id = :tenant_id and id = :id
        and recovery_since_ms = :old""",
        new=max(tenant.clock.now_ms(), (person.recovery_since_ms or 0) + 1),
        old=person.recovery_since_ms,
        tenant_id=tenant.id,
        id=person.id,
    )
    if won:
        await vault.put(tx, tenant, KIND, owner_of(person.id), following.stored.encode(), name=RECOVERY)
    return won > 0


async def drop_factors(tx: Transaction, tenant: TenantScope, administrator_id: str) -> None:
    """Forget every factor, and the recovery code."""
    await remove_totp(tx, tenant, administrator_id)
    await vault.drop(tx, tenant, KIND, owner_of(administrator_id), name=RECOVERY)
    await tx.run(
        "delete from administrator_passkeys where tenant_id = :tenant_id and administrator_id = :id",
        tenant_id=tenant.id,
        id=administrator_id,
    )
    await tx.run(
        "update administrators set recovery_since_ms = null where tenant_id = :tenant_id and id = :id",
        tenant_id=tenant.id,
        id=administrator_id,
    )
