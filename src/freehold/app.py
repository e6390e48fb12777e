"""The composition root: settings become a store, services, routes, and one ASGI application.

Nothing here decides anything about identity; it only connects. What is bound to a process (database connections,
threads, job runners) is opened in the edge's lifespan, once in each worker.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from freehold.domain.audit import witnesses_of
from freehold.domain.events import EVENTS
from freehold.domain.extensions.sandbox import Sandbox
from freehold.domain.extensions.sandbox.configured import sandbox_of
from freehold.domain.jobs import add_routes as add_job_routes
from freehold.domain.messaging import Mailer
from freehold.domain.protection import LoginGuard
from freehold.domain.tenants import lifecycle
from freehold.domain.tenants.directory import TenantDirectory
from freehold.kernel.clock import Clock, SystemClock
from freehold.kernel.config import Settings
from freehold.kernel.control import RESET_TENANT
from freehold.kernel.control.listen import listening
from freehold.kernel.crypto.passwords import HashPolicy
from freehold.kernel.crypto.passwords.pool import PasswordPool
from freehold.kernel.crypto.sealing import Keyring
from freehold.kernel.declare.registry import Registry
from freehold.kernel.declare.scope import TenantScope
from freehold.kernel.errors import TooManyRequests, Unavailable
from freehold.kernel.http.edge import Edge
from freehold.kernel.http.health import add_health_routes
from freehold.kernel.http.proxies import Proxies
from freehold.kernel.http.router import Router
from freehold.kernel.jobs import JobRunner, Periodic
from freehold.kernel.metrics import Metrics, empty_shared
from freehold.kernel.store import Store, open_store
from freehold.kernel.store.sqlite import SqliteStore
from freehold.login import End, render_page_error
from freehold.login import add_routes as add_login_routes
from freehold.protocols.oauth.access_tokens import verify_access_token
from freehold.protocols.oauth.authorize import conclude
from freehold.protocols.oauth.cors import allows_origin
from freehold.protocols.oauth.errors import render_oauth_error
from freehold.protocols.oauth.routes import add_routes as add_oauth_routes
from freehold.registry import REGISTRY
from freehold.surfaces import dashboard
from freehold.surfaces.ceremony.api import add_routes as add_ceremony_routes
from freehold.surfaces.ceremony.delivery.rounds import look_after_exports
from freehold.surfaces.ceremony.enrolment import add_routes as add_enrolment_routes
from freehold.surfaces.ceremony.pages import add_routes as add_ceremony_pages
from freehold.surfaces.ceremony.working import keep_all_in_step, notice_rollbacks
from freehold.surfaces.management.edge import render_error as render_management_error
from freehold.surfaces.management.routes import add_routes as add_management_routes


@dataclass(slots=True)
class Services:
    """What handlers reach as `request.services`."""

    settings: Settings
    store: Store
    clock: Clock
    registry: Registry
    keyring: Keyring
    passwords: PasswordPool
    tenants: TenantDirectory
    mail: Mailer
    jobs: JobRunner
    login_guard: LoginGuard
    sandbox: Sandbox
    conclude_sign_in: Callable[..., Awaitable[End | None]] = field(default=conclude)
    """How the protocol that began a sign-in ends it; the pages know none."""
    _windows: dict[str, tuple[int, int]] = field(default_factory=dict)

    async def verify_management_token(self, tenant: TenantScope, token: str) -> dict[str, Any]:
        """The claims of an access token for the tenant's Management API. Raises Unauthorized."""
        return await verify_access_token(self.store, tenant, token, audience=tenant.management_audience)

    def count_management_request(self, tenant: TenantScope) -> tuple[int, int, int]:
        """Count one request of this second; limit, remaining and reset (Unix seconds). Raises TooManyRequests."""
        limit = self.settings.management_rate_limit
        second = int(time.time())
        started, used = self._windows.get(tenant.id, (second, 0))
        used = used + 1 if started == second else 1
        self._windows[tenant.id] = (second, used)
        if used > limit:
            raise TooManyRequests("Global limit has been reached", code="too_many_requests")
        return limit, limit - used, second + 1


async def _always() -> None:
    return None


