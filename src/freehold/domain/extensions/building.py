"""Builds drafts of actions: installs the npm packages that they name, after the draft was saved."""

import msgspec

from freehold.domain.extensions import action_modules, npm
from freehold.domain.extensions.sandbox import SandboxUnavailable
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.declare.documents import Record
from freehold.kernel.errors import FreeholdError
from freehold.kernel.jobs import Job
from freehold.kernel.store import Store, Transaction

TOPIC = "extensions.build"
_NAMING_PACKAGES = ("dependencies", "modules")


async def enqueue(tx: Transaction, tenant: TenantScope, action_id: str, *, deploy: bool = False) -> None:
    """Let a draft be built; with `deploy` it is deployed when that went well."""
    await tx.enqueue(TOPIC, tenant.id, msgspec.json.encode([action_id, deploy]))


async def build(job: Job) -> None:
    """The job: an action that was changed or deleted meanwhile is left to the job of that change."""
    from freehold.domain.extensions import actions

    action_id, deploy = msgspec.json.decode(job.payload, type=tuple[str, bool])
    tenant: TenantScope = await job.services.tenants.by_id(job.tenant_id)
    store: Store = job.services.store
    action = await documents.read(store, tenant, actions.ACTIONS, action_id)
    if action is None or action.document["status"] not in {"pending", "retrying"}:
        return
    members = await _built(job, tenant, action)
    async with store.transaction() as tx:
        current = await documents.read(tx, tenant, actions.ACTIONS, action_id)
        if current is None or any(current.document[name] != action.document[name] for name in _NAMING_PACKAGES):
            return
        await documents.update(tx, tenant, actions.ACTIONS, action_id, {}, server=members)
        if deploy and members["status"] == "built":
            built = await documents.read(tx, tenant, actions.ACTIONS, action_id)
            if built is not None:
                await actions.deploy_draft(tx, tenant, built)


async def _built(job: Job, tenant: TenantScope, action: Record) -> dict[str, object]:
    packages = await action_modules.packages_of(job.services.store, tenant, action.document)
    try:
        return {"status": "built", "errors": [], "module_set": await npm.installed(job.services, tenant, packages)}
    except SandboxUnavailable:
        raise  # the machine may be mended; the job is tried again
    except FreeholdError as error:
        message = {"id": error.code or "modules_not_installed", "msg": error.message, "url": ""}
        return {"status": "failed", "errors": [message], "module_set": ""}
