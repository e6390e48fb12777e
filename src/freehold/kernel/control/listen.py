"""The answering side, in the server's event loop."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from freehold.kernel import log as logs
from freehold.kernel.control import MAX_LINE_BYTES, SOCKET_NAME
from freehold.kernel.errors import BadRequest, FreeholdError

Command = Callable[..., Awaitable[None]]

log = logs.get_logger("control")


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """One line from the asking side."""

    command: str
    arguments: list[str]


@asynccontextmanager
async def listening(folder: Path, commands: Mapping[str, Command], *, bind_in: Path) -> AsyncIterator[None]:
    """Answer on the folder's control socket while the block runs.

    The socket is made in `bind_in`, on the same file system. Of several processes on one folder the last to start
    answers. A folder whose path is too long for a socket (about 100 bytes) has none, and commands do their work
    themselves.
    """

    one_at_a_time = asyncio.Lock()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, ValueError):  # ValueError: a line without an end
                line = await reader.readline()
                async with one_at_a_time:
                    answered = await answer(line, commands)
                writer.write(msgspec.json.encode(answered) + b"\n")
                await writer.drain()
        finally:
            writer.close()

    path = folder / SOCKET_NAME
    # Bound under a name of its own and then renamed, so that there is never a moment without a listener.
    own = bind_in / f"{SOCKET_NAME}.{os.getpid()}"
    own.unlink(missing_ok=True)
    try:
        server = await asyncio.start_unix_server(converse, own, limit=MAX_LINE_BYTES)
    except (OSError, ValueError) as error:
        log.warning("no_control_socket", reason=str(error))
        yield
        return
    own.chmod(0o600)
    inode = own.stat().st_ino
    own.replace(path)
    try:
        yield
    finally:
        server.close()
        async with one_at_a_time:  # what has begun is finished before its store closes
            pass
        with suppress(FileNotFoundError):
            if path.stat().st_ino == inode:
                path.unlink()


async def answer(line: bytes, commands: Mapping[str, Command]) -> dict[str, str]:
    """What one line of the asking side is answered."""
    try:
        question = msgspec.json.decode(line, type=Question)
        if question.command not in commands:
            raise BadRequest("The running server does not know this command; is it of another version?")
        await commands[question.command](*question.arguments)
    except msgspec.DecodeError:
        return {"refusal": "That was not a question."}
    except FreeholdError as error:
        return {"refusal": error.message}
    except Exception as error:  # the operator is told where to look
        log.error("command_failed", exc_info=error)
        return {"refusal": "The server failed at it; its log says why."}
    return {}
