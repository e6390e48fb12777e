"""Versions of actions: what was deployed, unchanged ever after. The one that is deployed now is the one that runs."""

from typing import Annotated, Any

from freehold.domain.extensions import secrets
from freehold.domain.extensions.action_parts import ActionSecret, ActionTrigger, Dependency, ModuleReference
from freehold.domain.extensions.identifiers import new_uuid
from freehold.kernel.clock import iso
from freehold.kernel.declare import Change, Child, Document, Scopes, ServerSet, TenantScope, Text, documents
from freehold.kernel.declare.documents import Record
from freehold.kernel.store import Reader, Transaction


class ActionVersion(Document):
    """An action as it was deployed."""

    id: Annotated[str, ServerSet()]
    code: Annotated[str, ServerSet()]
    number: Annotated[int, ServerSet()]
    deployed: Annotated[bool, ServerSet()]
    status: Annotated[str, ServerSet()]
    runtime: Annotated[str, ServerSet()]
    supported_triggers: Annotated[list[ActionTrigger], ServerSet()]
    dependencies: Annotated[list[Dependency], ServerSet()] = []
    secrets: Annotated[list[ActionSecret], ServerSet()] = []
    modules: Annotated[list[ModuleReference], ServerSet()] = []
    module_set: Annotated[str, ServerSet()] = ""
    """The key of the installed npm packages; empty without any."""
    built_at: Annotated[str, ServerSet()] = ""
    created_at: Annotated[str, ServerSet()] = ""
    updated_at: Annotated[str, ServerSet()] = ""


async def changed(change: Change) -> None:
    """The secrets of a version go with it."""
    if change.document is None:
        await secrets.drop(change.tx, change.tenant, owner(change.id))


async def versions_of(reader: Reader, tenant: TenantScope, action_id: str) -> list[Record]:
    """All versions of an action, the newest first."""
    found = await documents.select(reader, tenant, ACTION_VERSIONS, parent=action_id)
    return sorted(found, key=lambda record: -int(record.document["number"]))


async def deploy(
    tx: Transaction, tenant: TenantScope, action_id: str, content: dict[str, Any], *, secrets_from: str
) -> Record:
    """Make a version of this content, with the secrets of their owner so far, and let it run in place of the others.

    `content` has the members that an action and a version share.
    """
    before = await versions_of(tx, tenant, action_id)
    for version in before:
        if version.document["deployed"]:
            await documents.update(tx, tenant, ACTION_VERSIONS, version.id, {}, server={"deployed": False})
    number = int(before[0].document["number"]) + 1 if before else 1
    made = await documents.create(
        tx, tenant, ACTION_VERSIONS, {}, parent=action_id,
        server={**content, "number": number, "deployed": True, "status": "built", "built_at": iso(tenant.clock.now())},
    )  # fmt: skip
    await secrets.put(tx, tenant, owner(made.id), await secrets.values_of(tx, tenant, secrets_from))
    return made


def shown(version: Record, action: dict[str, Any] | None = None) -> dict[str, Any]:
    """A version as the Management API shows it, with what it says of its action."""
    body = {name: value for name, value in version.document.items() if name != "module_set"}
    if not body["modules"]:
        del body["modules"]
    if not body["built_at"]:
        del body["built_at"]
    if action is not None:
        body["action"] = {
            name: action[name] for name in ("id", "name", "supported_triggers", "created_at", "updated_at")
        } | {"all_changes_deployed": False}
    return body


def short(version: Record) -> dict[str, Any]:
    """The newest version as an action shows it."""
    body = version.document
    return {
        "id": version.id, "code": body["code"], "runtime": body["runtime"], "status": body["status"].upper(),
        "number": body["number"], "build_time": body["built_at"], "created_at": body["created_at"],
        "updated_at": body["updated_at"],
    }  # fmt: skip


def owner(version_id: str) -> str:
    """Whose a version's secrets are, in the vault's words."""
    return f"action_versions/{version_id}"


ACTION_VERSIONS = Child(
    document=ActionVersion,
    path="actions/actions/{actionId}/versions",
    parent="actions",
    table="action_versions",
    scopes=Scopes.of("actions"),
    new_id=new_uuid,
    operations=frozenset(),
    not_found=Text("That action version does not exist."),
    changed=changed,
)
