"""The freehold command.

Commands are the same operations that the API offers, or the operator's own. Anything may be imported here; nothing
imports this. What a running server can do for us is asked of it before the commands are even imported.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

from freehold.cli.quick import did_a_running_server
from freehold.kernel.errors import FreeholdError, Unavailable


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. An expected refusal, by us or by the operating system, is one sentence and exit status 1."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if did_a_running_server(words):
            return
        from freehold.cli.commands import app

        app(args=words, prog_name="freehold")
    except FreeholdError as error:
        # A database that does not answer says why below; the sentence is the same for everybody, the reason for us.
        reason = str(error.__cause__ or "") if isinstance(error, Unavailable) else ""
        _stop(f"{error.message}: {reason}" if reason else error.message)
    except OSError as error:
        _stop(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _stop(sentence: str) -> NoReturn:
    print(f"freehold: {sentence}", file=sys.stderr)
    raise SystemExit(1) from None
