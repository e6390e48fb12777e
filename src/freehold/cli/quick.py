"""`freehold tenants reset NAME --yes --data DIR` in the time that people's test suites have for it.

They run it before each test. The work takes milliseconds and starting the program a second, so exactly this form asks
the server that runs on the data folder; every other form, and a folder without a server, goes the usual way.
"""

from collections.abc import Sequence

from freehold.kernel.control import RESET_TENANT
from freehold.kernel.control.ask import ask


def did_a_running_server(words: Sequence[str]) -> bool:
    """Whether these arguments are the quick form and a server did it. Raises BadRequest when the server refuses."""
    match words:
        case ["tenants", "reset", *rest] if len(rest) == 4:
            pass
        case _:
            return False
    match [word for word in rest if word != "--yes"]:
        case [name, "--data", folder] | ["--data", folder, name] if not name.startswith("-"):
            return ask(folder, RESET_TENANT, [name])
    return False
