"""L4: a process that is alone: own process numbers, no network interface, an empty file system, nobody's IPC.

Root makes them directly and then becomes a user that nothing else runs as; everybody else makes them in a user
namespace, where the system offers that.
"""

import ctypes
import os
import stat
from dataclasses import dataclass

from . import system

NEW_MOUNTS, NEW_UTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NET = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
ALONE = NEW_MOUNTS | NEW_UTS | NEW_IPC | NEW_PIDS | NEW_NET
NOBODY = 65534

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_SIGCHLD = 17
_KEPT = 1 | 2 | 4 | 8 | 1024 | 2048  # flags that a mount has and that a user namespace must not take away
_STAGE = "/tmp"  # noqa: S108 - only a place to mount on, seen by nobody else


@dataclass(frozen=True)
class Kind:
    """How namespaces are made here: the flags of clone, and whether the file system can be replaced."""

    flags: int
    own_root: bool


def clone(flags: int) -> int:
    """Fork into new namespaces: 0 in the child. Raises OSError."""
    return system.call("clone", flags | _SIGCHLD, 0, 0, 0, 0)


def become_nobody_inside(uid: int, gid: int) -> None:
    """In a new user namespace: the user who started it is called nobody in there. Raises OSError."""
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{NOBODY} {uid} 1")
    _write("/proc/self/gid_map", f"{NOBODY} {gid} 1")


def set_host_name(name: bytes) -> None:
    """What the process calls its machine. Raises OSError."""
    system.call("sethostname", name, len(name))


def replace_root(visible: list[str]) -> None:
    """Make a file system of these files and folders alone, read-only and under their own names. Raises OSError."""
    # Held by descriptor, because what lies in the folder that is mounted over is out of reach by name.
    sources = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in visible if os.path.exists(path)]  # noqa: PTH110
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", _STAGE, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=256k,mode=755")
    for path, source in sources:
        _bind(path, source)
        os.close(source)
    _mount(None, _STAGE, None, _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_BIND)
    os.chdir(_STAGE)
    # With the same folder for new and old, the old root lands on top of the new one and is taken off from there.
    system.call("pivot_root", b".", b".")
    system.call("umount2", b".", _MNT_DETACH)
    os.chdir("/")


def _bind(path: str, source: int) -> None:
    target = _STAGE + path
    if stat.S_ISDIR(os.fstat(source).st_mode):
        os.makedirs(target, exist_ok=True)  # noqa: PTH103
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    _mount(f"/proc/self/fd/{source}", target, None, _MS_BIND | _MS_REC)
    device = path.startswith("/dev/")
    kept = os.statvfs(target).f_flag & _KEPT
    flags = _MS_REMOUNT | _MS_BIND | _MS_NOSUID | kept | (0 if device else _MS_RDONLY | _MS_NODEV)
    _mount(None, target, None, flags)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [None if text is None else ctypes.c_char_p(text.encode()) for text in (source, target, kind)]
    data = None if options is None else ctypes.c_char_p(options.encode())
    system.call("mount", *texts, flags, data)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
