"""A process that lies: what it says on its two channels, without Node.js in between, and what the server does."""

import asyncio
import json
import struct
from collections.abc import Sequence
from typing import Any, cast

import pytest

from freehold.domain.extensions.sandbox import Limits, NetworkPolicy, Outcome, Script, Step, egress
from freehold.domain.extensions.sandbox.call import Answerer, Call
from freehold.domain.extensions.sandbox.egress import (
    CLOSED,
    CREDIT,
    DATA,
    END,
    OPEN,
    OPENED,
    RESOLVE,
    RESOLVED,
    WINDOW,
    Broker,
)
from freehold.domain.extensions.sandbox.frames import DEEPEST, FRAME_BYTES
from freehold.domain.extensions.sandbox.visits import MOST, Visits
from freehold.domain.extensions.sandbox.worker import Worker


class Channel:
    """The server's end of a socket, which remembers what was said."""

    def __init__(self) -> None:
        self.said = bytearray()
        self.closed = False

    def write(self, data: bytes) -> None:
        self.said += data

    def abort(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0


class KilledBy:
    """Stands for the fork server: remembers whom it was to end."""

    def __init__(self) -> None:
        self.killed: list[int] = []

    def kill(self, serial: int) -> None:
        self.killed.append(serial)


class Liar:
    """A process of a tenant, with one call on its way, that says what the test says."""

    def __init__(
        self, *, limits: Limits | None = None, answers: dict[str, Answerer] | None = None, steps: int = 1
    ) -> None:
        self.fork_server = KilledBy()
        self.requeued: list[Call] = []
        self.worker = Worker(
            limits or Limits(), changed=lambda _: None, requeue=lambda _, call: self.requeued.append(call)
        )
        self.worker._ready.add_done_callback(lambda ready: ready.exception())  # nobody waits for it here
        self.worker._fork_server = cast("Any", self.fork_server)
        self.channel = Channel()
        self.worker._line.connection_made(cast("Any", self.channel))
        self.worker.bind("mallory", NetworkPolicy().of("mallory"))
        self.call = self.new_call(answers, steps=steps)
        self.worker.send(self.call)

    @staticmethod
    def new_call(answers: dict[str, Answerer] | None = None, *, steps: int = 1) -> Call:
        return Call(
            id="0" * 32, steps=[Step(Script("s", "1", ""))] * steps, arguments="[]",
            answers=answers or {}, result=asyncio.get_running_loop().create_future(), deadline=1e9,
        )  # fmt: skip

    def say(self, *messages: dict[str, Any] | bytes) -> None:
        for message in messages:
            body = message if isinstance(message, bytes) else json.dumps(message).encode()
            self.worker._line.data_received(struct.pack(">I", len(body)) + body)

    def about(self, t: str, **members: Any) -> dict[str, Any]:
        return {"t": t, "id": self.call.id, **members}

    @property
    def outcome(self) -> Outcome:
        return self.call.result.result()[-1]

    @property
    def was_killed(self) -> bool:
        return self.worker.ended and self.fork_server.killed == [0]


FAILURE = {"kind": "script", "type": "Error", "message": "m"}
ID = "0" * 32


@pytest.mark.parametrize(
    "lies",
    [
        [{"t": "began", "id": "1" * 32}],
        [{"t": "began", "id": ID}, {"t": "began", "id": ID}],
        [{"t": "done", "id": ID, "ok": True, "value": "1"}],
        [{"t": "log", "id": ID, "level": "log", "text": "before it began"}],
        [{"t": "began", "id": ID}, {"t": "late", "id": ID}],
        [{"t": "began", "id": ID}, {"t": "done", "id": "1" * 32, "ok": True, "value": "1"}],
        [{"t": "began", "id": ID}, {"t": "ask", "id": ID, "n": 1, "name": "not offered", "content": "1"}],
        [{"t": "began", "id": ID}, {"t": "ask", "id": ID, "n": -1, "name": "offered", "content": "1"}],
        [{"t": "began", "id": ID}, {"t": "ask", "id": ID, "n": 1 << 80, "name": "offered", "content": "1"}],
        [{"t": "ready", "node": "24"}, {"t": "ready", "node": "24"}],
        [{"t": "done", "id": [ID], "ok": True}],
        [{"t": "done", "id": ID, "ok": 1}],
        [{"t": "load", "id": ID}],
        [{"id": ID}],
        [b"", b"null"],
        [b"not json"],
        [b'{"t":"began","id":"\xff"}'],
        [b'{"t":"began","id":"\\ud800"}'],
        [b"[" * 100_000],
        [b'{"t":' * 100_000],
    ],
)
async def test_what_is_not_agreed_on_ends_the_process_and_settles_the_call(lies: list[dict[str, Any] | bytes]) -> None:
    async def answer(_: Any) -> None:
        return None

    liar = Liar(answers={"offered": answer})
    liar.say(*lies)
    await asyncio.sleep(0)

    assert liar.was_killed
    assert liar.requeued == [liar.call] or liar.outcome.error is not None
    assert not liar.worker.calls


@pytest.mark.parametrize(
    ("lies", "told"),
    [
        ([{"n": 1, "more": True}], 0),
        ([{"n": -1}], 0),
        ([{"n": 0, "more": True}, {"n": 0, "more": True}], 1),
        ([{"n": 0, "more": True}, {"n": 2}], 1),
        ([{"n": 0, "more": True, "ok": False, "error": FAILURE}], 0),
        ([{"n": 0, "more": True, "ok": False}], 0),
        ([{"n": 0, "more": True, "value": "["}], 0),
        ([{"n": 0, "more": True}, {"n": 1, "more": True}, {"n": 2, "more": True}], 2),
    ],
)
async def test_of_several_functions_none_is_believed_twice_nor_after_a_failure(
    lies: list[dict[str, Any]], told: int
) -> None:
    liar = Liar(steps=3)
    liar.say(liar.about("began"), *(liar.about("done", **{"ok": True, "value": "1", **lie}) for lie in lies))

    assert liar.was_killed
    outcomes = liar.call.result.result()
    assert [outcome.error is None for outcome in outcomes] == [True] * told + [False]


async def test_each_of_several_functions_has_its_own_limits_and_durations_that_can_be() -> None:
    async def answer(_: Any) -> None:
        return None

    liar = Liar(limits=Limits(output_bytes=1000), answers={"offered": answer}, steps=20)
    liar.say(liar.about("began"))
    for number in range(20):
        liar.say(liar.about("log", level="log", text="x" * 900))
        liar.say(*(liar.about("ask", n=20 * number + place, name="offered", content="1") for place in range(20)))
        liar.say(liar.about("done", n=number, ok=True, value="1", more=number < 19, ms=(-5.0, 1e300)[number % 2]))

    outcomes = liar.call.result.result()
    assert not liar.worker.ended
    assert [len(outcome.logs) for outcome in outcomes] == [1] * 20
    assert all(0 <= outcome.duration_ms < 60_000 for outcome in outcomes)


async def test_a_message_that_says_it_is_huge_is_not_waited_for() -> None:
    liar = Liar()
    liar.worker._line.data_received(struct.pack(">I", FRAME_BYTES + 1))

    assert liar.was_killed


async def test_an_answer_for_another_tenants_call_reaches_nobody() -> None:
    other, liar = Liar(), Liar()
    other.call.id = "2" * 32
    other.worker.calls = {other.call.id: other.call}
    liar.say(liar.about("began"), {"t": "done", "id": other.call.id, "ok": True, "value": '"mine"'})

    assert liar.was_killed
    assert not other.worker.ended
    assert not other.call.result.done()


async def test_a_second_answer_ends_the_process_and_changes_nothing() -> None:
    liar = Liar()
    liar.say(liar.about("began"), liar.about("done", ok=True, value='"first"'))
    liar.say(liar.about("done", ok=True, value='"second"'))

    assert liar.outcome.value == "first"
    assert liar.was_killed


async def test_output_after_the_end_of_a_call_is_ended() -> None:
    liar = Liar()
    liar.say(liar.about("began"), liar.about("done", ok=True, value="1"), liar.about("log", level="x", text="late"))

    assert liar.was_killed
    assert liar.outcome.logs == ()


def nested(depth: int) -> str:
    return '{"a":[' * (depth // 2) + "1" + "]}" * (depth // 2)


@pytest.mark.parametrize(
    ("value", "answered"),
    [
        (nested(DEEPEST), True),
        (nested(DEEPEST + 2), False),
        (nested(900), False),
        ("[" * 200_000, False),
        (json.dumps("[" * 1000), True),
        (json.dumps([[1, 2]] * 1000), True),
        ("1" + "0" * 5000, False),
        ("1e400", False),
        ('"\\ud800"', False),
        ("", False),
    ],
)
async def test_an_answer_is_read_as_deep_as_anybody_walks(value: str, answered: bool) -> None:
    liar = Liar()
    liar.say(liar.about("began"), liar.about("done", ok=True, value=value))

    assert (liar.outcome.error is None) is answered
    if liar.outcome.error is not None:
        assert liar.outcome.error.type == "AnswerMalformed"


@pytest.mark.parametrize(
    ("details", "type_"),
    [(nested(900), "AnswerMalformed"), ('"' + "x" * (1 << 20) + '"', "AnswerTooLarge"), ("[1]", "Error")],
)
async def test_what_an_error_says_of_itself_has_limits(details: str, type_: str) -> None:
    liar = Liar()
    liar.say(liar.about("began"), liar.about("done", ok=False, error={**FAILURE, "details": details}))

    assert liar.outcome.error is not None
    assert liar.outcome.error.type == type_
    assert liar.outcome.error.details == {}


async def test_lines_without_a_text_come_to_an_end() -> None:
    liar = Liar(limits=Limits(output_bytes=16_000))
    liar.say(liar.about("began"))
    for _ in range(1_001):
        if not liar.worker.ended:
            liar.say(liar.about("log", level="log", text=""))

    assert liar.was_killed
    assert liar.outcome.error is not None
    assert liar.outcome.error.type == "OutputExceeded"
    assert len(liar.outcome.logs) == 1_000


async def test_a_question_nested_without_end_ends_the_process() -> None:
    async def answer(_: Any) -> None:
        raise AssertionError("nobody is asked")

    liar = Liar(answers={"offered": answer})
    liar.say(liar.about("began"), liar.about("ask", n=1, name="offered", content=nested(900)))
    await asyncio.sleep(0)

    assert liar.was_killed


# --- the network channel -------------------------------------------------------------------------------------------


class Caught:
    """Stands for the worker of a broker."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.used_up = 0

    def misbehaved(self, reason: str) -> None:
        self.reasons.append(reason)

    def used_up_its_network(self) -> None:
        self.used_up += 1


class Wire:
    """A broker, and what a process says to it."""

    def __init__(self, policy: NetworkPolicy, *, streams: int = 50) -> None:
        self.worker = Caught()
        self.broker = Broker(self.worker, streams=streams)
        self.channel = Channel()
        self.broker.connection_made(cast("Any", self.channel))
        self.broker.guard = policy.of("mallory")
        self.visits = Visits()
        self.broker.begin(self.visits)

    def say(self, kind: int, number: int = 1, content: bytes | dict[str, Any] = b"") -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.broker.data_received(struct.pack(">BII", kind, number, len(body)) + body)

    async def answers(self) -> list[tuple[int, int, dict[str, Any]]]:
        """What it was told, once everything it asked for has ended."""
        while self.broker._tasks:
            await asyncio.sleep(0.001)
        found, at = [], 0
        while at < len(self.channel.said):
            kind, number, length = struct.unpack_from(">BII", self.channel.said, at)
            body = bytes(self.channel.said[at + 9 : at + 9 + length])
            found.append((kind, number, json.loads(body) if kind in {OPENED, CLOSED, RESOLVED} and body else {}))
            at += 9 + length
        return found


async def nowhere(host: str, port: int) -> Sequence[str]:
    raise OSError


SOMEWHERE = {"host": "a.test", "port": 80}


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (OPEN, b""),
        (OPEN, b"[" * 60_000),
        (OPEN, {"port": 80}),
        (OPEN, {"host": 1, "port": 80}),
        (OPEN, {"host": "a.test", "port": -1}),
        (OPEN, {"host": "a.test", "port": 65_536}),
        (OPEN, {"host": "a.test", "port": "80"}),
        (OPEN, {"host": "a.test", "port": 1e300}),
        (RESOLVE, b"null"),
        (OPENED, b"{}"),
        (RESOLVED, b"{}"),
        (0, b""),
        (255, b""),
        (DATA, b"x" * 65_537),
    ],
)
async def test_a_message_that_makes_no_sense_ends_the_process(kind: int, content: bytes | dict[str, Any]) -> None:
    wire = Wire(NetworkPolicy(resolver=nowhere))
    wire.say(kind, 1, content)

    assert len(wire.worker.reasons) == 1
    assert wire.broker.open_streams == 0


@pytest.mark.parametrize("kind", [DATA, END, CREDIT, CLOSED])
async def test_what_is_said_of_a_stream_that_is_over_is_of_no_consequence(kind: int) -> None:
    wire = Wire(NetworkPolicy(resolver=nowhere))
    wire.say(kind, 7, b"1234")

    assert wire.worker.reasons == []
    assert await wire.answers() == []


async def test_a_stream_cannot_be_opened_twice_nor_spoken_to_before_it_is_open() -> None:
    wire = Wire(NetworkPolicy(resolver=nowhere))
    wire.say(OPEN, 1, SOMEWHERE)
    wire.say(OPEN, 1, SOMEWHERE)
    wire.say(OPEN, 2, SOMEWHERE)
    wire.say(DATA, 2, b"x")

    assert wire.worker.reasons == ["a stream was opened wrongly", "more was sent than there was credit for"]
    await wire.answers()


async def test_nothing_is_sent_after_the_end_and_no_credit_is_invented() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        wire = Wire(NetworkPolicy([f"127.0.0.1:{port}"]))
        for number in (1, 2):
            wire.say(OPEN, number, {"host": "127.0.0.1", "port": port})
        assert [kind for kind, _, _ in await wire.answers()] == [OPENED, OPENED]
        wire.say(END, 1)
        wire.say(END, 1)
        wire.say(DATA, 1, b"x")
        wire.say(CREDIT, 2, struct.pack(">I", WINDOW * 2))

        assert wire.worker.reasons == ["more was sent after the end", "more credit was given than was used"]
        wire.broker.close()


@pytest.mark.parametrize(
    ("limit", "most", "kind", "content"),
    [
        ("MAX_MESSAGES", 100, CREDIT, b""),
        ("MAX_BYTES", 100, DATA, b"x"),
        ("MAX_ATTEMPTS", 100, OPEN, SOMEWHERE),
    ],
)
async def test_the_messages_of_a_call_come_to_an_end(
    limit: str, most: int, kind: int, content: bytes | dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever they are: reading them is the server's time."""
    monkeypatch.setattr(egress, limit, most)
    wire = Wire(NetworkPolicy(resolver=nowhere))
    for number in range(most):
        wire.say(kind, number, content)
    assert wire.worker.used_up == 0
    wire.say(kind, most, content)
    wire.say(kind, most + 1, content)
    assert wire.worker.used_up > 0
    await wire.answers()

    wire.worker.used_up = 0
    wire.broker.begin(Visits())
    wire.say(kind, most + 2, content)
    assert wire.worker.used_up == 0
    await wire.answers()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "0x7f.1", "0177.0.0.1", "2130706433", "0", "0.0.0.0", "::", "::1", "0:0:0:0:0:0:0:1",
        "::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::",
        "2001::7f00:1", "fe80::1", "fe80::1%lo", "fd00:ec2::254", "ff02::1", "::ffff:169.254.169.254",
        "169.254.169.254", "100.100.100.200", "10.0.0.1", "172.16.0.1", "192.168.0.1", "168.63.129.16", "224.0.0.1",
        "255.255.255.255", "198.18.0.1", "192.0.0.192",
    ],
)  # fmt: skip
async def test_no_form_of_a_closed_address_is_connected_to(host: str) -> None:
    """As the system reads them, which knows more forms than anybody expects."""
    wire = Wire(NetworkPolicy())
    wire.say(OPEN, 1, {"host": host, "port": 80})
    wire.say(RESOLVE, 2, {"host": host})

    answers = {(kind, number): said for kind, number, said in await wire.answers()}
    # A form that this system does not know at all is as good.
    assert answers[CLOSED, 1]["code"] in {"EACCES", "ENOTFOUND"}
    assert answers[RESOLVED, 2] == {"code": "ENOTFOUND"}
    assert {visit.how for visit in wire.visits.listed()} <= {"refused", "failed"}


