"""Actions: functions at named triggers, written as a draft, deployed as immutable versions, bound in an order.

The draft is the action's document. Deploying copies it, with its secrets, into a version (`versions.py`); only the
version that is deployed runs, and only where it is bound (`bindings.py`). npm packages are installed after the draft
was saved (`building.py`), and a draft that is not built cannot be deployed.
"""

import asyncio
import time
from typing import Annotated, Any

from msgspec import UNSET, to_builtins

from freehold.domain.extensions import action_modules, bindings, building, secrets, versions
from freehold.domain.extensions.action_parts import (
    DEFAULT_CODE,
    LONGEST_CODE,
    ActionSecret,
    ActionTrigger,
    BuildError,
    Dependency,
    ModuleReference,
)
from freehold.domain.extensions.identifiers import new_uuid
from freehold.domain.extensions.triggers import DEFAULT_RUNTIME, RUNTIMES, catalogue, current_version
from freehold.kernel.declare import (
    Change,
    Collection,
    Computed,
    Document,
    Indexed,
    Length,
    Operation,
    Part,
    Scopes,
    ServerSet,
    TenantScope,
    Text,
    documents,
)
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.documents import Record
from freehold.kernel.declare.paging import Page, flag
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import BadRequest
from freehold.kernel.store import Reader, Transaction

MOST_SECRETS, MOST_DEPENDENCIES = 100, 100
BUILD_WAIT_S, BUILD_ASKED_S = 20.0, 0.1
_BUILT_FROM = {"code", "dependencies", "runtime", "secrets", "modules", "supported_triggers"}
_SHARED = ("code", "dependencies", "runtime", "secrets", "supported_triggers", "modules", "module_set")


async def _newest(reader: Reader, tenant: TenantScope, action: dict[str, Any]) -> dict[str, Any] | None:
    found = await versions.versions_of(reader, tenant, action["id"])
    return versions.short(found[0]) if found else None


async def _deployed(reader: Reader, tenant: TenantScope, action: dict[str, Any]) -> dict[str, Any] | None:
    found = await versions.versions_of(reader, tenant, action["id"])
    return next((versions.shown(version) for version in found if version.document["deployed"]), None)


class Action(Document):
    """The draft of a function that runs at a trigger."""

    id: Annotated[str, ServerSet()]
    name: Annotated[str, Length(1, 255), Indexed()]
    supported_triggers: Annotated[list[ActionTrigger], Length(1, 10)]
    code: Annotated[str, Length(0, LONGEST_CODE)] = DEFAULT_CODE
    dependencies: Annotated[list[Dependency], Length(0, MOST_DEPENDENCIES)] = []
    runtime: str = DEFAULT_RUNTIME
    secrets: Annotated[list[ActionSecret], Length(0, MOST_SECRETS)] = []
    modules: list[ModuleReference] = []
    status: Annotated[str, ServerSet()] = "pending"
    errors: Annotated[list[BuildError], ServerSet()] = []
    module_set: Annotated[str, ServerSet()] = ""
    """The key of the installed npm packages; empty without any."""
    all_changes_deployed: Annotated[bool, ServerSet()] = False
    created_at: Annotated[str, ServerSet()] = ""
    updated_at: Annotated[str, ServerSet()] = ""
    current_version: Annotated[dict[str, Any] | None, Computed(_newest)] = None
    deployed_version: Annotated[dict[str, Any] | None, Computed(_deployed)] = None


class DeployVersion(Part):
    """The body that deploys a version again."""

    update_draft: bool = False


