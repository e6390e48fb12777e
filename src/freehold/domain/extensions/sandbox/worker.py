"""One process of custom code as the server sees it: what it was asked, what it says, and how it ends.

It belongs to one tenant from its first call to its end. Whatever breaks the agreement on messages ends it.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any, cast

import msgspec

from freehold.domain.extensions.sandbox.api import ErrorKind, Limits, LogLine, Script, ScriptError
from freehold.domain.extensions.sandbox.call import BEGIN_S, Answerer, Call
from freehold.domain.extensions.sandbox.egress import Broker, Guard
from freehold.domain.extensions.sandbox.frames import (
    Ask,
    Began,
    Done,
    FrameTooLarge,
    Late,
    Line,
    Log,
    Message,
    Ready,
    decode_foreign,
    encode,
)  # fmt: skip
from freehold.domain.extensions.sandbox.processes import Channels, Exit, ForkServer
from freehold.domain.extensions.sandbox.visits import Visits
from freehold.kernel.errors import FreeholdError
from freehold.kernel.log import get_logger

# A process that has to take in packages first may be as slow as this, on a machine that has much else to do.
SLOWEST_LOAD = 2 << 20
MAX_ASKS = 200
# Everything that is said in one call: output, questions, and the answer.
MAX_TALK = 8 << 20
MAX_STRAY_OUTPUT = 1 << 20
# A line of output counts as this many characters more than it has, so that empty ones come to an end too.
LINE_COST = 16
KEPT_OUTPUT = 4_096
# What a call left running may compute after it has answered.
IDLE_CPU_S = 1.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")

log = get_logger("sandbox")


class _Refused(Exception):
    """An answer that cannot be taken: the error's type and message."""