def build_router(
    *,
    ready: Callable[[], Awaitable[None]] = _always,
    metrics: Metrics | None = None,
    metrics_networks: Sequence[str] = (),
) -> Router:
    """Every route of the server."""
    metrics = metrics or Metrics()
    router = Router()
    add_health_routes(router, ready=ready, metrics=metrics, metrics_networks=metrics_networks)
    add_management_routes(router, REGISTRY)
    add_oauth_routes(router)
    add_login_routes(router)
    add_job_routes(router)
    dashboard.add_routes(router)
    add_ceremony_routes(router)
    add_enrolment_routes(router)
    add_ceremony_pages(router)
    return router


def build_edge(settings: Settings, *, clock: Clock | None = None) -> Edge:
    """The ASGI application. It opens its store and threads when it starts to serve; tests bring their own clock."""

    async def resolve(host: str) -> TenantScope | None:
        services: Services = edge.services
        return await services.tenants.by_host(host)

    @asynccontextmanager
    async def lifespan(edge: Edge) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            services = edge.services = await open_services(settings, stack, clock=clock or SystemClock())
            metrics.gauge(
                "freehold_password_queue_depth", "Password checks waiting.", lambda: services.passwords.waiting
            )
            metrics.gauge(
                "freehold_sandbox_processes", "Processes of custom code.", lambda: len(services.sandbox.workers)
            )
            metrics.gauge(
                "freehold_sandbox_queue_depth", "Calls of custom code waiting.", lambda: services.sandbox.waiting
            )
            if isinstance(services.store, SqliteStore):
                services.store.observe_commit = metrics.observe_commit
            if settings.workers > 1:
                sharing = asyncio.create_task(metrics.share(shared_metrics))
                stack.callback(sharing.cancel)
            await stack.enter_async_context(
                listening(
                    settings.data.root,
                    {RESET_TENANT: partial(reset_tenant, services)},
                    bind_in=settings.data.temporary,
                )
            )
            yield

    async def ready() -> None:
        services: Services | None = edge.services
        if services is None:
            raise Unavailable("The server is starting.")
        await services.store.one("select 1")

    metrics = Metrics()
    shared_metrics = settings.data.temporary / "metrics"
    if settings.workers > 1:
        empty_shared(shared_metrics)
    edge = Edge(
        build_router(ready=ready, metrics=metrics, metrics_networks=settings.metrics_networks),
        resolve_tenant=resolve,
        errors={
            "management": render_management_error,
            "oauth": render_oauth_error,
            "page": render_page_error,
            dashboard.FAMILY: dashboard.render_dashboard_error,
            dashboard.JSON_FAMILY: dashboard.render_json_error,
        },
        cors=allows_origin,
        proxies=Proxies(settings.trusted_proxies, forwarded_host=settings.trust_forwarded_host),
        observe=metrics.observe_request,
        access_log=settings.access_log,
        lifespan=lifespan,
    )
    return edge


async def reset_tenant(services: Services, name: str) -> None:
    """Put a tenant back to new, as `freehold tenants reset` asks of a running server. Raises NotFound."""
    await lifecycle.reset(services.store, await services.tenants.by_name(name))


async def open_services(settings: Settings, stack: AsyncExitStack, *, clock: Clock) -> Services:
    """Open what a process needs; the stack closes it again."""
    store = open_store(settings.store_url, clock=clock)
    stack.push_async_callback(store.close)
    keyring = Keyring.of_file(settings.data.master_key)
    passwords = PasswordPool(
        settings.password_threads or None,
        max_waiting=settings.password_queue,
        accelerator_folder=settings.data.compiled,
        policy=HashPolicy(cost=settings.bcrypt_cost),
    )
    stack.callback(passwords.close)
    tenants = TenantDirectory(store, keyring, clock, REGISTRY, EVENTS, witnesses_of(settings))
    handlers = {topic: handler for package in REGISTRY.packages for topic, handler in package.jobs.items()}
    rounds = [Periodic(topic, every_s) for package in REGISTRY.packages for topic, every_s in package.periodic.items()]
    jobs = JobRunner(store, clock, handlers, periodic=rounds)
    sandbox = sandbox_of(settings)
    services = Services(
        settings, store, clock, REGISTRY, keyring, passwords, tenants, Mailer(), jobs, LoginGuard(), sandbox
    )
    stack.push_async_callback(sandbox.close)
    jobs.services = services
    # What should have gone while nobody was here goes before anybody can ask for it.
    await notice_rollbacks(services)
    await look_after_exports(services)
    await keep_all_in_step(services)
    await jobs.start()
    stack.push_async_callback(jobs.stop)
    return services
