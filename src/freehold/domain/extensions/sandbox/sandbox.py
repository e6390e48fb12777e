"""The sandbox as the rest of the server sees it: started once in each server process, asked for calls."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from freehold.domain.extensions.sandbox.api import Limits, Outcome, SandboxUnavailable, Script, Step
from freehold.domain.extensions.sandbox.call import Answerer
from freehold.domain.extensions.sandbox.egress import NetworkPolicy
from freehold.domain.extensions.sandbox.modules import ModuleStore
from freehold.domain.extensions.sandbox.pool import Pool, PoolLimits
from freehold.domain.extensions.sandbox.processes import ForkServer
from freehold.domain.extensions.sandbox.runtime import OLDEST, Node, find_node
from freehold.domain.extensions.sandbox.selftest import Level, Report
from freehold.domain.extensions.sandbox.worker import Worker
from freehold.kernel.log import get_logger

log = get_logger("sandbox")


class Sandbox:
    """Nothing runs before the first call, so that an installation without custom code pays nothing."""

    def __init__(
        self,
        *,
        node: Path | None = None,
        require_level: Level = "standard",
        limits: Limits | None = None,
        pool_limits: PoolLimits | None = None,
        network: NetworkPolicy | None = None,
        modules_folder: Path | None = None,
        npm_registry: str = "",
        npm_folder: Path | None = None,
        cgroups: Literal["auto", "required", "off"] = "auto",
        cgroup_folder: Path | None = None,
        disabled_layers: Sequence[str] = (),
    ) -> None:
        self._node_path = node
        self._require_level = require_level
        self._limits = limits or Limits()
        self._pool_limits = pool_limits or PoolLimits()
        self._network = network or NetworkPolicy()
        self._modules_folder = modules_folder
        self._npm = (npm_registry, npm_folder)
        self._disabled = (*disabled_layers, *(["cgroups"] if cgroups == "off" else []))
        self._require_cgroups = cgroups == "required"
        self._cgroup_folder = cgroup_folder
        self._fork_server: ForkServer | None = None
        self._pool: Pool | None = None
        self._modules: ModuleStore | None = None
        self._report: Report | None = None
        self._opening: asyncio.Task[Pool] | None = None
        self._closed = False

    async def call(
        self,
        tenant: str,
        script: Script,
        function: str,
        args: Sequence[Any],
        *,
        secrets: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        answers: Mapping[str, Answerer] | None = None,
    ) -> Outcome:
        """Run a function of a script, and say how it ended.

        `answers` are what the script's kind may ask of the server while it runs, by name. Raises SandboxUnavailable,
        SandboxBusy, NotFound when its npm modules are not installed.
        """
        step = Step(script, function, secrets or {})
        return (await self.run(tenant, [step], args, timeout_s=timeout_s, answers=answers))[0]

    async def run(
        self,
        tenant: str,
        steps: Sequence[Step],
        args: Sequence[Any],
        *,
        timeout_s: float | None = None,
        answers: Mapping[str, Answerer] | None = None,
    ) -> list[Outcome]:
        """Run functions one after the other in one call, and say how each ended that ran: at least the first.

        The first is given `args`, each other what its kind makes of the answer before. It ends after the last, at the
        first error, where the kind wants the server to look at an answer first, and where no more fits into a message.
        `timeout_s` is for all together, every other limit for each. Raises what `call` raises.
        """
        pool = self._pool or await self._open()
        return await pool.call(
            tenant,
            steps,
            args,
            timeout_s=self._limits.timeout_s if timeout_s is None else timeout_s,
            answers=answers or {},
        )

    async def start(self) -> None:
        """Be ready before the first call. Raises SandboxUnavailable."""
        await self._open()

    async def report(self) -> Report:
        """Which layers are on. Raises SandboxUnavailable when nothing can run at all."""
        if self._report is None:
            fork_server, self._report = await self._examine()
            await fork_server.close()
        return self._report

    async def close(self) -> None:
        """End every process, and wait until they are gone."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        if self._pool is not None:
            await self._pool.close()
        if self._fork_server is not None:
            await self._fork_server.close()

    @property
    def modules(self) -> ModuleStore:
        """The npm modules of all tenants. Raises SandboxUnavailable."""
        if self._modules is None:
            if self._modules_folder is None:
                raise SandboxUnavailable("There is no folder for npm modules")
            registry, folder = self._npm
            self._modules = ModuleStore(self._modules_folder, self._node(), registry=registry, folder=folder)
        return self._modules

    @property
    def workers(self) -> Sequence[Worker]:
        """The processes there are now."""
        return self._pool.workers if self._pool is not None else ()

    @property
    def fork_server_pid(self) -> int:
        """The process that starts the others; 0 when nothing was started."""
        return self._fork_server.pid if self._fork_server is not None else 0

    @property
    def waiting(self) -> int:
        """Calls that wait for a process."""
        return self._pool.waiting if self._pool is not None else 0

    def _node(self) -> Node:
        return find_node(self._node_path)

    async def _open(self) -> Pool:
        if self._closed:
            raise SandboxUnavailable("The server is stopping")
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._start_all())
        try:
            return await asyncio.shield(self._opening)
        except SandboxUnavailable:
            self._opening = None  # the machine may be mended meanwhile
            raise

    async def _start_all(self) -> Pool:
        fork_server, report = await self._examine()
        self._report = report
        if lacking := report.lacking(self._require_level, cgroups=self._require_cgroups):
            await fork_server.close()
            log.error("sandbox_too_weak", level=report.level, required=self._require_level, open=sorted(report.open))
            raise SandboxUnavailable(f"Custom code does not run: {lacking}")
        self._fork_server = fork_server
        modules = self.modules if self._modules_folder is not None else None
        pool = Pool(
            fork_server, limits=self._limits, pool_limits=self._pool_limits, network=self._network, modules=modules
        )
        await pool.start()
        self._pool = pool
        return pool

    async def _examine(self) -> tuple[ForkServer, Report]:
        node = self._node()
        version = await asyncio.to_thread(node.version)
        if version[:2] < OLDEST:
            raise SandboxUnavailable(
                f"Node.js {'.'.join(map(str, version))} is too old; {OLDEST[0]}.{OLDEST[1]} is needed"
            )
        fork_server = ForkServer(
            node,
            memory_mb=self._limits.memory_mb,
            cgroup="" if self._cgroup_folder is None else str(self._cgroup_folder),
            disabled=self._disabled,
            lost=self._fork_server_lost,
        )
        found = await fork_server.start()
        try:
            return fork_server, Report(found, await fork_server.probe(), ".".join(map(str, version)))
        except BaseException:
            await fork_server.close()
            raise

    def _fork_server_lost(self) -> None:
        # Its processes ended with it. The next call starts another one.
        if not self._closed:
            log.error("sandbox_fork_server_lost")
            pool, self._pool, self._opening = self._pool, None, None
            if pool is not None:
                asyncio.get_running_loop().create_task(pool.close())
