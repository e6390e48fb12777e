"""What a job's child process needs of its parent: where the data is and how to open the tenant's secrets.

It travels through the child's standard input, so that no secret stands in an argument list; the key that opens
everything stays in its file.
"""

import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from freehold.domain.events import EVENTS
from freehold.domain.tenants.directory import TenantDirectory
from freehold.kernel.clock import SystemClock
from freehold.kernel.crypto.sealing import Keyring, MasterKey
from freehold.kernel.declare import TenantScope
from freehold.kernel.declare.registry import Registry
from freehold.kernel.jobs import Job
from freehold.kernel.store import Store, open_store


class Errand(msgspec.Struct, kw_only=True):
    """Which job of which tenant the child is to do, on which database."""

    database_url: str
    master_key: str
    tenant_id: str
    job_id: str


def errand_for(job: Job, job_id: str) -> bytes:
    """The child's argument."""
    services: Any = job.services
    return msgspec.json.encode(
        Errand(
            database_url=services.store.url,
            master_key=str(services.settings.data.master_key),
            tenant_id=job.tenant_id,
            job_id=job_id,
        )
    )


T = TypeVar("T")


async def on_errand(argument: bytes, work: Callable[[Errand, Store, TenantScope], Awaitable[T]]) -> T:
    """Open what the errand names, do the work, close again."""
    errand = msgspec.json.decode(argument, type=Errand)
    clock = SystemClock()
    store = open_store(errand.database_url, clock=clock)
    try:
        keyring = Keyring(MasterKey.load(Path(errand.master_key)))
        # The registry is not needed: a child writes users and files, and calls no hook.
        directory = TenantDirectory(store, keyring, clock, Registry(()), EVENTS)
        # Thousands of small objects live for a batch and make no cycles; looking for cycles would cost a third.
        gc.freeze()
        gc.disable()
        return await work(errand, store, await directory.by_id(errand.tenant_id))
    finally:
        await store.close()
