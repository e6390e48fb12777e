"""Rules: functions that run in one pipeline, in their order, when somebody has signed in.

Auth0 switched them off on 18 November 2026; here they go on. Their configuration is a set of values of its own, which
scripts read as `configuration.KEY` and nobody else does.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from freehold.domain.connections.configuration import WRITE_ONLY_SECRETS
from freehold.kernel import vault
from freehold.kernel.crypto.ids import new_id
from freehold.kernel.declare import (
    Change,
    Collection,
    Document,
    Filter,
    Immutable,
    Length,
    Operation,
    Part,
    Pattern,
    Range,
    Scopes,
    Sealed,
    ServerSet,
    TenantScope,
    Text,
    Unique,
    documents,
)
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import Conflict
from freehold.kernel.store import Reader, Store

LONGEST_SCRIPT = 100_000
MOST_CODE = 100_000
NAME = r"^[a-zA-Z0-9]([ \-a-zA-Z0-9]*[a-zA-Z0-9])?$"
KEY = r"^[A-Za-z0-9_\-@*+:]*$"


class Rule(Document):
    """A function that runs when somebody has signed in."""

    id: Annotated[str, ServerSet()]
    name: Annotated[str, Unique(), Pattern(NAME)]
    script: Annotated[str, Length(1, LONGEST_SCRIPT)]
    order: Annotated[int, Range(0, 2**31)] | UnsetType = UNSET
    enabled: bool = True
    stage: Annotated[Literal["login_success"], Immutable()] = "login_success"
    """Always shown; the deploy CLI gives it back when it creates a rule."""


class RulesConfig(Document):
    """A value that rules read as `configuration.KEY`."""

    key: Annotated[str, ServerSet(), Length(1, 127), Pattern(KEY)]
    value: Annotated[Annotated[str, Length(1, 8192)] | UnsetType, Sealed(WRITE_ONLY_SECRETS.name)] = UNSET


class RulesConfigValue(Part):
    """The body that sets a value."""

    value: Annotated[str, Length(1, 8192)]


async def prepare(change: Change) -> None:
    """Put a rule without an order last."""
    rule: Rule = change.document
    if rule.order is UNSET:
        others = await documents.find_all(change.tx, change.tenant, RULES)
        rule.order = max((int(other.order) for other in others if other.order is not UNSET), default=0) + 1


async def check(change: Change) -> None:
    """No two rules have the same order, and all together stay within what one run may load."""
    rule: Rule | None = change.document
    if rule is None:
        return
    others = [other for other in await documents.find_all(change.tx, change.tenant, RULES) if other.id != change.id]
    if any(other.order == rule.order for other in others):
        raise Conflict("A rule with the same order already exists.")
    if sum(len(each.script.encode()) for each in (rule, *others)) > MOST_CODE:
        raise InvalidBody(f"All rules together may have {MOST_CODE} bytes.")


async def set_value(call: Call) -> dict[str, Any]:
    """PUT rules-configs/{key}: the answer shows the value, which nothing shows again."""
    key, given = call.params["key"], {"value": call.body.value}
    if await documents.read(call.tx, call.tenant, RULES_CONFIGS, key):
        await documents.update(call.tx, call.tenant, RULES_CONFIGS, key, given, actor=call.actor)
    else:
        await documents.create(call.tx, call.tenant, RULES_CONFIGS, given, actor=call.actor, server={"key": key})
    return {"key": key, **given}


async def rules_in_order(store: Store, tenant: TenantScope) -> list[Rule]:
    """The enabled rules as they run; kept with the tenant's cache, because every sign-in asks."""
    entries = tenant.cached(store.cache_epoch(tenant.id))
    found: list[Rule] | None = entries.get("rules in order")
    if found is None:
        rules = await documents.find_all(store, tenant, RULES)
        found = sorted((rule for rule in rules if rule.enabled), key=lambda rule: int(rule.order or 0))
        entries["rules in order"] = found
    return found


async def configuration(reader: Reader, tenant: TenantScope) -> dict[str, str]:
    """The values in clear, for rules alone."""
    values = {}
    for config in await documents.select(reader, tenant, RULES_CONFIGS):
        plain = await vault.open_one(
            reader, tenant, WRITE_ONLY_SECRETS.name, f"{RULES_CONFIGS.name}/{config.id}", name="value"
        )
        values[config.id] = str(msgspec.json.decode(plain)) if plain else ""
    return values


RULES = Collection(
    document=Rule,
    path="rules",
    scopes=Scopes.of("rules"),
    new_id=lambda: new_id("rul_"),
    filters={"enabled": Filter("enabled", "boolean")},
    not_found=Text("The rule does not exist", "inexistent_rule"),
    conflict=Text("A rule with the same name already exists."),
    prepare=prepare,
    check=check,
)

RULES_CONFIGS = Collection(
    document=RulesConfig,
    path="rules-configs",
    key="key",
    paging=frozenset(),
    scopes=Scopes(("read:rules_configs",), (), ("update:rules_configs",), ("delete:rules_configs",)),
    operations=frozenset({"list", "delete"}),
    audit="rules configuration",
)

OPERATIONS = (
    Operation(
        method="PUT", path="rules-configs/{key}", scopes=("update:rules_configs",), handler=set_value,
        name="rules_configs.set", body=RulesConfigValue, audit="Set a rules configuration value",
    ),
)  # fmt: skip
