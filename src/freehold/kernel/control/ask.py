"""The asking side. It imports next to nothing, because it exists to be quick."""

import json
import os
import socket
from collections.abc import Sequence

from freehold.kernel.control import SOCKET_NAME
from freehold.kernel.errors import BadRequest, Unavailable


def is_served(folder: str) -> bool:
    """Whether a server listens on this data folder."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.path.join(folder, SOCKET_NAME))  # noqa: PTH118 - as below
        except OSError:
            return False
    return True


def ask(folder: str, command: str, arguments: Sequence[str]) -> bool:
    """Have the server on this data folder do it; False when none listens there.

    Raises BadRequest with what the server said when it refuses, Unavailable when it goes away before it has answered.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.path.join(folder, SOCKET_NAME))  # noqa: PTH118 - pathlib is half of the time to start
        except OSError:
            return False
        line = json.dumps({"command": command, "arguments": list(arguments)})
        try:
            connection.sendall(line.encode() + b"\n")
            with connection.makefile("rb") as answers:
                answer = answers.readline()
        except OSError:
            answer = b""
    if not answer.endswith(b"\n"):
        raise Unavailable("The server stopped before it answered; nobody knows yet whether it was done.")
    refusal = json.loads(answer).get("refusal")
    if refusal is not None:
        raise BadRequest(refusal)
    return True
