"""freehold ceremony: exports of secrets, as the operator on the data folder, and the check of receipts anywhere.

What administrators do goes over HTTP with their own session (`ceremony_client`): the operator's authority does not
stand in for theirs.
"""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from freehold.cli import ceremony_client
from freehold.cli.options import (
    DatabaseOption,
    DataOption,
    JsonOption,
    TenantOption,
    chosen_tenant,
    opened,
    settings_for,
)
from freehold.domain import ceremonies
from freehold.domain.ceremonies import Ceremony
from freehold.domain.ceremonies.verify import BundleRefused, verify_bundle
from freehold.kernel.clock import iso
from freehold.kernel.errors import BadRequest

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Exports of secrets: request, confirm, sign, fetch, and verify."
)
ceremony_client.add_commands(app)

IdArgument = Annotated[str, typer.Argument(help="The ceremony's id, as `list` shows it.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it stands in the audit log.")]


@app.callback()
def ceremony() -> None:
    """Exports of secrets: request, confirm, sign, fetch, and verify."""


@app.command("list")
def list_all(
    tenant: TenantOption = None, data: DataOption = None, database: DatabaseOption = None, as_json: JsonOption = False
) -> None:
    """List a tenant's ceremonies, the newest first."""

    async def run() -> None:
        async with opened(settings_for(data, database)) as installation:
            scope = await chosen_tenant(installation, tenant)
            found = await ceremonies.list_ceremonies(installation.store, scope)
        if as_json:
            print(json.dumps([_shown(one) for one in found]))
            return
        for one in found:
            print(f"{one.id:28} {one.state:22} {iso(one.state_since_ms)}  {one.request.requester.email}")
        if not found:
            print("There has been no ceremony yet.")

    asyncio.run(run())


@app.command()
def status(
    ceremony_id: IdArgument,
    tenant: TenantOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one ceremony: what was asked for, what was handed in, what is relaxed."""

    async def run() -> None:
        async with opened(settings_for(data, database)) as installation:
            scope = await chosen_tenant(installation, tenant)
            one = await ceremonies.get_ceremony(installation.store, scope, ceremony_id)
            pieces = await ceremonies.pieces_of(installation.store, scope, one)
        accepted = [(piece.kind, piece.subject, iso(piece.accepted_at_ms)) for piece in pieces]
        if as_json:
            print(json.dumps({**_shown(one), "evidence": accepted}))
            return
        for name, value in _shown(one).items():
            print(f"{name:12} {', '.join(value) if isinstance(value, list) else value}")
        for kind, subject, at in accepted:
            print(f"{'evidence':12} {kind} of {subject} at {at}")

    asyncio.run(run())


@app.command()
def review(
    ceremony_id: IdArgument,
    decision: Annotated[str, typer.Argument(help="`approve` or `reject`.")],
    reason: ReasonOption = "",
    tenant: TenantOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
) -> None:
    """Decide about a request that the policy wants reviewed by the operator."""
    if decision not in {"approve", "reject"}:
        raise BadRequest("Say approve or reject.")

    async def run() -> None:
        async with opened(settings_for(data, database)) as installation:
            scope = await chosen_tenant(installation, tenant)
            done = await ceremonies.review(
                installation.store, scope, ceremony_id, passed=decision == "approve", reason=reason
            )
        print(f"{done.id} is {done.state}")

    asyncio.run(run())


@app.command()
def destroy(
    ceremony_id: IdArgument,
    reason: ReasonOption = "the operator ended it",
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    tenant: TenantOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
) -> None:
    """End a ceremony; a file that is there is destroyed with its key by the running server, within a minute."""
    if not yes and not typer.confirm(f"End the ceremony {ceremony_id} for good?"):
        raise BadRequest("Nothing was changed.")

    async def run() -> None:
        async with opened(settings_for(data, database)) as installation:
            scope = await chosen_tenant(installation, tenant)
            done = await ceremonies.end_by_operator(installation.store, scope, ceremony_id, reason=reason)
        print(f"{done.id} is {done.state}")

    asyncio.run(run())


@app.command("confirm-clock")
def confirm_clock(tenant: TenantOption = None, data: DataOption = None, database: DatabaseOption = None) -> None:
    """Say that this machine's clock is right, after it was set; until then no ceremony goes forward."""

    async def run() -> None:
        async with opened(settings_for(data, database)) as installation:
            scope = await chosen_tenant(installation, tenant)
            thawed = await ceremonies.confirm_clock(installation.store, scope)
        print("Ceremonies go on." if thawed else "Nothing was frozen.")

    asyncio.run(run())


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="The receipt, as `freehold ceremony receipt` writes it.")],
    audit_key: Annotated[
        str | None, typer.Option("--audit-key", help="Fingerprint of the tenant's audit key, known from elsewhere.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a receipt, without server or network. Exit status 0: genuine; 1: not, with the reason."""
    try:
        data = bundle.read_bytes()
    except OSError as error:
        raise BadRequest(f"{bundle} cannot be read: {error.strerror}") from None
    try:
        found = asyncio.run(verify_bundle(data, audit_key=audit_key))
    except BundleRefused as refused:
        print(json.dumps({"ok": False, "code": refused.code, "reason": refused.message}) if as_json
              else f"refused ({refused.code}): {refused.message}")  # fmt: skip
        raise typer.Exit(1) from None
    facts: dict[str, Any] = msgspec.to_builtins(found)
    if as_json:
        print(json.dumps({"ok": True, **facts}))
        return
    print("genuine" if found.complete else "genuine, of a ceremony that was not completed")
    for name, value in facts.items():
        print(f"  {name:14} {', '.join(value) if isinstance(value, tuple | list) else value}")
    if audit_key is None:
        print("  The audit key is self-declared: compare its fingerprint with one that you know, or give --audit-key.")


def _shown(one: Ceremony) -> dict[str, Any]:
    request = one.request
    return {
        "id": one.id,
        "state": one.state,
        "since": iso(one.state_since_ms),
        "digest": one.digest,
        "kinds": list(request.kinds),
        "requester": request.requester.email,
        "executive": request.executive.email,
        "keys": [recipient.fingerprint for recipient in request.recipients],
        "purpose": request.purpose,
        "relaxed": list(request.policy.get("relaxed", [])),
        "reason": one.reason,
        "downloads": one.downloads,
    }
