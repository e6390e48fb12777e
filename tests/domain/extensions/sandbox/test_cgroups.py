"""The groups that the kernel counts: what is written for each process, on a folder laid out as the kernel lays one out.

Here a process is not moved by the kernel. That the layer is on only when it was is what the last tests say.
"""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from freehold.cli import doctor
from freehold.domain.extensions.sandbox import Sandbox, SandboxUnavailable
from freehold.domain.extensions.sandbox.launcher import cgroups, contain, rlimits

MEMORY = 256 << 20


@pytest.fixture
def delegated(tmp_path: Path) -> Path:
    """A part of the tree, as the service manager hands it over."""
    folder = tmp_path / "freehold.service"
    folder.mkdir()
    (folder / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (folder / "cgroup.procs").write_text("")
    return folder


def read_all(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_a_process_gets_its_memory_its_threads_and_less_of_the_processor(delegated: Path) -> None:
    groups = cgroups.Groups(str(delegated), memory_bytes=MEMORY)

    assert groups.open() == ""
    entering = groups.add(7)
    child = os.fork()
    if child == 0:
        cgroups.join(entering)
        os._exit(0)
    os.waitpid(child, 0)
    os.close(entering)

    home = delegated / f"freehold-{os.getpid()}"
    enabled = "+cpu +memory +pids"
    assert (delegated / "cgroup.subtree_control").read_text() == enabled
    assert read_all(home) == {"cgroup.subtree_control": enabled, "cpu.weight": "50"}
    assert read_all(home / "7") == {
        "memory.max": str(MEMORY + cgroups.OVERHEAD_BYTES), "memory.swap.max": "0", "memory.oom.group": "1",
        "pids.max": str(rlimits.THREADS), "cgroup.procs": "0",
    }  # fmt: skip


@pytest.mark.parametrize(("kills", "out_of_memory"), [("oom 3\noom_kill 1\n", True), ("oom 0\noom_kill 0\n", False)])
def test_who_was_ended_for_its_memory_is_known(delegated: Path, kills: str, out_of_memory: bool) -> None:
    groups = cgroups.Groups(str(delegated), memory_bytes=MEMORY)
    groups.open()
    os.close(groups.add(1))
    (delegated / f"freehold-{os.getpid()}" / "1" / "memory.events").write_text(f"low 0\nhigh 0\nmax 9\n{kills}")

    assert groups.remove(1) is out_of_memory


def test_groups_of_a_fork_server_that_was_killed_are_swept(delegated: Path) -> None:
    gone = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1 if Path("/proc/self").exists() else 1 << 30
    for launcher in (gone, os.getppid()):
        (delegated / f"freehold-{launcher}" / "3").mkdir(parents=True)
    (delegated / "server").mkdir()

    cgroups.Groups(str(delegated), memory_bytes=MEMORY).open()

    left = {path.name for path in delegated.iterdir() if path.is_dir()}
    assert left == {f"freehold-{os.getppid()}", f"freehold-{os.getpid()}", "server"}


def test_a_controller_that_is_not_delegated_is_named(delegated: Path) -> None:
    (delegated / "cgroup.controllers").write_text("memory pids\n")

    assert cgroups.Groups(str(delegated), memory_bytes=MEMORY).open() == f"{delegated} does not offer cpu"


@pytest.mark.parametrize(
    ("own", "marked", "running", "found"),
    [
        ("/system.slice/freehold.service/server", True, "", True),
        ("/system.slice/freehold.service/server", False, "", False),
        ("/system.slice/freehold.service/server", True, "4711\n", False),
        ("/", True, "", False),
    ],
)
def test_what_the_service_manager_delegated_is_found(
    own: str, marked: bool, running: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = tmp_path / "tree" / "system.slice" / "freehold.service"
    above.mkdir(parents=True)
    (tmp_path / "tree" / "cgroup.controllers").touch()
    (above / "cgroup.procs").write_text(running)
    (tmp_path / "own").write_text(f"4:memory:/elsewhere\n0::{own}\n")
    monkeypatch.setattr(cgroups, "_TREES", ("/nowhere", str(tmp_path / "tree")))
    monkeypatch.setattr(cgroups, "_OWN", str(tmp_path / "own"))

    def getxattr(path: str, name: str) -> bytes:
        if marked and path == str(above) and name == "user.delegate":
            return b"1"
        raise OSError

    monkeypatch.setattr(os, "getxattr", getxattr, raising=False)

    folder, reason = cgroups.find("")

    assert folder == (str(above) if found else "")
    assert bool(reason) is not found


def test_a_folder_that_only_looks_like_a_tree_does_not_count(delegated: Path) -> None:
    target = contain.Target("/bin/true", "/", MEMORY, str(delegated))

    groups, reason = contain._find_groups(target, contain.Plan())

    assert groups is None
    assert reason == f"the kernel puts no process into a group of {delegated}"


async def test_an_operator_can_require_them(tmp_path: Path) -> None:
    sandbox = Sandbox(require_level="none", cgroups="required", cgroup_folder=tmp_path)
    try:
        with pytest.raises(SandboxUnavailable, match=r"groups of processes are required.*is not a folder of cgroup v2"):
            await sandbox.start()
        assert not (await sandbox.report()).found.cgroups
    finally:
        await sandbox.close()
    assert list(tmp_path.iterdir()) == []


def test_doctor_says_why_they_are_off(tmp_path: Path) -> None:
    environment = {
        "FREEHOLD_SANDBOX_REQUIRE_LEVEL": "basic", "FREEHOLD_SANDBOX_CGROUPS": "required",
        "FREEHOLD_SANDBOX_CGROUP_FOLDER": str(tmp_path),
    }  # fmt: skip
    outcome = CliRunner().invoke(doctor.app, ["--json"], env=environment)

    said = json.loads(outcome.stdout)["sandbox"]
    assert outcome.exit_code == 1
    assert said["layers"]["a control group for each process"] is False
    assert said["reasons"]["cgroups"] == f"{tmp_path} is not a folder of cgroup v2"
    assert said["reasons"]["cgroups"] in said["lacking"] or said["level"] == "none"
