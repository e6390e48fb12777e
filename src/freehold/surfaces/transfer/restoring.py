"""Making a tenant from an archive: all of it or nothing.

The archive is verified as a whole first. Everything is then written in one transaction, so that a crash leaves no half
tenant behind and running the command again is all there is to do.
"""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from freehold.kernel import vault
from freehold.kernel.declare.registry import Registry
from freehold.kernel.declare.scope import TenantScope
from freehold.kernel.declare.shapes import Derived
from freehold.kernel.store import Store, Transaction
from freehold.surfaces.transfer.archive import BadArchive, Manifest, TenantFacts, declaration_of, members, verify
from freehold.surfaces.transfer.rows import RowForm, row_form
from freehold.surfaces.transfer.sealed import VaultLine

Adopt = Callable[[Transaction, TenantFacts], Awaitable[TenantScope]]
"""Makes room for a tenant: refuses one that exists, gives it a data key, and answers its scope."""
Progress = Callable[[str, int], None]
BATCH = 2000
SEALED_FORMATS = frozenset({"freehold-vault-archive", "freehold-sealed-export"})


async def restore_tenant(
    store: Store,
    registry: Registry,
    path: Path,
    *,
    adopt: Adopt,
    vault_path: Path | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Restore an archive, and its vault archive when there is one.

    Raises BadArchive for a damaged or foreign archive, or one with declarations this Freehold does not have, and
    Conflict when the tenant exists.
    """
    manifest = verify(path)
    if manifest.format != "freehold-tenant-archive":
        raise BadArchive(f"{path.name} holds sealed values; name it with --vault beside the tenant's archive")
    forms = {form.name: form for form in map(row_form, registry.by_name.values()) if form is not None}
    foreign = sorted(manifest.rows.keys() - forms.keys())
    if foreign:
        raise BadArchive(f"{path.name} holds {', '.join(foreign)[:200]}, which this Freehold does not know")
    sealed = _verified_vault(vault_path, manifest) if vault_path else None
    async with store.transaction(limit_s=None) as tx:
        tenant = await adopt(tx, manifest.tenant)
        for name, content in members(path):
            declaration = declaration_of(name)
            if declaration is not None:
                await _insert(tx, tenant, forms[declaration], name, content, progress)
        if vault_path is not None and sealed is not None:
            for name, content in members(vault_path):
                kind = declaration_of(name)
                if kind is not None:
                    await _insert_sealed(tx, tenant, kind, name, content)
        for declared in registry.order:
            if isinstance(declared, Derived):
                await declared.rebuild(tx, tenant)
        tx.touch(tenant.id)
    return manifest


async def _insert(
    tx: Transaction, tenant: TenantScope, form: RowForm, name: str, content: bytes, progress: Progress | None
) -> None:
    for batch in _batches(content):
        rows: list[dict[str, Any]] = []
        for number, line in batch:
            try:
                rows.append(form.decode(tenant, line))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise BadArchive(f"{name} line {number}: {error}") from None
        await tx.run_many(form.insert, rows)
        if progress is not None:
            progress(form.name, len(rows))


async def _insert_sealed(tx: Transaction, tenant: TenantScope, kind: str, name: str, content: bytes) -> None:
    for batch in _batches(content):
        for number, line in batch:
            try:
                read = msgspec.json.decode(line, type=VaultLine)
                value = read.content()
            except (msgspec.MsgspecError, ValueError) as error:
                raise BadArchive(f"{name} line {number}: {error}") from None
            await vault.put(tx, tenant, kind, read.owner, value, name=read.name)


def _verified_vault(path: Path, documents: Manifest) -> Manifest:
    manifest = verify(path)
    if manifest.format not in SEALED_FORMATS:
        raise BadArchive(f"{path.name} is neither a vault archive nor a sealed export")
    if manifest.tenant.id != documents.tenant.id:
        raise BadArchive(f"{path.name} belongs to the tenant {manifest.tenant.name}, not {documents.tenant.name}")
    return manifest


def _batches(content: bytes) -> Iterator[list[tuple[int, bytes]]]:
    """Lines with their numbers, so many at a time that memory stays flat."""
    lines = content.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    for start in range(0, len(lines), BATCH):
        yield list(enumerate(lines[start : start + BATCH], start=start + 1))
