"""Rules of APIs: what is filled in, what system APIs refuse, what happens when a scope goes."""

from msgspec import UNSET

from freehold.domain.access import permissions
from freehold.domain.access.documents import ResourceServer
from freehold.domain.access.system_apis import is_reserved, system_api
from freehold.kernel.crypto.ids import new_client_secret, new_object_id
from freehold.kernel.declare import Change, Collection, Filter, Scopes, Text, nulls
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import BadRequest


async def prepare(change: Change) -> None:
    """Fill what depends on the algorithm, and give a system API its shape."""
    server: ResourceServer = change.document
    nulls.clear(server)
    system = system_api(change.tenant, server.identifier)
    if system and change.previous is None:
        system.apply(server)
        return
    if server.name is UNSET:
        server.name = server.identifier[:200]
    if server.signing_alg == "HS256" and server.signing_secret is UNSET:
        server.signing_secret = new_client_secret()
    if server.scopes is not UNSET:
        values = [scope.value for scope in server.scopes]
        repeated = {value for value in values if values.count(value) > 1} if len(set(values)) < len(values) else set()
        if repeated:
            raise InvalidBody("Payload validation error: 'Array items are not unique' on property scopes.")


async def check(change: Change) -> None:
    """Refuse reserved identifiers, and to change or delete what the tenant itself offers."""
    if change.previous is None:
        if is_reserved(change.tenant, change.document.identifier):
            raise BadRequest("The selected identifier is reserved.", code="invalid_body")
        return
    if change.previous.is_system is not True or change.actor.kind == "system":
        return
    if change.document is not None:
        raise BadRequest("System resource servers cannot be patched.", code="operation_not_supported")
    if change.previous.identifier == change.tenant.management_audience:
        raise BadRequest("System resource servers cannot be deleted.", code="operation_not_supported")


async def changed(change: Change) -> None:
    """Take permissions that the API no longer has from roles and users."""
    if change.document is None or change.previous is None:
        return
    before, after = scope_values(change.previous), scope_values(change.document)
    await permissions.forget(change.tx, change.tenant, change.id, before - after)


def scope_values(server: ResourceServer) -> set[str]:
    """The values of an API's scopes."""
    return {scope.value for scope in server.scopes} if server.scopes is not UNSET else set()


RESOURCE_SERVERS = Collection(
    document=ResourceServer,
    path="resource-servers",
    scopes=Scopes.of("resource_servers"),
    new_id=new_object_id,
    also_by="identifier",
    table="resource_servers",
    filters={"identifiers": Filter("identifier", "list")},
    not_found=Text("The resource server does not exist", "inexistent_resource_server"),
    conflict=Text("A resource server with the same identifier already exists.", "resource_server_already_exists"),
    prepare=prepare,
    check=check,
    changed=changed,
    audit="API",
)