@pytest.mark.parametrize("host", ["", "a b", "a\0.test", "a\nb", "http://a.test/?key=1", "user:pass@a.test", "x" * 254])
async def test_what_is_no_name_is_neither_asked_for_nor_kept(host: str) -> None:
    async def asked(host: str, port: int) -> Sequence[str]:
        raise AssertionError("nobody is asked")

    wire = Wire(NetworkPolicy(resolver=asked))
    wire.say(OPEN, 1, {"host": host, "port": 80})

    assert await wire.answers() == [(CLOSED, 1, {"code": "ENOTFOUND"})]
    assert [(visit.host, visit.port, visit.how) for visit in wire.visits.listed()] == [("", 80, "failed")]
    assert wire.worker.reasons == []


async def test_where_a_call_went_is_counted_and_has_an_end() -> None:
    async def inside(host: str, port: int) -> Sequence[str]:
        return ["10.0.0.7"]

    wire = Wire(NetworkPolicy(resolver=inside), streams=1_000)
    for number in range(MOST + 5):
        for again in range(2):
            wire.say(OPEN, number * 2 + again, {"host": f"h{number}.test", "port": 443})
    await wire.answers()

    found = wire.visits.listed()
    assert len(found) == MOST
    reason = "the host has an address that is not public"
    assert {(visit.port, visit.how, visit.reason, visit.times) for visit in found} == {(443, "refused", reason, 2)}
    assert wire.visits.left_out == 10


async def test_a_connection_that_did_not_come_about_in_time_is_among_them() -> None:
    async def silence(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    wire = Wire(NetworkPolicy(resolver=silence))
    wire.say(OPEN, 1, SOMEWHERE)
    await asyncio.sleep(0)

    assert [(visit.host, visit.how) for visit in wire.visits.listed()] == [("a.test", "waiting")]
    wire.broker.close()
