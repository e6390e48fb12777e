"""Writing a tenant as one archive, from one consistent snapshot, in flat memory."""

from collections.abc import Callable
from typing import IO

import msgspec

from freehold.kernel.collector import without_collector
from freehold.kernel.declare.registry import Registry
from freehold.kernel.declare.scope import TenantScope
from freehold.kernel.declare.shapes import Ephemeral
from freehold.kernel.store import Snapshot, Store
from freehold.surfaces.transfer.archive import (
    VERSION,
    ArchiveWriter,
    LeftOut,
    Manifest,
    PartWriter,
    TenantFacts,
)
from freehold.surfaces.transfer.rows import RowForm, row_form
from freehold.surfaces.transfer.schemas import schema_files

Progress = Callable[[str, int], None]
"""Told the declaration's name and how many of its rows are written."""

CHUNK_ROWS = 500
"""So few that they stay in the processor's cache while they become lines."""

README = b"""This is a whole tenant of Freehold, an open identity platform, in an open format.

data/NAME/*.ndjson   one JSON object a line; NAME is a kind of data (clients, users, roles ...)
schemas/NAME.json    the JSON Schema of its lines
manifest.json        what is here, with counts and SHA-256 digests, and what is not, with the reason

It holds secrets that the tenant's own API shows to its administrators, client secrets among them: it is written for the
tenant's owner only. Password hashes, MFA secrets, private keys and write-only secrets are not in it; they leave sealed.
Restore it with: freehold restore --data FOLDER ARCHIVE
"""


async def export_tenant(
    store: Store, tenant: TenantScope, registry: Registry, file: IO[bytes], progress: Progress | None = None
) -> Manifest:
    """Write the archive of everything an ordinary export may hold; the manifest is the answer."""
    writer = ArchiveWriter(file)
    writer.add("README.txt", README)
    for path, content in schema_files(registry):
        writer.add(path, content)
    with without_collector():
        async with store.snapshot() as snapshot:
            for name in sorted(registry.by_name):
                form = row_form(registry.by_name[name])
                if form is not None:
                    await _write_rows(snapshot, tenant, form, writer, progress)
    manifest = Manifest(
        format="freehold-tenant-archive",
        version=VERSION,
        tenant=TenantFacts(id=tenant.id, name=tenant.name, domain=tenant.domain),
        rows=writer.rows,
        members=writer.members,
        left_out=left_out(registry),
    )
    writer.finish(manifest)
    return manifest


def left_out(registry: Registry) -> list[LeftOut]:
    """What an ordinary archive does not hold, and why."""
    vault = [
        LeftOut(name=f"vault/{kind.name}", because=f"{kind.description} Leaves only sealed.")
        for kind in registry.vault_kinds
    ]
    tables = [
        LeftOut(name=declaration.name, because=declaration.because)
        for declaration in registry.by_name.values()
        if isinstance(declaration, Ephemeral)
    ]
    return sorted(vault + tables, key=lambda item: item.name)


async def _write_rows(
    snapshot: Snapshot, tenant: TenantScope, form: RowForm, writer: ArchiveWriter, progress: Progress | None
) -> None:
    parts = PartWriter(writer, "data", form.name)
    done = 0
    async for chunk in snapshot.scan(form.select, chunk_rows=CHUNK_ROWS, tenant_id=tenant.id):
        parts.add(form.encode(tenant, chunk), len(chunk))
        done += len(chunk)
        if progress is not None:
            progress(form.name, done)
    parts.finish()


def summary(manifest: Manifest) -> bytes:
    """The manifest's facts without the members, as JSON, for scripts."""
    return msgspec.json.encode({"tenant": manifest.tenant, "rows": manifest.rows, "left_out": manifest.left_out})
