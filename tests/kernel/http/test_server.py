"""The server over real sockets: what arrives, what leaves, how it stops."""

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from freehold.kernel import log
from freehold.kernel.crypto.x509 import LocalAuthority
from freehold.kernel.errors import FreeholdError
from freehold.kernel.http import Edge, Request, Response, Router, stream
from freehold.kernel.http import json as json_response
from freehold.kernel.http import protocol as protocol_module
from freehold.kernel.http.server import CannotServe, Tls, bind, serving
from tests.support.asgi import Reply

PROGRAM = Path(__file__).with_name("serving_program.py")
SOURCE = Path(__file__).parents[3]


async def resolve(_host: str) -> str:
    return "tenant"


def render(error: FreeholdError, _request: Request) -> Response:
    return json_response({"error": error.code, "message": error.message}, error.status)


class Held:
    """A handler that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go_on = threading.Event()

    async def __call__(self, _request: Request) -> Response:
        self.entered.set()
        while not self.go_on.is_set():
            await asyncio.sleep(0.01)
        return json_response({"held": True})


@pytest.fixture
def held() -> Held:
    return Held()


def build(held: Held) -> Edge:
    async def echo(request: Request) -> Response:
        return json_response(
            {"method": request.method, "params": dict(request.params), "size": len(await request.body())}
        )

    async def numbers() -> AsyncIterator[bytes]:
        for number in range(1000):
            yield b"%d\n" % number

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536

    async def streaming(request: Request) -> Response:
        return stream(endless() if request.query.get("endless") else numbers(), content_type="text/plain")

    async def no_body(request: Request) -> Response:
        return json_response({"unread": True})

    router = Router()
    router.add("GET", "/echo/{id}", echo, name="echo")
    router.add("POST", "/echo/{id}", echo, name="echo.post", max_body=300_000)
    router.add("GET", "/stream", streaming, name="stream")
    router.add("GET", "/held", held, name="held")
    router.add("POST", "/unread", no_body, name="unread")
    return Edge(router, resolve_tenant=resolve, errors={"page": render})


@pytest.fixture
def port(held: Held) -> Iterator[int]:
    with serving(build(held), bind("127.0.0.1", 0)) as port:
        yield port
        held.go_on.set()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def read_to_end(sock: socket.socket) -> bytes:
    received = b""
    while chunk := sock.recv(65_536):
        received += chunk
    return received


def exchange(port: int, raw: bytes) -> list[Reply]:
    """Send bytes, close our side for writing with a last request, and return every answer on the connection."""
    with closing(connect(port)) as sock:
        sock.sendall(raw)
        return parse(read_to_end(sock))


def parse(received: bytes) -> list[Reply]:
    replies = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = [line.split(": ", 1) for line in lines]
        reply = Reply(int(first.split(" ")[1]), [(name.lower(), value) for name, value in pairs])
        length = int(reply.header("content-length") or 0)
        reply.body, received = received[:length], received[length:]
        replies.append(reply)
    return replies


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: t", *headers, "", ""]).encode("latin-1")


CLOSE = "Connection: close"


def test_requests_on_one_connection_are_answered_in_order(port: int) -> None:
    replies = exchange(port, get("/echo/1") + get("/echo/2") + get("/echo/3", CLOSE))

    assert [reply.json()["params"]["id"] for reply in replies] == ["1", "2", "3"]
    assert replies[2].header("connection") == "close"
    assert all(reply.header("date") for reply in replies)
    assert all(reply.header("server") is None for reply in replies)


def test_the_raw_path_reaches_the_router(port: int) -> None:
    (reply,) = exchange(port, get("/echo/https%3A%2F%2Fapi.example.com%2F", CLOSE))

    assert reply.json()["params"] == {"id": "https://api.example.com/"}


def test_head_has_the_length_and_no_body(port: int) -> None:
    raw = get("/echo/1").replace(b"GET", b"HEAD") + get("/echo/2", CLOSE)

    with closing(connect(port)) as sock:
        sock.sendall(raw)
        received = read_to_end(sock)

    head, _, rest = received.partition(b"\r\n\r\n")
    assert b"content-length: 46" in head
    assert rest.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_read_up_to_the_limit(port: int, chunked: bool) -> None:
    def pieces(size: int) -> Iterator[bytes]:
        for start in range(0, size, 10_000):
            yield b"x" * min(10_000, size - start)

    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        fits = client.post("/echo/1", content=pieces(300_000) if chunked else b"x" * 300_000)
        is_over = client.post("/echo/1", content=pieces(300_001) if chunked else b"x" * 300_001)

    assert fits.json()["size"] == 300_000
    assert (is_over.status_code, is_over.json()["message"]) == (
        413,
        "Payload content length greater than maximum allowed: 300000.",
    )


def test_a_client_that_sent_too_much_can_go_on_with_its_connection(port: int) -> None:
    too_much = b"POST /echo/1 HTTP/1.1\r\nHost: t\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 5_000_000

    replies = exchange(port, too_much + get("/echo/2", CLOSE))

    assert [reply.status for reply in replies] == [413, 200]


def test_a_body_nobody_reads_does_not_disturb_the_next_request(port: int) -> None:
    unread = (
        b"POST /unread HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\n" + b"GET /stream HTTP/1.1\r\n\r\n" * 8_000
    )

    replies = exchange(port, unread + b"x" * (200_000 - 192_000) + get("/echo/2", CLOSE))

    assert [reply.status for reply in replies] == [200, 200]


def test_a_client_may_ask_before_it_sends(port: int) -> None:
    head = b"POST /echo/1 HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: "
    with closing(connect(port)) as sock:
        sock.sendall(head + b"4\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        sock.sendall(b"body")
        assert parse(read_to_end(sock))[0].json()["size"] == 4

    with closing(connect(port)) as sock:
        sock.sendall(head + b"400000\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (get("/" + "a" * 17_000), 414),
        (get("/echo/1", "X-Big: " + "a" * 70_000), 431),
        (get("/echo/1", *(f"X-{i}: 1" for i in range(120))), 431),
        (b"GET /echo/1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET /echo/\xff HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        (b"GET /echo/1 HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /echo/1 HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /echo/1 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /echo/1 HTTP/1.1\r\nHost: t\r\nbad header: 1\r\n\r\n", 400),
        (b"GET /echo/1 HTTP/1.1\r\nHost: t\r\nx: a\0b\r\n\r\n", 400),
        (b"GET /echo/1 HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (b"GET /echo/1 HTTP/1.1\r\nHost: t\r\nHost: u\r\nConnection: close\r\n\r\n", 400),
        (b"GET /echo/a\rb HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        (b"GET /echo/a#b HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        (b"GET /echo/a?b#c HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        (b"CONNECT evil.test:443 HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    ],
)
def test_a_request_that_two_readers_would_read_differently_is_refused(port: int, raw: bytes, status: int) -> None:
    reply = exchange(port, raw)[0]

    assert reply.status == status
    assert reply.header("connection") == "close" or reply.header("x-request-id")


def test_an_absolute_target_is_read_for_its_path(port: int) -> None:
    """RFC 9112 section 3.2.2"""
    (reply,) = exchange(port, b"GET http://other.test/echo/1?x=1 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")

    assert reply.json()["params"] == {"id": "1"}


def test_an_upgrade_is_not_taken(port: int) -> None:
    (reply,) = exchange(port, get("/echo/1", "Connection: Upgrade, close", "Upgrade: websocket"))[:1]

    assert reply.status == 200


def test_http_1_0_is_answered_and_closed(port: int) -> None:
    (reply,) = exchange(port, b"GET /echo/1 HTTP/1.0\r\nHost: t\r\n\r\n")

    assert reply.status == 200


def test_a_stream_arrives_whole(port: int) -> None:
    assert httpx.get(f"http://127.0.0.1:{port}/stream").text == "".join(f"{number}\n" for number in range(1000))


def test_a_client_that_leaves_a_stream_does_not_hold_the_server(port: int) -> None:
    for _ in range(5):
        with closing(connect(port)) as sock:
            sock.sendall(get("/stream?endless=1"))
            sock.recv(100_000)

    assert httpx.get(f"http://127.0.0.1:{port}/echo/1").status_code == 200


def test_a_client_that_stops_in_the_middle_is_cut_off(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol_module, "CHECK_S", 0.1)
    with serving(build(held), bind("127.0.0.1", 0)) as port:
        silent, in_head, in_body, waiting, idle = (connect(port) for _ in range(5))
        in_head.sendall(b"GET /echo/1 HTTP/1.1\r\nHost")
        in_body.sendall(b"POST /echo/1 HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc")
        waiting.sendall(get("/held", CLOSE))
        idle.sendall(get("/echo/1"))
        assert idle.recv(10_000)

        for stalled in (silent, in_head, in_body):
            assert read_to_end(stalled) == b""

        held.go_on.set()
        assert parse(read_to_end(waiting))[0].json() == {"held": True}
        idle.sendall(get("/echo/2", CLOSE))
        assert parse(read_to_end(idle))[0].status == 200
        for sock in (silent, in_head, in_body, waiting, idle):
            sock.close()


def test_a_connection_without_use_is_closed(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol_module, "CHECK_S", 0.02)
    with serving(build(held), bind("127.0.0.1", 0)) as port:
        idle, waiting = connect(port), connect(port)
        waiting.sendall(get("/held", CLOSE))
        idle.sendall(get("/echo/1"))

        assert read_to_end(idle).startswith(b"HTTP/1.1 200")
        held.go_on.set()
        assert parse(read_to_end(waiting))[0].json() == {"held": True}
        idle.close()
        waiting.close()


def test_a_stopping_server_finishes_what_it_began_and_takes_nothing_new(held: Held) -> None:
    with serving(build(held), bind("127.0.0.1", 0)) as port:
        sock, idle = connect(port), connect(port)
        idle.sendall(get("/echo/1"))
        assert idle.recv(10_000)
        sock.sendall(get("/held"))
        assert held.entered.wait(10)
        threading.Timer(0.3, held.go_on.set).start()

    assert parse(read_to_end(sock))[0].json() == {"held": True}
    assert read_to_end(idle) == b""
    sock.close()
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        connect(port)


def test_a_stopping_server_does_not_wait_for_ever(held: Held) -> None:
    with serving(build(held), bind("127.0.0.1", 0), grace_s=1) as port:
        waiting, streaming = connect(port), connect(port)
        waiting.sendall(get("/held"))
        assert held.entered.wait(10)
        streaming.sendall(get("/stream?endless=1"))
        streaming.recv(1000)

    assert b"held" not in read_to_end(waiting)
    assert not read_to_end(streaming).endswith(b"0\r\n\r\n")
    waiting.close()
    streaming.close()


def test_startup_and_shutdown_surround_the_serving() -> None:
    happened = []

    @asynccontextmanager
    async def lifespan(edge: Edge) -> AsyncIterator[None]:
        happened.append("started")
        edge.services = "opened"
        yield
        happened.append("stopped")

    async def show(request: Request) -> Response:
        return json_response(request.services)

    router = Router()
    router.add("GET", "/", show, name="show")
    edge = Edge(router, resolve_tenant=resolve, errors={"page": render}, lifespan=lifespan)
    with serving(edge, bind("127.0.0.1", 0)) as port:
        assert httpx.get(f"http://127.0.0.1:{port}/").json() == "opened"
        assert happened == ["started"]

    assert happened == ["started", "stopped"]


def test_what_fails_at_start_is_raised_to_who_started() -> None:
    class NoDatabase(FreeholdError):
        pass

    @asynccontextmanager
    async def lifespan(_edge: Edge) -> AsyncIterator[None]:
        raise NoDatabase("The database does not answer")
        yield

    edge = Edge(Router(), resolve_tenant=resolve, errors={}, lifespan=lifespan)
    with pytest.raises(NoDatabase), serving(edge, bind("127.0.0.1", 0)):
        pass


def test_a_taken_port_is_refused_in_words() -> None:
    first = bind("127.0.0.1", 0)
    first.sockets[0][0].listen()
    for workers in (1, 2):
        with pytest.raises(CannotServe, match=f"Port {first.port} on 127.0.0.1 cannot be used"):
            bind("127.0.0.1", first.port, workers=workers)
    first.close()

    with pytest.raises(CannotServe, match="cannot be resolved"):
        bind("no such host", 0)


def test_localhost_is_both_families_on_one_port() -> None:
    listener = bind("localhost", 0)

    ports = {sock.getsockname()[1] for sock in listener.sockets[0]}
    listener.close()

    assert ports == {listener.port}


class Program:
    """A server in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": f"{SOURCE / 'src'}:{SOURCE}"}
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline() or 0)

    def worker(self) -> int:
        """Ask over a connection of its own, so that any worker may take it, and tell which did."""
        (reply,) = exchange(self.port, get("/pid", CLOSE))
        return int(reply.json())

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly(workers: int, number: int) -> None:
    program = Program("--workers", str(workers))
    assert program.worker()

    assert program.stop(number) == (0, "")


