"""Rules of client grants: which client may get which scopes of an API, for itself or for its users."""

from msgspec import UNSET

from freehold.domain.access.authority import check_may_grant
from freehold.domain.access.documents import ClientGrant, ResourceServer
from freehold.domain.access.resource_servers import RESOURCE_SERVERS
from freehold.kernel.crypto.ids import new_id
from freehold.kernel.declare import Change, Collection, Filter, Scopes, TenantScope, Text, documents, nulls
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import BadRequest
from freehold.kernel.store import Reader


async def prepare(change: Change) -> None:
    """A null scope list means none."""
    grant: ClientGrant = change.document
    grant.scope = list(dict.fromkeys(grant.scope or []))
    nulls.clear(grant)


async def check(change: Change) -> None:
    """Refuse scopes that the caller does not hold, and clients that cannot use a grant."""
    grant: ClientGrant | None = change.document
    if grant is None:
        return
    if (grant.client_id is UNSET) == (grant.default_for is UNSET):
        raise InvalidBody("Payload validation error: 'Exactly one of client_id and default_for must be given'.")
    api = await documents.find_by(change.tx, change.tenant, RESOURCE_SERVERS, identifier=grant.audience)
    assert api is not None  # check_refs has looked
    # Scopes that the API does not have are taken (recorded); they mean nothing to it.
    wanted = set(grant.scope or ())
    if grant.allow_all_scopes is True:
        if api.is_system is True:
            raise InvalidBody("`allow_all_scopes` cannot be provided when `audience` is a system API")
        if wanted:
            raise InvalidBody("Payload validation error: 'scope and allow_all_scopes exclude each other'.")
    if change.previous is not None and change.previous.is_system is True and change.actor.kind != "system":
        raise BadRequest("System client grants cannot be modified.", code="operation_not_supported")
    before = set(change.previous.scope or ()) if change.previous else set()
    check_may_grant(change.actor, change.tenant, grant.audience, wanted - before)
    if change.previous is None and grant.is_system is not True and grant.client_id is not UNSET:
        clients = change.tenant.registry.collection("clients")
        record = await documents.read(change.tx, change.tenant, clients, grant.client_id)
        app_type = record.document.get("app_type") if record else None
        if app_type == "express_configuration":
            raise BadRequest(f"Client of type {app_type} cannot be used", code="validation_error")


async def delete_grant(call: Call) -> None:
    """DELETE client-grants/{id}: those that came with their client go only with it."""
    grant = await documents.find(call.tx, call.tenant, CLIENT_GRANTS, call.params["id"])
    if grant is None:
        return
    if grant.is_system is True:
        raise BadRequest("System client grants cannot be deleted.", code="operation_not_supported")
    await documents.delete(call.tx, call.tenant, CLIENT_GRANTS, grant.id, actor=call.actor)


async def granted_scopes(
    reader: Reader, tenant: TenantScope, client_id: str, audience: str, *, subject_type: str = "client"
) -> set[str] | None:
    """What a client may get of an API for this kind of subject; None when it has no grant."""
    grant = await documents.find_by(
        reader, tenant, CLIENT_GRANTS, client_id=client_id, audience=audience, subject_type=subject_type
    )
    if grant is None:
        return None
    api = await documents.find_by(reader, tenant, RESOURCE_SERVERS, identifier=audience)
    return set(scopes_of(grant, api)) if api else set()


def scopes_of(grant: ClientGrant, api: ResourceServer) -> list[str]:
    """The scopes of an API that a grant gives, in its order."""
    if grant.allow_all_scopes is True:
        return [scope.value for scope in api.scopes] if api.scopes is not UNSET else []
    return list(grant.scope or ())


def may_act_for_itself(api: ResourceServer) -> bool:
    """Whether the API gives tokens to clients on their own account at all."""
    policies = api.subject_type_authorization
    return policies is UNSET or policies.client is UNSET or policies.client.policy != "deny_all"


CLIENT_GRANTS: Collection[ClientGrant] = Collection(
    document=ClientGrant,
    path="client-grants",
    scopes=Scopes.of("client_grants"),
    new_id=lambda: new_id("cgr_"),
    paging=frozenset({"offset", "checkpoint"}),
    filters={
        "audience": Filter("audience"),
        "client_id": Filter("client_id"),
        "allow_any_organization": Filter("allow_any_organization", "boolean"),
        "subject_type": Filter("subject_type"),
        "default_for": Filter("default_for"),
    },
    not_found=Text("The grant does not exist.", "inexistent_client_grant"),
    conflict=Text("The client has a grant for this API already.", "client_grant_conflict"),
    prepare=prepare,
    check=check,
    overrides={"delete": delete_grant},
    audit="client grant",
)


async def management_scopes_of(reader: Reader, tenant: TenantScope, client_id: str) -> set[str]:
    """The Management API scopes that a client holds on its own account."""
    return await granted_scopes(reader, tenant, client_id, tenant.management_audience) or set()
