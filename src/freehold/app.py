"""The composition root: settings become a store, services, routes, and one ASGI application.

Nothing here decides anything about identity; it only connects. What is bound to a process (database connections,
threads, job runners) is opened in `lifespan`, once in each worker.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from freehold.domain.events import EventLog
from freehold.domain.messaging import Mailer
from freehold.domain.tenants.directory import TenantDirectory
from freehold.domain.tenants.relocate import relocate
from freehold.kernel.clock import Clock, SystemClock
from freehold.kernel.config import Settings
from freehold.kernel.crypto.passwords.pool import PasswordPool
from freehold.kernel.crypto.sealing import Keyring, MasterKey
from freehold.kernel.declare.registry import Registry
from freehold.kernel.declare.scope import TenantScope
from freehold.kernel.http.edge import Edge
from freehold.kernel.http.proxies import Proxies
from freehold.kernel.http.request import Request
from freehold.kernel.http.router import Router
from freehold.kernel.jobs import JobRunner
from freehold.kernel.store import Store, migrate, open_store
from freehold.protocols.oauth import endpoints as oauth_endpoints
from freehold.protocols.oauth.access_tokens import verify_access_token
from freehold.registry import REGISTRY
from freehold.surfaces.management.edge import render_error as render_management_error
from freehold.surfaces.management.routes import add_routes as add_management_routes

FIRST_TENANT = "main"
MANAGEMENT_BURST = 1000


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
    events: EventLog
    mail: Mailer
    jobs: JobRunner
    domain: str
    """The public host[:port] of the first tenant."""
    _windows: dict[str, tuple[int, int]] = field(default_factory=dict)

    async def verify_management_token(self, tenant: TenantScope, token: str) -> dict[str, Any]:
        """The claims of an access token for the tenant's Management API. Raises Unauthorized."""
        return await verify_access_token(self.store, tenant, token, audience=tenant.management_audience)
