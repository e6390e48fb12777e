"""freehold scripts: run a script of a custom database before it goes live."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

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
from freehold.domain.extensions import databases
from freehold.domain.extensions.databases import Tried
from freehold.domain.extensions.sandbox import Sandbox
from freehold.domain.extensions.sandbox.configured import sandbox_of
from freehold.domain.users import Database, find_database
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import BadRequest, NotFound
from freehold.kernel.store import Store

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Try the scripts of a custom database before they go live."
)


class Name(StrEnum):
    """A script of a custom database."""

    LOGIN = "login"
    GET_USER = "get_user"
    CREATE = "create"
    VERIFY = "verify"
    CHANGE_PASSWORD = "change_password"  # noqa: S105 - the name of a script
    CHANGE_EMAIL = "change_email"
    CHANGE_USERNAME = "change_username"
    DELETE = "delete"


_WITH_PASSWORD = frozenset({Name.LOGIN, Name.CREATE, Name.CHANGE_PASSWORD})
_WITH_NEW = frozenset({Name.CHANGE_EMAIL, Name.CHANGE_USERNAME})


class Services(msgspec.Struct, frozen=True):
    """What running a script needs, without a server."""

    store: Store
    sandbox: Sandbox


@app.callback()
def _group() -> None:
    """Keep `try` a command of its own: a group of one would be that one."""


@app.command("try")
def try_script(
    script: Annotated[Name, typer.Argument(help="Which script.")],
    connection: Annotated[str, typer.Option("--connection", help="The connection's name.")],
    identifier: Annotated[str, typer.Option("--identifier", help="E-mail address or user name; of delete, the id.")],
    new: Annotated[str, typer.Option("--new", help="The new address or user name, for change_email and so on.")] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option("--file", help="A script that is not in the connection yet.", exists=True)
    ] = None,
    tenant: TenantOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a script once, with the connection's configuration, and show what it answered, printed and took.

    Nothing is stored here; what the script does to its own database, it does. Ends with 1 when it fails.
    """
    given = _arguments(script, connection, identifier, new, password_stdin=password_stdin)
    code = file.read_text("utf-8") if file is not None else ""

    async def run() -> Tried:
        settings = settings_for(data, database)
        async with AsyncExitStack() as stack:
            installation = await stack.enter_async_context(opened(settings))
            scope = await chosen_tenant(installation, tenant)
            found = await _database(installation.store, scope, connection)
            sandbox = sandbox_of(settings)
            stack.push_async_callback(sandbox.close)
            services = Services(installation.store, sandbox)
            return await databases.try_script(services, scope, found, script.value, _known(given, scope), code=code)

    tried = asyncio.run(run())
    print(json.dumps(_described(script, tried), indent=1) if as_json else _text(script, tried))
    if tried.outcome.error is not None:
        raise typer.Exit(1)


def _arguments(script: Name, connection: str, identifier: str, new: str, *, password_stdin: bool) -> list[Any]:
    if script in _WITH_PASSWORD and not password_stdin:
        raise BadRequest(f"{script} takes a password: add --password-stdin and write it to standard input.")
    if script in _WITH_NEW and not new:
        raise BadRequest(f"{script} takes what it changes to: add --new.")
    password = sys.stdin.readline().rstrip("\n") if script in _WITH_PASSWORD else ""
    if script is Name.CREATE:
        named = {"email" if "@" in identifier else "username": identifier}
        return [{"client_id": "", "tenant": "", "connection": connection, "password": password, **named}]
    if script is Name.CHANGE_EMAIL:
        return [identifier, new, False]
    if script is Name.CHANGE_USERNAME:
        return [identifier, new]
    return [identifier, password] if script in _WITH_PASSWORD else [identifier]


def _known(given: Sequence[Any], tenant: TenantScope) -> list[Any]:
    return [{**each, "tenant": tenant.name} if isinstance(each, dict) else each for each in given]


async def _database(store: Store, tenant: TenantScope, name: str) -> Database:
    found = await find_database(store, tenant, name)
    if found is None:
        raise NotFound(f"There is no connection {name}.")
    if not found.has_passwords:
        raise BadRequest(f"{name} is not a database connection.")
    return found


def _described(script: Name, tried: Tried) -> Mapping[str, Any]:
    outcome = tried.outcome
    told: dict[str, Any] = {
        "script": script.value,
        "outcome": _verdict(tried),
        "duration_ms": round(outcome.duration_ms, 1),
    }
    if outcome.error is None:
        told["answered"] = tried.answered
    else:
        told["error"] = {"kind": outcome.error.kind, "type": outcome.error.type, "message": outcome.error.message}
    return told | {"logs": [{"level": line.level, "text": line.text} for line in outcome.logs]}


def _verdict(tried: Tried) -> str:
    error = tried.outcome.error
    if error is None:
        return "answered"
    return "refused" if error.kind == "script" and error.type in databases.REFUSALS else "failed"


def _text(script: Name, tried: Tried) -> str:
    outcome = tried.outcome
    lines = [f"{script.value}: {_verdict(tried)} after {outcome.duration_ms:.0f} ms"]
    if outcome.error is None:
        lines.append(json.dumps(tried.answered, indent=1, ensure_ascii=False))
    else:
        lines.append(f"{outcome.error.type}: {outcome.error.message}")
    return "\n".join([*lines, *(f"  {line.level}: {line.text}" for line in outcome.logs)])
