"""Roles, who has them, and the consents that users gave to applications."""

from typing import Any

from freehold.domain.access.documents import Consent, Role
from freehold.kernel.crypto.ids import new_id, new_object_id
from freehold.kernel.declare import Collection, Filter, Link, Operation, Scopes, TenantScope, Text, documents
from freehold.kernel.declare.call import Call
from freehold.kernel.errors import BadRequest
from freehold.kernel.store import Reader, Transaction


async def delete_role(call: Call) -> dict[str, Any]:
    """DELETE roles/{id}: unlike other deletions it answers 404 for what is not there, and `{}` (recorded)."""
    if not await documents.delete(call.tx, call.tenant, ROLES, call.params["id"], actor=call.actor):
        raise documents.missing(ROLES)
    return {}


async def revoke_consents_of_user(call: Call) -> None:
    """DELETE grants?user_id=: all consents of a user."""
    user_id = call.query("user_id")
    if not user_id:
        raise BadRequest("Query validation error: 'Missing required property: user_id'.", code="invalid_query_string")
    for record in await documents.select(call.tx, call.tenant, CONSENTS, user_id=user_id):
        await documents.delete(call.tx, call.tenant, CONSENTS, record.id, actor=call.actor)


async def consented_scopes(
    reader: Reader, tenant: TenantScope, *, user_id: str, client_id: str, audience: str
) -> set[str] | None:
    """What a user allowed an application to do with an API; None when they were never asked."""
    consent = await documents.find_by(reader, tenant, CONSENTS, user_id=user_id, clientID=client_id, audience=audience)
    return set(consent.scope) if consent else None


async def record_consent(
    tx: Transaction, tenant: TenantScope, *, user_id: str, client_id: str, audience: str, scopes: set[str]
) -> None:
    """Add to what a user allows an application to do with an API."""
    found = await documents.select(tx, tenant, CONSENTS, user_id=user_id, clientID=client_id, audience=audience)
    if found:
        known = found[0].document.get("scope", [])
        await documents.update(tx, tenant, CONSENTS, found[0].id, {"scope": sorted({*known, *scopes})})
    else:
        consent = {"user_id": user_id, "clientID": client_id, "audience": audience, "scope": sorted(scopes)}
        await documents.create(tx, tenant, CONSENTS, consent)


ROLES = Collection(
    document=Role,
    path="roles",
    scopes=Scopes.of("roles"),
    new_id=lambda: new_id("rol_"),
    filters={"name_filter": Filter("name", "contains"), "type": Filter("type")},
    statuses={"create": 200, "delete": 200},
    not_found=Text("The role does not exist."),
    conflict=Text("The role already exists."),
    overrides={"delete": delete_role},
)

ROLE_USERS = Link(
    table="role_users",
    left="roles",
    right="users",
    left_path="roles/{id}/users",
    left_body="users",
    left_scopes=Scopes(("read:users", "read:roles", "read:role_members"), ("update:roles", "create:role_members")),
    left_fields=("user_id", "email", "picture", "name"),
    left_paging=frozenset({"offset", "checkpoint"}),
    left_statuses={"create": 200},
    left_operations=frozenset({"list", "create"}),
    right_path="users/{id}/roles",
    right_body="roles",
    right_scopes=Scopes(
        ("read:users", "read:roles", "read:role_members"),
        ("update:users", "create:role_members"),
        (),
        ("update:users", "delete:role_members"),
    ),
)

CONSENTS = Collection(
    document=Consent,
    path="grants",
    scopes=Scopes(("read:grants",), (), (), ("delete:grants",)),
    new_id=new_object_id,
    table="consents",
    list_name="grants",
    operations=frozenset({"list", "delete"}),
    filters={"user_id": Filter("user_id"), "client_id": Filter("clientID"), "audience": Filter("audience")},
    not_found=Text("The grant does not exist."),
    cached=False,
    audit="grant",
)

OPERATIONS = (
    Operation(
        method="DELETE", path="grants", scopes=("delete:grants",), handler=revoke_consents_of_user, status=204,
        name="grants.delete_of_user", audit="Delete a user's grants",
    ),
)  # fmt: skip
