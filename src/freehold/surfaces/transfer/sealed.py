"""The vault as an archive of its own: what no API shows, for the operator's offline path.

It is called by `freehold vault export`, which needs the master key file, says loudly what it does and writes an audit
entry. A tenant's own way to these values is the export ceremony; besides that, nothing reads the vault in bulk.
"""

import base64
from typing import IO

import msgspec

from freehold.kernel import vault
from freehold.kernel.collector import without_collector
from freehold.kernel.declare.registry import Registry
from freehold.kernel.declare.scope import TenantScope
from freehold.kernel.store import Store
from freehold.surfaces.transfer.archive import VERSION, ArchiveWriter, Manifest, PartWriter, TenantFacts

_SELECT = """
select owner, name, sealed from vault where tenant_id = :tenant_id and kind = :kind order by owner, name
"""

README = b"""These are the sealed values of a tenant of Freehold: password hashes, MFA secrets, private keys and others.

vault/KIND/*.ndjson   one value a line: {"owner", "name", "text"}, or with "base64" in place of "text"
manifest.json         counts and SHA-256 digests

Whoever holds this file can sign as the tenant and attack its users' passwords. Keep it encrypted.
Restore it with: freehold restore --data FOLDER ARCHIVE --vault THIS
"""


class VaultLine(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One value of the vault."""

    owner: str
    name: str = ""
    text: str | None = None
    base64: str | None = None

    def content(self) -> bytes:
        """The value. Raises ValueError when the line has none."""
        if self.text is not None:
            return self.text.encode()
        if self.base64 is None:
            raise ValueError("the line holds no value")
        return base64.b64decode(self.base64, validate=True)


async def export_vault(store: Store, tenant: TenantScope, registry: Registry, file: IO[bytes]) -> Manifest:
    """Write everything in the tenant's vault, unencrypted: the caller encrypts it on the way to its place."""
    writer = ArchiveWriter(file)
    writer.add("README.txt", README)
    with without_collector():
        async with store.snapshot() as snapshot:
            for kind in sorted(registry.vault_kinds, key=lambda kind: kind.name):
                parts = PartWriter(writer, "vault", kind.name)
                async for chunk in snapshot.scan(_SELECT, tenant_id=tenant.id, kind=kind.name):
                    lines = []
                    for owner, name, sealed in chunk:
                        context = vault.context(tenant.id, kind.name, owner, name)
                        lines.append(vault_line(owner, name, tenant.sealer.open(bytes(sealed), context=context)))
                    parts.add(b"".join(lines), len(lines))
                parts.finish()
    manifest = Manifest(
        format="freehold-vault-archive",
        version=VERSION,
        tenant=TenantFacts(id=tenant.id, name=tenant.name, domain=tenant.domain),
        rows=writer.rows,
        members=writer.members,
    )
    writer.finish(manifest)
    return manifest


def vault_line(owner: str, name: str, value: bytes) -> bytes:
    """One value as a line of the archive."""
    try:
        line = VaultLine(owner=owner, name=name, text=value.decode())
    except UnicodeDecodeError:
        line = VaultLine(owner=owner, name=name, base64=base64.b64encode(value).decode())
    return msgspec.json.encode(line) + b"\n"
