"""freehold routes: every route of the server, as the router has it."""

import json

import typer

from freehold.app import build_router
from freehold.cli.options import JsonOption

app = typer.Typer(add_completion=False, help="List every route of the server.")


@app.command()
def routes(as_json: JsonOption = False) -> None:
    """List method, path, name, and the scopes of Management API routes."""
    rows = [
        {
            "method": route.method,
            "path": route.pattern,
            "name": route.name,
            "family": route.family,
            "scopes": list(route.meta.get("scopes", ())),
        }
        for route in build_router().routes()
    ]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(f"{row['method']:7}{row['path']:58} {row['name']:44} {' '.join(row['scopes'])}")
