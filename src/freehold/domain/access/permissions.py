"""Permissions of roles and users: rows that name an API's scope, their operations, and what they add up to."""

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import UNSET

from freehold.domain.access.authority import check_may_grant
from freehold.domain.access.documents import ROLE_PERMISSIONS, USER_PERMISSIONS, ResourceServer
from freehold.kernel.declare import Length, Operation, Stored, TenantScope, documents
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.store import Reader, Transaction

NAMED_AT_ONCE = 1000

_EFFECTIVE = """
select p.permission from user_permissions p
join resource_servers s on s.tenant_id = p.tenant_id and s.id = p.resource_server_id
where p.tenant_id = :tenant_id and p.user_id = :user_id and s.ix_identifier = :audience
union
select p.permission from role_users l
join role_permissions p on p.tenant_id = l.tenant_id and p.role_id = l.left_id
join resource_servers s on s.tenant_id = p.tenant_id and s.id = p.resource_server_id
where l.tenant_id = :tenant_id and l.right_id = :user_id and s.ix_identifier = :audience
"""
_OF_ROLE = """
select resource_server_id, permission from role_permissions
where tenant_id = :tenant_id and role_id = :holder order by created_at, resource_server_id, permission
"""
_OF_USER = """
select resource_server_id, permission, '', '', created_at from user_permissions
where tenant_id = :tenant_id and user_id = :holder
union all
select p.resource_server_id, p.permission, r.id, r.ix_name, p.created_at from role_users l
join role_permissions p on p.tenant_id = l.tenant_id and p.role_id = l.left_id
join roles r on r.tenant_id = l.tenant_id and r.id = l.left_id
where l.tenant_id = :tenant_id and l.right_id = :holder
order by 5, 1, 2, 3
"""
_ROLES_OF = """
select r.id, r.ix_name from role_users l join roles r on r.tenant_id = l.tenant_id and r.id = l.left_id
where l.tenant_id = :tenant_id and l.right_id = :user_id order by l.created_at, r.id
"""


class Permission(msgspec.Struct, forbid_unknown_fields=True):
    """One permission as requests name it."""

    resource_server_identifier: Annotated[str, Length(1, 600)]
    permission_name: Annotated[str, Length(1, 280)]


class Permissions(msgspec.Struct, forbid_unknown_fields=True):
    """The body that gives or takes permissions."""

    permissions: Annotated[list[Permission], Length(1, NAMED_AT_ONCE)]


# --- what a user may -----------------------------------------------------------------------------------------------


async def permissions_of(reader: Reader, tenant: TenantScope, user_id: str, audience: str) -> set[str]:
    """All permissions of an API that a user has, directly or by a role."""
    rows = await reader.all(_EFFECTIVE, tenant_id=tenant.id, user_id=user_id, audience=audience)
    return {row[0] for row in rows}


async def roles_of(reader: Reader, tenant: TenantScope, user_id: str) -> list[tuple[str, str]]:
    """Id and name of each role a user has, in the order in which they were given."""
    return [(row[0], row[1]) for row in await reader.all(_ROLES_OF, tenant_id=tenant.id, user_id=user_id)]


# --- the rows ------------------------------------------------------------------------------------------------------


async def give(
    tx: Transaction, tenant: TenantScope, table: Stored, holder: str, permissions: Iterable[tuple[str, str]]
) -> None:
    """Give a role or user permissions, as pairs of API id and name; those that are there already stay."""
    column = _holder(table)
    now = tenant.clock.now_ms()
    await tx.run_many(
        f"insert into {table.name} (tenant_id, {column}, resource_server_id, permission, created_at) "  # noqa: S608 - declared names
        "values (:tenant_id, :holder, :api, :permission, :now) on conflict do nothing",
        [
            {"tenant_id": tenant.id, "holder": holder, "api": api, "permission": name, "now": now}
            for api, name in permissions
        ],
    )


async def take(
    tx: Transaction, tenant: TenantScope, table: Stored, holder: str, permissions: Iterable[tuple[str, str]]
) -> None:
    """Take permissions from a role or user."""
    await tx.run_many(
        f"delete from {table.name} where tenant_id = :tenant_id and {_holder(table)} = :holder "  # noqa: S608 - declared names
        "and resource_server_id = :api and permission = :permission",
        [{"tenant_id": tenant.id, "holder": holder, "api": api, "permission": name} for api, name in permissions],
    )


async def forget(tx: Transaction, tenant: TenantScope, api: str, names: Iterable[str]) -> None:
    """Take permissions from everyone because the API no longer has them."""
    rows = [{"tenant_id": tenant.id, "api": api, "permission": name} for name in names]
    if not rows:
        return
    for table in (ROLE_PERMISSIONS, USER_PERMISSIONS):
        await tx.run_many(
            f"delete from {table.name} where tenant_id = :tenant_id and resource_server_id = :api "  # noqa: S608 - declared names
            "and permission = :permission",
            rows,
        )


# --- operations ----------------------------------------------------------------------------------------------------


async def list_of_role(call: Call) -> Any:
    """GET roles/{id}/permissions."""
    role = await _existing(call, "roles")
    rows = await call.reader.all(_OF_ROLE, tenant_id=call.tenant.id, holder=role)
    return call.paged("permissions", await _described(call, [(row[0], row[1]) for row in rows]))