def test_workers_share_the_port_and_a_dead_one_is_replaced() -> None:
    program = Program("--workers", "2")
    first = {program.worker() for _ in range(40)}
    assert len(first) == 2
    assert program.process.pid not in first

    killed = min(first)
    os.kill(killed, signal.SIGKILL)
    seen: set[int] = set()
    deadline = time.monotonic() + 20
    while len(seen - first) == 0 and time.monotonic() < deadline:
        seen.add(program.worker())

    assert killed not in seen
    assert len(seen - first) == 1
    status, errors = program.stop()
    assert status == 0
    assert [json.loads(line)["event"] for line in errors.splitlines()] == ["worker_died"]


def test_workers_end_when_their_parent_is_killed() -> None:
    program = Program("--workers", "2")
    assert program.worker() != program.process.pid

    program.process.kill()
    program.process.communicate(timeout=10)
    deadline = time.monotonic() + 20
    with pytest.raises(ConnectionRefusedError):
        while time.monotonic() < deadline:
            connect(program.port).close()
            time.sleep(0.05)


def test_a_worker_that_cannot_start_ends_the_program_with_its_reason() -> None:
    program = Program("--workers", "2", "--broken")

    _, errors = program.process.communicate(timeout=30)

    assert program.process.returncode == 1
    assert "the lifespan failed" in errors
    assert "A worker process could not start" in errors


