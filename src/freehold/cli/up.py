"""freehold up: start everything on embedded parts."""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from freehold.app import build_edge
from freehold.cli.certificates import certify_tenants
from freehold.cli.options import DatabaseOption, DataOption, Installation, opened
from freehold.cli.ready import ready_facts, write_ready_file
from freehold.domain.tenants import lifecycle
from freehold.kernel.config import Settings, load_settings, unknown_variables
from freehold.kernel.control.ask import is_served
from freehold.kernel.crypto.passwords import HashPolicy
from freehold.kernel.errors import Conflict
from freehold.kernel.http.server import Tls, bind, serve
from freehold.kernel.log import configure, get_logger
from freehold.kernel.memory import keep_memory_private

app = typer.Typer(add_completion=False, help="Start everything: the server, its database, its certificates.")


@app.command()
def up(
    data: DataOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    domain: Annotated[str | None, typer.Option(help="Public host[:port], which makes the issuer.")] = None,
    database: DatabaseOption = None,
    workers: Annotated[int | None, typer.Option(help="Server processes sharing the port.")] = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="Write base URL, CA file and credentials here once the server answers.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but the log.")] = False,
) -> None:
    """Start the server and print where it is; Ctrl-C stops it cleanly."""
    settings = load_settings(
        {
            "data_dir": data,
            "host": host,
            "port": port,
            "domain": domain,
            "database_url": database,
            "workers": workers,
        }
    )
    keep_memory_private()
    configure(log_format=settings.log_format, level=settings.log_level)
    if settings.bcrypt_cost < HashPolicy().cost:
        get_logger("up").warning("passwords_are_hashed_for_tests_only", bcrypt_cost=settings.bcrypt_cost)
    for variable in unknown_variables(os.environ):
        get_logger("up").warning("variable_sets_nothing", variable=variable)
    if ready_file:
        ready_file.unlink(missing_ok=True)
    settings.data.prepare()
    listener = bind(settings.host, settings.port, workers=settings.workers)
    public = public_domain(settings, listener.port)
    facts, tls = asyncio.run(prepare(settings, public))
    edge = build_edge(settings)

    def ready(port: int) -> None:
        if ready_file:
            write_ready_file(ready_file, facts)
        if not quiet:
            _greet(facts, settings)

    serve(edge, listener, tls=tls, on_ready=ready, grace_s=settings.shutdown_grace_s)


async def prepare(settings: Settings, public: str) -> tuple[dict[str, Any], Tls]:
    """Bring the schema up to date and see to the first tenant; the facts of the ready-file, and the certificate."""
    async with opened(settings, create=True) as installation:
        await _check_alone(installation, public)
        await lifecycle.refresh(installation.store, installation.tenants)
        tenant = await lifecycle.ensure_first(installation.store, installation.tenants, public)
        return await ready_facts(installation.store, tenant, settings), await certify_tenants(installation)


async def _check_alone(installation: Installation, public: str) -> None:
    """Check that no server is up whose tenants this start would move to another address. Raises Conflict."""
    tenants = await installation.tenants.all()
    if not tenants or any(tenant.domain == public for tenant in tenants):
        return
    folder = installation.settings.data.root
    if is_served(str(folder)):
        first = min(tenants, key=lambda tenant: len(tenant.domain))
        raise Conflict(f"A server is up on {folder} already, at {first.issuer}. Stop it, or choose another --data.")


def public_domain(settings: Settings, port: int) -> str:
    """The public host, with the port unless it is the default one of HTTPS.

    The port is the one listened on, unless the domain names that of a proxy in front.
    """
    domain = settings.domain if ":" in settings.domain else f"{settings.domain}:{port}"
    return domain.removesuffix(":443")


def _greet(facts: dict[str, Any], settings: Settings) -> None:
    from rich.console import Console  # quiet starts do without

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"\n[bold green]Freehold is up[/] at [bold]{facts['base_url']}[/]")
    console.print(f"  tenant       {facts['tenant']}")
    console.print(f"  issuer       {facts['issuer']}")
    console.print(f"  mail         {facts['outbox_url']}")
    console.print(f"  dashboard    {facts['dashboard']['url']}")
    if facts["dashboard"]["invitation_url"]:
        console.print(f"  first admin  {facts['dashboard']['invitation_url']}  (works once)")
    if facts["ca_file"]:
        console.print(f"  trust        {facts['ca_file']}  (certificate authority of this installation)")
    console.print(f"  data         {settings.data_dir.resolve()}")
    console.print(f"  API client   {facts['management']['client_id']}  (secret: --ready-file FILE)\n")
