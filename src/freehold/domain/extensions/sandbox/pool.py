"""Which process runs which call: one warm process for each tenant that needs one, a few more while it is stuck.

Processes are started before anybody needs them and belong to nobody until a tenant's first call. Calls wait in a
bounded queue. A process runs one call at a time. One that is too old or too large is replaced; one that breaks a limit
is killed, and what it had not begun runs elsewhere.
"""

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from freehold.domain.extensions.sandbox.api import Limits, Outcome, SandboxBusy, SandboxUnavailable, Step
from freehold.domain.extensions.sandbox.call import BEGIN_S, Answerer, Call
from freehold.domain.extensions.sandbox.egress import NetworkPolicy
from freehold.domain.extensions.sandbox.frames import FrameTooLarge
from freehold.domain.extensions.sandbox.modules import ModuleStore
from freehold.domain.extensions.sandbox.processes import ForkServer
from freehold.domain.extensions.sandbox.worker import BASE_MEMORY, Worker
from freehold.kernel.log import get_logger

PATIENCE_S = 0.03
LOOK_S = 0.1
LOOK_IDLE_S = 2.0
MAX_ATTEMPTS = 3
MAX_CALLS = 10_000
MAX_AGE_S = 3_600.0
log = get_logger("sandbox")


class PoolLimits(msgspec.Struct, frozen=True):
    """What all tenants' processes together get."""

    prestarted: int = 2
    processes: int = 32
    memory_mb: int = 2_048
    idle_s: float = 300.0


@dataclass(eq=False)
class _Tenant:
    workers: list[Worker] = field(default_factory=list)
    waiting: deque[Call] = field(default_factory=deque)
    starting: int = 0


