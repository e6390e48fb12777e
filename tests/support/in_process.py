"""A whole installation in the test's own process, with a clock that the test moves.

`installation` is made once per module and asked like a server, through httpx, but without sockets or TLS. What only
the real transport shows belongs to tests of `server`.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from freehold.app import Services, build_edge
from freehold.cli.ready import ready_facts
from freehold.domain.tenants import lifecycle
from freehold.kernel.clock import FakeClock
from freehold.kernel.config import Settings
from freehold.kernel.declare import TenantScope
from freehold.kernel.http.edge import Edge
from freehold.kernel.store import migrate, open_store
from tests.support.applications import Application, make_application
from tests.support.asgi import http_scope

T = TypeVar("T")
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DOMAIN = "tenant.example.com"
_UNSET = {"default_redirection_uri": ""}


@dataclass
class Installation:
    """An installation whose event loop runs in a thread of its own."""

    edge: Edge
    clock: FakeClock
    loop: asyncio.AbstractEventLoop
    domain: str = DOMAIN
    facts: dict[str, Any] = field(default_factory=dict)
    _token: str = ""

    @property
    def issuer(self) -> str:
        return f"https://{self.domain}/"

    @property
    def base_url(self) -> str:
        return f"https://{self.domain}"

    @property
    def services(self) -> Services:
        """What handlers reach, for tests that look behind the answers."""
        services: Services = self.edge.services
        return services

    @property
    def tenant(self) -> TenantScope:
        """The tenant."""
        return self.run(self.services.tenants.by_name("main"))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the installation's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=60)

    def client(self, *, ip: str = "192.0.2.7", **options: Any) -> httpx.Client:
        """An HTTP client that follows no redirects; requests come from the address `ip`."""
        return httpx.Client(base_url=self.base_url, transport=_Transport(self, ip), **options)

    def management(self) -> httpx.Client:
        """A client of the Management API, with every scope."""
        if not self._token:
            with self.client() as http:
                answer = http.post(
                    "/oauth/token", json={"grant_type": "client_credentials", **self.facts["management"]}
                )
            assert answer.status_code == 200, answer.text
            self._token = answer.json()["access_token"]
        return httpx.Client(
            base_url=f"{self.base_url}/api/v2",
            transport=_Transport(self, "192.0.2.7"),
            headers={"authorization": f"Bearer {self._token}"},
        )

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds=seconds)
        self._token = ""

    def work(self) -> None:
        """Have the background work that is due done: by this call, or by the runner that has begun it already."""
        self.run(self._work())

    async def _work(self) -> None:
        # The runner of the installation may hold a job already, and a job may make others.
        unfinished = (
            "select count(*) from work_queue where state = 'queued' and (due_ms <= :now_ms or lease is not null)"
        )
        while True:
            await self.services.jobs.run_due()
            row = await self.services.store.one(unfinished, now_ms=self.clock.now_ms())
            if row is None or row[0] == 0:
                return
            await asyncio.sleep(0.01)

    @contextmanager
    def settings(self, **changes: Any) -> Iterator[None]:
        """Change tenant settings for a while."""
        with self.management() as api:
            before = api.get("/tenants/settings").json()
            answer = api.patch("/tenants/settings", json=changes)
            assert answer.status_code == 200, answer.text
        try:
            yield
        finally:
            with self.management() as api:
                answer = api.patch(
                    "/tenants/settings", json={name: before.get(name, _UNSET.get(name)) for name in changes}
                )
                assert answer.status_code == 200, answer.text


@contextmanager
def started(data: Path, *, database_url: str = "", at: datetime = START, **changes: Any) -> Iterator[Installation]:
    """An installation on this data folder, with these settings besides; its clock begins `at`."""
    quick = {"password_threads": 1, "bcrypt_cost": 4}
    settings = Settings(data_dir=data, database_url=database_url, outbox="on", **{**quick, **changes})
    settings.data.prepare()
    clock = FakeClock(at)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="installation")
    thread.start()
    installation = Installation(build_edge(settings, clock=clock), clock, loop)
    stop = asyncio.Event()
    try:
        serving = installation.run(_start(installation, settings, stop))
        yield installation
        loop.call_soon_threadsafe(stop.set)
        installation.run(_ended(serving))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=30)
        loop.close()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for the tests of a module."""
    with started(tmp_path_factory.mktemp("installation") / "data") as running:
        yield running


@pytest.fixture
def app(installation: Installation) -> Application:
    """A confidential application with a connection and an API of its own."""
    return make_application(installation)


async def _start(installation: Installation, settings: Settings, stop: asyncio.Event) -> asyncio.Task[None]:
    store = open_store(settings.store_url, clock=installation.clock)
    await migrate(store)
    await store.close()
    ready = asyncio.Event()
    messages = [{"type": "lifespan.startup"}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await stop.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: MutableMapping[str, Any]) -> None:
        assert not message["type"].endswith(".failed"), installation.edge.startup_error
        ready.set()

    serving = asyncio.create_task(installation.edge({"type": "lifespan"}, receive, send))
    await ready.wait()
    services = installation.services
    tenant = await lifecycle.ensure_first(services.store, services.tenants, installation.domain)
    installation.facts = await ready_facts(services.store, tenant, settings)
    return serving


async def _ended(serving: asyncio.Task[None]) -> None:
    await serving


class _Transport(httpx.BaseTransport):
    """Hands requests to the ASGI application on the installation's loop."""

    def __init__(self, installation: Installation, ip: str) -> None:
        self._installation = installation
        self._ip = ip

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._installation.run(self._ask(request, request.read()))

    async def _ask(self, request: httpx.Request, body: bytes) -> httpx.Response:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        scope = http_scope(request.method, request.url.raw_path.decode("latin-1"), headers, peer=self._ip)
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        answer: dict[str, Any] = {"body": b""}

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await asyncio.sleep(3600)
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.update(status=message["status"], headers=message["headers"])
            else:
                answer["body"] += message.get("body", b"")

        await self._installation.edge(scope, receive, send)
        return httpx.Response(answer["status"], headers=answer["headers"], content=answer["body"])
