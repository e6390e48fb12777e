"""Every hostile script on every set of layers, what it leaves behind, and the table of it in the guide."""

# ruff: noqa: E501 - a line of JavaScript is one line

import asyncio
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from freehold.domain.extensions.sandbox import Limits, NetworkPolicy, Outcome, PoolLimits, Sandbox, Script
from tests.domain.extensions.sandbox.conftest import OpenSandbox
from tests.domain.extensions.sandbox.hostile import ATTACKS, CGROUPS, LAYER_SETS, Attack
from tests.support.programs import ROOT

GUIDE = ROOT / "docs" / "guides" / "custom-code-sandbox.md"
BEGIN, END = "<!-- table: written by the tests -->", "<!-- end of table -->"
WRITE = "FREEHOLD_WRITE_SANDBOX_TABLE"
SECRET = "only-the-server-may-know-this"
LIMITS = Limits(memory_mb=128)
QUICK = {"strong", "basic"}
"""The most and the least; those between are slow, and so is the table of all."""

_results: dict[str, dict[str, str]] = {}


class Surroundings:
    """What the scripts aim at, and what they would leave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "aim"
        self.folder.mkdir(mode=0o777)
        self.folder.chmod(0o777)
        secret = self.folder / "secret"
        secret.write_text(SECRET)
        secret.chmod(0o644)
        self.listeners = [socket.create_server(("127.0.0.1", 0))]
        for address in (str(self.folder / "socket"), "\0freehold-aim-" + str(os.getpid())):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(address)
            listener.listen()
            self.listeners.append(listener)
        (self.folder / "socket").chmod(0o777)
        port = self.listeners[0].getsockname()[1]
        self.given = {
            "server": os.getpid(), "folder": str(self.folder), "secretFile": str(secret), "secret": SECRET,
            "port": port, "httpPort": port, "socket": str(self.folder / "socket"),
            "abstract": "freehold-aim-" + str(os.getpid()),
        }  # fmt: skip
        self.before = set(self.folder.iterdir())

    def close(self) -> None:
        for listener in self.listeners:
            listener.close()


class ChangingNames:
    """Resolves `changing.example` to a public address first and to this machine ever after."""

    def __init__(self) -> None:
        self._asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        if host == "inside.example":
            return ["10.0.0.7"]
        if host == "changing.example":
            self._asked += 1
            return ["192.0.2.1"] if self._asked == 1 else ["127.0.0.1"]
        return [host] if host[0].isdigit() else ["127.0.0.1"]


@pytest.mark.parametrize(
    "layers", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in LAYER_SETS]
)
async def test_hostile_scripts_are_contained(
    layers: str, open_sandbox: OpenSandbox, naked_worker: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FREEHOLD_TEST_SECRET", SECRET)
    sandbox = await open_sandbox(
        disabled_layers=LAYER_SETS[layers],
        limits=LIMITS,
        pool_limits=PoolLimits(prestarted=1),
        network=NetworkPolicy(resolver=ChangingNames()),
    )
    report = await sandbox.report()
    if layers == CGROUPS and not report.found.cgroups:
        pytest.skip(f"no cgroups here: {report.found.reasons['cgroups']}")
    around = Surroundings(open_folder)
    findings: dict[str, str] = {}
    try:
        for attack in ATTACKS:
            script = Script(attack.name, layers, attack.code, "naked")
            outcome = await sandbox.call("mallory", script, "", [around.given], timeout_s=attack.timeout_s)
            findings[attack.name] = how_it_ended(outcome)
            if findings[attack.name].startswith("open"):
                # What got through may still run, and must not decide how the next one ends.
                for worker in sandbox.workers:
                    worker.kill()
            await an_innocent_call_works(sandbox)
        await nothing_is_left(sandbox, around, layers)
    finally:
        around.close()
    _results[layers] = findings
    not_contained = {
        attack.name: findings[attack.name] for attack in ATTACKS if not contained(attack, findings[attack.name], layers)
    }
    assert not_contained == {}, report.found


def how_it_ended(outcome: Outcome) -> str:
    """One word, or what was got."""
    if outcome.error is not None:
        return outcome.error.kind
    if isinstance(outcome.value, str) and outcome.value.startswith(("refused: ", "open: ")):
        return "refused" if outcome.value.startswith("refused") else outcome.value
    return "value"


def contained(attack: Attack, ended: str, layers: str) -> bool:
    return ended in attack.ends or (ended.startswith("open") and layers in attack.open_in)


async def an_innocent_call_works(sandbox: Sandbox) -> None:
    for tenant in ("mallory", "neighbour"):
        outcome = await sandbox.call(tenant, Script("innocent", "1", "exports.add = (a, b) => a + b;"), "add", [2, 3])
        assert outcome.value == 5, outcome


async def nothing_is_left(sandbox: Sandbox, around: Surroundings, layers: str) -> None:
    left = set(around.folder.iterdir()) - around.before
    assert not left or layers == "basic", left
    pids = [worker.pid for worker in sandbox.workers]
    await sandbox.close()
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    if layers not in {"basic", "no_seccomp"}:
        for listener in around.listeners:
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.accept()


@pytest.mark.slow
async def test_the_guide_has_the_table_of_this_run() -> None:
    if set(_results) | {CGROUPS} != set(LAYER_SETS):
        pytest.skip("the other tests of this module did not run")
    text = GUIDE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    table_before, _, after = rest.partition(END)
    lines = [
        "| the script tries | " + " | ".join(name.replace("_", " ") for name in LAYER_SETS) + " |",
        "| --- |" + " --- |" * len(LAYER_SETS),
    ]
    for attack in ATTACKS:
        cells = [
            _cell(attack, _results[layers][attack.name], layers) if layers in _results else _seen(attack, table_before)
            for layers in LAYER_SETS
        ]
        lines.append(f"| {attack.name} | " + " | ".join(cells) + " |")
    table = "\n".join(lines)
    wanted = f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"
    if os.environ.get(WRITE):
        GUIDE.write_text(wanted, "utf-8")
    assert GUIDE.read_text("utf-8") == wanted, f"run these tests with {WRITE}=1"


def _cell(attack: Attack, ended: str, layers: str) -> str:
    # Which of several limits ends a script first depends on how busy the machine is; that one does, does not.
    return "**open**" if ended.startswith("open") or layers in attack.open_in else "held"


def _seen(attack: Attack, table: str) -> str:
    """What a machine with cgroups wrote into the last column; one without cannot say otherwise."""
    row = next((line for line in table.splitlines() if line.startswith(f"| {attack.name} |")), "")
    cells = [cell.strip() for cell in row.strip("| ").split("|")]
    return cells[-1] if len(cells) == len(LAYER_SETS) + 1 else "not seen"


async def test_a_killed_server_leaves_no_process() -> None:
    program = (
        "import asyncio\n"
        "from freehold.domain.extensions.sandbox import Sandbox, Script\n"
        "async def main():\n"
        "    sandbox = Sandbox(require_level='none')\n"
        "    await sandbox.call('t', Script('a', '1', 'exports.f = () => 1'), 'f', [])\n"
        "    busy = asyncio.create_task(sandbox.call('t', Script('b', '1', 'exports.f = () => { for (;;); }'), 'f', []))\n"
        "    await asyncio.sleep(0.3)\n"
        "    print(*[worker.pid for worker in sandbox.workers], sandbox.fork_server_pid, flush=True)\n"
        "    await busy\n"
        "asyncio.run(main())\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *sys.path])}
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert server.stdout is not None
    pids = [int(word) for word in (await asyncio.wait_for(server.stdout.readline(), 20)).split()]
    assert len(pids) >= 3
    server.kill()
    await server.wait()
    died_at = time.monotonic()
    while alive := [pid for pid in pids if _is_alive(pid)]:
        assert time.monotonic() - died_at < 60, alive
        await asyncio.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
