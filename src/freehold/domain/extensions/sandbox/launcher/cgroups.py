"""A control group (cgroup v2) for each process, where a part of the system's tree is delegated to the server.

    FOLDER                 delegated, and without processes of its own
      freehold-LAUNCHER    every process of this fork server: less of the processor than the server beside it
        SERIAL             one process: its memory, also what the kernel keeps for it, and its threads

The kernel counts a group as a whole and at once, where the server looks at a process every tenth of a second. A folder
counts as such a tree only when the kernel says that a process is in the group it was put into.
"""

import os
from contextlib import suppress

from . import rlimits

CONTROLLERS = ("cpu", "memory", "pids")
# Beside what the server watches, which is what the process itself has in memory: the kernel's own part, and the cache.
OVERHEAD_BYTES = 192 << 20
# Of 100, which every group has that nobody gave a number, the server's own among them.
WEIGHT = 50

_TREES = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
_OWN = "/proc/self/cgroup"
_MARKS = ("user.delegate", "trusted.delegate")


def find(named: str) -> tuple[str, str]:
    """The folder to use, and why there is none."""
    if named:
        return named, ""
    tree = next((tree for tree in _TREES if os.path.exists(f"{tree}/cgroup.controllers")), "")  # noqa: PTH110
    own = _own_group()
    if not tree or not own:
        return "", "this system has no tree of cgroup v2"
    # The service manager puts the server into a subgroup, so that the group above has no process of its own.
    above = os.path.dirname(own)  # noqa: PTH120
    if own == "/" or not _is_delegated(tree + above):
        return "", "no part of the tree is delegated to the server"
    return tree + above, ""


class Groups:
    """The groups of one fork server's processes."""

    def __init__(self, folder: str, *, memory_bytes: int) -> None:
        self.folder = folder
        self._home = f"{folder}/freehold-{os.getpid()}"
        self._memory_bytes = memory_bytes + OVERHEAD_BYTES

    def open(self) -> str:
        """Make the group of all processes; why it cannot be made, or nothing."""
        try:
            offered = _read(f"{self.folder}/cgroup.controllers").split()
        except OSError:
            return f"{self.folder} is not a folder of cgroup v2"
        missing = [name for name in CONTROLLERS if name not in offered]
        if missing:
            return f"{self.folder} does not offer {', '.join(missing)}"
        wanted = " ".join(f"+{name}" for name in CONTROLLERS)
        try:
            self._sweep()
            _write(f"{self.folder}/cgroup.subtree_control", wanted)
            os.mkdir(self._home, 0o755)  # noqa: PTH102 - a small program: pathlib costs memory here
            _write(f"{self._home}/cgroup.subtree_control", wanted)
            _write(f"{self._home}/cpu.weight", str(WEIGHT))
        except OSError as error:
            self.close()
            return f"{self.folder}: {error.strerror}"
        return ""

    def add(self, serial: int) -> int:
        """Make the group of a process; the descriptor with which the process goes into it. Raises OSError."""
        group = self._of(serial)
        os.mkdir(group, 0o755)  # noqa: PTH102
        try:
            _write(f"{group}/memory.max", str(self._memory_bytes))
            with suppress(OSError):  # a system without swap has no such file
                _write(f"{group}/memory.swap.max", "0")
            _write(f"{group}/memory.oom.group", "1")
            _write(f"{group}/pids.max", str(rlimits.THREADS))
            return _open(f"{group}/cgroup.procs")
        except OSError:
            self.remove(serial)
            raise

    def remove(self, serial: int) -> bool:
        """Take the group of a process that ended away; whether the kernel ended it for the memory it used."""
        try:
            events = dict(line.split() for line in _read(f"{self._of(serial)}/memory.events").splitlines())
        except (OSError, ValueError):
            events = {}
        with suppress(OSError):  # swept later
            os.rmdir(self._of(serial))  # noqa: PTH106
        return events.get("oom_kill", "0") != "0"

    def close(self) -> None:
        """Take every group away that has no process any more."""
        _remove_below(self._home)

    def holds(self, serial: int) -> bool:
        """Whether this process is in that group, as the kernel sees it."""
        return _own_group().endswith(self._of(serial).removeprefix(self.folder))

    def _of(self, serial: int) -> str:
        return f"{self._home}/{serial}"

    def _sweep(self) -> None:
        """Take away what a fork server left that was killed."""
        for name in os.listdir(self.folder):  # noqa: PTH208
            launcher = name.removeprefix("freehold-")
            if launcher != name and launcher.isdecimal() and not os.path.exists(f"/proc/{launcher}"):  # noqa: PTH110
                _remove_below(f"{self.folder}/{name}")


def join(descriptor: int) -> None:
    """Go into the group whose `cgroup.procs` this is. Raises OSError."""
    os.write(descriptor, b"0")
    os.close(descriptor)


def _own_group() -> str:
    try:
        lines = _read(_OWN).splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")


def _is_delegated(folder: str) -> bool:
    """Whether the service manager marked it as ours to divide, and nothing runs in it itself."""
    for mark in _MARKS:
        with suppress(OSError):
            if os.getxattr(folder, mark) == b"1":
                return not _read(f"{folder}/cgroup.procs").strip()
    return False


def _remove_below(folder: str) -> None:
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208
            with suppress(OSError):  # a file of the kernel's, or a group with a process in it
                os.rmdir(f"{folder}/{name}")  # noqa: PTH106
        os.rmdir(folder)  # noqa: PTH106


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _write(path: str, text: str) -> None:
    descriptor = _open(path)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123
        return file.read()
