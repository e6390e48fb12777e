"""Rules of applications: what is filled in, which URLs may be stored, who may change what; the secret's rotation."""

from typing import Any

import msgspec
from msgspec import UNSET

from freehold.domain.access import CLIENT_GRANTS, RESOURCE_SERVERS
from freehold.domain.applications import credentials, defaults
from freehold.domain.applications.documents import Client
from freehold.domain.applications.search import by_client_grant
from freehold.kernel.crypto.ids import new_client_id, new_client_secret
from freehold.kernel.declare import (
    Change,
    Collection,
    Filter,
    Link,
    Operation,
    Scopes,
    Singleton,
    Text,
    documents,
    nulls,
    relations,
)
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.formats import check_format
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import BadRequest, Forbidden

UPDATES_SECRETS = ("update:client_keys", "update:client_credentials")
MAX_METADATA = 10
LONGEST_METADATA = 255

# What an identity provider needs in order to set up connections for a customer (recorded).
EXPRESS_SCOPES = (
    "read:clients", "read:user_attribute_profiles", "read:connection_profiles", "read:organizations_summary",
    "read:connections", "create:connections", "update:connections", "read:connections_options",
    "update:connections_options", "read:organization_connections", "create:organization_connections",
    "update:organization_connections", "create:scim_config", "read:scim_token", "create:scim_token",
    "delete:scim_token",
)  # fmt: skip

_URLS = {
    "callbacks": "callback-url",
    "allowed_logout_urls": "url-with-placeholders",
    "allowed_origins": "url-with-placeholders",
    "web_origins": "url-with-placeholders",
    "logo_uri": "absolute-uri-or-empty",
    "initiate_login_uri": "absolute-https-uri-with-placeholders-or-empty",
    "cross_origin_loc": "url",
}
# What a caller needs who changes these members; `update:clients` for all others.
_GUARDED = {"client_secret": UPDATES_SECRETS, "client_authentication_methods": ("update:clients", *UPDATES_SECRETS)}


async def prepare(change: Change) -> None:
    """Fill in what was not given, and put the parts into the form in which they are kept."""
    client: Client = change.document
    if change.previous is None and "client_secret" in change.given and change.actor.kind == "api":
        raise InvalidBody("Payload validation error: 'Additional properties not allowed: client_secret'.")
    if client.client_authentication_methods and change.given.get("token_endpoint_auth_method") is None:
        client.token_endpoint_auth_method = UNSET
    nulls.clear(client)
    if change.previous is None:
        defaults.fill_new(client, change.given)
        if client.client_secret is UNSET:
            client.client_secret = new_client_secret()
        change.answer["encrypted"] = True
    if "oidc_backchannel_logout" in change.given and "oidc_logout" not in change.given:
        client.oidc_logout = client.oidc_backchannel_logout
    defaults.fill_parts(client)
    if client.client_metadata is not UNSET:
        client.client_metadata = {key: value for key, value in client.client_metadata.items() if value is not None}
    _check_shape(client, change.given)
    await credentials.settle(change)


async def check(change: Change) -> None:
    """Hold the rules that concern the caller and other objects."""
    client: Client | None = change.document
    if client is None:
        if change.previous.is_global:
            raise BadRequest("Global client cannot be deleted.", code="operation_not_supported")
        return
    if change.previous is not None:
        await _check_caller(change)
    if client.is_first_party is False and client.organization_usage in {"allow", "require"}:
        raise Forbidden(
            "Organizations are only available to first party clients on user-based flows. Properties "
            "organization_usage and organization_require_behavior must be unset for third party clients.",
            code="invalid_body",
        )


async def changed(change: Change) -> None:
    """Let the API that a client stands for name the client, and give a client for express configuration its grant."""
    if change.previous is None and change.document.app_type == "express_configuration":
        grant = {"client_id": change.id, "audience": change.tenant.management_audience, "scope": list(EXPRESS_SCOPES)}
        await documents.create(
            change.tx, change.tenant, CLIENT_GRANTS, grant, actor=change.actor, server={"is_system": True}
        )
    if change.previous is None and change.actor.kind == "api":
        await _enable_connections(change)
    identifier = (change.document or change.previous).resource_server_identifier
    if identifier is UNSET or (change.document is not None and change.previous is not None):
        return
    found = await documents.select(change.tx, change.tenant, RESOURCE_SERVERS, identifier=identifier)
    for record in found:
        server = {"client_id": UNSET if change.document is None else change.id}
        await documents.update(change.tx, change.tenant, RESOURCE_SERVERS, record.id, {}, server=server)


