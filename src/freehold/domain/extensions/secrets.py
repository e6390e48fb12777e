"""Secrets of custom code: written once, handed to the code alone, never shown again.

They lie in the vault under the id of what they belong to (an action, one of its versions, a hook), each by its name.
The names are not secret: documents keep them, so that an export says which there are.
"""

from collections.abc import Mapping

from freehold.domain.connections.configuration import WRITE_ONLY_SECRETS
from freehold.kernel import vault
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Transaction

KIND = WRITE_ONLY_SECRETS.name


async def put(tx: Transaction, tenant: TenantScope, owner: str, values: Mapping[str, str]) -> None:
    """Store values, replacing those of the same name."""
    for name, value in values.items():
        await vault.put(tx, tenant, KIND, owner, value.encode(), name=name)


async def values_of(reader: Reader, tenant: TenantScope, owner: str) -> dict[str, str]:
    """All values of an owner in clear, for its code alone."""
    return {name: value.decode() for name, value in (await vault.open_owned(reader, tenant, KIND, owner)).items()}


async def drop(tx: Transaction, tenant: TenantScope, owner: str, *, name: str | None = None) -> None:
    """Forget one value, or with `name=None` all of the owner's."""
    await vault.drop(tx, tenant, KIND, owner, name=name)
