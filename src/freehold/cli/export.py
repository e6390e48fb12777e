"""freehold export: write a tenant as one open archive."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from freehold.cli.options import (
    DatabaseOption,
    DataOption,
    JsonOption,
    TenantOption,
    chosen_tenant,
    opened,
    settings_for,
)
from freehold.cli.output import archive_file, row_progress
from freehold.registry import REGISTRY
from freehold.surfaces.transfer.exporting import export_tenant, summary

app = typer.Typer(add_completion=False, help="Write a tenant as one open archive.")

KeyOption = Annotated[
    list[Path] | None, typer.Option("--encrypt-to", help="OpenPGP public key file to encrypt to; may be repeated.")
]


@app.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The archive to write.")],
    tenant: TenantOption = None,
    encrypt_to: KeyOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write everything an ordinary export may hold, offline or beside a running server.

    The archive holds secrets that the tenant's API shows to administrators: it is for the tenant's owner only.
    """

    async def run() -> None:
        async with opened(settings_for(data, database)) as installation:
            scope = await chosen_tenant(installation, tenant)
            with row_progress(f"Exporting {scope.name}") as progress, archive_file(output, encrypt_to) as file:
                manifest = await export_tenant(installation.store, scope, REGISTRY, file, progress)
            if as_json:
                print(summary(manifest).decode())
                return
            print(f"Wrote {output}: {sum(manifest.rows.values()):,} rows of {scope.name}.")
            if not encrypt_to:
                print("It holds client secrets and personal data in clear: keep it as you keep a password.")
            print("Not in it, because it leaves sealed: " + ", ".join(kind.name for kind in REGISTRY.vault_kinds))

    asyncio.run(run())
