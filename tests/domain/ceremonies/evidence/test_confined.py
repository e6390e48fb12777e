"""What reads strangers' bytes has little memory and time, no network, no other programs, and writes no files."""

from pathlib import Path

import pytest

from freehold.domain.ceremonies.evidence.confined import Bounds, TooCostly, ask_worker, run_program

pytestmark = pytest.mark.whole_reader
SMALL = Bounds(memory_bytes=256 << 20, cpu_s=1)
FRAME = """
import json, sys
request = json.load(sys.stdin)
try:
    {0}
    said = "done"
except BaseException as error:
    said = type(error).__name__
json.dump({{"said": said, "request": request}}, sys.stdout)
"""


def worker(folder: Path, statement: str) -> Path:
    path = folder / "worker.py"
    path.write_text(FRAME.format(statement))
    return path


async def test_a_worker_answers(tmp_path: Path) -> None:
    answer = await ask_worker(worker(tmp_path, "pass"), {"a": "ü"}, bounds=SMALL)

    assert answer == {"said": "done", "request": {"a": "ü"}}


FORBIDDEN = {
    "a connection": ("import socket; socket.create_connection(('127.0.0.1', 9))", "PermissionError"),
    "a name": ("import socket; socket.getaddrinfo('example.com', 80)", "PermissionError"),
    "a program": ("import subprocess; subprocess.run(['true'])", "PermissionError"),
    "a shell": ("import os; os.system('true')", "PermissionError"),
    "a fork": ("import os; os.fork()", "PermissionError"),
    "a file": ("open(__file__ + '.out', 'w').write('x' * 100_000)", "OSError"),
    "memory": ("bytearray(1 << 30)", "MemoryError"),
}


@pytest.mark.parametrize("name", FORBIDDEN)
async def test_what_it_must_not_do_fails(name: str, tmp_path: Path) -> None:
    statement, error = FORBIDDEN[name]

    assert (await ask_worker(worker(tmp_path, statement), {}, bounds=SMALL))["said"] == error


@pytest.mark.parametrize("statement", ["while True: pass", "import os; os._exit(0)", "import os; os.abort()"])
async def test_one_that_does_not_answer_is_too_costly(statement: str, tmp_path: Path) -> None:
    with pytest.raises(TooCostly):
        await ask_worker(worker(tmp_path, statement), {}, bounds=SMALL)


async def test_another_program_has_bounds_too() -> None:
    said = "cat; ulimit -c; ulimit -f; ulimit -n; ulimit -t; ulimit -v"
    ended = await run_program(["/bin/sh", "-c", said], b"in\n", bounds=SMALL)

    assert (ended.status, ended.output.split()) == (0, [b"in", b"0", b"0", b"64", b"1", b"262144"])
