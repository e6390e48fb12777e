"""Custom code: a warm call, starts, idle processes and a whole sign-in, each beside what a bare Node process takes."""

import asyncio
import os
import socket
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import uvloop

from bench.limits import Limits
from bench.load import Measured, cpu_seconds_with_children, measure
from bench.report import Figure, Report
from bench.subjects import Subject, bare, freehold
from bench.wire import bare_answer_us
from freehold.domain.extensions.sandbox import PoolLimits, Sandbox, SandboxUnavailable, Script
from freehold.domain.extensions.sandbox.runtime import find_node

CALLS = 3_000
STARTS = 5
TENANTS_A_ROUND, AT_ONCE, SETTLE_S = 200, 4, 3.0
SIGN_INS = 20
OPERATIONS = {
    "code_call", "code_call_p99", "code_cold", "code_first", "code_memory", "code_tenants", "code_sign_in",
}  # fmt: skip
RULES = (
    "context.idToken['https://acme.example/roles'] = context.authorization.roles; callback(null, user, context);",
    "user.app_metadata = user.app_metadata || {}; user.app_metadata.seen = context.stats.loginsCount;"
    " callback(null, user, context);",
    "if (!/@example\\.com$/.test(user.email)) return callback(new UnauthorizedError('Not here'));"
    " context.accessToken['https://acme.example/ip'] = context.request.ip; callback(null, user, context);",
)
ACTIONS = (
    "api.idToken.setCustomClaim('https://acme.example/plan', event.user.app_metadata.plan || 'free');",
    "if (event.stats.logins_count < 0) api.access.deny('never');"
    " api.accessToken.setCustomClaim('https://acme.example/client', event.client.name);",
)
_ECHO = (
    "const s = new (require('net').Socket)({ fd: +process.argv[1], readable: true, writable: true });"
    "s.on('data', (d) => s.write(d)); s.on('end', () => process.exit(0));"
)
_EMPTY = Script("empty", "1", "exports.run = async (event, api) => {};")


def run(names: list[str], folder: Path, report: Report, say: Callable[[str], None], *, rounds: int) -> None:
    """Measure those of this module that are asked for; the more rounds, the more tenants and sign-ins."""
    if not OPERATIONS & set(names):
        return
    say("custom code")
    limits = Limits.measure()
    report.limits.append(limits)
    try:
        uvloop.run(_measure(names, report, limits, tenants=TENANTS_A_ROUND * rounds))
        if "code_sign_in" in names:
            say(f"sign-ins with {len(RULES)} rules and {len(ACTIONS)} actions, and without")
            _sign_ins(folder, report, limits, rounds=rounds)
    except SandboxUnavailable as error:
        report.notes.append(f"Left out: custom code. {error.message}")


async def _measure(names: list[str], report: Report, limits: Limits, *, tenants: int) -> None:
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
        middle = statistics.median(await _bare_round_trips())
        shown = f"{first:.1f} ms, bare round trip {middle:.3f} ms: {first / middle:.0f} times"
        report.add(Figure("code_first", "sandbox", first * limits.speed, shown))
    if "code_memory" in names:
        own, shared = await _idle_memory()
        bare = await _bare_memory()
        shown = f"bare Node {bare:.1f} MiB: {own / bare:.1f} times; {shared:.0f} MiB with its share of what all have"
        report.add(Figure("code_memory", "sandbox", own, shown))
    if "code_tenants" in names:
        most, left = await _idle_tenants(tenants)
        report.add(
            Figure("code_tenants", "sandbox", left, f"{tenants:,} tenants, at most {most} while each made a call")
        )


async def _bare_cpu() -> float:
    """CPU milliseconds of one message to and fro, of both sides."""
    before = cpu_seconds_with_children(os.getpid())
    await _bare_round_trips()
    return (cpu_seconds_with_children(os.getpid()) - before) / (2 * CALLS) * 1000


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


async def _bare_memory() -> float:
    """MiB that bare Node processes have of their own, as many as there were of custom code."""
    nodes = [
        await asyncio.create_subprocess_exec(find_node().executable, "-e", "setInterval(() => {}, 1e6)")
        for _ in range(4)
    ]
    await asyncio.sleep(1)
    own = [_memory(node.pid)[0] for node in nodes]
    for node in nodes:
        node.kill()
        await node.wait()
    return statistics.median(own)


async def _idle_tenants(count: int) -> tuple[int, int]:
    """How many processes there were at most while each tenant made a call, and how many are left a moment later."""
    limits = PoolLimits(prestarted=0, processes=2 * AT_ONCE, idle_s=0.5)
    sandbox = Sandbox(require_level="basic", pool_limits=limits)
    tenants = iter(range(count))
    most = 0

    async def call_for_each() -> None:
        nonlocal most
        for number in tenants:
            await sandbox.call(f"tenant {number}", _EMPTY, "run", [])
            most = max(most, len(sandbox.workers))

    try:
        await asyncio.gather(*(call_for_each() for _ in range(AT_ONCE)))
        await asyncio.sleep(SETTLE_S)
        return most, len(sandbox.workers)
    finally:
        await sandbox.close()


def _sign_ins(folder: Path, report: Report, limits: Limits, *, rounds: int) -> None:
    """What code adds to the CPU of a sign-in, all processes together; both servers take turns."""
    with (
        bare(folder) as nothing,
        freehold("without", folder / "without") as without,
        freehold("with", folder / "with", prepare=_add_code) as with_,
    ):
        found = [(bare_answer_us(nothing), _signed_in(without), _signed_in(with_)) for _ in range(rounds + 1)][1:]
    limits.bare_us = statistics.median(answer for answer, _, _ in found)
    plain = statistics.median(each.beside_hashing_us for _, each, _ in found)
    more = statistics.median(theirs.beside_hashing_us - ours.beside_hashing_us for _, ours, theirs in found)
    each_ms = more / 1000 / (len(RULES) + len(ACTIONS))
    shown = f"{more / 1000:.2f} ms beside {plain / 1000:.1f} ms and the hash"
    shown += f"; each {each_ms / uvloop.run(_bare_cpu()):.0f} times a bare round trip"
    report.add(Figure("code_sign_in", "sandbox", limits.request_at_target(more, 0) / 1000, shown))


def _signed_in(subject: Subject) -> Measured:
    step = subject.steps["sign_in"]
    return asyncio.run(measure(subject.base_url, step, pid=subject.pid, operations=SIGN_INS, connections=1))


def _add_code(api: httpx.Client) -> None:
    for number, body in enumerate(RULES):
        script = f"function (user, context, callback) {{ {body} }}"
        assert api.post("/rules", json={"name": f"rule {number}", "script": script}).status_code == 201
    bound = []
    for number, body in enumerate(ACTIONS):
        code = f"exports.onExecutePostLogin = async (event, api) => {{ {body} }};"
        given = {"name": f"action {number}", "code": code, "supported_triggers": [{"id": "post-login"}]}
        action = api.post("/actions/actions", json=given).json()
        deployed = api.post(f"/actions/actions/{action['id']}/deploy")
        assert deployed.is_success, deployed.text
        bound.append({"ref": {"type": "action_id", "value": action["id"]}, "display_name": action["name"]})
    assert api.patch("/actions/triggers/post-login/bindings", json={"bindings": bound}).status_code == 200


def _memory(pid: int) -> tuple[float, float]:
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0]) / 1024
    return found["Private_Clean"] + found["Private_Dirty"], found["Pss"]
