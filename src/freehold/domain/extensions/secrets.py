"""Secrets of custom code: written once, handed to the code alone, never shown again.

They lie in the vault under the id of what they belong to (an action, one of its versions, a hook), each by its name.
The names are not secret: documents keep them, so that an export says which there are.
"""

from collections.abc import Mapping, Sequence

from msgspec import UNSET

from freehold.domain.connections.configuration import WRITE_ONLY_SECRETS
from freehold.domain.extensions.action_parts import ActionSecret
from freehold.kernel import vault
from freehold.kernel.clock import iso
from freehold.kernel.declare import Change, TenantScope
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.store import Reader, Transaction

NOT_SHOWN = "_VALUE_NOT_SHOWN_"
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


async def keep(
    change: Change, owner: str, given: Sequence[ActionSecret], before: Sequence[ActionSecret]
) -> list[ActionSecret]:
    """Put the values of a list that replaces another into the vault, and say what the document keeps of it.

    One without a value is as it was. Raises InvalidBody when it was not there.
    """
    known = {secret.name: secret for secret in before}
    kept: dict[str, ActionSecret] = {}
    for secret in given:
        if secret.value is not UNSET and not (secret.value == NOT_SHOWN and secret.name in known):
            await put(change.tx, change.tenant, owner, {secret.name: secret.value})
            kept[secret.name] = ActionSecret(name=secret.name, updated_at=iso(change.tenant.clock.now()))
        elif secret.name in known:
            kept[secret.name] = known[secret.name]
        else:
            raise InvalidBody("Payload validation error: 'Missing required property: value' on property secrets.")
    for name in known.keys() - kept.keys():
        await drop(change.tx, change.tenant, owner, name=name)
    return list(kept.values())
