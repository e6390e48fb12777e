"""A tenant to arrive in, and exports to arrive with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from freehold.demo.auth0_export import Export, write_export
from freehold.domain.tenants.lifecycle import create
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store
from freehold.registry import REGISTRY
from freehold.surfaces.importers.auth0 import Auth0Import, Sources
from freehold.surfaces.importers.report import Report
from tests.support.full_tenant import directory

CALLBACK = "https://shop.acme.example/callback"


@dataclass
class Arriving:
    """An empty tenant and ways to import into it."""

    store: Store
    tenant: TenantScope

    async def check(self, **sources: Any) -> Report:
        return await Auth0Import(self.store, self.tenant, Sources(**sources)).check()

    async def arrive(self, **sources: Any) -> Report:
        work = Auth0Import(self.store, self.tenant, Sources(**sources))
        await work.check()
        return await work.write()

    async def count(self, table: str) -> int:
        row = await self.store.one(
            f"select count(*) from {table} where tenant_id = :tenant_id", tenant_id=self.tenant.id
        )
        assert row is not None
        return int(row[0])


@pytest.fixture
async def arriving(store: Store) -> Arriving:
    tenants = directory(store, REGISTRY)
    return Arriving(store, await create(store, tenants, "main", "main.test"))


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    return write_export(tmp_path_factory.mktemp("auth0"), users=2000, callback=CALLBACK, cost=4)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
