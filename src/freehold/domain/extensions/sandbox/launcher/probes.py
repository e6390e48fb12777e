"""The self-test: a process inside the layers tries what it must not be able to do, without Node in between.

Every probe answers "blocked" or what it got. A layer counts as on when its probes say so, not because it was asked for.
"""

import ctypes
import fcntl
import json
import mmap
import os
import signal
import socket
from collections.abc import Callable

from . import contain, namespaces, rlimits, seccomp, system


class Got(Exception):
    """The probe did what it must not be able to do."""


def run(plan: contain.Plan, target: contain.Target) -> dict[str, str]:
    """The outcome of every probe by its name."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    launcher, uid, gid = os.getpid(), os.geteuid(), os.getegid()

    def inside() -> str:
        listener.close()
        contain.enter(plan, target, 0, launcher, caller=uid, caller_group=gid)
        os.close(seccomp.EXECUTABLE_FD)
        outcomes = {}
        for name, probe in _probes(port, launcher).items():
            try:
                probe()
            except Got as got:
                outcomes[name] = str(got) or "open"
            except (OSError, ValueError, MemoryError, OverflowError):
                outcomes[name] = "blocked"
            else:
                outcomes[name] = "open"
        return json.dumps(outcomes)

    answer = ""
    try:
        answer = contain.in_a_child(inside, plan.alone.flags if plan.alone else 0)
        outcomes: dict[str, str] = json.loads(answer)
    except (OSError, ValueError) as error:
        return {"enter": f"the layers could not be entered: {answer or error}"}
    finally:
        listener.close()
    return outcomes


def _probes(port: int, launcher: int) -> dict[str, Callable[[], object]]:
    return {
        "core_dump": _core_dump,
        "raise_limits": _raise_limits,
        "open_many_files": _open_many_files,
        "use_much_memory": _use_much_memory,
        "write_a_file": _write_a_file,
        "make_a_socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
        "make_a_unix_socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close(),
        "make_a_process": _make_a_process,
        "run_a_program": _run_a_program,
        "signal_another_process": lambda: os.kill(os.getppid() or launcher, 0),
        "choose_a_signal": _choose_a_signal,
        "trace_another_process": lambda: system.call("ptrace", 0x4206, launcher, 0, 0),  # PTRACE_SEIZE
        "read_another_process": _read_another_process,
        "use_io_uring": lambda: system.call("io_uring_setup", 8, ctypes.create_string_buffer(256)),
        "use_keys": lambda: system.call("add_key", b"user", b"freehold", b"x", 1, -2),
        "load_bpf": lambda: system.call("bpf", 0, ctypes.create_string_buffer(128), 128),
        "make_namespaces": lambda: system.call("unshare", namespaces.NEW_USER),
        "read_a_foreign_file": _read_a_foreign_file,
        "connect_to_this_machine": lambda: _connect(port),
        "see_other_processes": _see_other_processes,
        "see_network_interfaces": _see_network_interfaces,
        "see_other_files": _see_other_files,
    }


def _core_dump() -> None:
    import resource

    if resource.getrlimit(resource.RLIMIT_CORE)[1] != 0:
        raise Got
    raise OSError


def _raise_limits() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] > rlimits.OPEN_FILES:
        raise Got(f"{before[1]} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[0], before[1] + 1))


def _open_many_files() -> None:
    opened = []
    try:
        for _ in range(rlimits.OPEN_FILES + 1):
            opened.append(os.dup(2))
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _use_much_memory() -> None:
    # Asked for, never touched: nothing is used when the limit is missing.
    mmap.mmap(-1, (2 << 30) + rlimits.OVERHEAD_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()


def _write_a_file() -> None:
    for folder in ("/tmp", "/dev/shm", "/var/tmp", "."):  # noqa: S108
        path = f"{folder}/freehold-probe-{os.getpid()}"
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        except OSError:
            continue
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            os.write(descriptor, b"x")
            raise Got(f"wrote to {folder}")
        except OSError:
            continue
        finally:
            os.close(descriptor)
            os.unlink(path)  # noqa: PTH108
    raise OSError


def _make_a_process() -> None:
    child = namespaces.clone(0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _choose_a_signal() -> None:
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(reading, 10, signal.SIGUSR1)  # F_SETSIG; with F_SETOWN it would be for another process
    finally:
        os.close(reading)
        os.close(writing)


def _run_a_program() -> None:
    for program in ("/bin/sh", "/usr/bin/env", "/bin/busybox"):
        descriptor = os.open(program, os.O_RDONLY)
        os.close(descriptor)
        if system.number("execve") is not None:
            # No environment block and no arguments: the call fails for these reasons only where it would be allowed.
            try:
                system.call("execve", program.encode(), 1, 1)
            except OSError as error:
                if error.errno == 14:  # EFAULT: it was about to run
                    raise Got(f"could run {program}") from None
                raise


def _read_another_process() -> None:
    parent = os.getppid() or 1
    with open(f"/proc/{parent}/environ", "rb") as file:  # noqa: PTH123
        file.read(1)


def _read_a_foreign_file() -> None:
    for path in ("/etc/passwd", "/etc/hostname", "/proc/version"):
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                file.read(1)
        except OSError:
            continue
        raise Got(f"read {path}")
    raise OSError


def _connect(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trying:
        trying.settimeout(2)
        trying.connect(("127.0.0.1", port))


def _see_other_processes() -> None:
    if os.getpid() != 1:
        raise Got("process numbers are shared")
    raise OSError


def _see_network_interfaces() -> None:
    # Both name the namespace; that of the machine's first process is the same as ours when there is none of our own.
    names = [name for _, name in socket.if_nameindex()]
    if names != ["lo"]:
        raise Got(", ".join(names))
    raise OSError


def _see_other_files() -> None:
    # Not by opening: a name alone tells something.
    for path in ("/etc/passwd", "/proc/1", "/home", "/root", "/var"):
        if os.path.exists(path):  # noqa: PTH110
            raise Got(f"{path} is there")
    raise OSError
