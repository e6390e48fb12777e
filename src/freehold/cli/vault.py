"""freehold vault: take vault contents out on the operator's own authority."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from freehold.cli.export import KeyOption
from freehold.cli.options import DatabaseOption, DataOption, TenantOption, chosen_tenant, opened, settings_for
from freehold.cli.output import archive_file
from freehold.kernel.errors import BadRequest
from freehold.registry import REGISTRY
from freehold.surfaces.transfer.sealed import export_vault

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Take vault contents out on the operator's own authority."
)

WARNING = """
  This takes password hashes, MFA secrets, private keys and write-only secrets of the tenant {name} out of the vault.
  Whoever holds the file can sign tokens as this tenant and attack its users' passwords.
  It is meant for disaster recovery and for moving a server. The tenant's own way is the export ceremony.
  An entry in the tenant's log will say that it was done.
"""


@app.callback()
def vault() -> None:
    """Take vault contents out on the operator's own authority."""


@app.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The vault archive to write.")],
    tenant: TenantOption = None,
    encrypt_to: KeyOption = None,
    plaintext: Annotated[
        bool, typer.Option("--plaintext", help="Write it unencrypted; for tests and for disks that are encrypted.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    data: DataOption = None,
    database: DatabaseOption = None,
) -> None:
    """Write the vault archive that belongs to the tenant's archive; needs the master key file."""
    if bool(encrypt_to) == plaintext:
        raise BadRequest("Say --encrypt-to KEY, or --plaintext if it really must lie there unencrypted.")

    async def run() -> None:
        settings = settings_for(data, database)
        if not settings.data.master_key.exists():
            raise BadRequest(f"The master key file {settings.data.master_key} is not here; the vault cannot be opened.")
        async with opened(settings) as installation:
            scope = await chosen_tenant(installation, tenant)
            typer.secho(WARNING.format(name=scope.name), fg="yellow", err=True)
            if not yes and not typer.confirm("Go on?", err=True):
                raise BadRequest("Nothing was written.")
            # The entry is durable before the first value is opened: no silent export.
            async with installation.store.transaction() as tx:
                await scope.events.record(
                    tx,
                    scope,
                    "sapi",
                    description="The operator exported the vault on the server",
                    details={"encrypted": bool(encrypt_to), "output": output.name},
                )
            with archive_file(output, encrypt_to) as file:
                manifest = await export_vault(installation.store, scope, REGISTRY, file)
            print(f"Wrote {output}: " + ", ".join(f"{rows:,} {kind}" for kind, rows in manifest.rows.items()))

    asyncio.run(run())