async def prepare(change: Change) -> None:
    """Fill in versions of triggers, put the values of secrets into the vault, and say what has to be built."""
    action: Action = change.document
    if action.runtime not in RUNTIMES:
        raise InvalidBody(
            f"Payload validation error: 'The runtime is one of {', '.join(RUNTIMES)}' on property runtime."
        )
    for trigger in action.supported_triggers:
        trigger.version = current_version(trigger.id) if trigger.version is UNSET else trigger.version
        trigger.status = trigger.runtimes = trigger.default_runtime = UNSET
        trigger.compatible_triggers = trigger.binding_policy = UNSET
    before = change.previous.secrets if change.previous else []
    action.secrets = await secrets.keep(change, owner(change.id), action.secrets, before)
    if "modules" in change.given:
        action.modules = await action_modules.resolve(change.tx, change.tenant, action.modules)
    if change.given.keys().isdisjoint(_BUILT_FROM):
        return
    action.all_changes_deployed = False
    action.errors, action.module_set = [], ""
    content = {"dependencies": to_builtins(action.dependencies), "modules": to_builtins(action.modules)}
    packages = await action_modules.packages_of(change.tx, change.tenant, content)
    action.status = "pending" if packages else "built"
    # Auth0 builds after it has answered, and until then shows dependencies as they were given (recorded).
    change.answer["status"] = "pending"
    if change.given.get("dependencies"):
        change.answer["dependencies"] = change.given["dependencies"]


async def changed(change: Change) -> None:
    """The secrets of an action go with it; a draft that names packages is built."""
    if change.document is None:
        await secrets.drop(change.tx, change.tenant, owner(change.id))
    elif change.document.status == "pending":
        await building.enqueue(change.tx, change.tenant, change.id)


async def list_actions(call: Call) -> dict[str, Any]:
    """GET actions/actions: by trigger, name, or whether they are deployed; always with totals (recorded)."""
    page = Page.offset(call)
    found = []
    deployed = flag(call, "deployed") if call.query("deployed") else None
    trigger, name = call.query("triggerId"), call.query("actionName")
    if flag(call, "installed"):
        return _page_of("actions", [], page)  # nothing comes from a marketplace here
    for record in await documents.select(call.store, call.tenant, ACTIONS):
        body = record.document
        if trigger and trigger not in {each["id"] for each in body["supported_triggers"]}:
            continue
        if name and name.lower() not in body["name"].lower():
            continue
        shown = await show(call, record)
        if deployed is None or ("deployed_version" in shown) == deployed:
            found.append(shown)
    found.sort(key=lambda action: action["created_at"])
    return _page_of("actions", found, page)


async def create_action(call: Call) -> dict[str, Any]:
    """POST actions/actions; with `deploy` it is deployed as soon as it is built."""
    given = await call.request.body_params()
    deploy = given.pop("deploy", False)
    if not isinstance(deploy, bool):
        raise InvalidBody("Payload validation error: 'Expected type boolean but found type string' on property deploy.")
    record = await documents.create(call.tx, call.tenant, ACTIONS, given, actor=call.actor)
    answer = dict(record.document)
    if deploy:
        current = await _read(call, record.id)
        if current.document["status"] == "built":
            await deploy_draft(call.tx, call.tenant, current)
        else:
            await building.enqueue(call.tx, call.tenant, record.id, deploy=True)
    return {**(await show(call, await _read(call, record.id))), "status": answer["status"],
            "dependencies": answer["dependencies"]}  # fmt: skip


async def delete_action(call: Call) -> None:
    """DELETE actions/actions/{id}: with `force` also one that is bound."""
    action = await _read(call, call.params["id"])
    bound = await bindings.bindings_of(call.tx, call.tenant, action.id)
    if bound and not flag(call, "force"):
        raise BadRequest("The action is bound to a trigger. Remove the binding first, or delete with force=true.")
    for binding in bound:
        await documents.delete(call.tx, call.tenant, bindings.ACTION_BINDINGS, binding.id, actor=call.actor)
    await documents.delete(call.tx, call.tenant, ACTIONS, action.id, actor=call.actor)


async def wait_until_built(call: Call) -> None:
    """Give a build that is on its way the time that most need."""
    until = time.monotonic() + BUILD_WAIT_S
    while time.monotonic() < until:
        action = await documents.read(call.store, call.tenant, ACTIONS, call.params["id"])
        if action is None or action.document["status"] != "pending":
            return
        await asyncio.sleep(BUILD_ASKED_S)


async def deploy_action(call: Call) -> dict[str, Any]:
    """POST actions/actions/{id}/deploy: the draft as a new version, which runs from now on.

    A draft that was saved a moment ago is waited for: its packages are being installed.
    """
    action = await _read(call, call.params["id"])
    if action.document["status"] != "built":
        raise BadRequest("The action is not built; only a built action can be deployed.")
    made = await deploy_draft(call.tx, call.tenant, action)
    # Auth0 answers before it has done it, and so says false (recorded).
    return {**versions.shown(made, action.document), "deployed": False}