class Pool:
    """All processes of a server process."""

    def __init__(
        self,
        fork_server: ForkServer,
        *,
        limits: Limits,
        pool_limits: PoolLimits,
        network: NetworkPolicy,
        modules: ModuleStore | None,
    ) -> None:
        self._fork_server = fork_server
        self._limits = limits
        self._pool_limits = pool_limits
        self._network = network
        self._modules = modules
        self._tenants: dict[str, _Tenant] = {}
        self._spare: deque[Worker] = deque()
        self._all: set[Worker] = set()
        self._starting = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def start(self) -> None:
        """Start the first processes, and look after them from now on."""
        self._spawn(self._watch())
        await self._refill()

    async def close(self) -> None:
        """End everything; calls on their way end without a value."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        for tenant in self._tenants.values():
            for call in tenant.waiting:
                call.fail("lost", "WorkerLost", "The server is stopping")
        for worker in list(self._all):
            worker.kill()

    @property
    def workers(self) -> Sequence[Worker]:
        """Every process there is."""
        return tuple(self._all)

    @property
    def waiting(self) -> int:
        """Calls that wait for a process."""
        return sum(len(tenant.waiting) for tenant in self._tenants.values())

    async def call(
        self,
        tenant_id: str,
        steps: Sequence[Step],
        arguments: Sequence[Any],
        *,
        timeout_s: float,
        answers: Mapping[str, Answerer],
    ) -> list[Outcome]:
        """Run functions one after the other. Raises SandboxBusy or SandboxUnavailable."""
        if self._closed:
            raise SandboxUnavailable("The server is stopping")
        tenant = self._tenants.setdefault(tenant_id, _Tenant())
        if len(tenant.waiting) >= self._limits.queue:
            raise SandboxBusy("Too many calls of this tenant's code are waiting")
        call = Call(
            id=secrets.token_hex(16),
            steps=steps,
            arguments=msgspec.json.encode(list(arguments)).decode(),
            answers=answers,
            result=asyncio.get_running_loop().create_future(),
            deadline=time.monotonic() + timeout_s,
        )
        for step in steps:
            if key := step.script.modules:
                if self._modules is None:
                    raise SandboxUnavailable("npm modules are not available")
                call.packages[key] = self._modules.package(tenant_id, key)
        self._dispatch(tenant_id, tenant, call)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(call.result)
        except TimeoutError:
            return await self._too_late(tenant, call, timeout_s)
        except asyncio.CancelledError:
            if worker := self._forget(tenant, call):
                worker.kill()
            raise

    def _dispatch(self, tenant_id: str, tenant: _Tenant, call: Call) -> None:
        if not tenant.waiting:
            for worker in tenant.workers:
                if worker.usable:
                    self._send(worker, call)
                    return
        tenant.waiting.append(call)
        self._need_worker(tenant_id, tenant)

    def _send(self, worker: Worker, call: Call) -> None:
        try:
            worker.send(call)
        except FrameTooLarge:
            worker.give_up(call)
            call.fail("output", "InputTooLarge", "The input of the script is too large")

    def _still_waiting(self, tenant_id: str, call: Call) -> None:
        tenant = self._tenants.get(tenant_id)
        if tenant is not None and call in tenant.waiting and not self._closed:
            self._need_worker(tenant_id, tenant, now=True)

    def _need_worker(self, tenant_id: str, tenant: _Tenant, *, now: bool = False) -> None:
        """Give the tenant another process when none of its own will take the next call soon."""
        if tenant.starting or len(tenant.workers) >= self._limits.processes:
            return
        if tenant.workers and not now:
            # A call takes less time than a process needs to start: wait a moment first.
            asyncio.get_running_loop().call_later(PATIENCE_S, self._still_waiting, tenant_id, tenant.waiting[-1])
            return
        tenant.starting += 1
        if self._spare:
            self._give(tenant_id, tenant, self._spare.popleft())
            self._spawn(self._refill())
        else:
            self._spawn(self._start_for(tenant_id, tenant))

    async def _start_for(self, tenant_id: str, tenant: _Tenant) -> None:
        try:
            worker = await self._new_worker()
        except (SandboxUnavailable, SandboxBusy) as error:
            tenant.starting -= 1
            while tenant.waiting and not tenant.workers:
                call = tenant.waiting.popleft()
                if not call.result.done():
                    call.result.set_exception(type(error)(error.message))
            if not tenant.workers:
                self._tenants.pop(tenant_id, None)
            return
        self._give(tenant_id, tenant, worker)

    def _give(self, tenant_id: str, tenant: _Tenant, worker: Worker) -> None:
        tenant.starting -= 1
        worker.bind(tenant_id, self._network.of(tenant_id))
        tenant.workers.append(worker)
        self._serve(tenant_id, tenant)

    def _serve(self, tenant_id: str, tenant: _Tenant) -> None:
        """Hand waiting calls to processes that can take them."""
        while tenant.waiting:
            worker = next((worker for worker in tenant.workers if worker.usable), None)
            if worker is None:
                self._need_worker(tenant_id, tenant)
                return
            call = tenant.waiting.popleft()
            if not call.result.done():
                self._send(worker, call)

    async def _new_worker(self) -> Worker:
        await self._make_room()
        worker = Worker(self._limits, changed=self._changed, requeue=self._requeue)
        self._starting += 1
        try:
            await worker.start(self._fork_server)
        except RuntimeError as error:
            log.error("sandbox_worker_did_not_start", reason=str(error)[:500])
            raise SandboxUnavailable("The process of custom code does not start") from None
        except TimeoutError:
            raise SandboxUnavailable("The process of custom code does not start in time") from None
        finally:
            self._starting -= 1
        self._all.add(worker)
        return worker

    async def _make_room(self) -> None:
        """Stop idle processes, the one used longest ago first, until one more fits. Raises SandboxBusy."""
        while True:
            memory = sum(worker.memory_bytes() for worker in self._all)
            if (
                len(self._all) + self._starting < self._pool_limits.processes
                and memory < self._pool_limits.memory_mb << 20
            ):
                return
            idle = [worker for worker in self._all if worker.idle and not worker.ended]
            if not idle:
                raise SandboxBusy("All processes of custom code are in use")
            worker = min(idle, key=lambda worker: worker.used_at)
            worker.kill()
            await worker.gone()

    async def _refill(self) -> None:
        while len(self._spare) + self._starting < self._pool_limits.prestarted and not self._closed:
            if len(self._all) + self._starting >= self._pool_limits.processes:
                return
            try:
                worker = await self._new_worker()
            except (SandboxUnavailable, SandboxBusy):
                return
            self._spare.append(worker)

    def _changed(self, worker: Worker) -> None:
        if worker.ended:
            self._all.discard(worker)
            with contextlib.suppress(ValueError):
                self._spare.remove(worker)
        tenant = self._tenants.get(worker.tenant)
        if tenant is None or self._closed:
            return
        if worker.ended:
            with contextlib.suppress(ValueError):
                tenant.workers.remove(worker)
        if tenant.waiting:
            self._serve(worker.tenant, tenant)
        elif not tenant.workers and not tenant.starting:
            self._tenants.pop(worker.tenant, None)

    def _requeue(self, worker: Worker, call: Call) -> None:
        """A call that was not begun: another process may run it."""
        tenant = self._tenants.get(worker.tenant)
        if call.result.done():
            return
        if tenant is None or self._closed or call.attempts >= MAX_ATTEMPTS:
            call.fail("lost", "WorkerLost", "The process ended before it began the call")
        else:
            tenant.waiting.appendleft(call)

    async def _too_late(self, tenant: _Tenant, call: Call, timeout_s: float) -> list[Outcome]:
        worker = self._forget(tenant, call)
        call.fail("timeout", "Timeout", f"The script did not answer within {timeout_s:g} s")
        if worker is not None:
            worker.kill()  # what the call still does would be done in somebody else's time
        return await call.result

    def _forget(self, tenant: _Tenant, call: Call) -> Worker | None:
        with contextlib.suppress(ValueError):
            tenant.waiting.remove(call)
        for worker in tenant.workers:
            if call.id in worker.calls:
                worker.give_up(call)
                return worker
        return None

    async def _watch(self) -> None:
        while True:
            busy = any(worker.calls for worker in self._all)
            await asyncio.sleep(LOOK_S if busy else LOOK_IDLE_S if not self._tenants else LOOK_S * 3)
            now = time.monotonic()
            # In a process that is nobody's yet no foreign code has run.
            for worker in [worker for worker in self._all if worker.tenant]:
                worker.check()
                if not worker.ended:
                    self._look(worker, now)

    def _look(self, worker: Worker, now: float) -> None:
        unbegun = worker.unbegun
        if unbegun is not None and now - unbegun.sent_at > max(10 * BEGIN_S, unbegun.begin_s) + 2 * BEGIN_S:
            # Something of an earlier call keeps it busy; another process may run this one.
            worker.kill()
        elif worker.idle and worker.tenant:
            large = worker.memory_bytes() > BASE_MEMORY + (self._limits.memory_mb << 19)
            old = large or now - worker.born_at > MAX_AGE_S or worker.calls_made > MAX_CALLS
            if old or now - worker.used_at > self._pool_limits.idle_s:
                worker.kill()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
