"""The fork server's program. The server talks to it over a socket, whose descriptor is the first argument.

    setup  {executable, folder, flags, environment, memory_bytes, cgroup, disabled}  -> {plan}
    spawn  {serial} with three descriptors: calls, network, output        -> {started, pid} or {failed}
    kill   {serial}
    probe  {}                                                             -> {probed}
    and unasked: {exited, status, cpu_s, out_of_memory}

When the server is gone, however it ended, every process it had is killed, and this one ends.
"""

import array
import json
import os
import resource
import select
import signal
import socket
import sys
import types
from contextlib import suppress
from typing import Any

if __package__ in {None, ""}:
    # Run by path: make the folder a package of its own, so that nothing else of Freehold is loaded.
    _package = types.ModuleType("freehold_launcher")
    _package.__path__ = [os.path.dirname(os.path.abspath(__file__))]  # noqa: PTH100, PTH120
    sys.modules["freehold_launcher"] = _package
    __package__ = "freehold_launcher"

from . import cgroups, contain, landlock, namespaces, probes, seccomp, system

MESSAGE_BYTES = 128 * 1024
LOOK_FOR_PARENT_MS = 400


class Launcher:
    """The children by their serial number, and how they are made."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._pids: dict[int, int] = {}
        self._target = contain.Target("", "", 0)
        self._plan = contain.Plan()
        self._arguments: list[str] = []
        self._environment: dict[str, str] = {}

    def serve(self) -> None:
        """Answer until the server is gone; then take every child along."""
        waking, wake = os.pipe()
        os.set_blocking(waking, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        poller = select.poll()
        poller.register(self._control, select.POLLIN)
        poller.register(waking, select.POLLIN)
        server = os.getppid()
        try:
            # Hanging up is the sign; the parent's number is for the case that somebody else still holds the line.
            while os.getppid() == server:
                ready = {descriptor for descriptor, _ in poller.poll(LOOK_FOR_PARENT_MS)}
                if waking in ready:
                    os.read(waking, 4096)
                    self._reap()
                if self._control.fileno() in ready and not self._answer():
                    return
        finally:
            for pid in self._pids.values():
                os.kill(pid, signal.SIGKILL)
            for serial, pid in self._pids.items():
                os.waitpid(pid, 0)
                if self._plan.groups is not None:
                    self._plan.groups.remove(serial)
            if self._plan.groups is not None:
                self._plan.groups.close()

    def _answer(self) -> bool:
        space = socket.CMSG_SPACE(3 * array.array("i").itemsize)
        try:
            message, ancillary, _, _ = self._control.recvmsg(MESSAGE_BYTES, space)
        except OSError:
            message = b""
        if not message:
            return False
        descriptors = array.array("i")
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(content)
        asked = json.loads(message)
        try:
            if asked["do"] == "setup":
                self._set_up(asked)
            elif asked["do"] == "spawn":
                self._spawn(asked["serial"], list(descriptors))
            elif asked["do"] == "kill" and asked["serial"] in self._pids:
                os.kill(self._pids[asked["serial"]], signal.SIGKILL)
            elif asked["do"] == "probe":
                self._say({"probed": probes.run(self._plan, self._target)})
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _set_up(self, asked: dict[str, Any]) -> None:
        self._target = contain.Target(asked["executable"], asked["folder"], asked["memory_bytes"], asked["cgroup"])
        self._arguments = [asked["executable"], *asked["flags"], os.path.join(asked["folder"], "main.cjs")]  # noqa: PTH118
        self._environment = asked["environment"]
        self._plan = contain.make_plan(self._target, frozenset(asked["disabled"]))
        kind = self._plan.alone
        self._say(
            {
                "plan": {
                    "seccomp": self._plan.filters_calls,
                    "landlock": landlock.version() if self._plan.limits_files else 0,
                    "rlimits": self._plan.limits_resources,
                    "namespaces": kind is not None,
                    "own_root": kind is not None and kind.own_root,
                    "user_namespace": kind is not None and bool(kind.flags & namespaces.NEW_USER),
                    "own_user": self._plan.own_user,
                    "cgroups": self._plan.groups is not None,
                    "reasons": {name: reason for name, reason in self._plan.reasons.items() if reason},
                }
            }
        )

    def _spawn(self, serial: int, descriptors: list[int]) -> None:
        launcher, uid, gid = os.getpid(), os.geteuid(), os.getegid()
        failing, failed = os.pipe()
        kind, groups = self._plan.alone, self._plan.groups
        entering = -1
        try:
            entering = groups.add(serial) if groups is not None else -1
            pid = namespaces.clone(kind.flags if kind else 0) if system.LINUX else os.fork()
        except OSError as error:
            self._say({"failed": serial, "why": str(error)})
            os.close(failing)
            os.close(failed)
            if entering >= 0 and groups is not None:
                os.close(entering)
                groups.remove(serial)
            return
        if pid == 0:
            try:
                if entering >= 0:
                    cgroups.join(entering)
                self._become_node(serial, descriptors, failed, launcher, uid, gid)
            except (OSError, ValueError, ArithmeticError, LookupError, MemoryError) as error:
                os.write(failed, f"{type(error).__name__}: {error}".encode()[:2000])
            finally:
                os._exit(71)
        self._pids[serial] = pid
        os.close(failed)
        if entering >= 0:
            os.close(entering)
        why = os.read(failing, 2000)  # empty as soon as Node has taken over
        os.close(failing)
        self._say(
            {"started": serial, "pid": pid} if not why else {"failed": serial, "why": why.decode(errors="replace")}
        )

    def _become_node(self, serial: int, descriptors: list[int], failed: int, launcher: int, uid: int, gid: int) -> None:
        signal.set_wakeup_fd(-1)
        for number in range(1, signal.NSIG):
            try:
                signal.signal(number, signal.SIG_DFL)
            except (OSError, ValueError):
                continue
        calls, network, output = descriptors
        # Out of the way first, so that putting them in place cannot overwrite one of them.
        failed = _high(failed)
        calls, network, output = _high(calls), _high(network), _high(output)
        nothing = os.open("/dev/null", os.O_RDONLY)
        for place, descriptor in enumerate((nothing, output, output, calls, network)):
            os.dup2(descriptor, place)
        os.closerange(5, failed)
        os.closerange(failed + 1, 1 << 16)
        contain.enter(self._plan, self._target, serial, launcher, caller=uid, caller_group=gid)
        # By descriptor: the filter knows this number, and no path.
        os.execve(seccomp.EXECUTABLE_FD, self._arguments, self._environment)  # noqa: S606

    def _reap(self) -> None:
        serials = {pid: serial for serial, pid in self._pids.items()}
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            serial = serials.get(pid)
            if serial is not None:
                del self._pids[serial]
                oom = self._plan.groups is not None and self._plan.groups.remove(serial)
                cpu_s = usage.ru_utime + usage.ru_stime
                self._say({"exited": serial, "status": status, "cpu_s": cpu_s, "out_of_memory": oom})

    def _say(self, answer: dict[str, Any]) -> None:
        with suppress(OSError):  # the server is gone; the next look at the socket ends us
            self._control.send(json.dumps(answer).encode())


def _high(descriptor: int) -> int:
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 200)


def main() -> None:
    """Serve the process that started this one."""
    os.umask(0o022)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meant for the server, which ends us by hanging up
    os.chdir("/")
    Launcher(socket.socket(fileno=int(sys.argv[1]))).serve()


if __name__ == "__main__":
    main()
