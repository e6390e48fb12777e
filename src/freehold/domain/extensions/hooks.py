"""Hooks: functions at five points outside the sign-in, of which one may be enabled at each point.

Auth0 switched them off on 18 November 2026; here they go on. Their secrets are objects below the hook, whose values
only the hook's code sees, as `context.webtask.secrets`.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from freehold.domain.connections.configuration import WRITE_ONLY_SECRETS
from freehold.kernel import vault
from freehold.kernel.crypto.ids import new_id, new_ulid
from freehold.kernel.declare import (
    Actor,
    Change,
    Child,
    Collection,
    Document,
    Filter,
    Immutable,
    Indexed,
    Length,
    Operation,
    Pattern,
    Scopes,
    Sealed,
    ServerSet,
    TenantScope,
    Text,
    documents,
)
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.documents import Record
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.store import Reader, Store, Transaction

NOT_SHOWN = "_VALUE_NOT_SHOWN_"
LONGEST_SCRIPT = 100_000
LONGEST_NAME, LONGEST_VALUE, MOST_SECRETS = 128, 4096, 100
HookTrigger = Literal[
    "credentials-exchange",
    "pre-user-registration",
    "post-user-registration",
    "post-change-password",
    "send-phone-message",
]
_TOO_MANY = f"Payload validation error: 'A hook has between 1 and {MOST_SECRETS} secrets'."
_WORD = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|[A-Z]|[0-9]+")


class Hook(Document):
    """A function that runs at one of the points."""

    id: Annotated[str, ServerSet()]
    name: Annotated[str, Pattern(r"^[a-zA-Z0-9]([ \-a-zA-Z0-9]*[a-zA-Z0-9])?$")]
    script: Annotated[str, Length(1, LONGEST_SCRIPT)]
    triggerId: Annotated[HookTrigger, Immutable(), Indexed()]  # noqa: N815 - the wire's name
    enabled: bool = False
    dependencies: dict[str, str] = {}


class HookSecret(Document):
    """A value that a hook's code sees."""

    id: Annotated[str, ServerSet()]
    name: Annotated[str, Immutable(), Length(1, LONGEST_NAME)]
    value: Annotated[Annotated[str, Length(0, LONGEST_VALUE)] | UnsetType, Sealed(WRITE_ONLY_SECRETS.name)] = UNSET


async def prepare(change: Change) -> None:
    """Names are kept in kebab case (recorded: `test-hook983` becomes `test-hook-983`)."""
    hook: Hook = change.document
    hook.name = kebab(hook.name)


def kebab(name: str) -> str:
    """A name as it is kept."""
    return "-".join(word.lower() for word in _WORD.findall(name))


async def changed(change: Change) -> None:
    """A hook that is enabled takes the place of the one that was."""
    hook: Hook | None = change.document
    if hook is None or not hook.enabled:
        return
    for other in await documents.find_all(change.tx, change.tenant, HOOKS, triggerId=hook.triggerId):
        if other.enabled and other.id != change.id:
            await documents.update(change.tx, change.tenant, HOOKS, other.id, {"enabled": False}, actor=change.actor)


async def delete_hook(call: Call) -> None:
    """DELETE hooks/{id}: unlike other deletions it answers 404 for what is not there (recorded)."""
    if not await documents.delete(call.tx, call.tenant, HOOKS, call.params["id"], actor=call.actor):
        raise documents.missing(HOOKS)


async def list_secrets(call: Call) -> dict[str, str]:
    """GET hooks/{id}/secrets: the names; no value is ever shown."""
    await documents.get(call.store, call.tenant, HOOKS, call.params["id"])
    found = await documents.select(call.store, call.tenant, HOOK_SECRETS, parent=call.params["id"])
    return dict.fromkeys(sorted(record.document["name"] for record in found), NOT_SHOWN)


async def set_secrets(call: Call) -> dict[str, Any]:
    """POST and PATCH hooks/{id}/secrets: adds names and replaces values (recorded: both leave the others alone)."""
    hook_id = call.params["id"]
    await documents.get(call.tx, call.tenant, HOOKS, hook_id)
    given = await call.request.body_params()
    if not given:
        raise InvalidBody(_TOO_MANY)
    await put_secrets(call.tx, call.tenant, hook_id, given, actor=call.actor)
    return {}


