"""Custom code: a warm call beside one round trip to a bare Node process, starts, and what an idle process takes."""

import asyncio
import socket
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from bench.limits import Limits
from bench.report import Figure, Report
from freehold.domain.extensions.sandbox import PoolLimits, Sandbox, SandboxUnavailable, Script
from freehold.domain.extensions.sandbox.runtime import find_node

CALLS = 3_000
STARTS = 5
OPERATIONS = {"code_call", "code_call_p99", "code_cold", "code_first", "code_memory"}
_ECHO = (
    "const s = new (require('net').Socket)({ fd: +process.argv[1], readable: true, writable: true });"
    "s.on('data', (d) => s.write(d)); s.on('end', () => process.exit(0));"
)
_EMPTY = Script("empty", "1", "exports.run = async (event, api) => {};")


def run(names: list[str], folder: Path, report: Report, say: Callable[[str], None]) -> None:
    """Measure those of this module that are asked for."""
    if not OPERATIONS & set(names):
        return
    say("custom code")
    limits = Limits.measure()
    report.limits.append(limits)
    try:
        uvloop.run(_measure(names, report, limits))
    except SandboxUnavailable as error:
        report.notes.append(f"Left out: custom code. {error.message}")


async def _measure(names: list[str], report: Report, limits: Limits) -> None:
    if {"code_call", "code_call_p99"} & set(names):
        raw = await _bare_round_trips()
        warm = await _warm_calls()
        middle, beyond = statistics.median(raw), statistics.median(warm)
        worst, worst_raw = warm[int(len(warm) * 0.99)], raw[int(len(raw) * 0.99)]
        shown = f"{beyond:.3f} ms, bare {middle:.3f} ms: {beyond / middle:.1f} times"
        report.add(Figure("code_call", "sandbox", beyond - middle, shown))
        shown = f"{worst:.2f} ms, bare {worst_raw:.2f} ms: {worst / worst_raw:.1f} times"
        report.add(Figure("code_call_p99", "sandbox", worst, shown))
    if "code_cold" in names:
        bare = statistics.median(_bare_start() for _ in range(STARTS))
        cold = statistics.median([await _first_call(prestarted=0) for _ in range(STARTS)])
        shown = f"{cold:.0f} ms, bare Node {bare:.0f} ms: {cold / bare:.1f} times"
        report.add(Figure("code_cold", "sandbox", cold * limits.speed, shown))
    if "code_first" in names:
        first = statistics.median([await _first_call(prestarted=2) for _ in range(STARTS)])
        report.add(Figure("code_first", "sandbox", first * limits.speed, f"{first:.1f} ms"))
    if "code_memory" in names:
        own, shared = await _idle_memory()
        report.add(Figure("code_memory", "sandbox", own, f"{shared:.0f} MiB with its share of Node's code"))


async def _bare_round_trips() -> list[float]:
    """Milliseconds of one message to and fro, sorted, with the server's own event loop."""
    ours, theirs = socket.socketpair()
    node = await asyncio.create_subprocess_exec(
        find_node().executable, "-e", _ECHO, str(theirs.fileno()), pass_fds=[theirs.fileno()]
    )
    theirs.close()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    message = b"x" * 300
    spent = []
    for _ in range(CALLS * 2):
        started = time.perf_counter()
        writer.write(message)
        await reader.readexactly(len(message))
        spent.append((time.perf_counter() - started) * 1000)
    writer.close()
    node.kill()
    await node.wait()
    return sorted(spent[CALLS:])


async def _warm_calls() -> list[float]:
    sandbox = Sandbox(require_level="basic")
    spent = []
    try:
        for _ in range(CALLS * 2):
            started = time.perf_counter()
            await sandbox.call("bench", _EMPTY, "run", [{"user": {"user_id": "auth0|1"}}, {}])
            spent.append((time.perf_counter() - started) * 1000)
    finally:
        await sandbox.close()
    return sorted(spent[CALLS:])


def _bare_start() -> float:
    started = time.perf_counter()
    subprocess.run([find_node().executable, "-e", "0"], check=True)
    return (time.perf_counter() - started) * 1000


async def _first_call(*, prestarted: int) -> float:
    """Milliseconds of a tenant's first call."""
    sandbox = Sandbox(require_level="basic", pool_limits=PoolLimits(prestarted=prestarted))
    try:
        await sandbox.start()
        started = time.perf_counter()
        await sandbox.call("bench", _EMPTY, "run", [])
        return (time.perf_counter() - started) * 1000
    finally:
        await sandbox.close()


async def _idle_memory() -> tuple[float, float]:
    """MiB of a process that has run a script: what is its own, and that with its share of what all have in common."""
    sandbox = Sandbox(require_level="basic", pool_limits=PoolLimits(prestarted=0))
    try:
        for tenant in ("a", "b", "c", "d"):
            await sandbox.call(tenant, _EMPTY, "run", [])
        await asyncio.sleep(1)
        own, shared = zip(*(_memory(worker.pid) for worker in sandbox.workers), strict=True)
        return statistics.median(own), statistics.median(shared)
    finally:
        await sandbox.close()


def _memory(pid: int) -> tuple[float, float]:
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0]) / 1024
    return found["Private_Clean"] + found["Private_Dirty"], found["Pss"]
