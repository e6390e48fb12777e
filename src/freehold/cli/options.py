"""Options that several commands share, and opening the data folder they name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from freehold.domain.audit import witnesses_of
from freehold.domain.events import EVENTS
from freehold.domain.tenants.directory import TenantDirectory
from freehold.kernel.clock import SystemClock
from freehold.kernel.config import Settings, load_settings
from freehold.kernel.crypto.sealing import Keyring
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import BadRequest, NotFound
from freehold.kernel.store import Store, migrate, open_store
from freehold.registry import REGISTRY

DataOption = Annotated[
    Path | None, typer.Option("--data", help="Folder of everything this installation keeps.", show_default=False)
]
DatabaseOption = Annotated[
    str | None,
    typer.Option("--database", help="sqlite:///PATH or postgresql://...; default: SQLite in the data folder."),
]
TenantOption = Annotated[str | None, typer.Option("--tenant", help="The tenant's name; default: the only one.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


class Installation(msgspec.Struct, frozen=True):
    """An opened data folder."""

    settings: Settings
    store: Store
    tenants: TenantDirectory


def settings_for(data: Path | None, database: str | None = None) -> Settings:
    """The settings in force for the common options."""
    return load_settings({"data_dir": data, "database_url": database})


@asynccontextmanager
async def opened(settings: Settings, *, upgrade: bool = True, create: bool = False) -> AsyncIterator[Installation]:
    """Open the installation's store and tenants, beside a running server or without one.

    A new one is made only with `create`. Raises NotFound otherwise: a mistyped folder is not to become one.
    """
    if not create and not settings.data.master_key.exists():
        raise NotFound(f"There is no installation in {settings.data_dir}: it holds no {settings.data.master_key.name}.")
    settings.data.prepare()
    clock = SystemClock()
    store = open_store(settings.store_url, clock=clock)
    try:
        if upgrade:
            await migrate(store)
        if not settings.data.master_key.exists() and await store.one("select 1 from tenants limit 1"):
            raise BadRequest(
                f"{settings.data.master_key} is missing, which opens the keys of the tenants in this database. "
                "Put it back from your backup."
            )
        keyring = Keyring.of_file(settings.data.master_key)
        tenants = TenantDirectory(store, keyring, clock, REGISTRY, EVENTS, witnesses_of(settings))
        yield Installation(settings, store, tenants)
    finally:
        await store.close()


async def chosen_tenant(installation: Installation, name: str | None) -> TenantScope:
    """The named tenant, or the only one. Raises NotFound, or BadRequest when there is a choice to make."""
    if name is not None:
        return await installation.tenants.by_name(name)
    tenants = await installation.tenants.all()
    if len(tenants) == 1:
        return tenants[0]
    if not tenants:
        raise NotFound(f"There is no tenant in {installation.settings.data_dir}. Is --data right, and --database?")
    raise BadRequest(f"Say which tenant with --tenant: {', '.join(tenant.name for tenant in tenants)}")
