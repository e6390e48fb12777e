"""Several functions in one call: who is given what, and what one does to those before and after it."""

# ruff: noqa: E501 - a line of JavaScript is one line

from typing import Any

import pytest

from freehold.domain.extensions.commands import METHODS
from freehold.domain.extensions.sandbox import Limits, LogLine, Outcome, Sandbox, Script, Step
from tests.domain.extensions.sandbox.conftest import OpenSandbox

AROUND = {"domain": "acme.example", "baseUrl": "https://acme.example/api/v2", "accessToken": ""}
SEEN = "console.log(`seen ${user.seen || ''}`); user.seen = (user.seen || '') + '{}'; callback(null, user, context);"


def rule(number: int, body: str = "", *, secrets: dict[str, str] | None = None) -> Step:
    body = body or SEEN.replace("{}", str(number))
    return Step(
        Script(f"rule {number}", "1", f"function (user, context, callback) {{ {body} }}", "rule"), "", secrets or {}
    )


def action(number: int, body: str) -> Step:
    return Step(Script(f"action {number}", "1", f"exports.run = async (event, api) => {{ {body} }};", "action"), "run")


async def run_rules(sandbox: Sandbox, *steps: Step, timeout_s: float = 60) -> list[Outcome]:
    return await sandbox.run("acme", steps, [{"user_id": "auth0|1"}, {"n": 0}, AROUND], timeout_s=timeout_s)


async def test_each_rule_is_given_what_the_one_before_left_and_its_own_secrets(sandbox: Sandbox) -> None:
    told = "context.n += 1; context.told = [configuration.KEY, auth0.domain]; callback(null, user, context);"

    outcomes = await run_rules(sandbox, rule(1), rule(2, told, secrets={"KEY": "two"}), rule(3))

    assert [outcome.value[0].get("seen") for outcome in outcomes] == ["1", "1", "13"]
    assert outcomes[2].value[1] == {"n": 1, "told": ["two", "acme.example"]}
    assert [outcome.logs for outcome in outcomes] == [(LogLine("log", "seen "),), (), (LogLine("log", "seen 1"),)]
    assert [worker.calls_made for worker in sandbox.workers if worker.tenant] == [1]
    assert all(0 < outcome.duration_ms < 60_000 for outcome in outcomes)


FAILS = {
    "throws": ("throw new TypeError('thrown')", "script", "TypeError"),
    "calls back with an error": ("callback(new UnauthorizedError('no'))", "script", "UnauthorizedError"),
    "throws later": ("setTimeout(() => { throw new RangeError('later'); }, 1)", "script", "RangeError"),
    "rejects later": ("setImmediate(() => Promise.reject(new RangeError('later')))", "script", "RangeError"),
    "does not compile": ("] [", "load", "SyntaxError"),
    "computes for ever": ("for (;;);", "cpu", "CpuExceeded"),
    "takes all memory": ("const kept = []; for (;;) kept.push(new Array(1e6).fill(1.5));", "memory", "MemoryExceeded"),
    "prints for ever": ("setInterval(() => console.log('x'.repeat(16000)), 0)", "output", "OutputExceeded"),
    "answers too much": ("user.more = 'x'.repeat(3 << 20); callback(null, user, context)", "output", "AnswerTooLarge"),
    "answers what no JSON may hold": ("user.half = '\\ud800'; callback(null, user, context)", "output", "AnswerMalformed"),
    "answers with what is nested too deep": ("let deep = []; for (let i = 0; i < 3000; i++) deep = [deep]; user.deep = deep; callback(null, user, context)", "output", "AnswerMalformed"),
}  # fmt: skip


@pytest.mark.parametrize("how", FAILS)
async def test_the_one_that_fails_is_named_and_none_runs_after_it(open_sandbox: OpenSandbox, how: str) -> None:
    body, kind, type_ = FAILS[how]
    sandbox = await open_sandbox(limits=Limits(cpu_s=0.5, memory_mb=64))
    ran = rule(3, "context.ran = true; console.log('ran'); callback(null, user, context)")

    outcomes = await run_rules(sandbox, rule(1), rule(2, body), ran)

    first, second = outcomes
    assert (first.value[0]["seen"], first.error, first.logs) == ("1", None, (LogLine("log", "seen "),))
    assert second.error is not None
    assert (second.error.kind, second.error.type) == (kind, type_)
    after = await run_rules(sandbox, rule(1), ran)
    assert (after[1].value[1]["ran"], len(after)) == (True, 2)


async def test_one_that_never_calls_back_is_named_when_the_time_of_all_is_over(sandbox: Sandbox) -> None:
    await run_rules(sandbox, rule(1), rule(2))

    outcomes = await run_rules(sandbox, rule(1), rule(2, "console.log('waiting')"), rule(3), timeout_s=3)

    assert [outcome.error and outcome.error.kind for outcome in outcomes] == [None, "timeout"]
    assert outcomes[1].logs == (LogLine("log", "waiting"),)
    assert outcomes[1].duration_ms > 1_000


