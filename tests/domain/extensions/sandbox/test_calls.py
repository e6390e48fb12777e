"""Calls of scripts: values, errors, logs, state between calls, and what one call does to the next."""

# ruff: noqa: E501 - a line of JavaScript is one line

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from freehold.domain.extensions.sandbox import (
    Limits,
    LogLine,
    Outcome,
    PoolLimits,
    Sandbox,
    SandboxBusy,
    SandboxUnavailable,
    Script,
)
from freehold.kernel.errors import BadRequest
from tests.domain.extensions.sandbox.conftest import OpenSandbox


async def run(sandbox: Sandbox, code: str, *args: Any, kind: str = "module", **options: Any) -> Outcome:
    script = Script("script", "1", code, kind, **{k: options.pop(k) for k in ("globals", "modules") if k in options})
    tenant = options.pop("tenant", "acme")
    function = options.pop("function", "run")
    return await sandbox.call(tenant, script, function, args, **options)


async def test_a_module_answers_with_the_value_of_its_promise(sandbox: Sandbox) -> None:
    outcome = await run(sandbox, "exports.run = async (user) => ({ ...user, seen: true });", {"name": "Zoë 𝒳"})

    assert outcome.value == {"name": "Zoë 𝒳", "seen": True}
    assert outcome.error is None
    assert outcome.duration_ms > 0


@pytest.mark.parametrize(
    "code",
    [
        "function (a, b, callback) { callback(null, a, b); }",
        "async function run(a, b, callback) { await null; callback(null, a, b); }",
        "function run(a, b, callback) { setTimeout(callback, 1, null, a, b); }\n// the end",
        "module.exports = function (a, b, callback) { callback(undefined, a, b); };",
        "(a, b, callback) => callback(null, a, b)",
        "const helper = (x) => x;\nfunction run(a, b, callback) { return callback(null, helper(a), b); }",
    ],
)
async def test_every_form_of_a_function_with_a_callback(sandbox: Sandbox, code: str) -> None:
    outcome = await run(sandbox, code, 1, {"two": 2}, kind="callback")

    assert outcome.value == [1, {"two": 2}]


async def test_a_second_answer_of_a_callback_is_none(sandbox: Sandbox) -> None:
    outcome = await run(sandbox, "function (cb) { cb(null, 1); cb(new Error('late')); cb(null, 2); }", kind="callback")

    assert outcome.value == [1]


@pytest.mark.parametrize(
    ("thrown", "type_", "message", "details"),
    [
        ("Object.assign(new TypeError('bad'), { code: 7 })", "TypeError", "bad", {"code": 7}),
        ("'a text'", "Error", "a text", {}),
        ("null", "Error", "null", {}),
        ("{ name: 'Odd', message: 'own' }", "Odd", "own", {}),
        ("new (class UnauthorizedError extends Error { get name() { return 'UnauthorizedError' } })('no')",
         "UnauthorizedError", "no", {}),
    ],
)  # fmt: skip
async def test_what_is_thrown_is_told_in_the_scripts_words(
    sandbox: Sandbox, thrown: str, type_: str, message: str, details: dict[str, Any]
) -> None:
    outcome = await run(sandbox, f"exports.run = () => {{ throw {thrown}; }};")

    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.type, outcome.error.message) == ("script", type_, message)
    assert outcome.error.details == details
    assert "/worker/" not in outcome.error.stack


@pytest.mark.parametrize(
    ("code", "type_"),
    [("exports.run = (", "SyntaxError"), ("exports.other = 1;", "NoSuchFunction"), ("throw new RangeError('x')", "RangeError"),
     ("require('left-pad')", "Error")],
)  # fmt: skip
async def test_a_script_that_cannot_be_loaded(sandbox: Sandbox, code: str, type_: str) -> None:
    outcome = await run(sandbox, code)

    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.type) == ("load", type_)


async def test_the_console_is_kept_with_its_level(sandbox: Sandbox) -> None:
    outcome = await run(sandbox, "exports.run = () => { console.log('a %s', 1); console.error({ b: 2 }); };")

    assert outcome.logs == (LogLine("log", "a 1"), LogLine("error", "{ b: 2 }"))


