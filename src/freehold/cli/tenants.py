"""freehold tenants: list, create, reset and delete."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from freehold.cli.certificates import certify_tenants
from freehold.cli.options import DatabaseOption, DataOption, JsonOption, opened, settings_for
from freehold.domain.tenants import lifecycle
from freehold.kernel.errors import BadRequest

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List, make, empty and delete tenants.")

NameArgument = Annotated[str, typer.Argument(help="The tenant's name.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]


@app.command("list")
def list_tenants(data: DataOption = None, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """List the tenants of this installation."""

    async def run() -> None:
        async with opened(settings_for(data, database)) as installation:
            tenants = await installation.tenants.all()
            if as_json:
                print(json.dumps([{"id": t.id, "name": t.name, "issuer": t.issuer} for t in tenants]))
                return
            if not tenants:
                print("There are no tenants yet; `freehold up` makes the first.")
            for tenant in tenants:
                print(f"{tenant.name:24} {tenant.issuer}")

    asyncio.run(run())


@app.command()
def create(
    name: NameArgument,
    domain: Annotated[
        str | None, typer.Option(help="Host[:port] it answers on; default: NAME under the first tenant's host.")
    ] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Write its base URL and credentials here, as JSON.")] = None,
    data: DataOption = None,
    database: DatabaseOption = None,
) -> None:
    """Make a tenant like a new Auth0 tenant; a running server answers for it at once."""

    async def run() -> None:
        from freehold.cli.ready import ready_facts, write_ready_file

        settings = settings_for(data, database)
        async with opened(settings, create=True) as installation:
            first = await installation.tenants.all()
            base = min(first, key=lambda tenant: len(tenant.domain)).domain if first else f"localhost:{settings.port}"
            address = domain or f"{name}.{base}"
            tenant = await lifecycle.create(installation.store, installation.tenants, name, address)
            await certify_tenants(installation)
            if ready_file:
                write_ready_file(ready_file, await ready_facts(installation.store, tenant, settings))
            print(f"The tenant {name} answers on {tenant.issuer}")

    asyncio.run(run())


@app.command()
def reset(name: NameArgument, yes: YesOption = False, data: DataOption = None, database: DatabaseOption = None) -> None:
    """Put a tenant back to new. Its signing keys and its management client's credentials stay."""
    _confirm(yes, f"Delete everything in the tenant {name}?")

    async def run() -> None:
        async with opened(settings_for(data, database), upgrade=False) as installation:
            await lifecycle.reset(installation.store, await installation.tenants.by_name(name))

    asyncio.run(run())


@app.command()
def delete(
    name: NameArgument, yes: YesOption = False, data: DataOption = None, database: DatabaseOption = None
) -> None:
    """Delete a tenant with everything in it."""
    _confirm(yes, f"Delete the tenant {name} with everything in it? This cannot be undone.")

    async def run() -> None:
        async with opened(settings_for(data, database)) as installation:
            await installation.tenants.delete(name)

    asyncio.run(run())


def _confirm(yes: bool, question: str) -> None:
    if not yes and not typer.confirm(question):
        raise BadRequest("Nothing was changed.")
