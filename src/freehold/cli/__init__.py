"""The freehold command.

Commands are the same operations that the API offers, or the operator's own. Each lives in a module of its own and is
imported when it is called, so that a small command starts fast. Anything may be imported here; nothing imports this.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

import click
import typer

from freehold import __version__

COMMANDS = {
    "up": "Start everything: the server, its database, its certificates.",
    "demo": "Show the whole promise in a minute: arrive, sign in, leave, restore.",
    "import": "Bring users and configuration from another product.",
    "export": "Write a tenant as one open archive.",
    "restore": "Make a tenant from an archive.",
    "vault": "Take vault contents out on the operator's own authority.",
    "tenants": "List, make, empty and delete tenants.",
    "routes": "List every route of the server.",
    "config": "Explain the settings.",
    "dev": "For developers of Freehold: the next migration, reference documentation.",
}


class LazyGroup(click.Group):
    """A group whose commands are modules of this package, imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"freehold.cli.{cmd_name.replace('import', 'import_')}")
        command: click.Command = typer.main.get_command(module.app)
        command.short_help = COMMANDS[cmd_name]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="freehold")
def root() -> None:
    """Freehold, the identity platform you own."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. An expected refusal is one sentence on standard error and exit status 1."""
    from freehold.kernel.errors import FreeholdError

    try:
        root.main(args=None if arguments is None else list(arguments), prog_name="freehold", standalone_mode=True)
    except FreeholdError as error:
        print(f"freehold: {error.message}", file=sys.stderr)
        raise SystemExit(1) from None
