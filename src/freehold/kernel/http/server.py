"""Serving an edge: uvicorn on uvloop with httptools, TLS 1.2 or newer, one process or several sharing the port.

The port is bound before anything starts, so that the program knows its own address (port 0 included) and two servers
cannot take one port. Worker processes are forked from a parent that only watches over them; each runs the edge's
lifespan for itself, so nothing bound to a process (a database connection, a thread) may be opened before.
"""

import asyncio
import gc
import os
import selectors
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import uvicorn
import uvloop

from freehold.kernel import log as logs
from freehold.kernel.errors import FreeholdError
from freehold.kernel.http.edge import Edge
from freehold.kernel.http.protocol import LimitedHttpProtocol

BACKLOG = 2048
# An answer nobody takes for this long ends the connection, so that slow readers cannot hold memory for ever.
UNREAD_TIMEOUT_MS = 120_000
RESTART_DELAY_S = 1.0

log = logs.get_logger("server")


class CannotServe(FreeholdError):
    """The server could not start; the message says what to do."""

    code = "cannot_serve"


class Tls(msgspec.Struct, frozen=True):
    """The certificate chain and its private key, both PEM files."""

    certificate: Path
    private_key: Path

    def context(self) -> ssl.SSLContext:
        """A server context: TLS 1.2 or newer, forward secrecy and authenticated encryption only.

        A certificate that is replaced on disk serves from the next connection on; one that cannot be used, because its
        key is still to come, does not end what works.
        """
        first = latest = self._load()
        stamp = self._stamp()

        def choose(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            nonlocal latest, stamp
            try:
                found = self._stamp()
                if found != stamp:
                    latest, stamp = self._load(), found
            except (OSError, ssl.SSLError) as error:
                log.warning("certificate_unusable", reason=type(error).__name__)
            if latest is not first:
                connection.context = latest

        first.sni_callback = choose
        return first

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
        context.set_alpn_protocols(["http/1.1"])
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.load_cert_chain(self.certificate, self.private_key)
        return context

    def _stamp(self) -> tuple[int, int]:
        status = self.certificate.stat()
        return status.st_ino, status.st_mtime_ns


class Listener(msgspec.Struct, frozen=True):
    """A bound port: for each worker the sockets it accepts from."""

    port: int
    sockets: Sequence[Sequence[socket.socket]]

    def close(self) -> None:
        for group in self.sockets:
            for sock in group:
                sock.close()


def bind(host: str, port: int, *, workers: int = 1) -> Listener:
    """Take the port, or a free one for 0, on every address of the host. Raises CannotServe when it cannot be had."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise CannotServe(f"The host {host} cannot be resolved: {error.strerror}") from None
    unique = list(dict.fromkeys((family, address[0]) for family, _, _, _, address in addresses))
    groups: list[list[socket.socket]] = [[] for _ in range(workers)]
    try:
        for family, address in unique:
            try:
                # Sharing a port would also let a second server join unnoticed, so it is taken alone once before.
                with _bound_socket(family, str(address), port, shared=False) as alone:
                    port = alone.getsockname()[1]
                    if workers == 1:
                        groups[0].append(alone.dup())
                        continue
                for group in groups:
                    group.append(_bound_socket(family, str(address), port, shared=True))
            except OSError as error:
                if family == socket.AF_INET6 and len(unique) > 1 and not isinstance(error, PermissionError):
                    continue  # localhost names ::1 also where IPv6 is switched off
                raise
    except OSError as error:
        for group in groups:
            for sock in group:
                sock.close()
        raise CannotServe(f"Port {port} on {host} cannot be used: {error.strerror}") from None
    if not groups[0]:
        raise CannotServe(f"Port {port} on {host} cannot be used")
    return Listener(port, groups)


def serve(
    edge: Edge,
    listener: Listener,
    *,
    tls: Tls | None = None,
    on_ready: Callable[[int], None] | None = None,
    grace_s: int = 10,
) -> None:
    """Answer requests until SIGTERM or SIGINT; `on_ready` is called with the port once every worker answers.

    A stop lets running requests finish for at most `grace_s`. Raises whatever the edge's lifespan raised at start.
    """
    if len(listener.sockets) > 1:
        _Supervisor(edge, listener, tls, on_ready, grace_s).run()
        return

    def ready() -> None:
        gc.freeze()  # what exists now lives as long as the process; collections need not look at it again
        if on_ready is not None:
            on_ready(listener.port)

    _Server(edge, tls, grace_s, ready).run_on(listener.sockets[0])


@contextmanager
def serving(edge: Edge, listener: Listener, *, tls: Tls | None = None, grace_s: int = 5) -> Iterator[int]:
    """Serve from a thread of this process while the block runs; gives the port."""
    answering = threading.Event()
    server = _Server(edge, tls, grace_s, answering.set)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            server.run_on(listener.sockets[0])
        except BaseException as error:  # noqa: BLE001 - handed to the thread that started this one
            failures.append(error)
        finally:
            answering.set()

    thread = threading.Thread(target=run, name="freehold-http", daemon=True)
    thread.start()
    answering.wait()
    if failures:
        raise failures[0]
    try:
        yield listener.port
    finally:
        server.stop()
        thread.join()


def _bound_socket(family: int, address: str, port: int, *, shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_TIMEOUT_MS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


class _Server(uvicorn.Server):
    """uvicorn's server, which stops without raising the signal again and says when it answers."""

    def __init__(self, edge: Edge, tls: Tls | None, grace_s: int, on_ready: Callable[[], None]) -> None:
        context = tls.context() if tls is not None else None
        super().__init__(
            uvicorn.Config(
                edge,
                http=LimitedHttpProtocol,
                ws="none",
                lifespan="on",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=grace_s,
                ssl_context_factory=(lambda _config, _default: context) if context is not None else None,
            )
        )
        self._edge = edge
        self._on_ready = on_ready
        self._stop_fd: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken: asyncio.Event | None = None

    def run_on(self, sockets: Sequence[socket.socket], *, stop_fd: int | None = None) -> None:
        """Serve from these sockets until stopped; when `stop_fd` is at its end, that too is a stop."""
        self._stop_fd = stop_fd
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve(list(sockets)))
        except SystemExit:
            if self._edge.startup_error is not None:
                raise self._edge.startup_error from None
            raise CannotServe("The server could not start") from None

    def stop(self) -> None:
        """Stop gracefully; may be called from any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop may have ended by itself
                self._loop.call_soon_threadsafe(self._stop)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(number, self._stop)
        if self._stop_fd is not None:
            self._loop.add_reader(self._stop_fd, self._stop)
        await super().startup(sockets)
        if not self.should_exit:
            self._on_ready()

    async def main_loop(self) -> None:
        assert self._woken is not None
        seconds = 0
        while not await self.on_tick(seconds * 10):  # uvicorn counts ticks of 0.1 s and renews Date on every tenth
            seconds += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), timeout=1.0)

    def _stop(self) -> None:
        if self._stop_fd is not None and self._loop is not None:
            self._loop.remove_reader(self._stop_fd)
        self.force_exit = self.should_exit and self._stop_fd is None
        self.should_exit = True
        if self._woken is not None:
            self._woken.set()


class _Supervisor:
    """The parent of the worker processes: starts them, replaces one that dies, stops them together."""

    def __init__(
        self, edge: Edge, listener: Listener, tls: Tls | None, on_ready: Callable[[int], None] | None, grace_s: int
    ) -> None:
        self._edge = edge
        self._listener = listener
        self._tls = tls
        self._on_ready = on_ready
        self._grace_s = grace_s
        self._selector = selectors.DefaultSelector()
        self._workers: dict[int, int] = {}  # process id -> index
        self._ready: set[int] = set()
        self._stopping = False

    def run(self) -> None:
        # Each worker holds the reading end; when the parent is gone, however it ended, they all see the end of it.
        life_read, life_write = os.pipe()
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        previous_fd = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        self._selector.register(wake_read, selectors.EVENT_READ, None)
        self._inherited = (life_write, wake_read, wake_write)
        self._life_read = life_read
        failed = False
        announced = False
        try:
            for index in range(len(self._listener.sockets)):
                self._start(index)
            while not self._stopping:
                for key, _ in self._selector.select():
                    if key.data is None:
                        with suppress(BlockingIOError):
                            os.read(wake_read, 64)
                        continue
                    pid = key.data
                    if os.read(key.fd, 1):
                        self._ready.add(pid)
                        continue
                    self._selector.unregister(key.fd)
                    os.close(key.fd)
                    index, status = self._reap(pid)
                    if self._stopping:
                        continue
                    log.error("worker_died", worker=index, pid=pid, exit_status=status)
                    if pid not in self._ready and not announced:
                        failed = self._stopping = True
                        continue
                    time.sleep(RESTART_DELAY_S)
                    self._start(index)
                if not announced and not self._stopping and len(self._ready) == len(self._listener.sockets):
                    announced = True
                    if self._on_ready is not None:
                        self._on_ready(self._listener.port)
        finally:
            os.close(life_write)
            self._stop_all()
            signal.set_wakeup_fd(previous_fd)
            for number, handler in previous.items():
                signal.signal(number, handler)
            for fd in (life_read, wake_read, wake_write):
                os.close(fd)
            self._selector.close()
        if failed:
            raise CannotServe("A worker process could not start; the log above says why")

    def _start(self, index: int) -> None:
        ready_read, ready_write = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(ready_read)
            self._work(index, ready_write)
        os.close(ready_write)
        self._workers[pid] = index
        self._selector.register(ready_read, selectors.EVENT_READ, pid)

    def _work(self, index: int, ready_fd: int) -> None:
        """The life of a worker process; does not return."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            self._selector.close()
            for fd in self._inherited:
                os.close(fd)
            server = _Server(self._edge, self._tls, self._grace_s, lambda: _say_ready(ready_fd))
            server.run_on(self._listener.sockets[index], stop_fd=self._life_read)
            status = 0
        except BaseException as error:
            log.error("worker_failed", worker=index, exc_info=error)
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _reap(self, pid: int) -> tuple[int, int]:
        _, status = os.waitpid(pid, 0)
        return self._workers.pop(pid), os.waitstatus_to_exitcode(status)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stopping = True

    def _stop_all(self) -> None:
        deadline = time.monotonic() + self._grace_s + 5
        for pid in self._workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        while self._workers:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid:
                self._workers.pop(pid, None)
            elif time.monotonic() > deadline:
                for late in self._workers:
                    with suppress(ProcessLookupError):
                        os.kill(late, signal.SIGKILL)
                deadline = float("inf")
            else:
                time.sleep(0.02)


def _say_ready(fd: int) -> None:
    gc.freeze()
    os.write(fd, b"r")
