"""freehold dev: what only developers of Freehold need."""

import json
from pathlib import Path
from typing import Annotated

import typer

from freehold.kernel.store.migrations import MIGRATIONS, write_next_migration
from freehold.kernel.store.tables import STORE_TABLES
from freehold.registry import REGISTRY

app = typer.Typer(add_completion=False, no_args_is_help=True, help="For developers of Freehold.")


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


@app.command()
def reference(
    folder: Annotated[Path, typer.Option(help="The documentation's folder.")] = Path("docs"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; status 1 when a page is out of date.")] = False,
) -> None:
    """Write the reference pages and schemas of docs/ from what they describe, and remove those nothing describes."""
    from freehold.cli.reference import pages

    wanted = {folder / path: content for path, content in pages()}
    kept = {path for name in ("reference", "schemas") for path in (folder / name).glob("*") if path.is_file()}
    stale = sorted(
        path for path in wanted.keys() | kept if (path.read_bytes() if path in kept else None) != wanted.get(path)
    )
    if check:
        for path in stale:
            print(f"{path} is out of date; run: freehold dev reference")
        raise typer.Exit(1 if stale else 0)
    for path in stale:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wanted[path])
        else:
            path.unlink()
    print(f"{len(stale)} of {len(wanted)} files changed." if stale else f"All {len(wanted)} files are up to date.")
