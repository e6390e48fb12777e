"""The Management API of modules: `actions/modules`, their versions, publishing and rolling back."""

from typing import Annotated, Any

from freehold.domain.extensions import action_modules
from freehold.domain.extensions.action_modules import ACTION_MODULES
from freehold.kernel.declare import Length, Operation, Part, documents
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.documents import Record
from freehold.kernel.declare.paging import Page
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import NotFound, PreconditionFailed

_UNKNOWN = "No module exists with the specified ID."


class Rollback(Part):
    """The body that makes a version the draft."""

    module_version_id: Annotated[str, Length(1, 255)]


async def list_modules(call: Call) -> dict[str, Any]:
    """GET actions/modules: always with totals (recorded)."""
    found = await documents.select(call.store, call.tenant, ACTION_MODULES)
    shown = [await _shown(call, record) for record in sorted(found, key=lambda each: each.document["created_at"])]
    for module in shown:
        module.pop("latest_version", None)
    return _page_of("modules", shown, Page.offset(call))


async def create_module(call: Call) -> dict[str, Any]:
    """POST actions/modules; with `publish` there is a first version at once."""
    given = await call.request.body_params()
    publish = given.pop("publish", False)
    if not isinstance(publish, bool):
        raise InvalidBody("Payload validation error: 'Expected type boolean' on property publish.")
    record = await documents.create(call.tx, call.tenant, ACTION_MODULES, given, actor=call.actor)
    if publish:
        await action_modules.publish(call.tx, call.tenant, record)
        record = await documents.read(call.tx, call.tenant, ACTION_MODULES, record.id) or record
    return await _shown(call, record)


async def get_module(call: Call) -> dict[str, Any]:
    """GET actions/modules/{id}."""
    return await _shown(call, await _module(call))


async def update_module(call: Call) -> dict[str, Any]:
    """PATCH actions/modules/{id}: changes the draft; actions keep the version they include."""
    given = await call.request.body_params()
    record = await documents.update(call.tx, call.tenant, ACTION_MODULES, call.params["id"], given, actor=call.actor)
    return await _shown(call, record)


async def delete_module(call: Call) -> None:
    """DELETE actions/modules/{id}: not while an action includes it."""
    module = await _module(call, "The Actions Module does not exist.")
    if await action_modules.users_of(call.tx, call.tenant, module.id):
        raise PreconditionFailed(
            "The Actions Module cannot be deleted because it is in use by one or more actions.", code=""
        )
    await documents.delete(call.tx, call.tenant, ACTION_MODULES, module.id, actor=call.actor)


async def list_users(call: Call) -> dict[str, Any]:
    """GET actions/modules/{id}/actions: who includes it, and which version."""
    module = await _module(call, _UNKNOWN)
    found = [
        {
            "action_id": action.id, "action_name": action.document["name"],
            "module_version_id": reference["module_version_id"],
            "module_version_number": reference["module_version_number"],
            "supported_triggers": action.document["supported_triggers"],
        }
        for action, reference in await action_modules.users_of(call.store, call.tenant, module.id)
    ]  # fmt: skip
    return _page_of("actions", found, Page.offset(call))


async def roll_back(call: Call) -> dict[str, Any]:
    """POST actions/modules/{id}/rollback: a version as the draft again."""
    module = await _module(call, "The module or version does not exist.")
    version = await action_modules.get_version(call.tx, call.tenant, module.id, call.body.module_version_id)
    await action_modules.roll_back(call.tx, call.tenant, module, version)
    return await _shown(call, await _module(call))


async def list_versions(call: Call) -> dict[str, Any]:
    """GET actions/modules/{id}/versions: the newest first."""
    module = await _module(call, _UNKNOWN)
    found = await action_modules.versions_of(call.store, call.tenant, module.id)
    return _page_of("versions", [action_modules.shown_version(each, module.id) for each in found], Page.offset(call))


async def publish_module(call: Call) -> dict[str, Any]:
    """POST actions/modules/{id}/versions: the draft as a version that actions can include."""
    module = await _module(call)
    return action_modules.shown_version(await action_modules.publish(call.tx, call.tenant, module), module.id)


async def get_version(call: Call) -> dict[str, Any]:
    """GET actions/modules/{id}/versions/{versionId}."""
    version = await action_modules.get_version(call.store, call.tenant, call.params["id"], call.params["versionId"])
    return action_modules.shown_version(version, call.params["id"])


async def _module(call: Call, message: str = "The action module does not exist.") -> Record:
    record = await documents.read(call.reader, call.tenant, ACTION_MODULES, call.params["id"])
    if record is None:
        raise NotFound(message, code="")
    return record


async def _shown(call: Call, record: Record) -> dict[str, Any]:
    body = await call.shown(ACTION_MODULES, record)
    body.pop("api_version", None)
    return body


def _page_of(name: str, items: list[dict[str, Any]], page: Page) -> dict[str, Any]:
    number = page.start // page.limit if page.limit else 0
    shown = items[page.start : page.start + page.limit]
    return {name: shown, "total": len(items), "page": number, "per_page": page.limit}


_MODULES, _MODULE, _VERSIONS = "actions/modules", "actions/modules/{id}", "actions/modules/{id}/versions"
OPERATIONS = (
    Operation(
        method="GET", path=_MODULES, scopes=("read:actions",), handler=list_modules, name="actions.modules.list",
    ),
    Operation(
        method="POST", path=_MODULES, scopes=("create:actions",), handler=create_module, status=201,
        name="actions.modules.create", audit="Create an action module",
    ),
    Operation(method="GET", path=_MODULE, scopes=("read:actions",), handler=get_module, name="actions.modules.get"),
    Operation(
        method="PATCH", path=_MODULE, scopes=("update:actions",), handler=update_module,
        name="actions.modules.update", audit="Update an action module",
    ),
    Operation(
        method="DELETE", path=_MODULE, scopes=("delete:actions",), handler=delete_module, status=204,
        name="actions.modules.delete", audit="Delete an action module",
    ),
    Operation(
        method="GET", path=_MODULE + "/actions", scopes=("read:actions",), handler=list_users,
        name="actions.modules.listActions",
    ),
    Operation(
        method="POST", path=_MODULE + "/rollback", scopes=("update:actions",), handler=roll_back, body=Rollback,
        name="actions.modules.rollback", audit="Roll an action module back",
    ),
    Operation(
        method="GET", path=_VERSIONS, scopes=("read:actions",), handler=list_versions,
        name="actions.modules.versions.list",
    ),
    Operation(
        method="POST", path=_VERSIONS, scopes=("update:actions",), handler=publish_module,
        name="actions.modules.versions.create", audit="Publish an action module",
    ),
    Operation(
        method="GET", path=_VERSIONS + "/{versionId}", scopes=("read:actions",), handler=get_version,
        name="actions.modules.versions.get",
    ),
)  # fmt: skip