async def list_versions(call: Call) -> dict[str, Any]:
    """GET actions/actions/{actionId}/versions: the newest first."""
    action = await _read(call, call.params["actionId"])
    found = await versions.versions_of(call.store, call.tenant, action.id)
    return _page_of("versions", [versions.shown(each, action.document) for each in found], Page.offset(call))


async def get_version(call: Call) -> dict[str, Any]:
    """GET actions/actions/{actionId}/versions/{id}."""
    action, version = await _version(call)
    return versions.shown(version, action.document)


async def deploy_version(call: Call) -> dict[str, Any]:
    """POST actions/actions/{actionId}/versions/{id}/deploy: an old version again, as a new one."""
    action, version = await _version(call)
    content = {name: version.document[name] for name in _SHARED}
    made = await versions.deploy(call.tx, call.tenant, action.id, content, secrets_from=versions.owner(version.id))
    if call.body.update_draft:
        values = await secrets.values_of(call.tx, call.tenant, versions.owner(version.id))
        await secrets.drop(call.tx, call.tenant, owner(action.id))
        await secrets.put(call.tx, call.tenant, owner(action.id), values)
        await _save(call, action, {**content, "status": "built", "errors": [], "all_changes_deployed": True})
    else:
        await _save(call, action, {"all_changes_deployed": _same(content, action.document)})
    return {**versions.shown(made, action.document), "deployed": False}


async def list_triggers(call: Call) -> dict[str, Any]:
    """GET actions/triggers: where actions can run."""
    del call
    return {"triggers": catalogue()}


async def list_bindings(call: Call) -> dict[str, Any]:
    """GET actions/triggers/{triggerId}/bindings: in the order in which they run."""
    trigger = bindings.known_trigger(call.params["triggerId"])
    found = [await _show_binding(call, each) for each in await bindings.bound_to(call.reader, call.tenant, trigger)]
    return _page_of("bindings", found, Page.offset(call))


async def set_bindings(call: Call) -> dict[str, Any]:
    """PATCH actions/triggers/{triggerId}/bindings: replaces the whole list."""
    trigger = bindings.known_trigger(call.params["triggerId"])
    chosen = []
    for wanted in call.body.bindings:
        action = await _referred(call, wanted.ref)
        if trigger not in {each["id"] for each in action.document["supported_triggers"]}:
            raise BadRequest(f"The action {action.document['name']} does not support the trigger {trigger}.")
        if await _deployed(call.tx, call.tenant, action.document) is None:
            raise BadRequest(f"The action {action.document['name']} is not deployed; only deployed actions are bound.")
        chosen.append((action.id, wanted.display_name or action.document["name"]))
    await bindings.replace(call.tx, call.tenant, trigger, chosen, actor=call.actor)
    found = await bindings.bound_to(call.tx, call.tenant, trigger)
    return {"bindings": [await _show_binding(call, each) for each in found]}


async def show(call: Call, record: Record) -> dict[str, Any]:
    """An action as the Management API shows it."""
    body = await call.shown(ACTIONS, record)
    body.pop("module_set", None)
    if not body.get("modules"):
        body.pop("modules", None)
    if not body.get("errors"):
        body.pop("errors", None)
    return body


async def get_action(call: Call) -> dict[str, Any]:
    """GET actions/actions/{id}."""
    return await show(call, await _read(call, call.params["id"]))


async def update_action(call: Call) -> dict[str, Any]:
    """PATCH actions/actions/{id}: changes the draft; what is deployed stays."""
    id_ = call.params["id"]
    given = await call.request.body_params()
    record = await documents.update(call.tx, call.tenant, ACTIONS, id_, given, actor=call.actor)
    return await show(call, record)


async def deploy_draft(tx: Transaction, tenant: TenantScope, action: Record) -> Record:
    """Make a version of the draft, which runs from now on."""
    content = {name: action.document[name] for name in _SHARED}
    made = await versions.deploy(tx, tenant, action.id, content, secrets_from=owner(action.id))
    await documents.update(tx, tenant, ACTIONS, action.id, {}, server={"all_changes_deployed": True})
    return made