def test_a_stopping_server_does_not_wait_for_those_who_ask_nothing(
    held: Held, tls: Tls, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.create_default_context(cafile=tls.certificate)
    with serving(build(held), bind("localhost", 0), tls=tls, grace_s=5) as port:
        idle = context.wrap_socket(socket.create_connection(("localhost", port)), server_hostname="localhost")
        idle.sendall(b"GET /robots.txt HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 404"

    idle.close()
    assert "graceful shutdown exceeded" not in caplog.text


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_is_1_2_or_newer_with_forward_secrecy(held: Held, tls: Tls) -> None:
    with serving(build(held), bind("localhost", 0), tls=tls) as port:

        def handshake(version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> tuple[str, str]:
            context = ssl.create_default_context(cafile=tls.certificate)
            context.set_ciphers(ciphers)
            context.minimum_version = context.maximum_version = version
            with (
                socket.create_connection(("localhost", port), timeout=10) as sock,
                context.wrap_socket(sock, server_hostname="localhost") as secured,
            ):
                cipher = secured.cipher()
                assert cipher is not None
                return str(secured.version()), cipher[0]

        assert handshake(ssl.TLSVersion.TLSv1_3)[0] == "TLSv1.3"
        version, cipher = handshake(ssl.TLSVersion.TLSv1_2)
        assert version == "TLSv1.2"
        assert cipher.startswith("ECDHE-")
        assert "GCM" in cipher or "CHACHA20" in cipher
        for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with pytest.raises((ssl.SSLError, OSError)):
                handshake(old)
        for weak in ("AES128-SHA:@SECLEVEL=0", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"):
            with pytest.raises((ssl.SSLError, OSError)):
                handshake(ssl.TLSVersion.TLSv1_2, weak)

        context = ssl.create_default_context(cafile=tls.certificate)
        with httpx.Client(verify=context) as client:
            assert client.get(f"https://localhost:{port}/echo/1").status_code == 200


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    yield
    log.configure()


def test_a_replaced_certificate_serves_from_the_next_connection_on(tmp_path: Path) -> None:
    def answered() -> bytes | None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        client = trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
        server = context.wrap_bio(there, back, server_side=True)
        for _ in range(4):
            for side in (client, server):
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
                there.write(outgoing.read())
                incoming.write(back.read())
        return client.getpeercert(binary_form=True)

    authority = LocalAuthority.load_or_create(tmp_path, datetime.now(UTC))
    first = authority.server_certificate(["one.example"], now=datetime.now(UTC))
    context = Tls(first.certificate_file, first.key_file).context()
    before = answered()
    authority.server_certificate(["two.example"], now=datetime.now(UTC))
    after = answered()

    assert before != after
    assert after == x509.load_pem_x509_certificate(first.certificate_file.read_bytes()).public_bytes(Encoding.DER)
    first.key_file.write_text("not a key")
    first.certificate_file.write_text("nor a certificate")
    assert answered() == after
