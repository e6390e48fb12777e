"""Rules of connections: what is filled in, what excludes what, and which clients may use one."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET

from freehold.domain.connections import configuration, defaults, keys
from freehold.domain.connections.documents import ENTERPRISE, ConnectedAccounts, Connection, Purpose
from freehold.domain.connections.options import DATABASE
from freehold.domain.connections.shown import CONNECTION_CLIENTS
from freehold.kernel.clock import iso
from freehold.kernel.crypto.ids import new_id
from freehold.kernel.declare import (
    Change,
    Collection,
    Filter,
    Length,
    Operation,
    Scopes,
    Text,
    documents,
    nulls,
    relations,
)
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.compile import project
from freehold.kernel.declare.formats import check_format, is_host_name
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import Conflict, NotFound
from freehold.kernel.http.response import Response, json

CLIENTS_AT_ONCE = 50
MAX_METADATA = 10
LONGEST_METADATA = 255
# Where browsers and this server are sent to, whatever the strategy; what is fetched is guarded again when it is.
URL_OPTIONS = frozenset(
    {
        "accessTokenURL", "authorizationURL", "authorization_endpoint", "discovery_url", "gateway_url", "icon_url",
        "jwks_uri", "metadataUrl", "pingFederateBaseUrl", "requestTokenURL", "signInEndpoint", "signOutEndpoint",
        "tokenURL", "token_endpoint", "userAuthorizationURL", "userinfo_endpoint",
    }
)  # fmt: skip
TOPIC_DELETED = "connections.deleted"
"""Work for whoever keeps something of a connection by its name: `{"name", "before_ms"}`."""
NAMED_LIKE_ITSELF = frozenset({"oidc", "okta", "waad"})


class ClientSwitch(msgspec.Struct, forbid_unknown_fields=True):
    """Enables (or not) a connection for a client."""

    client_id: Annotated[str, Length(1, 64)]
    status: bool


ClientSwitches = Annotated[list[ClientSwitch], Length(1, CLIENTS_AT_ONCE)]


async def prepare(change: Change) -> None:
    """Fill in what was not given, and put secrets where they belong."""
    connection: Connection = change.document
    nulls.clear(connection, keep=frozenset({"options"}))
    new = change.previous is None
    if connection.options is None:
        connection.options = {}
    if new or "options" in change.given:
        _keep_script_context(change, connection.options)
        _check_options(connection)
        defaults.fill(connection.strategy, connection.options, new=new)
        await configuration.seal(change)
    if new:
        _fill_new(change, connection)
    if connection.metadata is not UNSET:
        connection.metadata = {key: value for key, value in connection.metadata.items() if value is not None}
        _check_metadata(connection.metadata)


async def check(change: Change) -> None:
    """Hold what concerns other objects: realms are unambiguous, and a database with users keeps its store."""
    connection: Connection | None = change.document
    if connection is None:
        return
    if connection.enabled_clients is not UNSET and connection.enabled_clients is not None:
        await _check_clients(change, connection.enabled_clients)
    if change.previous is None or {"realms", "is_domain_connection"} & change.given.keys():
        await _check_others(change, connection)
    if change.previous is not None and "options" in change.given:
        await _check_store(change, connection)


async def changed(change: Change) -> None:
    """Keep the list of clients as a link, and the keys and sealed values only as long as the connection."""
    connection: Connection | None = change.document
    if connection is None:
        await configuration.forget(change)
        gone = {"name": change.previous.name, "before_ms": change.tenant.clock.now_ms()}
        await change.tx.enqueue(TOPIC_DELETED, change.tenant.id, msgspec.json.encode(gone))
        return
    if connection.enabled_clients is not UNSET:
        wanted = set(connection.enabled_clients or ())
        present = set(await relations.related_ids(change.tx, change.tenant, CONNECTION_CLIENTS, change.id))
        await relations.relate(
            change.tx, change.tenant, CONNECTION_CLIENTS, [(change.id, client) for client in sorted(wanted - present)]
        )
        await relations.part(
            change.tx, change.tenant, CONNECTION_CLIENTS, [(change.id, client) for client in sorted(present - wanted)]
        )
    if keys.needs_keys(connection):
        await keys.ensure(change.tx, change.tenant, connection)


async def delete_connection(call: Call) -> Response | None:
    """DELETE connections/{id}: 202 with the time, and 204 for one that is not there (recorded)."""
    if not await documents.delete(call.tx, call.tenant, CONNECTIONS, call.params["id"], actor=call.actor):
        return None
    return json({"deleted_at": iso(call.tenant.clock.now())}, 202)


async def status(call: Call) -> Response:
    """GET connections/{id}/status: an agent in a company's network answers for an AD/LDAP connection, and none is here.

    Every other connection has nothing that could be away. Raises NotFound.
    """
    connection = await documents.get(call.store, call.tenant, CONNECTIONS, call.params["id"])
    if connection.strategy == "ad":
        raise NotFound("not connected to any node")
    return Response(200)


async def switch_clients(call: Call) -> None:
    """PATCH connections/{id}/clients: enable and disable the connection for clients."""
    connection = await documents.get(call.tx, call.tenant, CONNECTIONS, call.params["id"])
    clients = call.tenant.registry.collection("clients")
    for switch in call.body:
        if await documents.read(call.tx, call.tenant, clients, switch.client_id) is None:
            raise documents.missing(clients)
    on = [(connection.id, switch.client_id) for switch in call.body if switch.status]
    off = [(connection.id, switch.client_id) for switch in call.body if not switch.status]
    await relations.relate(call.tx, call.tenant, CONNECTION_CLIENTS, on)
    await relations.part(call.tx, call.tenant, CONNECTION_CLIENTS, off)


def _fill_new(change: Change, connection: Connection) -> None:
    if connection.realms is UNSET:
        connection.realms = [connection.name]
    if connection.authentication is UNSET:
        connection.authentication = Purpose(active=True)
    if connection.connected_accounts is UNSET:
        connection.connected_accounts = ConnectedAccounts(active=False)
    if connection.strategy in ENTERPRISE and connection.show_as_button is UNSET:
        connection.show_as_button = False
    if connection.strategy in NAMED_LIKE_ITSELF and connection.display_name is UNSET:
        connection.display_name = connection.name
    if connection.strategy == "waad" and connection.options is not None:
        connection.options.setdefault("app_domain", change.tenant.domain)
    url = defaults.provisioning_ticket_url(change.tenant, connection.strategy, new_id("", 8))
    if url and connection.provisioning_ticket_url is UNSET:
        connection.provisioning_ticket_url = url


def _check_options(connection: Connection) -> None:
    """What options exclude each other, in Auth0's recorded words."""
    options = connection.options or {}
    for name in URL_OPTIONS & options.keys():
        if isinstance(options[name], str):
            check_format("absolute-uri-or-empty", options[name], f"options.{name}")
    if connection.strategy == "okta" and options.get("domain") and not is_host_name(str(options["domain"])):
        raise InvalidBody("Payload validation error: 'A host name is expected' on property options.domain.")
    attributes = options.get("attributes")
    if connection.strategy != DATABASE or attributes is None:
        return
    for name in ("requires_username", "validation"):
        if options.get(name):
            raise InvalidBody(f"Cannot set both options.attributes and options.{name}")
    for name, attribute in attributes.items():
        if attribute.get("profile_required") and attribute.get("signup", {}).get("status") != "required":
            raise InvalidBody(f"attribute {name} must also be required on signup")
    if attributes and not any(attribute.get("identifier", {}).get("active") for attribute in attributes.values()):
        raise InvalidBody("attributes must contain one active identifier")


