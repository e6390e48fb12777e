"""freehold restore: make a tenant from an archive."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from freehold.cli.certificates import certify_tenants
from freehold.cli.options import DatabaseOption, DataOption, JsonOption, opened, settings_for
from freehold.cli.output import row_progress
from freehold.domain.tenants.directory import check_domain
from freehold.domain.tenants.lifecycle import relocate
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Transaction
from freehold.registry import REGISTRY
from freehold.surfaces.transfer.archive import TenantFacts
from freehold.surfaces.transfer.exporting import summary
from freehold.surfaces.transfer.restoring import restore_tenant

app = typer.Typer(add_completion=False, help="Make a tenant from an archive.")


@app.command()
def restore(
    archive: Annotated[Path, typer.Argument(help="The tenant's archive.", exists=True, dir_okay=False)],
    vault: Annotated[
        Path | None, typer.Option(help="Its vault archive, decrypted: password hashes, keys.", exists=True)
    ] = None,
    domain: Annotated[str | None, typer.Option(help="Host[:port] to answer on here; default: as archived.")] = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore all of it or nothing. A damaged archive, an unknown version or a tenant that exists is refused."""

    async def run() -> None:
        if domain is not None:
            check_domain(domain)
        async with opened(settings_for(data, database), create=True) as installation:

            async def adopt(tx: Transaction, facts: TenantFacts) -> TenantScope:
                return await installation.tenants.adopt(tx, facts.id, facts.name, facts.domain)

            with row_progress(f"Restoring {archive.name}") as progress:
                manifest = await restore_tenant(
                    installation.store, REGISTRY, archive, adopt=adopt, vault_path=vault, progress=progress
                )
            if domain is not None and domain != manifest.tenant.domain:
                scope = await installation.tenants.by_name(manifest.tenant.name)
                async with installation.store.transaction() as tx:
                    await relocate(tx, scope, domain)
            await certify_tenants(installation)
            if as_json:
                print(summary(manifest).decode())
                return
            rows = sum(manifest.rows.values())
            print(f"Restored {manifest.tenant.name}: {rows:,} rows, on https://{domain or manifest.tenant.domain}/")
            if vault is None:
                print("Without its vault archive nobody can sign in with a password yet, and new signing keys are")
                print("needed: restore with --vault, or rotate the keys and let users reset their passwords.")

    asyncio.run(run())
