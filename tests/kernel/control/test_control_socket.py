"""The control socket: who listens, what is answered, and what happens when nobody does."""

import asyncio
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from freehold.kernel.control.ask import ask
from freehold.kernel.control.listen import listening
from freehold.kernel.errors import BadRequest, NotFound, Unavailable

asked: list[tuple[str, ...]] = []


async def note(*arguments: str) -> None:
    asked.append(arguments)


async def refuse() -> None:
    raise NotFound("There is no tenant called nobody.")


async def fail() -> None:
    raise ZeroDivisionError("a secret")


COMMANDS: dict[str, Callable[..., Awaitable[None]]] = {"note": note, "refuse": refuse, "fail": fail}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tmp").mkdir()
    return tmp_path


async def asking(folder: Path, command: str, *arguments: str) -> bool:
    return await asyncio.to_thread(ask, str(folder), command, arguments)


async def test_a_command_reaches_the_server_with_its_arguments(folder: Path) -> None:
    asked.clear()
    async with listening(folder, COMMANDS, bind_in=folder / "tmp"):
        assert await asking(folder, "note", "main", "Zürich")
    assert asked == [("main", "Zürich")]


async def test_nobody_listening_is_no_error(folder: Path) -> None:
    assert not await asking(folder, "note")
    async with listening(folder, COMMANDS, bind_in=folder / "tmp"):
        pass
    assert not await asking(folder, "note")
    assert list(folder.glob("**/control*")) == []


async def test_what_a_killed_server_left_behind_is_nobody_listening(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "control.sock"))
    assert not await asking(folder, "note")
    async with listening(folder, COMMANDS, bind_in=folder / "tmp"):
        assert await asking(folder, "note")


async def test_a_refusal_says_what_the_server_said(folder: Path) -> None:
    async with listening(folder, COMMANDS, bind_in=folder / "tmp"):
        with pytest.raises(BadRequest, match="no tenant called nobody"):
            await asking(folder, "refuse")
        with pytest.raises(BadRequest, match="does not know this command"):
            await asking(folder, "conquer")


async def test_a_bug_is_logged_and_not_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with listening(folder, COMMANDS, bind_in=folder / "tmp"):
        with pytest.raises(BadRequest, match="its log says why") as refused:
            await asking(folder, "fail")
    assert "secret" not in str(refused.value)
    assert "command_failed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b'{"command": 1, "arguments": []}\n', b"\xff\n", b"[" * 60_000 + b"\n"]
)
async def test_rubbish_is_refused(folder: Path, line: bytes) -> None:
    async with listening(folder, COMMANDS, bind_in=folder / "tmp"):
        reader, writer = await asyncio.open_unix_connection(folder / "control.sock")
        writer.write(line)
        assert (await reader.readline()).startswith(b'{"refusal":')
        writer.close()


async def test_a_line_without_an_end_ends_the_conversation(folder: Path) -> None:
    async with listening(folder, COMMANDS, bind_in=folder / "tmp"):
        reader, writer = await asyncio.open_unix_connection(folder / "control.sock")
        writer.write(b"x" * 200_000)
        with pytest.raises((Unavailable, ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        assert await asking(folder, "note")


async def test_only_the_owner_may_ask(folder: Path) -> None:
    async with listening(folder, COMMANDS, bind_in=folder / "tmp"):
        assert stat.S_IMODE((folder / "control.sock").stat().st_mode) == 0o600


async def test_the_last_server_to_start_answers_and_leaves_the_others_socket_alone(folder: Path) -> None:
    first: list[str] = []

    async def note_first() -> None:
        first.append("first")

    async with listening(folder, COMMANDS, bind_in=folder / "tmp"):
        async with listening(folder, {"note": note_first}, bind_in=folder / "tmp"):
            assert await asking(folder, "note")
        assert first == ["first"]
        assert not await asking(folder, "note")


async def test_a_path_too_long_for_a_socket_means_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deep = folder / ("d" * 120)
    (deep / "tmp").mkdir(parents=True)
    async with listening(deep, COMMANDS, bind_in=deep / "tmp"):
        assert not await asking(deep, "note")
    assert "no_control_socket" in capsys.readouterr().err


async def test_what_has_begun_is_finished_before_the_end(folder: Path) -> None:
    begun, done = asyncio.Event(), []

    async def slow() -> None:
        begun.set()
        await asyncio.sleep(0.1)
        done.append(True)

    async with listening(folder, {"slow": slow}, bind_in=folder / "tmp"):
        question = asyncio.create_task(asking(folder, "slow"))
        await begun.wait()
    assert done == [True]
    assert await question
