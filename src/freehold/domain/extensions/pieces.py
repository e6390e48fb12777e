"""Every piece of a tenant's custom code as one list: rules, hooks, actions, database scripts, profiles of providers.

Whoever takes code out of here, or runs a recorded execution again, asks for it by the id that the sandbox knew.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from freehold.domain.connections import CONNECTIONS, configuration
from freehold.domain.extensions import action_modules, hooks, npm, rules, secrets, versions
from freehold.domain.extensions.action_modules import ENTRY
from freehold.domain.extensions.actions import ACTIONS
from freehold.domain.extensions.actions import owner as draft_owner
from freehold.domain.extensions.executions import code_digest
from freehold.domain.extensions.hooks import HOOKS
from freehold.domain.extensions.rules import RULES
from freehold.domain.extensions.running import legacy_script
from freehold.domain.extensions.sandbox import Script
from freehold.domain.extensions.versions import ACTION_VERSIONS
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.declare.documents import Record
from freehold.kernel.store import Reader

Kind = Literal["rules", "hooks", "actions", "databases", "connections"]


class Piece(msgspec.Struct, frozen=True):
    """A piece of code as it runs now."""

    kind: Kind
    id: str
    """What the sandbox calls it: that of a rule or hook, of an action's version, of a connection and its script."""
    name: str
    code: str
    shape: str
    """The kind of script, in the sandbox's words."""
    trigger: str = ""
    packages: tuple[tuple[str, str], ...] = ()
    shared: Mapping[str, str] = msgspec.field(default_factory=dict)
    secrets: Mapping[str, str] = msgspec.field(default_factory=dict)
    version: str = "1"

    @property
    def digest(self) -> str:
        """Tells the code from what it was before."""
        return code_digest(self.code)


async def all_pieces(reader: Reader, tenant: TenantScope) -> list[Piece]:
    """All code of a tenant; of an action what is deployed, and of one that is not, the draft."""
    found: list[Piece] = []
    values = await rules.configuration(reader, tenant)
    for rule in await documents.select(reader, tenant, RULES):
        found.append(_legacy("rules", rule.id, rule.document["name"], rule.document["script"], "rule", "rules", values))
    for hook in await documents.select(reader, tenant, HOOKS):
        body, own = hook.document, await hooks.secrets_of(reader, tenant, hook.id)
        found.append(_legacy("hooks", hook.id, body["name"], body["script"], "hook", body["triggerId"], own))
    for action in await documents.select(reader, tenant, ACTIONS):
        running = [v for v in await versions.versions_of(reader, tenant, action.id) if v.document["deployed"]]
        found.append(await _action(reader, tenant, action, running[0] if running else None))
    for connection in await documents.select(reader, tenant, CONNECTIONS):
        found += await _of_connection(reader, tenant, connection)
    return sorted(found, key=lambda piece: (piece.kind, piece.name, piece.id))


async def find_piece(reader: Reader, tenant: TenantScope, id_: str) -> Piece | None:
    """The piece that the sandbox knew by this id; of an action any version that there is."""
    version = await documents.read(reader, tenant, ACTION_VERSIONS, id_)
    if version is not None:
        action = await documents.read(reader, tenant, ACTIONS, version.parent)
        return None if action is None else await _action(reader, tenant, action, version)
    return next((piece for piece in await all_pieces(reader, tenant) if piece.id == id_), None)


async def script_for(services: Any, tenant: TenantScope, piece: Piece) -> Script:
    """A piece as the sandbox loads it. Raises what installing its packages does."""
    if piece.kind != "actions":
        return await legacy_script(services, tenant, piece.id, piece.code, piece.shape)
    modules = await npm.installed(services, tenant, piece.packages)
    return Script(piece.id, piece.version, piece.code, kind="action", modules=modules, shared=piece.shared)


async def _action(reader: Reader, tenant: TenantScope, action: Record, version: Record | None) -> Piece:
    source = version or action
    body = source.document
    owner = draft_owner(action.id) if version is None else versions.owner(version.id)
    included = await action_modules.included(reader, tenant, body)
    return Piece(
        "actions", source.id, action.document["name"], body["code"], "action",
        trigger=body["supported_triggers"][0]["id"],
        packages=tuple(await action_modules.packages_of(reader, tenant, body)), shared=included.code,
        secrets={**await secrets.values_of(reader, tenant, owner), **included.secrets},
        version="draft" if version is None else str(body["number"]),
    )  # fmt: skip


async def _of_connection(reader: Reader, tenant: TenantScope, connection: Record) -> list[Piece]:
    body = connection.document
    options, name = body.get("options") or {}, body["name"]
    found = []
    if body["strategy"] == "auth0":
        values = await configuration.values(reader, tenant, connection.id)
        for script, code in (options.get("customScripts") or {}).items():
            label = f"{name}: {script}"
            found.append(
                _legacy("databases", f"{connection.id}/{script}", label, code, "script", f"database-{script}", values)
            )
    elif body["strategy"] == "oauth2":
        for script, code in (options.get("scripts") or {}).items():
            label = f"{name}: {script}"
            found.append(
                _legacy("connections", f"{connection.id}/{script}", label, code, "script", f"oauth2-{script}", {})
            )
    return found


def _legacy(
    kind: Kind, id_: str, name: str, code: str, shape: str, trigger: str, values: Mapping[str, str]
) -> Piece:  # fmt: skip
    return Piece(
        kind, id_, name, code, shape, trigger=trigger, packages=tuple(npm.packages_in(code)), secrets=values
    )  # fmt: skip


def secret_names(piece: Piece) -> list[str]:
    """The names of the secrets that a piece is given, without those of its modules."""
    return sorted(name for name in piece.secrets if not name.startswith(ENTRY))