async def test_a_second_call_back_and_what_comes_late_reach_no_other_rule(sandbox: Sandbox) -> None:
    twice = (
        "setTimeout(() => { console.log('late'); }, 1); Promise.reject(new Error('nobody waits'));"
        "callback(null, user, context); callback(new Error('again')); callback(null, { forged: 1 }, context);"
    )
    waits = "setTimeout(() => callback(null, { ...user, waited: 1 }, context), 50);"

    outcomes = await run_rules(sandbox, rule(1), rule(2, twice), rule(3, waits), rule(4))

    assert [outcome.error for outcome in outcomes] == [None] * 4
    assert outcomes[3].value[0] == {"user_id": "auth0|1", "seen": "14", "waited": 1}
    assert [outcome.logs for outcome in outcomes] == [(LogLine("log", "seen "),), (), (), (LogLine("log", "seen 1"),)]


async def test_what_one_does_to_the_language_does_not_reach_the_next(sandbox: Sandbox) -> None:
    spoils = "Object.prototype.polluted = 1; Array.prototype.every = () => true; JSON.parse = () => 1; callback(null, user, context);"
    looks = (
        "user.found = [({}).polluted, [1].every(() => false), JSON.parse('2')].join(); callback(null, user, context);"
    )

    outcomes = await run_rules(sandbox, rule(1, spoils), rule(2, looks))

    assert (outcomes[0].spoilt, outcomes[1].spoilt) == (True, False)
    assert outcomes[1].value[0]["found"] == ",false,2"


async def test_an_answer_that_is_no_user_or_no_context_is_for_the_server_to_see(sandbox: Sandbox) -> None:
    for answer in ("null, 1, context", "null, user, []", "null, null, context", "null, user, 'text'"):
        outcomes = await run_rules(sandbox, rule(1), rule(2, f"callback({answer})"), rule(3))

        assert [outcome.error for outcome in outcomes] == [None, None]


async def test_what_the_server_answers_goes_to_the_rule_that_asked(sandbox: Sandbox) -> None:
    asks = "auth0.users.updateAppMetadata(user.user_id, { at: '{}' }).then((made) => { user.made = (user.made || []).concat(made); callback(null, user, context); });"
    forgets = "auth0.users.updateAppMetadata(user.user_id, { at: 'unheard' }); callback(null, user, context);"
    asked: list[Any] = []

    async def update(given: Any) -> Any:
        asked.append(given[1]["at"])
        return given[1]["at"]

    steps = [rule(1, asks.replace("{}", "one")), rule(2, forgets), rule(3, asks.replace("{}", "three"))]
    outcomes = await sandbox.run(
        "acme", steps, [{"user_id": "1"}, {}, AROUND], answers={"auth0.users.updateAppMetadata": update}
    )

    assert outcomes[-1].value[0]["made"] == ["one", "three"]
    assert asked == ["one", "unheard", "three"]


class TestActions:
    async def run(self, sandbox: Sandbox, *bodies: str) -> list[Outcome]:
        event = {"user": {"user_id": "1", "app_metadata": {}}, "transaction": {"metadata": {}}}
        around = {
            "trigger": "post-login",
            "methods": METHODS["post-login"],
            "can_redirect": True,
            "domain": "x",
            "state": "s",
        }
        steps = [action(number, body) for number, body in enumerate(bodies)]
        return await sandbox.run("acme", steps, [event, around])

    async def test_all_get_the_same_event_whatever_one_does_to_its_own(self, sandbox: Sandbox) -> None:
        changes = "event.user.user_id = 'forged'; api.idToken.setCustomClaim('a', event.user.user_id); api.accessToken.addScope('read:a');"
        tells = "api.accessToken.setCustomClaim('b', event.user.user_id);"

        outcomes = await self.run(sandbox, changes, tells)

        assert [outcome.value for outcome in outcomes] == [
            [["idToken.setCustomClaim", ["a", "forged"]], ["accessToken.addScope", ["read:a"]]],
            [["accessToken.setCustomClaim", ["b", "1"]]],
        ]

    async def test_the_server_looks_first_at_what_may_matter_to_the_next(self, sandbox: Sandbox) -> None:
        bodies = (
            "api.access.deny('no')", "api.redirect.sendUserTo('https://x.example/')",
            "api.user.setAppMetadata('a', 1)", "api.transaction.setMetadata('a', 1)", "api.session.revoke('no')",
            "api.idToken.setCustomClaim(1, 2)", "api.idToken.setCustomClaim('')",
            "api.idToken.setCustomClaim('a', 'x'.repeat(40000))", "api.accessToken.addScope('two scopes')",
            "api.accessToken.removeScope()", "api.accessToken.addScope('back\\\\slash')",
            "api.accessToken.addScope(['a'])", "api.multifactor.enable('any')",
            "api.authentication.challengeWith({ type: 'otp' })", "throw new Error('no')",
        )  # fmt: skip
        ran = [len(await self.run(sandbox, body, "api.idToken.setCustomClaim('a', 1)")) for body in bodies]

        assert dict(zip(bodies, ran, strict=True)) == dict.fromkeys(bodies, 1)


async def test_what_does_not_fit_into_one_message_is_left_to_another(sandbox: Sandbox) -> None:
    large = [{f"K{place}": "x" * 8_000 for place in range(200)} for _ in range(3)]

    outcomes = await run_rules(sandbox, *(rule(number, secrets=secrets) for number, secrets in enumerate(large)))

    assert [outcome.error for outcome in outcomes] == [None]
