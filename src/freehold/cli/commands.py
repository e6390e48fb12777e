"""The commands by name. Each lives in a module of its own and is imported when it is called."""

import gc
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from freehold import __version__
from freehold.kernel.collector import without_collector

COMMANDS = {
    "up": "Start everything: the server, its database, its certificates.",
    "demo": "Show the whole promise in a minute: arrive, sign in, leave, restore.",
    "demo-ceremony": "Show the export ceremony: two administrators, a signed form, real gpg.",
    "import": "Bring users and configuration from another product.",
    "export": "Write a tenant as one open archive.",
    "restore": "Make a tenant from an archive.",
    "vault": "Take vault contents out on the operator's own authority.",
    "keys": "Rotate the master key that everything at rest is encrypted under.",
    "tenants": "List, make, empty and delete tenants.",
    "admins": "Invite, list, block and help the administrators of a tenant.",
    "audit": "Read the audit log again: is it whole?",
    "doctor": "Try what this machine offers: how well custom code is contained.",
    "scripts": "Try the scripts of a custom database before they go live.",
    "code": "Take custom code home as npm packages; list, show and replay what it did.",
    "ceremony": "Exports of secrets: request, confirm, sign, fetch, and verify.",
    "routes": "List every route of the server.",
    "config": "Explain the settings.",
    "dev": "For developers of Freehold: the next migration, reference documentation.",
}


class LazyGroup(TyperGroup):
    """A group whose commands are modules of this package, imported when they are used."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the module of a command."""
        if cmd_name not in COMMANDS:
            return None
        with without_collector():  # what an import makes stays, which the collector would find out again and again
            module = import_module(f"freehold.cli.{'import_' if cmd_name == 'import' else cmd_name.replace('-', '_')}")
            gc.freeze()
        return get_command(module.app)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Plain help, because the rich one would import every command."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"freehold {__version__}")
        raise typer.Exit


@app.callback()
def freehold(
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and stop.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Freehold, the identity platform you own."""
