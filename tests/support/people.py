"""A whole tenant on both databases, reached through the Management API's own door, without a server.

Signing keys are taken from a few that are made once, because making one takes a tenth of a second.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from freehold.domain.audit import witnesses_of
from freehold.domain.events import EVENTS
from freehold.domain.messaging import Mailer
from freehold.domain.tenants.directory import TenantDirectory
from freehold.domain.users import Database, find_database
from freehold.kernel.clock import FakeClock
from freehold.kernel.config import Settings
from freehold.kernel.crypto.passwords import HashPolicy
from freehold.kernel.crypto.passwords.pool import PasswordPool
from freehold.kernel.crypto.sealing import Keyring, MasterKey
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Unauthorized
from freehold.kernel.http.edge import Edge
from freehold.kernel.http.router import Router
from freehold.kernel.jobs import JobRunner, Periodic
from freehold.kernel.store import Store
from freehold.login import render_page_error
from freehold.registry import REGISTRY
from freehold.surfaces.management.edge import render_error
from freehold.surfaces.management.routes import add_routes
from tests.support.asgi import Reply, ask

PASSWORD = "Correct-Horse-7-Battery"
DATABASE = "Username-Password-Authentication"
EVERY_SCOPE = frozenset(scope for operation in REGISTRY.operations for scope in operation.scopes) | frozenset(
    scope
    for declaration in REGISTRY.by_name.values()
    for scopes in [getattr(declaration, "scopes", None)]
    if scopes is not None
    for scope in (*scopes.read, *scopes.create, *scopes.update, *scopes.delete)
)


@dataclass
class TestServices:
    """What handlers reach, without an application around it."""

    __test__ = False

    settings: Settings
    store: Store
    clock: FakeClock
    passwords: PasswordPool
    tenants: TenantDirectory
    mail: Mailer = field(default_factory=Mailer)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def verify_management_token(self, tenant: TenantScope, token: str) -> dict[str, Any]:
        if token not in self.tokens:
            raise Unauthorized("Invalid token")
        return self.tokens[token]

    def count_management_request(self, tenant: TenantScope) -> tuple[int, int, int]:
        return 1000, 999, 0


@dataclass
class TenantUnderTest:
    """A bootstrapped tenant with its store, its services and the Management API."""

    __test__ = False

    store: Store
    tenant: TenantScope
    services: TestServices
    app: Edge

    @property
    def clock(self) -> FakeClock:
        return self.services.clock

    async def api(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        scopes: frozenset[str] | set[str] = EVERY_SCOPE,
        subject: str = "tester@clients",
        raw: bytes | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> Reply:
        """Send a request; `path` is below /api/v2 and is percent-encoded here, apart from its slashes."""
        token = f"token-{len(self.services.tokens)}"
        self.services.tokens[token] = {
            "sub": subject,
            "azp": subject.removesuffix("@clients"),
            "scope": " ".join(sorted(scopes)),
            "exp": 1 << 40,
        }
        target = "/api/v2/" + quote(path, safe="/")
        if query:
            target += "?" + urlencode({name.rstrip("_"): value for name, value in query.items()})
        sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        fields = [("authorization", f"Bearer {token}"), *(headers or {}).items()]
        if sent:
            fields.append(("content-type", content_type))
        return await ask(self.app, method, target, headers=fields, body=sent, host=self.tenant.domain)

    async def database(self, name: str = DATABASE) -> Database:
        found = await find_database(self.store, self.tenant, name)
        assert found is not None
        return found

    async def with_usernames(self) -> None:
        """Let the default connection take user names."""
        database = await self.database()
        await self.configure(requires_username=True, id_=database.id)

    async def configure(self, *, id_: str = "", **options: Any) -> None:
        """Change options of the default connection."""
        database = await self.database()
        merged = {**database.options, **options}
        reply = await self.api("PATCH", f"connections/{id_ or database.id}", {"options": merged})
        assert reply.status == 200, reply.body

    async def add_user(self, email: str | None = "ada@example.com", **given: Any) -> dict[str, Any]:
        """Make a user through the API."""
        body = {"connection": DATABASE, "email": email, "password": PASSWORD, "verify_email": False, **given}
        reply = await self.api("POST", "users", {name: value for name, value in body.items() if value is not None})
        assert reply.status == 201, reply.body
        user: dict[str, Any] = reply.json()
        return user

    async def run_jobs(self, *, rounds: bool = False) -> int:
        """Run the background work that is due; with `rounds` also what comes round."""
        handlers = {topic: handler for package in REGISTRY.packages for topic, handler in package.jobs.items()}
        periodic = [Periodic(topic, s) for package in REGISTRY.packages for topic, s in package.periodic.items()]
        runner = JobRunner(
            self.store, self.clock, handlers, services=self.services, periodic=periodic if rounds else ()
        )
        return await runner.run_due()

    async def log_types(self) -> list[str]:
        """The types of all log entries, oldest first."""
        sql = "select type from logs where tenant_id = :tenant_id order by log_id"
        return [row[0] for row in await self.store.all(sql, tenant_id=self.tenant.id)]


@cache
def _management_router() -> Router:
    router = Router()
    add_routes(router, REGISTRY)
    return router


@pytest.fixture
async def people(
    store: Store, clock: FakeClock, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[TenantUnderTest]:
    """A new tenant on a migrated store."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    keyring = Keyring(MasterKey.load_or_create(settings.data.master_key))
    directory = TenantDirectory(store, keyring, clock, REGISTRY, EVENTS, witnesses_of(settings))
    tenant = await directory.create("acme", "acme.example.com")
    pool = PasswordPool(2, policy=HashPolicy(cost=4))
    services = TestServices(
        settings=settings, store=store, clock=clock, passwords=pool, tenants=directory,
    )  # fmt: skip

    async def resolve(host: str) -> TenantScope | None:
        return await directory.by_host(host)

    app = Edge(
        _management_router(), resolve_tenant=resolve, errors={"management": render_error, "page": render_page_error}
    )
    app.services = services
    yield TenantUnderTest(store, tenant, services, app)
    pool.close()