def _keep_script_context(change: Change, options: dict[str, Any]) -> None:
    """Scripts that take a context would take their callback for it: once given, it stays."""
    before: dict[str, Any] = (change.previous.options if change.previous else None) or {}
    if not before.get("enable_script_context"):
        return
    if options.get("enable_script_context") is False:
        raise InvalidBody('"options.enable_script_context" cannot be switched off again.')
    options["enable_script_context"] = True


def _check_metadata(metadata: dict[str, Any]) -> None:
    if len(metadata) > MAX_METADATA:
        raise InvalidBody(
            f"Payload validation error: 'Too many properties defined, maximum {MAX_METADATA}' on property metadata."
        )
    for key, value in metadata.items():
        if not isinstance(value, str) or len(value) > LONGEST_METADATA:
            raise InvalidBody(
                f"Payload validation error: 'A string of at most {LONGEST_METADATA} characters is expected' on "
                f"property metadata.{key[:40]}."
            )


async def _check_clients(change: Change, client_ids: list[str]) -> None:
    clients = change.tenant.registry.collection("clients")
    for client_id in client_ids:
        if await documents.read(change.tx, change.tenant, clients, client_id) is None:
            raise documents.missing(clients)


async def _check_others(change: Change, connection: Connection) -> None:
    realms = set(connection.realms if connection.realms is not UNSET else ())
    for other in await documents.select(change.tx, change.tenant, CONNECTIONS):
        if other.id == change.id:
            continue
        if other.document["name"] == connection.name:
            raise documents.clash(CONNECTIONS)
        if realms & set(other.document.get("realms", ())):
            raise Conflict('There is already another connection with some realms from "realms" parameter')
        if connection.is_domain_connection and other.document.get("is_domain_connection"):
            same = other.document["strategy"] == connection.strategy
            if same and connection.strategy in ENTERPRISE - {"oidc", "okta", "samlp"}:
                raise Conflict("There is already a domain connection enabled for strategy")


async def _check_store(change: Change, connection: Connection) -> None:
    """Users cannot change the store they are in: their passwords would be somewhere else."""
    if connection.strategy != DATABASE:
        return
    name = "enabledDatabaseCustomization"
    before, after = (change.previous.options or {}).get(name, False), (connection.options or {}).get(name, False)
    if bool(before) == bool(after):
        return
    users = change.tenant.registry.collection("users")
    column = next((field.column for field in project(users.document).indexed if field.name == "connection"), None)
    if column is None:
        return
    sql = f"select 1 from {users.name} where tenant_id = :tenant_id and {column} = :name limit 1"  # noqa: S608 - ours
    if await change.tx.one(sql, tenant_id=change.tenant.id, name=connection.name):
        raise InvalidBody(
            'This database contains users. You cannot change "options.enabledDatabaseCustomization" setting.'
        )


CONNECTIONS = Collection(
    document=Connection,
    path="connections",
    scopes=Scopes.of("connections"),
    new_id=lambda: new_id("con_"),
    paging=frozenset({"offset", "checkpoint"}),
    filters={"strategy": Filter("strategy", "list"), "name": Filter("name")},
    always=frozenset({"is_domain_connection"}),
    not_found=Text("The connection does not exist", "inexistent_connection"),
    conflict=Text("A connection with the same name already exists", "connection_conflict"),
    prepare=prepare,
    check=check,
    changed=changed,
    overrides={"delete": delete_connection},
    statuses={"delete": 204},
)

OPERATIONS = (
    Operation(
        method="GET", path="connections/{id}/status", scopes=("read:connections",), handler=status,
        name="connections.status",
    ),
    Operation(
        method="PATCH", path="connections/{id}/clients", scopes=("update:connections",), handler=switch_clients,
        status=204, body=ClientSwitches, name="connections.clients.update",
        audit="Update the enabled clients of a connection",
    ),
)  # fmt: skip
