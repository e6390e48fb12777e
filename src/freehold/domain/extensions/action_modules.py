"""Modules: code that several actions share, by `require('actions:NAME')`, with secrets and npm packages of its own.

A module is a draft like an action. Publishing makes a version that does not change any more, and an action includes one
version of it. A module runs inside of the action that requires it, and reads its secrets as `actions.secrets`.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from freehold.domain.extensions import secrets
from freehold.domain.extensions.action_parts import ActionSecret, Dependency, ModuleReference
from freehold.domain.extensions.identifiers import new_uuid
from freehold.kernel.declare import (
    Change,
    Child,
    Collection,
    Computed,
    Document,
    Immutable,
    Length,
    Scopes,
    ServerSet,
    TenantScope,
    Text,
    Unique,
    documents,
)
from freehold.kernel.declare.documents import Record
from freehold.kernel.errors import BadRequest, Conflict, NotFound, PreconditionFailed
from freehold.kernel.store import Reader, Transaction

LONGEST_CODE, LONGEST_NAME = 65_536, 255
MOST_VERSIONS, MOST_INCLUDED = 100, 20
ENTRY = "actions:"
"""What the name of a module begins with when it is required, and where its secrets lie among those of a call."""
CONTENT = ("code", "dependencies", "secrets")


async def _newest(reader: Reader, tenant: TenantScope, module: dict[str, Any]) -> dict[str, Any] | None:
    found = await versions_of(reader, tenant, module["id"])
    return shown_version(found[0]) if found else None


async def _newest_number(reader: Reader, tenant: TenantScope, module: dict[str, Any]) -> int:
    found = await versions_of(reader, tenant, module["id"])
    return int(found[0].document["version_number"]) if found else 0


async def _users(reader: Reader, tenant: TenantScope, module: dict[str, Any]) -> int:
    return len(await users_of(reader, tenant, module["id"]))


class ActionModule(Document):
    """The draft of code that actions share."""

    id: Annotated[str, ServerSet()]
    name: Annotated[str, Unique(), Immutable(), Length(1, LONGEST_NAME)]
    code: Annotated[str, Length(0, LONGEST_CODE)]
    dependencies: Annotated[list[Dependency], Length(0, 100)] = []
    secrets: Annotated[list[ActionSecret], Length(0, 100)] = []
    api_version: Annotated[Annotated[str, Length(0, 20)] | UnsetType, Immutable()] = UNSET
    all_changes_published: Annotated[bool, ServerSet()] = False
    created_at: Annotated[str, ServerSet()] = ""
    updated_at: Annotated[str, ServerSet()] = ""
    actions_using_module_total: Annotated[int, Computed(_users)] = 0
    latest_version_number: Annotated[int, Computed(_newest_number)] = 0
    latest_version: Annotated[dict[str, Any] | None, Computed(_newest)] = None


class ActionModuleVersion(Document):
    """A module as it was published."""

    id: Annotated[str, ServerSet()]
    version_number: Annotated[int, ServerSet()]
    code: Annotated[str, ServerSet()]
    dependencies: Annotated[list[Dependency], ServerSet()] = []
    secrets: Annotated[list[ActionSecret], ServerSet()] = []
    created_at: Annotated[str, ServerSet()] = ""


class Included(msgspec.Struct, frozen=True):
    """What the modules of an action bring with them."""

    code: dict[str, str] = msgspec.field(default_factory=dict)
    """By name."""
    secrets: dict[str, str] = msgspec.field(default_factory=dict)
    """By `actions:NAME/KEY`."""
    packages: tuple[tuple[str, str], ...] = ()


async def prepare(change: Change) -> None:
    """Put the values of secrets into the vault; what was changed is not published."""
    module: ActionModule = change.document
    before: Sequence[ActionSecret] = change.previous.secrets if change.previous else []
    module.secrets = await secrets.keep(change, owner(change.id), module.secrets, before)
    if not change.given.keys().isdisjoint(CONTENT):
        module.all_changes_published = False


async def changed(change: Change) -> None:
    """The secrets of a module go with it."""
    if change.document is None:
        await secrets.drop(change.tx, change.tenant, owner(change.id))


async def version_changed(change: Change) -> None:
    """The secrets of a version go with it."""
    if change.document is None:
        await secrets.drop(change.tx, change.tenant, version_owner(change.id))


async def versions_of(reader: Reader, tenant: TenantScope, module_id: str) -> list[Record]:
    """All versions of a module, the newest first."""
    found = await documents.select(reader, tenant, ACTION_MODULE_VERSIONS, parent=module_id)
    return sorted(found, key=lambda record: -int(record.document["version_number"]))


async def publish(tx: Transaction, tenant: TenantScope, module: Record, *, at_least: int = 1) -> Record:
    """Make a version of the draft, with the next number that is `at_least` this.

    Raises Conflict when nothing was changed, PreconditionFailed for too many.
    """
    if module.document["all_changes_published"]:
        raise Conflict("No draft version is available to publish.")
    before = await versions_of(tx, tenant, module.id)
    if len(before) >= MOST_VERSIONS:
        raise PreconditionFailed(
            "Maximum number of module versions reached. Consolidate versions used in actions before creating new ones."
        )
    number = max(int(before[0].document["version_number"]) + 1 if before else 1, at_least)
    content = {name: module.document[name] for name in CONTENT}
    made = await documents.create(
        tx, tenant, ACTION_MODULE_VERSIONS, {}, parent=module.id, server={**content, "version_number": number}
    )
    await secrets.put(tx, tenant, version_owner(made.id), await secrets.values_of(tx, tenant, owner(module.id)))
    await documents.update(tx, tenant, ACTION_MODULES, module.id, {}, server={"all_changes_published": True})
    return made


async def roll_back(tx: Transaction, tenant: TenantScope, module: Record, version: Record) -> None:
    """Make a version the draft again. Raises Conflict when it is."""
    newest = (await versions_of(tx, tenant, module.id))[0]
    content = {name: version.document[name] for name in CONTENT}
    if all(content[name] == module.document[name] for name in CONTENT):
        raise Conflict("The specified version is already the current draft version.")
    values = await secrets.values_of(tx, tenant, version_owner(version.id))
    await secrets.drop(tx, tenant, owner(module.id))
    await secrets.put(tx, tenant, owner(module.id), values)
    published = newest.id == version.id
    await documents.update(
        tx, tenant, ACTION_MODULES, module.id, {}, server={**content, "all_changes_published": published}
    )


async def resolve(reader: Reader, tenant: TenantScope, wanted: Sequence[ModuleReference]) -> list[ModuleReference]:
    """References to versions that exist, with all that names them. Raises BadRequest for one to nothing."""
    if len(wanted) > MOST_INCLUDED:
        raise BadRequest(f"An action includes at most {MOST_INCLUDED} modules.")
    return [await _resolved(reader, tenant, each) for each in wanted]


async def _resolved(reader: Reader, tenant: TenantScope, wanted: ModuleReference) -> ModuleReference:
    module: Record | None = None
    if wanted.module_id is not UNSET:
        module = await documents.read(reader, tenant, ACTION_MODULES, wanted.module_id)
    elif wanted.module_name is not UNSET:
        found = await documents.select(reader, tenant, ACTION_MODULES, name=wanted.module_name)
        module = found[0] if found else None
    if module is None:
        raise BadRequest("An action includes a module that does not exist.")
    name = module.document["name"]
    for version in await versions_of(reader, tenant, module.id):
        number = int(version.document["version_number"])
        if wanted.module_version_id not in {UNSET, version.id}:
            continue
        if wanted.module_version_id is UNSET and wanted.module_version_number not in {UNSET, number}:
            continue
        return ModuleReference(
            module_id=module.id, module_name=name, module_version_id=version.id, module_version_number=number
        )
    raise BadRequest(f"There is no such version of the module {name}; only a published module can be included.")


async def packages_of(reader: Reader, tenant: TenantScope, content: dict[str, Any]) -> list[tuple[str, str]]:
    """The npm packages of an action and of its modules. Where two name one package, the first of them says which."""
    found: dict[str, str] = {}
    lists = [content["dependencies"]]
    lists += [version.document["dependencies"] for _, version in await _included_versions(reader, tenant, content)]
    for dependencies in lists:
        for each in dependencies:
            found.setdefault(each["name"], each["version"])
    return list(found.items())


async def included(reader: Reader, tenant: TenantScope, content: dict[str, Any]) -> Included:
    """Code and secrets of the modules of an action or of a version of one."""
    code: dict[str, str] = {}
    values: dict[str, str] = {}
    for name, version in await _included_versions(reader, tenant, content):
        code[name] = version.document["code"]
        known = await secrets.values_of(reader, tenant, version_owner(version.id))
        values |= {f"{ENTRY}{name}/{key}": value for key, value in known.items()}
    return Included(code, values)


async def users_of(reader: Reader, tenant: TenantScope, module_id: str) -> list[tuple[Record, dict[str, Any]]]:
    """The actions that include a module, in their draft or as they are deployed, with the reference."""
    actions, deployed = tenant.registry.collection("actions"), tenant.registry.collection("action_versions")
    running = {
        version.parent: version.document
        for version in await documents.select(reader, tenant, deployed)
        if version.document["deployed"]
    }
    found = []
    for action in await documents.select(reader, tenant, actions):
        contents = (action.document, running.get(action.id) or {})
        named = [ref for content in contents for ref in content.get("modules") or () if ref["module_id"] == module_id]
        if named:
            found.append((action, named[0]))
    return found


async def get_version(reader: Reader, tenant: TenantScope, module_id: str, version_id: str) -> Record:
    """A version of a module. Raises NotFound."""
    version = await documents.read(reader, tenant, ACTION_MODULE_VERSIONS, version_id)
    if version is None or version.parent != module_id:
        raise NotFound("The module or version does not exist.", code="")
    return version


def owner(module_id: str) -> str:
    """Whose a draft's secrets are, in the vault's words."""
    return f"action_modules/{module_id}"


def version_owner(version_id: str) -> str:
    """Whose a version's secrets are, in the vault's words."""
    return f"action_module_versions/{version_id}"


def shown_version(version: Record, module_id: str = "") -> dict[str, Any]:
    """A version as the Management API shows it; inside of its module without the module's id."""
    names = ("id", "version_number", "code", "dependencies", "secrets", "created_at")
    body = {name: version.document[name] for name in names}
    return {**body, "module_id": module_id} if module_id else body


async def _included_versions(reader: Reader, tenant: TenantScope, content: dict[str, Any]) -> list[tuple[str, Record]]:
    found = []
    for reference in content.get("modules") or ():
        version = await documents.read(reader, tenant, ACTION_MODULE_VERSIONS, reference["module_version_id"])
        if version is not None:
            found.append((reference["module_name"], version))
    return found


ACTION_MODULES = Collection(
    document=ActionModule,
    path="actions/modules",
    table="action_modules",
    scopes=Scopes.of("actions"),
    new_id=new_uuid,
    operations=frozenset(),
    not_found=Text("The action module does not exist."),
    conflict=Text("An action module with the same name already exists."),
    prepare=prepare,
    changed=changed,
)

ACTION_MODULE_VERSIONS = Child(
    document=ActionModuleVersion,
    path="actions/modules/{id}/versions",
    parent="action_modules",
    table="action_module_versions",
    scopes=Scopes.of("actions"),
    new_id=new_uuid,
    operations=frozenset(),
    changed=version_changed,
)
