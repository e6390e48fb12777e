"""The freehold command in a process of its own that need not read the program first.

Each is forked from a server that has imported everything, which saves the second that a new interpreter takes. What an
import itself does, and a process that is to be killed at a moment of its life, belong to `run_freehold` and `Popen`.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.server import SOURCE, LiveServer

TIMEOUT_S = 300
_forked = multiprocessing.get_context("forkserver")
_READERS = ("material", "possession", "recipient_key", "signed_pdf", "signed_text")
_forked.set_forkserver_preload(
    [
        "freehold.cli.commands",
        *(f"freehold.domain.ceremonies.evidence.{name}_worker" for name in _READERS),
        "tests.support.confined",
    ]
)


def freehold(
    *arguments: str, beside: LiveServer | None = None, check: bool = True, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command, on the data folder of a server `beside` it; with `check`, a failure shows what it said."""
    words = [*arguments, *(("--data", str(beside.data)) if beside is not None else ())]
    with TemporaryDirectory(prefix="freehold-command-") as folder:
        said = Path(folder)
        process = prepared().Process(target=_run, args=(words, {**os.environ, **(env or {})}, said))
        process.start()
        process.join(TIMEOUT_S)
        if process.exitcode is None:
            process.kill()
            process.join()
        status = -1 if process.exitcode is None else process.exitcode
        done = subprocess.CompletedProcess(
            words, status, (said / "out").read_text("utf-8"), (said / "errors").read_text("utf-8")
        )
    assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done


@cache
def prepared() -> ForkServerContext:
    """The server that processes are forked from, started; it imports by the environment alone."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(SOURCE), str(SOURCE.parent)])
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
    return _forked


def _run(words: list[str], env: Mapping[str, str], said: Path) -> None:
    for descriptor, name, flags in ((0, "", os.O_RDONLY), (1, "out", os.O_WRONLY), (2, "errors", os.O_WRONLY)):
        file = os.open(said / name if name else os.devnull, flags | os.O_CREAT, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    use_standard_streams()
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["freehold", *words]
    from freehold.cli import main

    main()


def use_standard_streams() -> None:
    """Make new files of the descriptors that this process was given after its fork."""
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
