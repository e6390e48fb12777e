"""freehold keys: rotate the master key."""

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from freehold.cli.options import DatabaseOption, DataOption, Installation, opened, settings_for
from freehold.domain.tenants.master_key import DATA_KEYS, WrappedKeys, count_outdated, rewrap
from freehold.kernel.control.ask import is_served
from freehold.kernel.crypto.sealing import Keyring, MasterKey
from freehold.kernel.errors import BadRequest
from freehold.surfaces.ceremony.build.builder import key_context

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Rotate the master key that everything at rest is encrypted under."
)

WRAPPED = (DATA_KEYS, WrappedKeys("ceremony_artefact_keys", ("tenant_id", "artefact_id"), key_context))
"""Every table that holds keys under the master key."""


@app.callback()
def _group() -> None:
    """Keep `rotate-master` a command of its own: a group of one would be that one."""


@app.command("rotate-master")
def rotate_master(
    retire: Annotated[
        bool, typer.Option("--retire", help="Remove the older keys from the file as well. The server must be stopped.")
    ] = False,
    data: DataOption = None,
    database: DatabaseOption = None,
) -> None:
    """Add a master key and put every tenant's key under it; what was interrupted is finished first.

    A running server goes on and takes the new key. The older keys stay in the file, because backups need them, until
    they are retired. Back the file up before and after.
    """

    async def run() -> None:
        settings = settings_for(data, database)
        path = settings.data.master_key
        if not path.exists():
            raise BadRequest(f"The master key file {path} is not here.")
        if retire and is_served(str(settings.data.root)):
            raise BadRequest("A server is running on this data folder; stop it before older keys are retired.")
        with _alone(path):
            async with opened(settings) as installation:
                await _rotate(installation, path, retire=retire)

    asyncio.run(run())


async def _rotate(installation: Installation, path: Path, *, retire: bool) -> None:
    store = installation.store
    master = MasterKey.load(path)
    if len(master.keys) > 1 and await count_outdated(store, Keyring(master), WRAPPED):
        print("An earlier rotation was interrupted; finishing it.")
    else:
        master = master.rotated(path)
    keyring = Keyring(master)
    done = await rewrap(store, keyring, WRAPPED)
    for tenant in await installation.tenants.all():
        async with store.transaction() as tx:
            await tenant.events.record(tx, tenant, "sapi", description="The operator rotated the master key")
    print(f"{done:,} keys are under the new master key.")
    older = len(master.keys) - 1
    if not retire:
        print(f"{path} keeps {older} older {'key' if older == 1 else 'keys'}, for backups; back it up now.")
    elif await count_outdated(store, keyring, WRAPPED):
        raise BadRequest("Keys appeared meanwhile that an older master key wraps; nothing was retired. Try again.")
    else:
        master.retired(path)
        print(f"{older} older {'key was' if older == 1 else 'keys were'} removed: older backups need the older file.")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep a second rotation out: each would write the file without the other's key. Raises BadRequest."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BadRequest("Another rotation is under way.") from None
    else:
        yield
    finally:
        os.close(folder)
