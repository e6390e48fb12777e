"""The server as a whole: what it takes to start and to do nothing, how it answers under a storm, how fast it resets."""

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.browser import SignIn, sign_in
from bench.command import run_command
from bench.limits import Limits
from bench.load import Connection, cpu_seconds, family, proportional_mib
from bench.report import Figure, Report
from bench.subjects import email_of, freehold
from freehold.cli.options import opened, settings_for
from freehold.domain.tenants import lifecycle
from tests.support.server import start_server

STARTS = 3
SETTLE_S = 2.0
STORM_S = 6.0
STORM_CONNECTIONS = 24
PROBES_PER_S = 100
RESETS = 5


def run(names: list[str], folder: Path, report: Report, say: Callable[[str], None]) -> None:
    """Measure those of this module that are asked for, on SQLite."""
    data = folder / "server"
    if {"start", "idle_memory"} & set(names):
        say("starting servers")
        _start(data, names, report)
    if "latency" in names:
        say("a storm of sign-ins")
        with freehold("storm", folder / "storm") as subject:
            assert subject.sign_in is not None
            latencies = asyncio.run(_storm(subject.base_url, subject.sign_in))
        latencies.sort()
        p99 = latencies[int(len(latencies) * 0.99)] * 1000
        median = statistics.median(latencies) * 1000
        report.add(Figure("latency", "SQLite", p99, f"median {median:.1f} ms"))
    if {"reset", "reset_command"} & set(names):
        say("resetting a tenant")
        _reset(data, names, report)


def _start(data: Path, names: list[str], report: Report) -> None:
    with start_server(data):
        pass  # the first start makes keys and certificates
    spent, scaled, memory = [], [], []
    for _ in range(STARTS):
        limits = Limits.measure()
        report.limits.append(limits)
        with start_server(data) as server:
            cpu = cpu_seconds(family(server.process.pid))
            spent.append(cpu)
            scaled.append(cpu * limits.speed)
            time.sleep(SETTLE_S)
            memory.append(proportional_mib(family(server.process.pid)))
    if "start" in names:
        report.add(Figure("start", "SQLite", statistics.median(scaled), f"{statistics.median(spent):.2f} s"))
    if "idle_memory" in names:
        report.add(Figure("idle_memory", "SQLite", statistics.median(memory), "PSS"))


async def _storm(base_url: str, known: SignIn) -> list[float]:
    """Latencies of a trivial request, asked at a steady pace, while more people sign in than the machine can hash."""
    ends = time.monotonic() + STORM_S
    people = [Connection(base_url) for _ in range(STORM_CONNECTIONS)]
    probe = Connection(base_url)
    latencies: list[float] = []

    async def keep_signing_in(connection: Connection, somebody: SignIn) -> None:
        while time.monotonic() < ends:
            await sign_in(connection, somebody)

    async def keep_asking() -> None:
        while time.monotonic() < ends:
            began = time.perf_counter()
            await probe.send("GET", "/.well-known/jwks.json")
            latencies.append(time.perf_counter() - began)
            await asyncio.sleep(1 / PROBES_PER_S)

    # Each signs in as somebody else: attempts for one account at once look like guessing.
    signing_in = [
        keep_signing_in(connection, replace(known, username=email_of(number)))
        for number, connection in enumerate(people)
    ]
    await asyncio.gather(keep_asking(), *signing_in)
    for connection in (*people, probe):
        await connection.close()
    return latencies


def _reset(data: Path, names: list[str], report: Report) -> None:
    with start_server(data):
        if "reset" in names:
            took = asyncio.run(_time_resets(data))
            report.add(Figure("reset", "SQLite", took * 1000, "wall"))
        if "reset_command" in names:
            spent, wall = [], []
            for _ in range(RESETS):
                began = time.perf_counter()
                spent.append(run_command("tenants", "reset", "main", "--yes", "--data", str(data)).cpu_s)
                wall.append(time.perf_counter() - began)
            report.add(
                Figure("reset_command", "SQLite", statistics.median(spent), f"{statistics.median(wall):.2f} s wall")
            )


async def _time_resets(data: Path) -> float:
    async with opened(settings_for(data), upgrade=False) as installation:
        tenant = await installation.tenants.by_name("main")
        took = []
        for _ in range(RESETS):
            began = time.perf_counter()
            await lifecycle.reset(installation.store, tenant)
            took.append(time.perf_counter() - began)
        return statistics.median(took)
