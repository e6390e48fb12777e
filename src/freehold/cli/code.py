"""freehold code: take custom code home as plain npm packages, and look at what was recorded of it."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

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
from freehold.cli.scripts import Services
from freehold.domain.extensions import executions, replays
from freehold.domain.extensions.sandbox.configured import sandbox_of
from freehold.domain.extensions.taking_home import MOST_EXECUTIONS, Package, packages, write
from freehold.kernel.clock import iso
from freehold.kernel.errors import BadRequest

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Take custom code home, and look at what it did.")
records = typer.Typer(add_completion=False, no_args_is_help=True, help="Recorded executions of custom code.")
app.add_typer(records, name="executions")


@app.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write; new, or empty.")],
    most: Annotated[
        int, typer.Option("--executions", min=0, help="How many recorded executions of each piece to take along.")
    ] = MOST_EXECUTIONS,
    tenant: TenantOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write each rule, hook, action and script as a plain npm package that runs on Node.js alone.

    Recorded executions are its tests: `node --test`. Values of secrets stay here; recorded ones are masked. What went
    into an execution may be about people: keep the folder as you keep a log.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise BadRequest(f"{output} is there and not empty. Name a new folder.")

    async def run() -> list[Package]:
        async with opened(settings_for(data, database)) as installation:
            scope = await chosen_tenant(installation, tenant)
            return await packages(installation.store, scope, most=most)

    found = asyncio.run(run())
    write(output, found)
    if as_json:
        told = [{"place": p.place, "name": p.piece.name, "executions": p.executions} for p in found]
        print(json.dumps(told, indent=1, ensure_ascii=False))
        return
    for package in found:
        print(f"{package.place:40} {package.executions} recorded")
    print(f"Wrote {len(found)} packages to {output}.")


@records.command("list")
def list_executions(
    trigger: Annotated[str, typer.Option("--trigger", help="Only of this trigger, such as post-login.")] = "",
    most: Annotated[int, typer.Option("--limit", min=1, help="How many.")] = 50,
    tenant: TenantOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what was recorded, the latest first."""

    async def run() -> list[executions.Record]:
        async with opened(settings_for(data, database)) as installation:
            scope = await chosen_tenant(installation, tenant)
            return await executions.records_of(installation.store, scope, trigger=trigger, most=most)

    found = asyncio.run(run())
    if as_json:
        print(json.dumps([executions.shown(each) for each in found], indent=1))
        return
    for each in found:
        names = ", ".join(str(result["action_name"]) for result in each.results)
        print(f"{each.id}  {iso(each.created_at_ms)}  {each.trigger_id:24} {each.status:10} {names}")


@records.command()
def show(
    execution: Annotated[str, typer.Argument(help="The execution's id.")],
    tenant: TenantOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
) -> None:
    """Show an execution: what went in, came out and was printed, with secrets masked, as JSON."""

    async def run() -> dict[str, Any]:
        async with opened(settings_for(data, database)) as installation:
            scope = await chosen_tenant(installation, tenant)
            return executions.whole(await executions.get_record(installation.store, scope, execution))

    print(json.dumps(asyncio.run(run()), indent=1, ensure_ascii=False))


@records.command()
def replay(
    execution: Annotated[str, typer.Argument(help="The execution's id.")],
    tenant: TenantOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run an execution again with the code and secrets of now, and compare. Ends with 1 when it comes out otherwise.

    Nothing comes of what it asks the server for. What it does elsewhere, in a database of its own say, it does again.
    """

    async def run() -> list[replays.Replay]:
        settings = settings_for(data, database)
        async with AsyncExitStack() as stack:
            installation = await stack.enter_async_context(opened(settings))
            scope = await chosen_tenant(installation, tenant)
            sandbox = sandbox_of(settings)
            stack.push_async_callback(sandbox.close)
            return await replays.replay(Services(installation.store, sandbox), scope, execution)

    found = asyncio.run(run())
    if as_json:
        print(json.dumps(replays.shown(found), indent=1, ensure_ascii=False))
    else:
        for each in found:
            print(f"{each.name}: {_verdict(each)}")
    if not all(each.same for each in found):
        raise typer.Exit(1)


def _verdict(replayed: replays.Replay) -> str:
    if replayed.now is None:
        return replayed.reason
    code = ", with other code" if replayed.changed else ""
    if replayed.same:
        return f"the same{code}"
    then, now = (
        {key: each[key] for key in ("answered", "error") if key in each} for each in (replayed.then, replayed.now)
    )
    return (
        f"different{code}\n  then {json.dumps(then, ensure_ascii=False)}\n  now  {json.dumps(now, ensure_ascii=False)}"
    )
