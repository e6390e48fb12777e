"""The tenant's OpenPGP key: it signs exports where the policy says so, and is made when the first is to be signed.

The private half is in the vault. Certificates stay, also those of earlier keys, so that an old file can be checked.
"""

import asyncio

from freehold.kernel import vault
from freehold.kernel.crypto.openpgp import SigningKey, new_signing_key
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Store, Transaction

PRIVATE_KEYS = "private_keys"

_ALL = """
select fingerprint, certificate from export_keys where tenant_id = :tenant_id order by created_at_ms, fingerprint
"""
_INSERT = """
insert into export_keys (tenant_id, fingerprint, certificate, created_at_ms)
values (:tenant_id, :fingerprint, :certificate, :now)
"""


def owner(fingerprint: str) -> str:
    """Under which name the vault keeps the private half."""
    return f"openpgp|{fingerprint}"


async def export_certificates(reader: Reader, tenant: TenantScope) -> dict[str, str]:
    """All certificates the tenant ever had for this, armored, by their fingerprint, oldest first."""
    return dict(await reader.all(_ALL, tenant_id=tenant.id))


async def ensure_export_key(store: Store, tenant: TenantScope) -> str:
    """The fingerprint of the key that signs; it is made when no private half is here."""
    found = await _current(store, tenant)
    if found is not None:
        return found
    made = await asyncio.to_thread(new_signing_key, f"Exports of {tenant.name} ({tenant.domain})")
    async with store.transaction() as tx:
        found = await _current(tx, tenant)
        if found is None:
            await keep_export_key(tx, tenant, made)
    return found or made.fingerprint


async def keep_export_key(tx: Transaction, tenant: TenantScope, made: SigningKey) -> None:
    """Store a new key; from now on it is the one that signs."""
    await tx.run(
        _INSERT, tenant_id=tenant.id, fingerprint=made.fingerprint, certificate=made.certificate,
        now=tenant.clock.now_ms(),
    )  # fmt: skip
    await vault.put(tx, tenant, PRIVATE_KEYS, owner(made.fingerprint), made.secret.encode())


async def _current(reader: Reader, tenant: TenantScope) -> str | None:
    for fingerprint in reversed(await export_certificates(reader, tenant)):
        if await vault.names_of(reader, tenant, PRIVATE_KEYS, owner(fingerprint)):
            return fingerprint
    return None
