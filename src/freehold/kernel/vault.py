"""The vault: password hashes, MFA secrets, private keys and write-only secrets.

Values go in, and come out one at a time to the few modules that verify or sign with them; an architecture test names
those modules. No surface reads this table. In bulk its contents leave only through the export ceremony, or through the
operator's offline path in `surfaces/transfer/vault.py`.
Each value is sealed for its tenant, kind, owner and name, so that a row copied to another place does not open.
"""

from collections.abc import Mapping, Sequence

import msgspec

from freehold.kernel.declare.scope import TenantScope
from freehold.kernel.store import Reader, Transaction
from freehold.kernel.store.schema import Column, Table

VAULT_TABLE = Table(
    "vault",
    (
        Column("tenant_id", "text"),
        Column("kind", "text"),
        Column("owner", "text"),
        Column("name", "text"),
        Column("sealed", "bytea"),
    ),
    key=("tenant_id", "kind", "owner", "name"),
)

_PUT = """
insert into vault (tenant_id, kind, owner, name, sealed) values (:tenant_id, :kind, :owner, :name, :sealed)
on conflict (tenant_id, kind, owner, name) do update set sealed = excluded.sealed
"""
_GET = "select sealed from vault where tenant_id = :tenant_id and kind = :kind and owner = :owner and name = :name"
_LIST = "select name, sealed from vault where tenant_id = :tenant_id and kind = :kind and owner = :owner order by name"
_NAMES = "select name from vault where tenant_id = :tenant_id and kind = :kind and owner = :owner order by name"
HELD = """exists (
    select 1 from vault where tenant_id = :tenant_id and kind = :vault_kind and owner = :vault_owner
)"""
"""Whether an owner has a value of a kind, as a column of another statement."""
_DROP = "delete from vault where tenant_id = :tenant_id and kind = :kind and owner = :owner and name = :name"
_DROP_OWNER = "delete from vault where tenant_id = :tenant_id and kind = :kind and owner = :owner"


async def put(tx: Transaction, tenant: TenantScope, kind: str, owner: str, value: bytes, *, name: str = "") -> None:
    """Seal a value, replacing what stood there."""
    sealed = tenant.sealer.seal(value, context=context(tenant.id, kind, owner, name))
    await tx.run(_PUT, tenant_id=tenant.id, kind=kind, owner=owner, name=name, sealed=sealed)


async def open_one(reader: Reader, tenant: TenantScope, kind: str, owner: str, *, name: str = "") -> bytes | None:
    """The value, or None when there is none."""
    row = await reader.one(_GET, tenant_id=tenant.id, kind=kind, owner=owner, name=name)
    if row is None:
        return None
    return tenant.sealer.open(bytes(row[0]), context=context(tenant.id, kind, owner, name))


async def open_owned(reader: Reader, tenant: TenantScope, kind: str, owner: str) -> Mapping[str, bytes]:
    """All values of one owner, by name."""
    rows = await reader.all(_LIST, tenant_id=tenant.id, kind=kind, owner=owner)
    return {
        name: tenant.sealer.open(bytes(sealed), context=context(tenant.id, kind, owner, name)) for name, sealed in rows
    }


async def names_of(reader: Reader, tenant: TenantScope, kind: str, owner: str) -> list[str]:
    """The names of one owner's values, which stay closed."""
    return [row[0] for row in await reader.all(_NAMES, tenant_id=tenant.id, kind=kind, owner=owner)]


async def drop(tx: Transaction, tenant: TenantScope, kind: str, owner: str, *, name: str | None = None) -> int:
    """Remove one value, or with `name=None` all of the owner's of this kind; answers how many there were."""
    if name is None:
        return await tx.run(_DROP_OWNER, tenant_id=tenant.id, kind=kind, owner=owner)
    return await tx.run(_DROP, tenant_id=tenant.id, kind=kind, owner=owner, name=name)


def seal_all(tenant: TenantScope, kind: str, name: str, owners: Sequence[str], values: Sequence[bytes]) -> list[bytes]:
    """Each owner's value sealed, all of one kind and name, for bulk writers."""
    before, after = context(tenant.id, kind, "\0", name).split("\0")
    return tenant.sealer.seal_all(values, [before + owner + after for owner in owners])


def context(tenant_id: str, kind: str, owner: str, name: str) -> str:
    """What a value is sealed for; bulk writers outside this module seal with the same."""
    return f"vault/{tenant_id}/{kind}/{owner}/{name}"


def is_pending(name: str) -> bool:
    """Whether a value waits under this name for its confirmation."""
    return name.startswith("pending/")


def read_secret(content: bytes) -> str:
    """The secret, number, address or hash in a value: JSON from an import, or the bare text."""
    if not content.startswith(b"{"):
        return content.decode()
    members = msgspec.json.decode(content, type=dict[str, str])
    return next((members[name] for name in ("secret", "value", "hash") if name in members), "")
