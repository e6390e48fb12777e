"""The layers one by one: what the filter of system calls says on both processors, and what the self-test finds."""

import json
import struct

import pytest
from typer.testing import CliRunner

from freehold.cli import doctor
from freehold.domain.extensions.sandbox import PROBES, Report
from freehold.domain.extensions.sandbox.launcher import seccomp, system
from freehold.domain.extensions.sandbox.processes import Found
from tests.domain.extensions.sandbox.conftest import OpenSandbox

ALLOWED, REFUSED, MISSING, KILLED = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
OWN_PID = 4711


def judge(program: list[tuple[int, int, int, int]], machine: int, number: int, arguments: tuple[int, ...]) -> int:
    """What the kernel would answer: classic BPF on the description of a call."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<iIQ6Q", number, machine, 0, *(value & (2**64 - 1) for value in padded))
    accumulator = at = 0
    while True:
        code, when, otherwise, value = program[at]
        assert 0 <= when <= 255
        assert 0 <= otherwise <= 255
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == 0x06:
            return value
        else:
            met = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            at += when if met else otherwise


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("read", (3,), ALLOWED),
        ("openat", (), ALLOWED),
        ("mmap", (0, 4096, 5), ALLOWED),
        ("socket", (2, 1), REFUSED),
        ("connect", (5,), REFUSED),
        ("socketpair", (1, 1), REFUSED),
        ("execve", (), REFUSED),
        ("ptrace", (16, 1), REFUSED),
        ("mount", (), REFUSED),
        ("bpf", (), REFUSED),
        ("unshare", (0x10000000,), REFUSED),
        ("io_uring_setup", (), REFUSED),
        ("memfd_create", (), REFUSED),
        ("process_vm_readv", (1,), REFUSED),
        ("setrlimit", (), REFUSED),
        ("clone", (0x3D0F00,), ALLOWED),  # a thread, as glibc makes it
        ("clone", (17,), REFUSED),  # a process
        ("clone", (0x3D0F00 | 0x10000000,), REFUSED),  # a thread in a namespace
        ("clone3", (), MISSING),
        ("kill", (OWN_PID, 6), ALLOWED),
        ("kill", (1, 9), REFUSED),
        ("kill", (-1, 9), REFUSED),
        ("tgkill", (OWN_PID, OWN_PID, 6), ALLOWED),
        ("tgkill", (OWN_PID + 1, OWN_PID, 6), REFUSED),
        ("execveat", (seccomp.EXECUTABLE_FD, 0, 0, 0, 0x1000), ALLOWED),
        ("execveat", (seccomp.EXECUTABLE_FD, 0, 0, 0, 0), REFUSED),
        ("execveat", (5, 0, 0, 0, 0x1000), REFUSED),
        ("prlimit64", (0, 7, 0), ALLOWED),
        ("prlimit64", (0, 7, 0x7FFF_0000_0000), REFUSED),
        ("prlimit64", (0, 7, 0x1000), REFUSED),
        ("prctl", (15,), ALLOWED),
        ("prctl", (38, 1), REFUSED),
        ("fcntl", (1, 3), ALLOWED),
        ("fcntl", (3, 8, OWN_PID + 1), REFUSED),  # who gets this descriptor's signal
        ("fcntl", (3, 10, 9), REFUSED),  # and which
        ("fcntl", (3, 15), REFUSED),
        ("ioctl", (1, 0x5401), ALLOWED),
        ("ioctl", (1, 0x5412), REFUSED),  # typing into a terminal
    ],
)
def test_the_filter_of_system_calls(
    machine: str, name: str, arguments: tuple[int, ...], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "ARCHITECTURE", machine)
    program = seccomp.program(OWN_PID)
    number = system.number(name)
    assert number is not None

    assert judge(program, MACHINES[machine], number, arguments) == expected


def test_calls_of_another_processor_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "ARCHITECTURE", "x86_64")
    program = seccomp.program(OWN_PID)

    assert judge(program, 0x40000003, 3, ()) == KILLED  # the 32-bit table
    assert judge(program, MACHINES["x86_64"], 0x40000000 | 41, ()) == KILLED  # x32


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_that_is_free_exists_once(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "ARCHITECTURE", machine)
    numbers = [number for name in system.NUMBERS if (number := system.number(name)) is not None]

    assert len(set(numbers)) == len(numbers)
    assert set(seccomp._FREE) <= system.NUMBERS.keys()


def found(**other: object) -> Found:
    on = {"seccomp": True, "landlock": 7, "rlimits": True, "namespaces": True, "own_root": True}
    return Found(**{**on, "user_namespace": False, "own_user": True, "permission": True, **other})  # type: ignore[arg-type]


def test_a_level_needs_every_probe_of_it_and_of_those_below() -> None:
    blocked = dict.fromkeys(PROBES, "blocked")

    assert Report(found(), blocked).level == "strong"
    assert Report(found(), {**blocked, "see_other_files": "open"}).level == "standard"
    assert Report(found(), {**blocked, "make_a_socket": "open"}).level == "basic"
    assert Report(found(), {**blocked, "core_dump": "open"}).level == "none"
    assert Report(found(permission=False), blocked).level == "none"
    assert Report(found(), {"enter": "no"}).level == "none"
    without = {name: outcome for name, outcome in blocked.items() if name != "use_keys"}
    assert Report(found(), without).level == "basic"


@pytest.mark.parametrize(
    ("disabled", "level", "got"),
    [
        (("namespaces",), "standard", {"see_other_processes"}),
        (("namespaces", "landlock"), "basic", {"read_a_foreign_file"}),
        (("namespaces", "seccomp"), "basic", {"make_a_socket", "make_a_process", "choose_a_signal"}),
        (("rlimits",), "none", {"open_many_files", "use_much_memory"}),
    ],
)
async def test_the_self_test_notices_a_missing_layer(
    disabled: tuple[str, ...], level: str, got: set[str], open_sandbox: OpenSandbox
) -> None:
    whole = await (await open_sandbox()).report()
    if whole.level != "strong":
        pytest.skip(f"this machine offers level {whole.level}")

    report = await (await open_sandbox(disabled_layers=disabled)).report()

    assert report.level == level, report.open
    assert got <= report.open.keys()


def test_doctor_says_what_was_found() -> None:
    outcome = CliRunner().invoke(doctor.app, ["--json"], env={"FREEHOLD_SANDBOX_REQUIRE_LEVEL": "basic"})

    said = json.loads(outcome.stdout)["sandbox"]
    assert said["required"] == "basic"
    assert said["level"] in {"none", "basic", "standard", "strong"}
    assert (outcome.exit_code == 0) == (said["level"] != "none")