class Worker:
    """The process.

    `changed` is called when it can take another call, or has ended; `requeue` with a call it never began.
    """

    def __init__(
        self, limits: Limits, *, changed: Callable[["Worker"], None], requeue: Callable[["Worker", Call], None]
    ) -> None:
        self.tenant = ""
        self.limits = limits
        self.serial = 0
        self.pid = 0
        self.node = ""
        self.calls: dict[str, Call] = {}
        self.unbegun: Call | None = None
        self.ended = False
        self.born_at = self.used_at = time.monotonic()
        self.calls_made = 0
        self._over: set[str] = set()
        self._changed = changed
        self._requeue = requeue
        self._fork_server: ForkServer | None = None
        self._line = Line(self._said, broken=self.misbehaved, received=self._received, lost=lambda: None)
        self.broker = Broker(self, streams=limits.streams)
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loaded: set[str] = set()
        self._packages: set[str] = set()
        self._reason: tuple[ErrorKind, str, str] | None = None
        self._output_fd = -1
        self._output = bytearray()
        self._output_bytes = 0
        self._talk = 0
        self._cpu_before: float | None = None
        self._asks: set[asyncio.Task[None]] = set()
        self._gone = asyncio.get_running_loop().create_future()

    async def start(self, fork_server: ForkServer) -> None:
        """Bring the process to where it can take calls. Raises SandboxUnavailable."""
        loop = asyncio.get_running_loop()
        self._fork_server = fork_server
        self.serial, channels = await fork_server.spawn(self._exited)
        self.pid = channels.pid
        await self._connect(loop, channels)
        try:
            async with asyncio.timeout(20):
                await self._ready
        except BaseException:
            self.kill()
            raise

    async def _connect(self, loop: asyncio.AbstractEventLoop, channels: Channels) -> None:
        channels.calls.setblocking(False)
        channels.network.setblocking(False)
        os.set_blocking(channels.output, False)
        self._output_fd = channels.output
        loop.add_reader(channels.output, self._printed)
        await loop.create_unix_connection(lambda: self._line, sock=channels.calls)
        await loop.create_unix_connection(lambda: self.broker, sock=channels.network)

    @property
    def idle(self) -> bool:
        """Whether nothing runs in it."""
        return not self.calls

    @property
    def usable(self) -> bool:
        """Whether it may be given a call now."""
        return not (self.ended or self.calls)

    def bind(self, tenant: str, guard: Guard) -> None:
        """Give the process to a tenant, for good."""
        assert not self.tenant
        self.tenant = tenant
        self.broker.guard = guard
        self.broker.label = {"tenant": tenant}

    def send(self, call: Call) -> None:
        """Have the process run a call. Raises FrameTooLarge."""
        call.attempts += 1
        call.begin_s = BEGIN_S
        frame = self._fitting(call)
        unknown = [step.script for step in call.steps if step.script.key not in self._loaded]
        if unknown:
            for script in unknown:
                self._load(call, script)
            frame = self._frame(call)
        if self.idle:
            self._cpu_before = None  # taken when somebody looks: it costs more than the call
            self._talk = 0
        call.sent_at = self.used_at = time.monotonic()
        self.calls[call.id] = call
        self.unbegun = call
        self.broker.begin(call.visits)
        self.calls_made += 1
        self._line.send(frame)

    def _fitting(self, call: Call) -> bytes:
        """The message; all steps but the first are left to another when it is too large. Raises FrameTooLarge."""
        try:
            return self._frame(call)
        except FrameTooLarge:
            call.steps = call.steps[:1]
            return self._frame(call)

    def _frame(self, call: Call) -> bytes:
        secrets = {id(step.secrets): step.secrets for step in call.steps}
        places = {known: place for place, known in enumerate(secrets)}
        steps = [
            {"script": step.script.key, "fn": step.function, "secrets": places[id(step.secrets)]}
            for step in call.steps
        ]  # fmt: skip
        return encode(
            {
                "t": "call", "id": call.id, "steps": steps, "args": call.arguments,
                "secrets": [msgspec.json.encode(dict(values)).decode() for values in secrets.values()],
                "most": self.limits.output_bytes, "before": int((time.monotonic() + call.begin_s) * 1000),
            }
        )  # fmt: skip

    def _load(self, call: Call, script: Script) -> None:
        # What has to be read and parsed before does not count against the call's time to begin.
        call.begin_s = max(call.begin_s, 10 * BEGIN_S)
        package = call.packages.get(script.modules)
        if package is not None and package.key not in self._packages:
            for part in package.parts():
                self._line.send(encode(part))
            self._packages.add(package.key)
            call.begin_s += package.size / SLOWEST_LOAD
        self._line.send(
            encode(
                {
                    "t": "load", "key": script.key, "id": script.id, "code": script.code, "kind": script.kind,
                    "modules": script.modules, "globals": dict(script.globals), "shared": dict(script.shared),
                }
            )
        )  # fmt: skip
        self._loaded.add(script.key)

    def withdraw(self, call: Call) -> None:
        """Take back a call that was not begun and, its time being over, will not be."""
        del self.calls[call.id]
        self._over.add(call.id)
        if self.unbegun is call:
            self.unbegun = None

    def give_up(self, call: Call) -> None:
        """The call's time is over; what it still does is of no interest."""
        self.calls.pop(call.id, None)
        self._over.add(call.id)
        if self.unbegun is call:
            self.unbegun = None

    def misbehaved(self, reason: str) -> None:
        """The process broke the agreement."""
        log.warning("sandbox_worker_misbehaved", reason=reason, tenant=self.tenant, pid=self.pid)
        self.kill("protocol", "ProtocolViolation", "The process of the script sent what it must not send")

    def used_up_its_network(self) -> None:
        """The call had more connections, messages or bytes than one may have."""
        self.kill("output", "NetworkExceeded", "The script used the network too much")

    def kill(self, kind: ErrorKind = "lost", type_: str = "WorkerLost", message: str = "The process ended") -> None:
        """End the process; its calls get this error."""
        if not self.ended:
            self._reason = self._reason or (kind, type_, message)
            assert self._fork_server is not None
            self._fork_server.kill(self.serial)
            self._end()

    async def gone(self) -> None:
        """Wait until the process does not exist any more."""
        await asyncio.shield(self._gone)

    def memory_bytes(self) -> int:
        """Resident memory now; 0 when it cannot be known."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:  # noqa: PTH123
                return int(file.read().split()[1]) * _PAGE
        except (OSError, IndexError, ValueError):
            return 0

    def cpu_s(self) -> float:
        """Processor time it used in its life."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:  # noqa: PTH123
                fields = file.read().rpartition(b")")[2].split()
            return (int(fields[11]) + int(fields[12])) / _TICKS
        except (OSError, IndexError, ValueError):
            return 0.0

    def check(self) -> None:
        """End a process that uses more than it may."""
        if self.ended or self.pid == 0:
            return
        if self.memory_bytes() > (self.limits.memory_mb << 20) + BASE_MEMORY:
            self.kill("memory", "MemoryExceeded", f"The script used more than {self.limits.memory_mb} MB")
        else:
            used = self.cpu_s()
            if self._cpu_before is None:
                self._cpu_before = used
            allowed = self.limits.cpu_s if self.calls else IDLE_CPU_S
            if used - self._cpu_before > allowed:
                self.kill("cpu", "CpuExceeded", f"The script computed for more than {self.limits.cpu_s:g} s")

    def _received(self, count: int) -> None:
        self._talk += count
        if self._talk > MAX_TALK:
            self.kill("output", "OutputExceeded", "The script wrote too much")

    def _said(self, message: Message) -> None:
        if isinstance(message, Ready):
            if self._ready.done():
                self.misbehaved("ready twice")
            else:
                self.node = message.node[:20]
                self._ready.set_result(None)
            return
        call = self.calls.get(message.id)
        if call is None:
            if message.id not in self._over:
                self.misbehaved("a message about a call that is not there")
            return
        if isinstance(message, Began):
            self._began(call)
        elif isinstance(message, Late):
            if call.began:
                self.misbehaved("late after it began")
            else:
                self.withdraw(call)
                self._requeue(self, call)
                self._changed(self)
        elif not call.began:
            self.misbehaved("a message before the call began")
        elif isinstance(message, Log):
            self._log(call, message)
        elif isinstance(message, Ask):
            self._asked(call, message)
        else:
            self._done(call, message)

    def _began(self, call: Call) -> None:
        if call.began:
            self.misbehaved("began twice")
            return
        call.began_at = call.step_at = time.monotonic()
        if self.unbegun is call:
            self.unbegun = None

    def _log(self, call: Call, message: Log) -> None:
        call.output += len(message.text) + LINE_COST
        if call.output > self.limits.output_bytes:
            self.kill("output", "OutputExceeded", "The script wrote too much")
            return
        call.logs.append(LogLine(message.level[:8], message.text))

    def _asked(self, call: Call, message: Ask) -> None:
        call.asked += 1
        answer = call.answers.get(message.name)
        if call.asked > MAX_ASKS or answer is None:
            self.misbehaved("asked for something that is not offered")
            return
        task = asyncio.get_running_loop().create_task(self._answer(call, message, answer))
        self._asks.add(task)
        task.add_done_callback(self._asks.discard)

    async def _answer(self, call: Call, message: Ask, answer: Answerer) -> None:
        said: dict[str, Any] = {"t": "answer", "id": call.id, "n": message.n}
        try:
            content = decode_foreign(message.content)
            said |= {"ok": True, "content": msgspec.json.encode(await answer(content)).decode()}
        except FreeholdError as error:
            said |= {"ok": False, "message": error.message, "code": error.code}
        except (msgspec.MsgspecError, RecursionError, ValueError):
            self.misbehaved("asked with something that is not JSON")
            return
        if not self.ended:
            with contextlib.suppress(FrameTooLarge):
                self._line.send(encode(said))

    def _done(self, call: Call, message: Done) -> None:
        number, failure, more = len(call.outcomes), message.error, message.more
        if message.n != number or (more and (not message.ok or number + 1 == len(call.steps))):
            self.misbehaved("done with what it was not asked for")
            return
        step = call.running
        self._cpu_before = None
        self.used_at = time.monotonic()
        if more:
            self._talk = 0
        else:
            del self.calls[call.id]
            self.broker.visits = Visits()  # what it left running is nobody's call
        try:
            value, details = self._read(message)
        except _Refused as refused:
            if more:
                self.kill("output", *refused.args)  # no step comes after one that failed
            else:
                call.fail("output", *refused.args)
                self._changed(self)
            return
        if failure is not None:
            kind = cast("ErrorKind", failure.kind if failure.kind in {"script", "load", "output"} else "script")
            call.settle(
                error=ScriptError(
                    kind, failure.type[:200], failure.message[:4000], failure.stack[:8000], details,
                ),
                spoilt=message.spoilt, said_ms=message.ms,
            )  # fmt: skip
        else:
            call.settle(value, spoilt=message.spoilt, said_ms=message.ms, more=more)
        if message.spoilt:
            log.warning("sandbox_context_spoilt", tenant=self.tenant, script=step.script.id)
        if more:
            self.broker.begin(call.visits)
        else:
            self._changed(self)

    def _read(self, message: Done) -> tuple[Any, dict[str, Any]]:
        """The value of an answer, and the details of its error. Raises _Refused."""
        given = message.error.details if message.error is not None else ""
        if max(len(message.value), len(given or "")) > self.limits.output_bytes:
            raise _Refused("AnswerTooLarge", "The answer is too large")
        try:
            value = decode_foreign(message.value) if message.ok else None
            details = decode_foreign(given) if given else {}
        except (msgspec.MsgspecError, RecursionError, ValueError):
            raise _Refused("AnswerMalformed", "The answer is not JSON that can be read") from None
        return value, details if isinstance(details, dict) else {}

    def _printed(self) -> None:
        try:
            content = os.read(self._output_fd, 65_536)
        except BlockingIOError:
            return
        except OSError:
            content = b""
        if not content:
            self._close_output()
            return
        self._output_bytes += len(content)
        self._output += content
        del self._output[:-KEPT_OUTPUT]
        if self._output_bytes > MAX_STRAY_OUTPUT:
            self.kill("output", "OutputExceeded", "The script wrote too much")

    def _close_output(self) -> None:
        if self._output_fd >= 0:
            asyncio.get_running_loop().remove_reader(self._output_fd)
            os.close(self._output_fd)
            self._output_fd = -1

    def _exited(self, end: Exit) -> None:
        if self._output_fd >= 0:
            with contextlib.suppress(OSError):
                self._output += os.read(self._output_fd, KEPT_OUTPUT)
        if self._reason is None:
            self._reason = self._explain(end)
        if not self._gone.done():
            self._gone.set_result(None)
        self._end()

    def _explain(self, end: Exit) -> tuple[ErrorKind, str, str]:
        said = bytes(self._output)
        if (
            end.out_of_memory
            or b"out of memory" in said
            or b"Out of memory" in said
            or b"allocation fail" in said.lower()
        ):
            return "memory", "MemoryExceeded", f"The script used more than {self.limits.memory_mb} MB"
        if end.signal == 24:  # SIGXCPU
            return "cpu", "CpuExceeded", "The process computed for too long"
        log.warning(
            "sandbox_worker_ended",
            tenant=self.tenant,
            exit_status=end.status,
            output=said[-500:].decode(errors="replace"),
        )
        return "exit", "ScriptExited", "The process of the script ended"

    def _end(self) -> None:
        if self.ended:
            return
        self.ended = True
        self._line.close()
        self.broker.close()
        self._close_output()
        for task in self._asks:
            task.cancel()
        kind, type_, message = self._reason or ("lost", "WorkerLost", "The process ended")
        if not self._ready.done():
            self._ready.set_exception(RuntimeError(bytes(self._output[-500:]).decode(errors="replace") or type_))
        for call in list(self.calls.values()):
            if call.began:
                call.fail(kind, type_, message)
            else:
                self._requeue(self, call)
        self.calls.clear()
        self.unbegun = None
        self._changed(self)


BASE_MEMORY = 96 << 20  # Node itself, its code and its buffers
