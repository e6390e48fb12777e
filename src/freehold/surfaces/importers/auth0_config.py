"""A configuration directory that Auth0's deploy CLI wrote is carried over.

The files name clients and connections by name where the API has ids, hold masks where secrets were, and placeholders
where the writer kept them. Whatever has no place here is in the report. Custom code is `auth0_code`'s.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from freehold.domain.access import CLIENT_GRANTS, RESOURCE_SERVERS, ROLES
from freehold.domain.access.documents import ROLE_PERMISSIONS
from freehold.domain.access.permissions import give
from freehold.domain.applications import CLIENTS
from freehold.domain.connections import CONNECTIONS
from freehold.domain.protection import PROTECTIONS
from freehold.domain.tenants.settings import SETTINGS
from freehold.kernel.declare import Collection, Singleton, TenantScope, documents
from freehold.kernel.declare.compile import project
from freehold.kernel.declare.documents import SINGLETON_ID, Record
from freehold.kernel.errors import FreeholdError
from freehold.kernel.store import Transaction
from freehold.surfaces.importers.auth0_code import Code
from freehold.surfaces.importers.auth0_files import Configuration
from freehold.surfaces.importers.report import Report

# Encrypted values are those of a database's configuration, which only Auth0 can read.
_MASK = re.compile(r"\*{4,}|_VALUE_NOT_SHOWN_|\[REDACTED\]|\d\.\d\$[0-9a-f$]{32,}|(##|@@)[A-Za-z0-9_]+\1")
_MANAGEMENT_API = re.compile(r"https://[^/]+/api/v2/")


@dataclass(slots=True)
class Applying:
    """One configuration on its way into a tenant."""

    tx: Transaction
    tenant: TenantScope
    report: Report
    configuration: Configuration
    client_ids: dict[str, str] = field(default_factory=dict)
    """By name, for what refers to clients by name."""

    async def everything(self) -> None:
        """Settings, APIs, clients, connections, grants, roles, code: each after what it refers to."""
        configuration = self.configuration
        for kind, number in configuration.unknown.items():
            self.report.find("resource_unknown", kind, "", f"{number} not imported")
        if configuration.tenant:
            await self._one("tenant settings", "tenant", configuration.tenant, self._settings(SETTINGS))
        for place, item in configuration.items.get("attackProtection", ()):
            await self._protect(place, item)
        for place, item in configuration.items.get("resourceServers", ()):
            await self._one("apis", place, item, self._api)
        for place, item in configuration.items.get("clients", ()):
            await self._one("clients", place, item, self._client)
        for record in await documents.select(self.tx, self.tenant, CLIENTS):
            self.client_ids.setdefault(str(record.document.get("name")), record.id)
        for kind in ("databases", "connections"):
            for place, item in configuration.items.get(kind, ()):
                await self._one("connections", place, item, self._connection)
        for place, item in configuration.items.get("clientGrants", ()):
            await self._one("client grants", place, item, self._grant)
        for place, item in configuration.items.get("roles", ()):
            await self._one("roles", place, item, self._role)
        code = Code(self.tx, self.tenant, self.report, configuration)
        for kind, name, work in code.kinds:
            for place, item in await code.in_order(kind):
                await self._one(name, place, item, work)

    async def _one(self, kind: str, place: str, item: dict[str, Any], work: Any) -> None:
        """One object, alone undone when it is refused."""
        given = self._unmasked(place, item)
        try:
            async with self.tx.savepoint():
                self.report.count(kind, await work(place, given))
        except FreeholdError as refusal:
            self.report.count(kind, "refused")
            who = str(item.get("name") or item.get("identifier") or item.get("client_id") or "")
            self.report.find("resource_refused", place, who, refusal.message)

    def _settings(self, declaration: Singleton[Any]) -> Any:
        async def work(place: str, values: dict[str, Any]) -> str:
            kept = self._kept(place, declaration, values, project(declaration.document).patch)
            await documents.update(self.tx, self.tenant, declaration, SINGLETON_ID, kept)
            return "updated"

        return work

    async def _protect(self, place: str, item: dict[str, Any]) -> None:
        """A file of the folder `attack-protection`, or what tenant.yaml says of all of them."""
        whole = item if ".json" not in place else {Path(place).stem: item}
        for name, values in whole.items():
            declaration = PROTECTIONS.get(re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower())
            if declaration is None or not isinstance(values, dict):
                self.report.find("resource_unknown", place, name, "not imported")
            else:
                await self._one("attack protection", f"{place} {name}", values, self._settings(declaration))

    async def _api(self, place: str, given: dict[str, Any]) -> str:
        identifier = str(given.get("identifier", ""))
        if given.get("is_system") or _MANAGEMENT_API.fullmatch(identifier):
            self.report.find("note", place, identifier, "every tenant has its own Management API; left as it is")
            return "left as they are"
        found = await documents.select(self.tx, self.tenant, RESOURCE_SERVERS, identifier=identifier)
        return (await self._put(place, RESOURCE_SERVERS, given, found))[0]

    async def _client(self, place: str, given: dict[str, Any]) -> str:
        name, client_id = str(given.get("name", "")), given.get("client_id")
        if given.get("global"):
            self.report.find("note", place, name, "the client that stands for all; every tenant has its own")
            return "left as they are"
        found: list[Record] = []
        if client_id:
            record = await documents.read(self.tx, self.tenant, CLIENTS, str(client_id))
            found = [record] if record else []
        else:
            everyone = await documents.select(self.tx, self.tenant, CLIENTS)
            found = [record for record in everyone if record.document.get("name") == name]
        done, record = await self._put(place, CLIENTS, given, found[:1], {"client_id": client_id} if client_id else {})
        if not client_id and done == "created":
            self.report.find("note", place, name, f"exported without client_id; it is {record.id} here")
        self.client_ids[name] = record.id
        return done

    async def _connection(self, place: str, given: dict[str, Any]) -> str:
        given.setdefault("strategy", "auth0")
        if "enabled_clients" in given:
            given["enabled_clients"] = self._named_clients(place, given["enabled_clients"])
        self._scripts(place, given)
        found = await documents.select(self.tx, self.tenant, CONNECTIONS, name=str(given.get("name", "")))
        if found:
            _keep_secrets(given.get("options"), found[0].document.get("options") or {})
        id_ = given.pop("id", None)
        server = {"id": id_} if isinstance(id_, str) and re.fullmatch(r"con_[A-Za-z0-9]{16}", id_) else {}
        return (await self._put(place, CONNECTIONS, given, found, server))[0]

    async def _grant(self, place: str, given: dict[str, Any]) -> str:
        client = str(given.get("client_id", ""))
        given["client_id"] = self.client_ids.get(client, client)
        audience = str(given.get("audience", ""))
        if _MANAGEMENT_API.fullmatch(audience) and audience != self.tenant.management_audience:
            given["audience"] = self.tenant.management_audience
            self.report.find("note", place, client, "a grant for the Management API, now for this tenant's")
            given["scope"] = await self._known_scopes(place, client, given.get("scope") or [])
        keys = {"client_id": given["client_id"], "audience": str(given.get("audience", ""))}
        found = await documents.select(self.tx, self.tenant, CLIENT_GRANTS, **keys)
        kind = given.get("subject_type", "client")
        found = [record for record in found if record.document.get("subject_type", "client") == kind]
        return (await self._put(place, CLIENT_GRANTS, given, found))[0]

    async def _known_scopes(self, place: str, client: str, scopes: list[str]) -> list[str]:
        audience = self.tenant.management_audience
        found = await documents.select(self.tx, self.tenant, RESOURCE_SERVERS, identifier=audience)
        known = {scope["value"] for scope in found[0].document.get("scopes", ())} if found else set()
        for scope in scopes:
            if scope not in known:
                self.report.find("field_without_place", place, client, f"scope {scope} of the Management API")
        return [scope for scope in scopes if scope in known]

    async def _role(self, place: str, given: dict[str, Any]) -> str:
        permissions = given.pop("permissions", None) or []
        found = await documents.select(self.tx, self.tenant, ROLES, name=str(given.get("name", "")))
        id_ = given.pop("id", None)
        server = {"id": id_} if isinstance(id_, str) and re.fullmatch(r"rol_[A-Za-z0-9]{16}", id_) else {}
        done, record = await self._put(place, ROLES, given, found, server)
        pairs = []
        for permission in permissions:
            identifier = str(permission.get("resource_server_identifier", ""))
            if _MANAGEMENT_API.fullmatch(identifier):
                identifier = self.tenant.management_audience
            name = str(permission.get("permission_name", ""))
            apis = await documents.select(self.tx, self.tenant, RESOURCE_SERVERS, identifier=identifier)
            known = {scope["value"] for scope in apis[0].document.get("scopes", ())} if apis else set()
            if name not in known:
                detail = f"permission {name} of {identifier}, which has no such scope"
                self.report.find("field_without_place", place, str(given.get("name")), detail)
                continue
            pairs.append((apis[0].id, name))
        await give(self.tx, self.tenant, ROLE_PERMISSIONS, record.id, pairs)
        return done

    async def _put(
        self,
        place: str,
        declaration: Collection[Any],
        given: dict[str, Any],
        found: list[Record],
        server: dict[str, Any] | None = None,
    ) -> tuple[str, Record]:
        """Create an object, or update the one that is there."""
        projection = project(declaration.document)
        ids = {declaration.key, "tenant"}
        body = {name: value for name, value in given.items() if name not in ids}
        if found:
            fixed = projection.immutable & body.keys()
            patch = {name: value for name, value in body.items() if name not in fixed}
            kept = self._kept(place, declaration, patch, projection.patch)
            return "updated", await documents.update(self.tx, self.tenant, declaration, found[0].id, kept)
        kept = self._kept(place, declaration, body, projection.create)
        return "created", await documents.create(self.tx, self.tenant, declaration, kept, server=server)

    def _kept(self, place: str, declaration: Any, given: dict[str, Any], shape: Any) -> dict[str, Any]:
        """The members that have a place; the others are in the report."""
        known = set(shape.__struct_encode_fields__)
        for name in given.keys() - known:
            self.report.find("field_without_place", place, str(given.get("name") or ""), f"{declaration.name}.{name}")
        return {name: value for name, value in given.items() if name in known and value is not None}

    def _named_clients(self, place: str, names: list[Any]) -> list[str]:
        ids = set(self.client_ids.values())
        found = []
        for name in names:
            if name in self.client_ids or name in ids:
                found.append(self.client_ids.get(name, name))
            else:
                self.report.find("field_without_place", place, str(name), "enabled for a client that is not there")
        return found

    def _scripts(self, place: str, given: dict[str, Any]) -> None:
        """Put the database scripts in, which lie in files of their own."""
        options = given.get("options")
        scripts: dict[str, Any] = (options.get("customScripts") if isinstance(options, dict) else None) or {}
        for name, value in list(scripts.items()):
            if not (isinstance(value, str) and value.endswith(".js")):
                continue
            text = self.configuration.file_named(place, value)
            if text is not None:
                scripts[name] = text
            else:
                del scripts[name]
                detail = f"options.customScripts.{name}: its file is not in the directory"
                self.report.find("field_without_place", place, str(given.get("name") or ""), detail)

    def _unmasked(self, place: str, item: Any, path: str = "") -> Any:
        """An object without the values that are masks, each of which is in the report."""
        if isinstance(item, dict):
            kept = {}
            for name, value in item.items():
                inner = f"{path}.{name}" if path else str(name)
                if isinstance(value, str) and _MASK.fullmatch(value):
                    self.report.find("masked_secret", place, str(item.get("name") or item.get("key") or ""), inner)
                    continue
                kept[name] = self._unmasked(place, value, inner)
            return kept
        if isinstance(item, list):
            return [self._unmasked(place, value, f"{path}[{n}]") for n, value in enumerate(item)]
        return item


def _keep_secrets(options: Any, before: dict[str, Any]) -> None:
    """Options are replaced as a whole: what the files mask stays as it is here."""
    if not isinstance(options, dict):
        return
    if before.get("configuration"):
        given = options.get("configuration")
        options["configuration"] = {**before["configuration"], **(given if isinstance(given, dict) else {})}
    if before.get("client_secret"):
        options.setdefault("client_secret", before["client_secret"])
