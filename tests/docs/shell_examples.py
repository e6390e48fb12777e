"""Shell examples of a document, read from its Markdown and run as one script.

Every `sh` block is run, in order, in one shell in an empty folder. The line before a block may say otherwise:

    <!-- not run: reason -->       the block is only read
    <!-- needs: gnupg, postgres -->   the document's test carries these markers
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.programs import JS_CLIENTS, find_node
from tests.support.server import SOURCE

TIMEOUT_S = 300
_FENCE = re.compile(
    r"^(?:<!-- (?P<word>not run|needs): (?P<value>[^>]+?) -->\n)?```sh\n(?P<text>.*?)^```$", re.M | re.S
)
_ANY_FENCE = re.compile(r"^ *```(\w*)", re.M)
_SHELLS = {"bash", "shell", "console", "zsh"}


@dataclass(frozen=True)
class Block:
    """One example."""

    line: int
    text: str
    not_run: str = ""
    needs: tuple[str, ...] = ()


@dataclass
class Outcome:
    """How a script ended."""

    status: int
    output: str


def escaping_blocks(text: str) -> list[int]:
    """The lines of shell examples that would not be run, because they are called or indented otherwise."""
    return [
        line_of(text, match.start())
        for match in _ANY_FENCE.finditer(text)
        if match.group(1) in _SHELLS or (match.group(1) == "sh" and match.group(0).startswith(" "))
    ]


def read_blocks(text: str) -> list[Block]:
    """The examples of a document in order."""
    found = []
    for match in _FENCE.finditer(text):
        word, value = match.group("word"), match.group("value") or ""
        found.append(
            Block(
                line=line_of(text, match.start("text")),
                text=match.group("text"),
                not_run=value if word == "not run" else "",
                needs=tuple(part.strip() for part in value.split(",")) if word == "needs" else (),
            )
        )
    return found


def line_of(text: str, position: int) -> int:
    """The number of the line that a position is in."""
    return text.count("\n", 0, position) + 1


def script_of(blocks: list[Block]) -> str:
    """One script that stops at the first command that fails, and says where in the document each block begins."""
    parts = ["set -euo pipefail"]
    for block in blocks:
        if not block.not_run:
            parts += [f"echo '--- line {block.line}' >&2", block.text.rstrip("\n")]
    return "\n".join(parts) + "\n"


def run_blocks(blocks: list[Block], folder: Path, *, env: Mapping[str, str]) -> Outcome:
    """Run the examples in the folder. What they left running is ended."""
    script = folder.with_suffix(".sh")
    script.write_text(script_of(blocks))
    log = folder.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", str(script)], cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env=dict(env), start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            status = -1
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
    remark = f"\nnot done after {TIMEOUT_S} s" if status == -1 else ""
    return Outcome(status, log.read_text(errors="replace") + remark)


@contextmanager
def reader_environment(folder: Path) -> Iterator[dict[str, str]]:
    """What a reader has: the programs, a home of their own, and no setting but a port that is free here."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    python = shlex.quote(sys.executable)
    written = {
        "freehold": f"PYTHONPATH={shlex.quote(str(SOURCE))} exec {python} -m freehold.cli",
        "python": f"exec {python}",
        "python3": f"exec {python}",
    }
    if (node := find_node()) is not None:
        written["node"] = f"exec {shlex.quote(str(node))}"
    for name, command in written.items():
        (programs / name).write_text(f'#!/bin/sh\n{command} "$@"\n')
        (programs / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name in {"LANG", "LC_ALL", "TMPDIR", "TERM"}}
    # A short name, because GnuPG puts its sockets there.
    with TemporaryDirectory(prefix="reader-", ignore_cleanup_errors=True) as home:
        yield {
            **kept,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": home,
            "FREEHOLD_PORT": str(free_port()),
            "NODE_PATH": str(JS_CLIENTS / "node_modules"),
        }


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
