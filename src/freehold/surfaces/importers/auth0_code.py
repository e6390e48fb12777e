"""Custom code in a directory of the deploy CLI: rules, their configuration, hooks, modules, actions, bindings.

The values of secrets are never in it. Their names are kept, and each one without a value is in the report.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from freehold.domain.extensions import (
    ACTION_MODULES,
    ACTIONS,
    HOOKS,
    RULES,
    RULES_CONFIGS,
    action_modules,
    actions,
    bindings,
    building,
    hooks,
)
from freehold.kernel.declare import SYSTEM, Collection, TenantScope, documents
from freehold.kernel.declare.compile import project
from freehold.kernel.declare.documents import Record
from freehold.kernel.errors import BadRequest
from freehold.kernel.store import Transaction
from freehold.surfaces.importers.auth0_files import Configuration
from freehold.surfaces.importers.report import Report

Item = tuple[str, dict[str, Any]]
Work = Callable[[str, dict[str, Any]], Awaitable[str]]
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What the deploy CLI writes of an action besides what makes it.
_ABOUT_MODULES = (
    "actions_using_module_total", "all_changes_published", "latest_version_number", "created_at", "updated_at",
)  # fmt: skip
_ABOUT_ACTIONS = ("status", "deployed", "all_changes_deployed", "installed_integration_id", "created_at", "updated_at")


@dataclass(slots=True)
class Code:
    """The custom code of one configuration on its way into a tenant."""

    tx: Transaction
    tenant: TenantScope
    report: Report
    configuration: Configuration

    @property
    def kinds(self) -> Sequence[tuple[str, str, Work]]:
        """Kinds in the order in which they go in: key in tenant.yaml, name in the report, how one is taken in."""
        return (
            ("rules", "rules", self._rule),
            ("rulesConfigs", "rules configuration", self._rules_config),
            ("hooks", "hooks", self._hook),
            ("actionModules", "action modules", self._module),
            ("actions", "actions", self._action),
            ("triggers", "triggers", self._bindings),
        )

    async def in_order(self, kind: str) -> list[Item]:
        """The objects of a kind, made ready so that one can be taken in after the other."""
        items = self.configuration.items.get(kind, [])
        if kind == "rules":
            await self._make_room([item for _, item in items])
        if kind == "triggers":
            return [
                (place, {"trigger": trigger, "bindings": bound})
                for place, item in items
                for trigger, bound in item.items()
            ]
        return items

    async def _make_room(self, rules: list[dict[str, Any]]) -> None:
        """Move rules that are there behind all others: no two may have one order, not even for a moment."""
        known = {str(each.document["name"]): each for each in await documents.select(self.tx, self.tenant, RULES)}
        orders = [rule["order"] for rule in rules if isinstance(rule.get("order"), int)]
        last = max([*orders, *(int(each.document["order"]) for each in known.values())], default=0)
        for rule in rules:
            record = known.get(str(rule.get("name")))
            if record is not None and record.document["order"] != rule.get("order"):
                last += 1
                await documents.update(self.tx, self.tenant, RULES, record.id, {"order": last})

    async def _rule(self, place: str, given: dict[str, Any]) -> str:
        body = self._with_code(place, given, "script")
        body.pop("id", None)
        found = await documents.select(self.tx, self.tenant, RULES, name=str(body.get("name", "")))
        if found:
            body.pop("stage", None)
        return (await self._put(place, RULES, body, found))[0]

    async def _rules_config(self, place: str, given: dict[str, Any]) -> str:
        key, value = str(given.get("key", "")), given.get("value")
        known = await documents.read(self.tx, self.tenant, RULES_CONFIGS, key)
        if value is None:
            self._masked(place, key, "value")
        body = {} if value is None else {"value": value}
        if known is not None:
            await documents.update(self.tx, self.tenant, RULES_CONFIGS, key, body)
            return "updated"
        await documents.create(self.tx, self.tenant, RULES_CONFIGS, body, server={"key": key})
        return "created"

    async def _hook(self, place: str, given: dict[str, Any]) -> str:
        body = self._with_code(place, given, "script")
        body.pop("id", None)
        named = body.pop("secrets", None)
        raw = next((item.get("secrets") for where, item in self.configuration.items["hooks"] if where == place), None)
        present = await documents.select(self.tx, self.tenant, HOOKS)
        name = hooks.kebab(str(body.get("name", "")))
        found = [record for record in present if record.document["name"] == name]
        if found:
            body.pop("triggerId", None)
        done, record = await self._put(place, HOOKS, body, found)
        values = named if isinstance(named, dict) else {}
        before = {each.document["name"] for each in await hooks.secrets_below(self.tx, self.tenant, record.id)}
        # A masked one was taken out of `values` and is in the report; its name is kept, with nothing behind it.
        missing = {name: "" for name in (raw or {}) if name not in values and name not in before}
        await hooks.put_secrets(self.tx, self.tenant, record.id, {**missing, **values}, actor=SYSTEM)
        return done

    async def _module(self, place: str, given: dict[str, Any]) -> str:
        body = self._with_code(place, given, "code")
        for name in _ABOUT_MODULES:
            body.pop(name, None)
        id_ = body.pop("id", None)
        found = await documents.select(self.tx, self.tenant, ACTION_MODULES, name=str(body.get("name", "")))
        before = {secret["name"] for secret in found[0].document["secrets"]} if found else set()
        body["secrets"] = self._secrets(place, body.get("secrets"), before)
        if found:
            body.pop("name")
        server = {"id": id_} if isinstance(id_, str) and _UUID.fullmatch(id_) else {}
        done, record = await self._put(place, ACTION_MODULES, body, found, server)
        number = given.get("latest_version_number") or 0
        if (given.get("all_changes_published") or number) and not record.document["all_changes_published"]:
            await action_modules.publish(self.tx, self.tenant, record, at_least=int(number))
        return done

    async def _included(self, place: str, action: str, references: Any) -> list[dict[str, Any]]:
        """The modules of an action: where the version that it had did not come along, the newest."""
        kept = []
        for reference in references or ():
            name, number = str(reference.get("module_name", "")), reference.get("module_version_number")
            found = await documents.select(self.tx, self.tenant, ACTION_MODULES, name=name)
            versions = await action_modules.versions_of(self.tx, self.tenant, found[0].id) if found else []
            if number in {version.document["version_number"] for version in versions}:
                kept.append({"module_name": name, "module_version_number": number})
            else:
                kept.append({"module_name": name})
                self.report.find("note", place, action, f"includes version {number} of {name}; now the newest one")
        return kept

    async def _action(self, place: str, given: dict[str, Any]) -> str:
        body = self._with_code(place, given, "code")
        deployed = bool(given.get("deployed") or given.get("all_changes_deployed"))
        for name in _ABOUT_ACTIONS:
            body.pop(name, None)
        body["modules"] = await self._included(place, str(body.get("name", "")), body.get("modules"))
        name, id_ = str(body.get("name", "")), body.pop("id", None)
        found = await documents.select(self.tx, self.tenant, ACTIONS, name=name)
        if len(found) > 1:
            raise BadRequest(f"There are {len(found)} actions called {name}.")
        before = {secret["name"] for secret in found[0].document["secrets"]} if found else set()
        body["secrets"] = self._secrets(place, body.get("secrets"), before)
        server = {"id": id_} if isinstance(id_, str) and _UUID.fullmatch(id_) else {}
        done, record = await self._put(place, ACTIONS, body, found, server)
        if deployed:
            await self._deploy(place, name, record.id)
        return done

    def _secrets(self, place: str, given: Any, before: set[str]) -> list[dict[str, Any]]:
        """The secrets of an action: one without a value keeps the value that is here, or has none."""
        kept = []
        for secret in given if isinstance(given, list) else ():
            name = str(secret.get("name", ""))
            if "value" in secret:
                kept.append({"name": name, "value": secret["value"]})
            else:
                self._masked(place, name, "secrets")
                kept.append({"name": name} if name in before else {"name": name, "value": ""})
        return kept

    async def _deploy(self, place: str, name: str, id_: str) -> None:
        action = await documents.read(self.tx, self.tenant, ACTIONS, id_)
        if action is None or action.document["all_changes_deployed"]:
            return
        if action.document["status"] == "built":
            await actions.deploy_draft(self.tx, self.tenant, action)
            return
        await building.enqueue(self.tx, self.tenant, id_, deploy=True)
        self.report.find("note", place, name, "deployed as soon as the server has installed its npm packages")

    async def _bindings(self, place: str, given: dict[str, Any]) -> str:
        trigger = bindings.known_trigger(str(given["trigger"]))
        wanted = []
        for bound in given["bindings"] or ():
            name = str(bound.get("action_name", ""))
            found = await documents.select(self.tx, self.tenant, ACTIONS, name=name)
            if len(found) != 1:
                self.report.find("field_without_place", place, name, f"bound to {trigger}, and no action of that name")
                continue
            wanted.append((found[0].id, str(bound.get("display_name") or name)))
        await bindings.replace(self.tx, self.tenant, trigger, wanted, actor=SYSTEM)
        return "set"

    def _with_code(self, place: str, given: dict[str, Any], member: str) -> dict[str, Any]:
        """The object with its code, which lies in a file of its own. Raises BadRequest when the file is not there."""
        body = dict(given)
        code = body.get(member)
        if isinstance(code, str) and code.endswith(".js") and "\n" not in code:
            text = self.configuration.file_named(place, code)
            if text is None:
                raise BadRequest(f"The file of its {member} is not in the directory.")
            body[member] = text
        return body

    def _masked(self, place: str, name: str, detail: str) -> None:
        known = {(each["where"], each["who"]) for each in self.report.findings("masked_secret")}
        if (place, name) not in known:
            self.report.find("masked_secret", place, name, detail)

    async def _put(
        self,
        place: str,
        declaration: Collection[Any],
        given: dict[str, Any],
        found: list[Record],
        server: dict[str, Any] | None = None,
    ) -> tuple[str, Record]:
        projection = project(declaration.document)
        shape = projection.patch if found else projection.create
        known = set(shape.__struct_encode_fields__)
        for name in given.keys() - known:
            self.report.find("field_without_place", place, str(given.get("name") or ""), f"{declaration.name}.{name}")
        body = {name: value for name, value in given.items() if name in known and value is not None}
        if found:
            return "updated", await documents.update(self.tx, self.tenant, declaration, found[0].id, body)
        return "created", await documents.create(self.tx, self.tenant, declaration, body, server=server)
