"""Which layers are on, found out by trying: the outcome of the probes, and the level that they add up to."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from freehold.domain.extensions.sandbox.processes import Found

Level = Literal["none", "basic", "standard", "strong"]
LEVELS: tuple[Level, ...] = ("none", "basic", "standard", "strong")

# What each probe tries, and the level that asks for it to be blocked.
PROBES: Mapping[str, tuple[Level, str]] = {
    "core_dump": ("basic", "leave its memory in a file"),
    "raise_limits": ("basic", "raise its own limits"),
    "open_many_files": ("basic", "open many files"),
    "use_much_memory": ("basic", "take much memory"),
    "write_a_file": ("basic", "write a file"),
    "make_a_socket": ("standard", "make a network socket"),
    "make_a_unix_socket": ("standard", "make a local socket"),
    "connect_to_this_machine": ("standard", "connect to this machine"),
    "make_a_process": ("standard", "make another process"),
    "run_a_program": ("standard", "run a program"),
    "signal_another_process": ("standard", "signal another process"),
    "choose_a_signal": ("standard", "have the kernel send a signal"),
    "trace_another_process": ("standard", "trace another process"),
    "read_another_process": ("standard", "read another process's environment"),
    "read_a_foreign_file": ("standard", "read a file of the system"),
    "use_io_uring": ("standard", "use io_uring"),
    "use_keys": ("standard", "use the kernel's keys"),
    "load_bpf": ("standard", "load a program into the kernel"),
    "make_namespaces": ("standard", "make namespaces"),
    "see_other_processes": ("strong", "number other processes"),
    "see_network_interfaces": ("strong", "see network interfaces"),
    "see_other_files": ("strong", "see which files there are"),
}


class Report(msgspec.Struct, frozen=True):
    """The outcome: `open` names each probe that was not blocked, with what it got."""

    found: Found
    outcomes: Mapping[str, str]
    node: str = ""

    @property
    def open(self) -> dict[str, str]:
        """What is not blocked, with what was got."""
        wanted = {name: self.outcomes.get(name, "not tried") for name in PROBES}
        extra = {"enter": self.outcomes["enter"]} if "enter" in self.outcomes else {}
        return {name: outcome for name, outcome in (extra | wanted).items() if outcome != "blocked"}

    @property
    def level(self) -> Level:
        """The highest level of which every probe, and every probe of the levels below, is blocked."""
        if not self.found.permission:
            # Without it a script reaches its own process's inside, which the layers below still hold.
            missing: set[Level] = {"basic"}
        else:
            missing = set()
        missing |= {PROBES[name][0] for name in self.open if name in PROBES} | (
            {"basic"} if "enter" in self.open else set()
        )
        reached: Level = "none"
        for level in LEVELS[1:]:
            if level in missing:
                break
            reached = level
        return reached

    def meets(self, required: Level) -> bool:
        """Whether this level or a higher one was reached."""
        return LEVELS.index(self.level) >= LEVELS.index(required)

    def lacking(self, required: Level, *, cgroups: bool) -> str:
        """What is missing of what the operator requires; empty when nothing is."""
        if not self.meets(required):
            return f"this machine offers level {self.level}, {required} is required"
        if cgroups and not self.found.cgroups:
            return f"groups of processes are required, and off: {self.found.reasons.get('cgroups', 'unknown')}"
        return ""
