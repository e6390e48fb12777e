"""The freehold command.

Commands are the same operations that the API offers, or the operator's own. Anything may be imported here; nothing
imports this. What a running server can do for us is asked of it before the commands are even imported.
"""

import sys
from collections.abc import Sequence

from freehold.cli.quick import did_a_running_server
from freehold.kernel.errors import FreeholdError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. An expected refusal is one sentence on standard error and exit status 1."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if did_a_running_server(words):
            return
        from freehold.cli.commands import app

        app(args=words, prog_name="freehold")
    except FreeholdError as error:
        print(f"freehold: {error.message}", file=sys.stderr)
        raise SystemExit(1) from None