async def put_secrets(
    tx: Transaction, tenant: TenantScope, hook_id: str, given: Mapping[str, Any], *, actor: Actor
) -> None:
    """Add names and replace values. Raises InvalidBody."""
    known = {record.document["name"]: record.id for record in await secrets_below(tx, tenant, hook_id)}
    if len(known.keys() | given.keys()) > MOST_SECRETS:
        raise InvalidBody(_TOO_MANY)
    for name, value in given.items():
        if name in known:
            await documents.update(tx, tenant, HOOK_SECRETS, known[name], {"value": value}, actor=actor)
        else:
            body = {"name": name, "value": value}
            await documents.create(tx, tenant, HOOK_SECRETS, body, actor=actor, parent=hook_id)


async def secrets_below(reader: Reader, tenant: TenantScope, hook_id: str) -> list[Record]:
    """The secrets of a hook, by name; their values are in the vault."""
    return await documents.select(reader, tenant, HOOK_SECRETS, parent=hook_id)


async def remove_secrets(call: Call) -> None:
    """DELETE hooks/{id}/secrets: those that the body's list names."""
    hook_id = call.params["id"]
    await documents.get(call.tx, call.tenant, HOOKS, hook_id)
    for record in await documents.select(call.tx, call.tenant, HOOK_SECRETS, parent=hook_id):
        if record.document["name"] in call.body:
            await documents.delete(call.tx, call.tenant, HOOK_SECRETS, record.id, actor=call.actor)


async def enabled_hook(store: Store, tenant: TenantScope, trigger: HookTrigger) -> Hook | None:
    """The hook that runs at a point, if any; kept with the tenant's cache."""
    entries = tenant.cached(store.cache_epoch(tenant.id))
    key = ("enabled hook", trigger)
    if key not in entries:
        hooks = await documents.find_all(store, tenant, HOOKS, triggerId=trigger)
        entries[key] = next((hook for hook in hooks if hook.enabled), None)
    found: Hook | None = entries[key]
    return found


async def secrets_of(reader: Reader, tenant: TenantScope, hook_id: str) -> dict[str, str]:
    """The values in clear, for the hook's code alone."""
    values = {}
    for record in await documents.select(reader, tenant, HOOK_SECRETS, parent=hook_id):
        owner = f"{HOOK_SECRETS.name}/{record.id}"
        plain = await vault.open_one(reader, tenant, WRITE_ONLY_SECRETS.name, owner, name="value")
        values[record.document["name"]] = str(msgspec.json.decode(plain)) if plain else ""
    return values


HOOKS = Collection(
    document=Hook,
    path="hooks",
    scopes=Scopes.of("hooks"),
    new_id=new_ulid,
    filters={"enabled": Filter("enabled", "boolean"), "triggerId": Filter("triggerId")},
    not_found=Text("Error: Hook does not exist", "HookDoesNotExist"),
    prepare=prepare,
    changed=changed,
    overrides={"delete": delete_hook},
)

HOOK_SECRETS = Child(
    document=HookSecret,
    path="hooks/{id}/secrets",
    parent="hooks",
    table="hook_secrets",
    scopes=Scopes.of("hooks"),
    new_id=lambda: new_id("hks_"),
    operations=frozenset(),
)

_SECRETS = "hooks/{id}/secrets"
OPERATIONS = (
    Operation(method="GET", path=_SECRETS, scopes=("read:hooks",), handler=list_secrets, name="hooks.secrets.get"),
    Operation(
        method="POST", path=_SECRETS, scopes=("update:hooks",), handler=set_secrets, status=201,
        name="hooks.secrets.create", audit="Add secrets to a hook",
    ),
    Operation(
        method="PATCH", path=_SECRETS, scopes=("update:hooks",), handler=set_secrets, status=201,
        name="hooks.secrets.update", audit="Update secrets of a hook",
    ),
    Operation(
        method="DELETE", path=_SECRETS, scopes=("delete:hooks",), handler=remove_secrets, status=204,
        name="hooks.secrets.delete", body=list[str], audit="Delete secrets of a hook",
    ),
)  # fmt: skip