async def _enable_connections(change: Change) -> None:
    """Let a new application use every connection there is, unless the tenant has its own order for that.

    Not those of third parties: whoever may register one would come to all users.
    """
    registry = change.tenant.registry
    settings, link = registry.by_name["tenant_settings"], registry.by_name["connection_clients"]
    if change.document.is_first_party is False or not isinstance(settings, Singleton) or not isinstance(link, Link):
        return
    flags = (await documents.singleton(change.tx, change.tenant, settings)).flags
    if not flags.get("enable_client_connections", True):
        return
    found = await documents.select(change.tx, change.tenant, registry.collection("connections"))
    await relations.relate(change.tx, change.tenant, link, [(connection.id, change.id) for connection in found])


async def rotate_secret(call: Call) -> Any:
    """POST clients/{id}/rotate-secret: a new secret; the old one stops working at once."""
    record = await documents.update(
        call.tx, call.tenant, CLIENTS, call.params["id"], {"client_secret": new_client_secret()}, actor=call.actor
    )
    return await call.shown(CLIENTS, record, created=True)


async def _check_caller(change: Change) -> None:
    """Each member needs its scope, and nobody takes over a client that can do more than they (see access.authority)."""
    if change.actor.kind not in {"api", "user"}:
        return
    for name in change.given:
        needed = _GUARDED.get(name, ("update:clients",))
        if change.actor.scopes.isdisjoint(needed):
            raise Forbidden(f"Insufficient scope, expected any of: {','.join(needed)}", code="insufficient_scope")
    secret = change.given.get("client_secret")
    if (secret is not None and secret != change.previous.client_secret) or _turns_public(change):
        await credentials.check_may_become(change, change.id)


def _turns_public(change: Change) -> bool:
    return defaults.is_public(change.document) and not defaults.is_public(change.previous)


def _check_shape(client: Client, given: Any) -> None:
    """What the types cannot say, for the members that were given."""
    for name, form in _URLS.items():
        value = getattr(client, name) if name in given else UNSET
        if isinstance(value, str):
            check_format(form, value, name)
        elif isinstance(value, list):
            for index, url in enumerate(value):
                check_format(form, url, f"{name}[{index}]")
    for name in ("oidc_logout", "oidc_backchannel_logout"):
        logout = getattr(client, name) if name in given else UNSET
        if logout is not UNSET and logout.backchannel_logout_urls is not UNSET:
            for index, url in enumerate(logout.backchannel_logout_urls):
                check_format(
                    "absolute-https-uri-with-placeholders-or-empty", url, f"{name}.backchannel_logout_urls[{index}]"
                )
    if "express_configuration" in given and client.express_configuration:
        template = client.express_configuration.initiate_login_uri_template
        form = "absolute-https-uri-with-placeholders-or-empty"
        check_format(form, template, "express_configuration.initiate_login_uri_template")
    if "client_metadata" in given and client.client_metadata is not UNSET:
        _check_metadata(client.client_metadata)
    methods = client.client_authentication_methods
    if methods and len(msgspec.to_builtins(methods)) > 1:
        raise InvalidBody(
            "Payload validation error: 'Too many properties defined, maximum 1' on property "
            "client_authentication_methods."
        )


def _check_metadata(metadata: dict[str, Any]) -> None:
    if len(metadata) > MAX_METADATA:
        raise InvalidBody(
            f"Payload validation error: 'Too many properties defined, maximum {MAX_METADATA}' on property "
            "client_metadata."
        )
    for key, value in metadata.items():
        if not isinstance(value, str) or len(value) > LONGEST_METADATA:
            raise InvalidBody(
                f"Payload validation error: 'A string of at most {LONGEST_METADATA} characters is expected' on "
                f"property client_metadata.{key[:40]}."
            )


CLIENTS = Collection(
    document=Client,
    path="clients",
    key="client_id",
    scopes=Scopes(
        ("read:clients", "read:client_keys", "read:client_credentials"),
        ("create:clients",),
        ("update:clients", *UPDATES_SECRETS),
        ("delete:clients",),
    ),
    new_id=new_client_id,
    paging=frozenset({"offset", "checkpoint"}),
    filters={
        "is_global": Filter("global", "boolean"),
        "is_first_party": Filter("is_first_party", "boolean"),
        "app_type": Filter("app_type", "list"),
        "external_client_id": Filter("external_client_id"),
        "q": Filter("", where=by_client_grant),
    },
    always=frozenset({"tenant"}),
    not_found=Text("The client does not exist", "inexistent_client"),
    conflict=Text("Another client exists with the same alias.", "client_conflict"),
    prepare=prepare,
    check=check,
    changed=changed,
    audit="client",
)

OPERATIONS = (
    Operation(
        method="POST", path="clients/{id}/rotate-secret", scopes=UPDATES_SECRETS, handler=rotate_secret,
        name="clients.rotate_secret", audit="Rotate a client secret",
    ),
)  # fmt: skip
