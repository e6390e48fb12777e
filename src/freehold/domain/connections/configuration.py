"""Values that the customer's database scripts use: written once, and never shown again.

The document keeps a handle for each, a random string that says nothing. Clients read handles and send them back with
the rest of the options (recorded), so a known handle means "as it was". The values are in the vault.
"""

import base64
import os
from collections.abc import Mapping
from typing import Any

from freehold.kernel import vault
from freehold.kernel.declare import Change, TenantScope, VaultKind
from freehold.kernel.store import Reader

WRITE_ONLY_SECRETS = VaultKind(
    name="write_only_secrets",
    description="Values that administrators give and that only the program uses: of scripts, actions and providers.",
)
KIND = WRITE_ONLY_SECRETS.name
_PREFIX = "configuration."


async def seal(change: Change) -> None:
    """Put new values into the vault and their handles into the options; drop those that are gone."""
    options = change.document.options
    given = options.get("configuration")
    before: Mapping[str, str] = ((change.previous.options if change.previous else None) or {}).get(
        "configuration"
    ) or {}
    if given is None and not before:
        return
    names = {handle: name for name, handle in before.items()}
    kept: dict[str, str] = {}
    for name, value in (given or {}).items():
        if value is None:
            continue
        if before.get(name) == value:
            kept[name] = value
            continue
        source = names.get(value)
        plain = value.encode() if source is None else await _open(change, source)
        await vault.put(change.tx, change.tenant, KIND, owner(change.id), plain, name=_PREFIX + name)
        kept[name] = base64.b64encode(os.urandom(48)).decode()
    for name in before.keys() - kept.keys():
        await vault.drop(change.tx, change.tenant, KIND, owner(change.id), name=_PREFIX + name)
    if given is None:
        options.pop("configuration", None)
    else:
        options["configuration"] = kept


async def values(reader: Reader, tenant: TenantScope, connection_id: str) -> dict[str, str]:
    """The values in clear, for the scripts alone."""
    found = await vault.open_owned(reader, tenant, KIND, owner(connection_id))
    return {name.removeprefix(_PREFIX): plain.decode() for name, plain in found.items() if name.startswith(_PREFIX)}


async def forget(change: Change) -> None:
    """Drop all values of a connection that goes."""
    await vault.drop(change.tx, change.tenant, KIND, owner(change.id))


def owner(connection_id: str) -> str:
    """Whose the values are, in the vault's words."""
    return f"connections/{connection_id}"


async def _open(change: Change, name: str) -> bytes:
    plain: Any = await vault.open_one(change.tx, change.tenant, KIND, owner(change.id), name=_PREFIX + name)
    return bytes(plain or b"")