async def list_of_user(call: Call) -> Any:
    """GET users/{id}/permissions: each with where it comes from."""
    user = await _existing(call, "users")
    sources: dict[tuple[str, str], list[dict[str, str]]] = {}
    for api, name, role_id, role_name, _ in await call.reader.all(_OF_USER, tenant_id=call.tenant.id, holder=user):
        source_type = "ROLE" if role_id else "DIRECT"
        source = {"source_id": role_id, "source_name": role_name, "source_type": source_type}
        sources.setdefault((api, name), []).append(source)
    described = await _described(call, sources)
    items = [{**item, "sources": found} for item, found in zip(described, sources.values(), strict=True)]
    return call.paged("permissions", items)


async def add_to_role(call: Call) -> Any:
    """POST roles/{id}/permissions."""
    role = await _existing(call, "roles")
    await give(call.tx, call.tenant, ROLE_PERMISSIONS, role, await _resolved(call, granting=True))
    call.tx.touch(call.tenant.id)
    return {}


async def add_to_user(call: Call) -> Any:
    """POST users/{id}/permissions."""
    user = await _existing(call, "users")
    await give(call.tx, call.tenant, USER_PERMISSIONS, user, await _resolved(call, granting=True))
    return {}


async def remove_from_role(call: Call) -> None:
    """DELETE roles/{id}/permissions."""
    role = await _existing(call, "roles")
    await take(call.tx, call.tenant, ROLE_PERMISSIONS, role, await _resolved(call))
    call.tx.touch(call.tenant.id)


async def remove_from_user(call: Call) -> None:
    """DELETE users/{id}/permissions."""
    user = await _existing(call, "users")
    await take(call.tx, call.tenant, USER_PERMISSIONS, user, await _resolved(call))


OPERATIONS = (
    Operation(
        method="GET", path="roles/{id}/permissions", scopes=("read:roles",), handler=list_of_role,
        name="roles.permissions.list",
    ),
    Operation(
        method="POST", path="roles/{id}/permissions", scopes=("update:roles",), handler=add_to_role, status=201,
        body=Permissions, name="roles.permissions.add", audit="Associate permissions with a role",
    ),
    Operation(
        method="DELETE", path="roles/{id}/permissions", scopes=("update:roles",), handler=remove_from_role, status=204,
        body=Permissions, name="roles.permissions.remove", audit="Remove permissions from a role",
    ),
    Operation(
        method="GET", path="users/{id}/permissions", scopes=("read:users",), handler=list_of_user,
        name="users.permissions.list",
    ),
    Operation(
        method="POST", path="users/{id}/permissions", scopes=("update:users",), handler=add_to_user, status=201,
        body=Permissions, name="users.permissions.add", audit="Assign permissions to a user",
    ),
    Operation(
        method="DELETE", path="users/{id}/permissions", scopes=("update:users",), handler=remove_from_user, status=204,
        body=Permissions, name="users.permissions.remove", audit="Remove permissions from a user",
    ),
)  # fmt: skip


def _holder(table: Stored) -> str:
    return "role_id" if table is ROLE_PERMISSIONS else "user_id"


async def _existing(call: Call, name: str) -> str:
    declaration = call.tenant.registry.collection(name)
    id_ = call.params["id"]
    if await documents.read(call.reader, call.tenant, declaration, id_) is None:
        raise documents.missing(declaration)
    return id_


async def _resolved(call: Call, *, granting: bool = False) -> list[tuple[str, str]]:
    """The permissions of the body as pairs of API id and name; to grant one, it must exist. Raises NotFound."""
    apis = call.tenant.registry.collection("resource_servers")
    ids: dict[str, tuple[str, set[str]]] = {}
    pairs: list[tuple[str, str]] = []
    for permission in call.body.permissions:
        identifier, name = permission.resource_server_identifier, permission.permission_name
        if identifier not in ids:
            found = await documents.select(call.reader, call.tenant, apis, identifier=identifier)
            if not found:
                raise documents.missing(apis)
            ids[identifier] = found[0].id, {scope["value"] for scope in found[0].document.get("scopes", ())}
        api, known = ids[identifier]
        if granting:
            check_may_grant(call.actor, call.tenant, identifier, (name,))
            if name not in known:
                raise InvalidBody(f"The API {identifier[:80]} has no permission {name[:80]}.")
        pairs.append((api, name))
    return pairs


async def _described(call: Call, permissions: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    apis: dict[str, ResourceServer | None] = {}
    items = []
    declaration = call.tenant.registry.collection("resource_servers")
    for api, name in permissions:
        if api not in apis:
            apis[api] = await documents.find(call.reader, call.tenant, declaration, api)
        server = apis[api]
        if server is None:
            continue
        scopes = server.scopes if server.scopes is not UNSET else []
        description = next((scope.description for scope in scopes if scope.value == name), UNSET)
        items.append(
            {
                "permission_name": name,
                "description": "" if description is UNSET else description,
                "resource_server_name": server.name,
                "resource_server_identifier": server.identifier,
            }
        )
    return items
