"""freehold audit: read the audit log again and say whether it is whole."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import msgspec
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
from freehold.domain.audit import Seen, TreeHead, check_log, head_of, latest_head, read_file
from freehold.domain.ceremonies import rollbacks
from freehold.kernel.errors import BadRequest, NotFound

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Read the audit log again: is it whole?")


@app.callback()
def audit() -> None:
    """Read the audit log again: is it whole?"""


@app.command()
def verify(
    known: Annotated[
        Path | None, typer.Option("--from", help="A signed tree head kept elsewhere (JSON, as `audit head` writes it).")
    ] = None,
    tenant: TenantOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare entries, chain, signed heads and the file beside the database; say ok or the first bad number."""

    async def run() -> bool:
        settings = settings_for(data, database)
        async with opened(settings) as installation:
            scope = await chosen_tenant(installation, tenant)
            file = settings.audit_file or settings.data.audit_file
            seen = read_file(file, scope.id) if file.exists() else Seen()
            heads = [_read_head(known, scope.id)] if known else []
            verdict = await check_log(installation.store, scope, seen=seen, known=heads)
            witnessed = await installation.store.one(
                "select size from audit_witnessed where tenant_id = :tenant_id", tenant_id=scope.id
            )
        remarks = list(verdict.remarks)
        if not file.exists():
            remarks.append(f"the file {file.name} beside the database is not there")
        gone = bool(witnessed and witnessed[0] > max(seen.leaves, default=0))
        if gone:
            remarks.append("the file beside the database lacks entries that were handed to it or to another place")
        if as_json:
            shown = {**msgspec.to_builtins(verdict), "ok": verdict.ok, "remarks": remarks}
            print(json.dumps(shown))
            return verdict.ok
        for remark in remarks:
            print(f"remark: {remark}")
        if verdict.ok:
            print(f"ok: {verdict.size} entries, compared with {verdict.heads} signed heads, root {verdict.root}")
        else:
            print(f"bad: entry {verdict.first_bad}: {verdict.reason}")
        return verdict.ok

    if not asyncio.run(run()):
        raise typer.Exit(1)


@app.command()
def accept(data: DataOption = None, database: DatabaseOption = None) -> None:
    """Go on with this database after an older copy of it was put back: the file of the other history is set aside."""

    async def run() -> bool:
        settings = settings_for(data, database)
        async with opened(settings) as installation:
            tenants = await installation.tenants.all()
            if not any([await rollbacks.is_rolled_back(installation.store, tenant) for tenant in tenants]):
                return False
            file = settings.audit_file or settings.data.audit_file
            if file.exists():
                aside = file.with_name(f"{file.name}.{installation.store.clock.now():%Y%m%dT%H%M%SZ}")
                file.rename(aside)
                print(f"The lines of the other history are in {aside.name}.")
            for tenant in tenants:
                await rollbacks.accept(installation.store, tenant)
        return True

    print("Ceremonies can begin again." if asyncio.run(run()) else "Nothing was to be accepted.")


@app.command()
def head(tenant: TenantOption = None, data: DataOption = None, database: DatabaseOption = None) -> None:
    """Print the latest signed tree head, to be kept elsewhere."""

    async def run() -> None:
        async with opened(settings_for(data, database)) as installation:
            scope = await chosen_tenant(installation, tenant)
            latest = await latest_head(installation.store, scope)
            if latest is None:
                raise NotFound("Nothing was signed yet; a running server signs every minute.")
            print(json.dumps(latest.shown))

    asyncio.run(run())


def _read_head(path: Path, tenant_id: str) -> TreeHead:
    try:
        value = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        raise BadRequest(f"{path} is no signed tree head.") from None
    found = head_of(value if isinstance(value, dict) else {})
    if found.tenant_id != tenant_id:
        raise BadRequest("The signed tree head is of another tenant.")
    return found
