"""A tenant with code, and a sandbox that really runs it."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from freehold.domain.extensions import ACTIONS, bindings, versions
from freehold.domain.extensions.post_login import Facts
from freehold.domain.extensions.sandbox import Sandbox
from freehold.domain.tenants.lifecycle import create
from freehold.kernel.clock import SystemClock
from freehold.kernel.declare import SYSTEM, TenantScope, documents
from freehold.kernel.store import Store, create_schema, open_store
from freehold.registry import REGISTRY
from tests.domain.extensions.gallery import REPORT, Table
from tests.domain.extensions.outside import POLICY, Outside, outside_world
from tests.support.full_tenant import directory
from tests.support.programs import find_gallery


@dataclass
class Services:
    store: Store
    sandbox: Sandbox


@dataclass
class Extended:
    """A tenant, and what its code runs with."""

    services: Services
    tenant: TenantScope

    async def action(self, code: str, *, trigger: str = "post-login", name: str = "", **members: Any) -> str:
        """Deploy an action and bind it after those that are."""
        given = {
            "name": name or f"action {code[:20]}",
            "supported_triggers": [{"id": trigger}],
            "code": code,
            **members,
        }
        async with self.services.store.transaction() as tx:
            made = await documents.create(tx, self.tenant, ACTIONS, given)
            content = {key: made.document[key] for key in ("code", "runtime", "supported_triggers")}
            await versions.deploy(tx, self.tenant, made.id, content, secrets_from=f"actions/{made.id}")
            bound = [(each.action_id, each.display_name) for each in await bindings.bound_to(tx, self.tenant, trigger)]
            await bindings.replace(tx, self.tenant, trigger, [*bound, (made.id, "x")], actor=SYSTEM)
        return made.id

    async def make(self, declaration: Any, given: dict[str, Any], **options: Any) -> str:
        async with self.services.store.transaction() as tx:
            return (await documents.create(tx, self.tenant, declaration, given, **options)).id

    def facts(self, **members: Any) -> Facts:
        """Facts of a sign-in of Ada's."""
        return facts(**members)


def facts(**members: Any) -> Facts:
    """Facts of a sign-in of Ada's."""
    user = {
        "user_id": "auth0|ada", "email": "ada@example.com", "email_verified": True, "name": "Ada",
        "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z",
        "identities": [{"connection": "db", "provider": "auth0", "user_id": "ada", "isSocial": False}],
        "user_metadata": {"colour": "red"}, "app_metadata": {"plan": "free"},
    }  # fmt: skip
    known: dict[str, Any] = {
        "user": user, "client": {"client_id": "app", "name": "App", "metadata": {}},
        "connection": {"id": "con_1", "name": "db", "strategy": "auth0"},
        "request": {"ip": "192.0.2.1", "user_agent": "Firefox", "hostname": "full.test", "method": "POST"},
        "protocol": "oidc-basic-profile", "scopes": ["openid", "profile"], "can_redirect": True,
        "state": "the-state",
    }  # fmt: skip
    return Facts(**(known | members))


@pytest.fixture
async def extended(tmp_path: Path) -> AsyncIterator[Extended]:
    store = open_store(f"sqlite:///{tmp_path / 'test.db'}", clock=SystemClock())
    await create_schema(store, REGISTRY.tables)
    tenant = await create(store, directory(store, REGISTRY), "acme", "acme.test")
    sandbox = Sandbox(require_level="basic", modules_folder=tmp_path / "modules")
    yield Extended(Services(store, sandbox), tenant)
    await sandbox.close()
    await store.close()


@pytest.fixture(scope="session")
def report() -> Iterator[Table]:
    """The results of the galleries, written where FREEHOLD_GALLERY_REPORT says."""
    table = Table()
    yield table
    if file := os.environ.get(REPORT):
        Path(file).write_text(table.text(), "utf-8")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outside() -> AsyncIterator[Outside]:
    """The world outside, for the sandboxes of a module's tests."""
    with pytest.MonkeyPatch.context() as patch:
        async with outside_world(patch) as world:
            yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gallery(outside: Outside) -> AsyncIterator[Extended]:
    """One tenant for all pieces of the galleries, with the limits and the reach that every tenant has."""
    folder = find_gallery()
    assert folder is not None
    with tempfile.TemporaryDirectory(prefix="freehold-gallery-", ignore_cleanup_errors=True) as place:
        store = open_store(f"sqlite:///{place}/test.db", clock=SystemClock())
        await create_schema(store, REGISTRY.tables)
        tenant = await create(store, directory(store, REGISTRY), "acme", "acme.test")
        sandbox = Sandbox(require_level="basic", modules_folder=folder / ".npm", network=POLICY)
        yield Extended(Services(store, sandbox), tenant)
        sandbox.modules.remove(tenant.id)  # npm keeps what it fetched
        await sandbox.close()
        await store.close()
