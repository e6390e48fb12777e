"""The server's side of the fork server: starts it, asks it for processes, hears of their ends."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from freehold.domain.extensions.sandbox.api import SandboxUnavailable
from freehold.domain.extensions.sandbox.runtime import ENVIRONMENT, LAUNCHER, WORKER, Node, flags
from freehold.kernel.log import get_logger

MESSAGE_BYTES = 128 * 1024
ANSWER_S = 20.0
log = get_logger("sandbox")


class Found(msgspec.Struct, frozen=True):
    """What the fork server found on this machine."""

    seccomp: bool
    landlock: int
    rlimits: bool
    namespaces: bool
    own_root: bool
    user_namespace: bool
    own_user: bool
    permission: bool
    cgroups: bool = False
    reasons: dict[str, str] = msgspec.field(default_factory=dict)


class Exit(msgspec.Struct, frozen=True):
    """How a process ended."""

    status: int
    cpu_s: float
    out_of_memory: bool = False

    @property
    def signal(self) -> int:
        """The signal that ended it, or 0."""
        return os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else 0


@dataclass
class Channels:
    """The server's ends of a new process's descriptors."""

    calls: socket.socket
    network: socket.socket
    output: int
    pid: int = 0

    def close(self) -> None:
        """Close what nobody took over."""
        self.calls.close()
        self.network.close()
        os.close(self.output)


class ForkServer:
    """One per server process. `lost` is called when it ended by itself: all its processes ended with it."""

    def __init__(
        self, node: Node, *, memory_mb: int, cgroup: str = "", disabled: Sequence[str] = (), lost: Callable[[], None]
    ) -> None:
        self._node = node
        self._memory_mb = memory_mb
        self._cgroup = cgroup
        self._disabled = disabled
        self._lost = lost
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._serial = 0
        self._starting: dict[int, asyncio.Future[int]] = {}
        self._exits: dict[int, Callable[[Exit], None]] = {}
        self._answers: dict[str, asyncio.Future[Any]] = {}

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> Found:
        """Start it, and hear what it can do. Raises SandboxUnavailable."""
        if sys.platform == "win32":
            raise SandboxUnavailable("Custom code needs Linux or another Unix")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._control = ours
        try:
            self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - a fork, of a program that starts at once
                [sys.executable, "-I", "-S", "-B", str(LAUNCHER), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={"LANG": "C.UTF-8"},
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise SandboxUnavailable(f"The fork server does not start: {error.strerror}") from None
        finally:
            theirs.close()
        asyncio.get_running_loop().add_reader(ours.fileno(), self._heard)
        permission = "permission" not in self._disabled
        plan = await self._ask(
            "plan",
            {
                "do": "setup",
                "executable": str(self._node.executable),
                "folder": str(WORKER),
                "flags": flags(WORKER, memory_mb=self._memory_mb, permission=permission),
                "environment": ENVIRONMENT,
                "memory_bytes": self._memory_mb << 20,
                "cgroup": self._cgroup,
                "disabled": list(self._disabled),
            },
        )
        return Found(**plan, permission=permission)

    async def probe(self) -> dict[str, str]:
        """Try from inside the layers what must not be possible."""
        outcome: dict[str, str] = await self._ask("probed", {"do": "probe"})
        return outcome

    async def spawn(self, ended: Callable[[Exit], None]) -> tuple[int, Channels]:
        """A new process and its serial number; `ended` is called once. Raises SandboxUnavailable."""
        if self._control is None:
            raise SandboxUnavailable("The fork server is not running")
        self._serial += 1
        serial = self._serial
        calls, their_calls = socket.socketpair()
        network, their_network = socket.socketpair()
        output, their_output = os.pipe()
        channels = Channels(calls, network, output)
        started = asyncio.get_running_loop().create_future()
        self._starting[serial] = started
        self._exits[serial] = ended
        try:
            message = json.dumps({"do": "spawn", "serial": serial}).encode()
            descriptors = [their_calls.fileno(), their_network.fileno(), their_output]
            socket.send_fds(self._control, [message], descriptors)
            async with asyncio.timeout(ANSWER_S):
                channels.pid = await started
        except (OSError, TimeoutError, SandboxUnavailable) as error:
            self._exits.pop(serial, None)
            self.kill(serial)
            channels.close()
            raise SandboxUnavailable(f"No process could be started: {error}") from None
        except asyncio.CancelledError:
            self._exits.pop(serial, None)
            self.kill(serial)
            channels.close()
            raise
        finally:
            self._starting.pop(serial, None)
            their_calls.close()
            their_network.close()
            os.close(their_output)
        return serial, channels

    def kill(self, serial: int) -> None:
        """End a process at once; its end is reported as every other."""
        self._tell({"do": "kill", "serial": serial})

    async def close(self) -> None:
        """End it with all its processes, and wait until they are gone."""
        self._hang_up()
        if self._process is not None:
            process, self._process = self._process, None
            await asyncio.to_thread(_wait, process)

    def _hang_up(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._control = None

    async def _ask(self, answer: str, message: dict[str, Any]) -> Any:
        future = self._answers[answer] = asyncio.get_running_loop().create_future()
        self._tell(message)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await future
        except TimeoutError:
            raise SandboxUnavailable("The fork server does not answer") from None
        finally:
            self._answers.pop(answer, None)

    def _tell(self, message: dict[str, Any]) -> None:
        if self._control is not None:
            try:
                self._control.send(json.dumps(message).encode())
            except OSError as error:
                log.error("sandbox_fork_server_unreachable", reason=type(error).__name__)

    def _heard(self) -> None:
        while self._control is not None:
            try:
                message = self._control.recv(MESSAGE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                self._ended()
                return
            self._take(json.loads(message))

    def _take(self, said: dict[str, Any]) -> None:
        if "exited" in said:
            ended = self._exits.pop(said["exited"], None)
            if ended is not None:
                ended(Exit(said["status"], said["cpu_s"], said["out_of_memory"]))
        elif "started" in said:
            _settle(self._starting.get(said["started"]), said["pid"])
        elif "failed" in said:
            _fail(self._starting.get(said["failed"]), said["why"])
        for answer in ("plan", "probed"):
            if answer in said:
                _settle(self._answers.get(answer), said[answer])

    def _ended(self) -> None:
        self._hang_up()
        for waiting in [*self._starting.values(), *self._answers.values()]:
            _fail(waiting, "the fork server ended")
        exits, self._exits = self._exits, {}
        for ended in exits.values():
            ended(Exit(9, 0.0))
        self._lost()


def _settle(future: "asyncio.Future[Any] | None", value: Any) -> None:
    if future is not None and not future.done():
        future.set_result(value)


def _fail(future: "asyncio.Future[Any] | None", why: str) -> None:
    if future is not None and not future.done():
        future.set_exception(SandboxUnavailable(why))


def _wait(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