def owner(action_id: str) -> str:
    """Whose a draft's secrets are, in the vault's words."""
    return f"actions/{action_id}"


async def _save(call: Call, action: Record, members: dict[str, Any]) -> None:
    await documents.update(call.tx, call.tenant, ACTIONS, action.id, {}, actor=call.actor, server=members)


async def _read(call: Call, id_: str) -> Record:
    record = await documents.read(call.reader, call.tenant, ACTIONS, id_)
    if record is None:
        raise documents.missing(ACTIONS)
    return record


async def _version(call: Call) -> tuple[Record, Record]:
    action = await _read(call, call.params["actionId"])
    version = await documents.read(call.reader, call.tenant, versions.ACTION_VERSIONS, call.params["id"])
    if version is None or version.parent != action.id:
        raise documents.missing(versions.ACTION_VERSIONS)
    return action, version


async def _referred(call: Call, ref: bindings.BindingRef) -> Record:
    if ref.type == "binding_id":
        binding = await documents.find(call.tx, call.tenant, bindings.ACTION_BINDINGS, ref.value)
        return await _read(call, binding.action_id if binding else "")
    if ref.type == "action_id":
        return await _read(call, ref.value)
    found = await documents.select(call.tx, call.tenant, ACTIONS, name=ref.value)
    if len(found) > 1:
        raise BadRequest(f"There are {len(found)} actions called {ref.value}. Name the one you mean by its id.")
    return found[0] if found else await _read(call, "")


async def _show_binding(call: Call, binding: bindings.ActionBinding) -> dict[str, Any]:
    action = await show(call, await _read(call, binding.action_id))
    shown = ("id", "name", "supported_triggers", "created_at", "updated_at", "current_version", "deployed_version")
    return {
        "id": binding.id, "trigger_id": binding.trigger_id, "display_name": binding.display_name,
        "action": {name: action[name] for name in shown if name in action} | {"all_changes_deployed": False},
        "created_at": binding.created_at, "updated_at": binding.updated_at,
    }  # fmt: skip


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[name] == other[name] for name in _SHARED)


def _page_of(name: str, items: list[dict[str, Any]], page: Page) -> dict[str, Any]:
    shown = items[page.start : page.start + page.limit]
    body: dict[str, Any] = {name: shown, "total": len(items), "per_page": page.limit}
    if page.start:
        body["page"] = page.start // page.limit if page.limit else 0
    return body


ACTIONS = Collection(
    document=Action,
    path="actions/actions",
    table="actions",
    scopes=Scopes.of("actions"),
    new_id=new_uuid,
    not_found=Text("That action does not exist."),
    prepare=prepare,
    changed=changed,
    overrides={
        "list": list_actions, "create": create_action, "get": get_action, "update": update_action,
        "delete": delete_action,
    },
)  # fmt: skip

_VERSIONS = "actions/actions/{actionId}/versions"
_BINDINGS = "actions/triggers/{triggerId}/bindings"
OPERATIONS = (
    Operation(
        method="POST", path="actions/actions/{id}/deploy", scopes=("create:actions",), handler=deploy_action,
        before=wait_until_built, name="actions.deploy", audit="Deploy an action",
    ),
    Operation(
        method="GET", path=_VERSIONS, scopes=("read:actions",), handler=list_versions, name="actions.versions.list",
    ),
    Operation(
        method="GET", path=_VERSIONS + "/{id}", scopes=("read:actions",), handler=get_version,
        name="actions.versions.get",
    ),
    Operation(
        method="POST", path=_VERSIONS + "/{id}/deploy", scopes=("create:actions",), handler=deploy_version,
        name="actions.versions.deploy", body=DeployVersion, audit="Deploy an action version",
    ),
    Operation(
        method="GET", path="actions/triggers", scopes=("read:actions",), handler=list_triggers,
        name="actions.triggers.list",
    ),
    Operation(
        method="GET", path=_BINDINGS, scopes=("read:actions",), handler=list_bindings,
        name="actions.triggers.bindings.list",
    ),
    Operation(
        method="PATCH", path=_BINDINGS, scopes=("update:actions",), handler=set_bindings,
        name="actions.triggers.bindings.update", body=bindings.Bindings, audit="Update trigger bindings",
    ),
)  # fmt: skip
