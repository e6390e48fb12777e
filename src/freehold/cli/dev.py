"""freehold dev: what only developers of Freehold need."""

import json
from typing import Annotated

import typer

from freehold.kernel.store.migrations import MIGRATIONS, write_next_migration
from freehold.kernel.store.tables import STORE_TABLES
from freehold.registry import REGISTRY

app = typer.Typer(no_args_is_help=True, help="For developers of Freehold.")


@app.callback()
def dev() -> None:
    """For developers of Freehold."""


@app.command()
def migration(name: Annotated[str, typer.Argument(help="What it does, in lower case with underscores.")]) -> None:
    """Write the next migration from the difference between the declarations and the migrations so far."""
    path = write_next_migration([*STORE_TABLES, *REGISTRY.tables], name)
    print(f"Wrote {path}" if path else f"Nothing to do: {MIGRATIONS.name} and the declarations agree.")


@app.command()
def openapi() -> None:
    """Print the OpenAPI description of the Management API."""
    from freehold.surfaces.management.openapi import describe

    print(json.dumps(describe(REGISTRY), indent=1))