async def test_too_much_output_ends_the_call(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(limits=Limits(output_bytes=50_000))

    outcome = await run(sandbox, "exports.run = () => { for (;;) console.log('x'.repeat(1000)); };")

    assert outcome.error is not None
    assert outcome.error.kind == "output"
    assert len(outcome.logs) <= 50


async def test_modules_are_loaded_once_and_keep_their_state(sandbox: Sandbox) -> None:
    code = "let count = 0; exports.run = () => ++count;"

    assert [(await run(sandbox, code)).value for _ in range(3)] == [1, 2, 3]


async def test_scripts_share_no_objects_and_tenants_no_process(sandbox: Sandbox) -> None:
    mark = "exports.run = () => { globalThis.mark = 1; Array.prototype.mark = 1; return [].mark; };"
    look = "exports.run = () => [typeof globalThis.mark, typeof [].mark, typeof Object.prototype.mark];"

    assert (await run(sandbox, mark)).value == 1
    assert (await run(sandbox, look)).value == ["undefined"] * 3
    assert (await run(sandbox, look, tenant="other")).value == ["undefined"] * 3
    pids = {worker.tenant: worker.pid for worker in sandbox.workers if worker.tenant}
    assert len(set(pids.values())) == len(pids) == 2


@pytest.mark.parametrize(
    "pollution",
    [
        "Object.prototype.isAdmin = true",
        "Object.assign(Object.getPrototypeOf([]), { isAdmin: true })",
        "JSON.parse = () => 1",
        "Array.prototype.map = function () { return [] }",
        "Promise.prototype.then = undefined",
    ],
)
async def test_a_call_that_changes_the_language_does_so_for_itself_alone(sandbox: Sandbox, pollution: str) -> None:
    code = f"exports.run = (now) => {{ const was = [({{}}).isAdmin, [1].map((x) => x)]; if (now) {{ {pollution}; }} return was; }};"

    first = await run(sandbox, code, True)
    second = await run(sandbox, code, False)

    assert first.spoilt
    assert not second.spoilt
    assert second.value == [None, [1]]


async def test_a_script_cannot_reach_nodes_own_context_by_its_constructors(sandbox: Sandbox) -> None:
    code = """exports.run = () => [setTimeout, require, console.log, Buffer, URL, require('events')].map((found) => {
        try { return found.constructor('return process')().pid } catch (e) { return e.name }
    });"""

    assert (await run(sandbox, code)).value == ["EvalError"] * 6


async def test_a_script_may_make_code_of_text_in_its_own_context(sandbox: Sandbox) -> None:
    assert (
        await run(sandbox, "exports.run = () => eval('1 + 1') + new Function('return typeof process.pid')();")
    ).value == "2number"


async def test_secrets_reach_the_kind_and_not_the_script(sandbox: Sandbox) -> None:
    outcome = await run(sandbox, "exports.run = (...given) => [given, typeof secrets];", 1, secrets={"KEY": "value"})

    assert outcome.value == [[1], "undefined"]


async def test_a_deadline_ends_the_call_and_the_next_one_works(sandbox: Sandbox) -> None:
    outcome = await run(sandbox, "exports.run = () => new Promise(() => {});", timeout_s=0.2)

    assert outcome.error is not None
    assert outcome.error.kind == "timeout"
    assert (await run(sandbox, "exports.run = () => 1;", timeout_s=2)).value == 1


async def test_a_call_that_computes_too_long_ends_before_its_deadline(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(limits=Limits(cpu_s=0.3))

    outcome = await run(sandbox, "exports.run = () => { for (;;); };", timeout_s=15)

    assert outcome.error is not None
    assert outcome.error.kind == "cpu"


async def test_a_slow_call_does_not_hold_up_the_others(sandbox: Sandbox) -> None:
    slow = asyncio.create_task(
        run(sandbox, "exports.run = () => new Promise((keep) => setTimeout(keep, 1500, 'slow'));")
    )
    await asyncio.sleep(0.05)

    assert (await run(sandbox, "exports.run = () => 'quick';", timeout_s=1)).value == "quick"
    assert (await slow).value == "slow"


async def test_calls_beyond_the_queue_are_refused_at_once(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(limits=Limits(queue=2, processes=1))
    wait = "exports.run = () => new Promise((keep) => setTimeout(keep, 300, 1));"

    answers = await asyncio.gather(*(run(sandbox, wait) for _ in range(5)), return_exceptions=True)

    assert sum(isinstance(answer, SandboxBusy) for answer in answers) == 2
    assert [answer.value for answer in answers if isinstance(answer, Outcome)] == [1, 1, 1]


async def test_a_process_killed_in_a_call_gives_one_clean_error(sandbox: Sandbox) -> None:
    call = asyncio.create_task(run(sandbox, "exports.run = () => new Promise(() => {});"))
    await asyncio.sleep(0.2)
    os.kill(next(worker.pid for worker in sandbox.workers if worker.calls), 9)

    outcome = await call

    assert outcome.error is not None
    assert outcome.error.kind == "exit"
    assert (await run(sandbox, "exports.run = () => 1;")).value == 1


async def test_the_fork_server_is_replaced_when_it_dies(sandbox: Sandbox) -> None:
    assert (await run(sandbox, "exports.run = () => 1;")).value == 1
    assert sandbox.fork_server_pid
    os.kill(sandbox.fork_server_pid, 9)
    await asyncio.sleep(0.3)

    assert (await run(sandbox, "exports.run = () => 2;")).value == 2


async def test_idle_processes_stop(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(pool_limits=PoolLimits(idle_s=0.2, prestarted=1))
    await run(sandbox, "exports.run = () => 1;")
    pid = next(worker.pid for worker in sandbox.workers if worker.tenant)
    for _ in range(40):
        await asyncio.sleep(0.1)
        if not Path(f"/proc/{pid}").exists():
            break

    assert [worker.tenant for worker in sandbox.workers] == [""]


async def test_the_process_used_longest_ago_makes_room(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(pool_limits=PoolLimits(processes=2, prestarted=0))
    for tenant in ("a", "b", "a", "c"):
        assert (await run(sandbox, "exports.run = () => 1;", tenant=tenant)).value == 1

    assert {worker.tenant for worker in sandbox.workers} == {"a", "c"}


async def test_a_tenant_is_refused_when_every_process_is_in_use(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(pool_limits=PoolLimits(processes=1, prestarted=0))
    busy = asyncio.create_task(run(sandbox, "exports.run = () => new Promise((keep) => setTimeout(keep, 600, 1));"))
    await asyncio.sleep(0.3)

    with pytest.raises(SandboxBusy):
        await run(sandbox, "exports.run = () => 1;", tenant="other")
    assert (await busy).value == 1
    assert (await run(sandbox, "exports.run = () => 1;", tenant="other")).value == 1


async def test_what_a_call_leaves_computing_is_ended(sandbox: Sandbox) -> None:
    code = "exports.run = () => { setTimeout(() => { for (;;); }, 20); return 1; };"
    assert (await run(sandbox, code)).value == 1
    pid = next(worker.pid for worker in sandbox.workers if worker.tenant)
    await asyncio.sleep(0.1)

    assert (await run(sandbox, "exports.run = () => 2;", timeout_s=10)).value == 2
    for _ in range(60):
        await asyncio.sleep(0.1)
        if not Path(f"/proc/{pid}").exists():
            return
    pytest.fail("the process still computes")


async def test_a_kind_asks_the_server_while_it_runs(open_sandbox: OpenSandbox, naked_worker: Path) -> None:
    add_kind(
        naked_worker,
        "const { load } = require('./module.cjs');"
        "module.exports = { load, invoke: (found, given, tools) => found(tools.ask, tools.secrets, ...given) };",
    )
    sandbox = await open_sandbox()

    async def answer(content: Any) -> Any:
        if content == "refuse":
            raise BadRequest("not this", code="refused")
        return {"doubled": content * 2}

    code = """exports.run = async (ask, secrets, value) =>
        [await ask('double', value), await ask('double', 'refuse').catch((e) => [e.message, e.code]), secrets.KEY];"""
    outcome = await run(sandbox, code, 4, kind="asking", answers={"double": answer}, secrets={"KEY": "value"})

    assert outcome.value == [{"doubled": 8}, ["not this", "refused"], "value"]


async def test_what_nobody_offers_cannot_be_asked_for(open_sandbox: OpenSandbox, naked_worker: Path) -> None:
    add_kind(
        naked_worker,
        "const { load } = require('./module.cjs');"
        "module.exports = { load, invoke: (found, given, tools) => found(tools.ask) };",
    )
    sandbox = await open_sandbox()

    outcome = await run(sandbox, "exports.run = (ask) => ask('everything');", kind="asking")

    assert outcome.error is not None
    assert outcome.error.kind == "protocol"


async def test_code_does_not_run_below_the_level_that_is_required(open_sandbox: OpenSandbox) -> None:
    weak = Sandbox(require_level="strong", disabled_layers=("namespaces", "seccomp"))

    with pytest.raises(SandboxUnavailable, match="offers level basic, strong is required"):
        await weak.call("acme", Script("a", "1", "exports.run = () => 1;"), "run", [])
    await weak.close()


async def test_many_calls_leave_nothing_behind(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(pool_limits=PoolLimits(prestarted=1))
    await run(sandbox, "exports.run = () => 1;")
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(400):
        never = number % 20 == 0
        code = f"exports.run = (n) => {'new Promise(() => {})' if never else 'n'};"
        outcome = await run(sandbox, code, number, timeout_s=0.05 if never else 5)
        assert (outcome.error is not None) == never
    for _ in range(100):  # who was killed last is on the way out
        if children_of(sandbox.fork_server_pid) == {worker.pid for worker in sandbox.workers}:
            break
        await asyncio.sleep(0.1)

    assert len(sandbox.workers) <= 2
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors + 3
    assert children_of(sandbox.fork_server_pid) == {worker.pid for worker in sandbox.workers}


def add_kind(worker: Path, text: str) -> None:
    """A kind of script that only these tests know, readable for the worker's own user."""
    kind = worker / "kinds" / "asking.cjs"
    kind.write_text(text)
    kind.chmod(0o644)


def children_of(pid: int) -> set[int]:
    return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
