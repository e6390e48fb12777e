"""freehold admins: who administers a tenant, on the operator's own authority, beside a running server or not."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
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
from freehold.domain.administrators import (
    Administrator,
    UnknownAdministrator,
    find_by_email,
    list_administrators,
    management,
    role_of,
)
from freehold.domain.administrators.factors import factors_of
from freehold.domain.administrators.links import open_invitations
from freehold.domain.administrators.records import THE_OPERATOR
from freehold.kernel.clock import iso
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Transaction

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Invite, list, block and help the administrators of a tenant."
)

EmailArgument = Annotated[str, typer.Argument(help="The administrator's e-mail address.")]
Change = Callable[[Transaction, TenantScope, Administrator], Awaitable[dict[str, Any]]]


@app.command("list")
def list_people(
    tenant: TenantOption = None, data: DataOption = None, database: DatabaseOption = None, as_json: JsonOption = False
) -> None:
    """List the administrators and the open invitations."""

    async def run() -> None:
        async with opened(settings_for(data, database)) as installation:
            scope = await chosen_tenant(installation, tenant)
            people: list[dict[str, Any]] = []
            for person in await list_administrators(installation.store, scope):
                present = await factors_of(installation.store, scope, person.id)
                people.append(
                    {
                        "id": person.id, "email": person.email, "name": person.name, "role": person.role,
                        "blocked": person.blocked, "created_at": iso(person.created_at_ms),
                        "created_by": person.created_by, "totp": present.totp_since_ms is not None,
                        "passkeys": len(present.passkeys),
                    }
                )  # fmt: skip
            invitations: list[dict[str, Any]] = [
                {"id": link.id, "email": link.email, "role": link.role, "expires_at": iso(link.expires_at_ms)}
                for link in await open_invitations(installation.store, scope)
            ]
            if as_json:
                print(json.dumps({"administrators": people, "invitations": invitations}))
                return
            for shown in people:
                factors = "second factor" if shown["totp"] or shown["passkeys"] else "NO second factor"
                blocked = ", blocked" if shown["blocked"] else ""
                print(f"{shown['email']:36} {shown['role']:8} {factors}{blocked}")
            for shown in invitations:
                print(f"{shown['email']:36} {shown['role']:8} invited until {shown['expires_at']}")
            if not people and not invitations:
                print("There are no administrators yet: freehold admins invite EMAIL")

    asyncio.run(run())


@app.command()
def invite(
    email: EmailArgument,
    role: Annotated[str, typer.Option(help="admin, editor or viewer.")] = "admin",
    tenant: TenantOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Invite somebody, and print the link; it works once and for a limited time."""

    async def run() -> None:
        settings = settings_for(data, database)
        async with opened(settings) as installation:
            scope = await chosen_tenant(installation, tenant)
            async with installation.store.transaction() as tx:
                link, url = await management.invite(
                    tx, scope, THE_OPERATOR, email=email, role=role_of(role),
                    lifetime=timedelta(hours=settings.admin_invitation_hours),
                )  # fmt: skip
            if as_json:
                expires = iso(link.expires_at_ms)
                print(json.dumps({"email": link.email, "role": link.role, "url": url, "expires_at": expires}))
                return
            print(f"{link.email} can become {link.role} of {scope.name} here:\n{url}")

    asyncio.run(run())


@app.command("reset-mfa")
def reset_mfa(
    email: EmailArgument,
    tenant: TenantOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take somebody's second factors away; they set up new ones when they sign in next."""

    async def change(tx: Transaction, scope: TenantScope, person: Administrator) -> dict[str, Any]:
        await management.reset_factors(tx, scope, THE_OPERATOR, person.id)
        return {"email": person.email, "done": f"{person.email} has no second factor any more."}

    _change(change, email, tenant, data, database, as_json=as_json)


@app.command("reset-password")
def reset_password(
    email: EmailArgument,
    tenant: TenantOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make somebody's password worthless, and print the link under which they set a new one."""

    async def change(tx: Transaction, scope: TenantScope, person: Administrator) -> dict[str, Any]:
        url = await management.reset_password(tx, scope, THE_OPERATOR, person.id)
        return {"email": person.email, "url": url, "done": f"{person.email} can set a new password here:\n{url}"}

    _change(change, email, tenant, data, database, as_json=as_json)


@app.command()
def block(
    email: EmailArgument,
    tenant: TenantOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign somebody out everywhere and keep them out."""

    async def change(tx: Transaction, scope: TenantScope, person: Administrator) -> dict[str, Any]:
        await management.block(tx, scope, THE_OPERATOR, person.id)
        return {"email": person.email, "done": f"{person.email} is blocked."}

    _change(change, email, tenant, data, database, as_json=as_json)


@app.command()
def unblock(
    email: EmailArgument,
    tenant: TenantOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let somebody in again, also after too many wrong passwords or codes."""

    async def change(tx: Transaction, scope: TenantScope, person: Administrator) -> dict[str, Any]:
        await management.unblock(tx, scope, THE_OPERATOR, person.id)
        return {"email": person.email, "done": f"{person.email} can sign in."}

    _change(change, email, tenant, data, database, as_json=as_json)


def _change(
    change: Change, email: str, tenant: str | None, data: Path | None, database: str | None, *, as_json: bool
) -> None:
    """Change something about one administrator, in one transaction, and say what was done."""

    async def run() -> None:
        async with opened(settings_for(data, database)) as installation:
            scope = await chosen_tenant(installation, tenant)
            async with installation.store.transaction() as tx:
                person = await find_by_email(tx, scope, email)
                if person is None:
                    raise UnknownAdministrator
                done = await change(tx, scope, person)
            print(json.dumps({key: value for key, value in done.items() if key != "done"}) if as_json else done["done"])

    asyncio.run(run())
