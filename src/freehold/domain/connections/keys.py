"""Keys with which an OpenID Connect connection signs what it sends to its provider (RFC 7523 section 2.2).

There is a current key and a next one as soon as the connection authenticates by `private_key_jwt`; rotation makes the
next current and keeps the previous. Private parts are in the vault under their `kid`.
"""

import asyncio
from datetime import datetime
from typing import Any

from msgspec import UNSET

from freehold.domain.connections.documents import Connection, ConnectionKey
from freehold.kernel import vault
from freehold.kernel.clock import iso
from freehold.kernel.crypto.jose import jwk_thumbprint
from freehold.kernel.crypto.x509 import SigningMaterial, new_tenant_signing_material, private_key_pem
from freehold.kernel.declare import Change, Child, Operation, Scopes, TenantScope, Text, documents
from freehold.kernel.declare.call import Call
from freehold.kernel.errors import BadRequest, Conflict
from freehold.kernel.store import Transaction

PRIVATE_KEYS = "private_keys"


async def forget_private_key(change: Change) -> None:
    """A key that goes takes its private part with it."""
    if change.document is None:
        await vault.drop(change.tx, change.tenant, PRIVATE_KEYS, change.id)


async def ensure(tx: Transaction, tenant: TenantScope, connection: Connection) -> bool:
    """Make the first two keys of a connection that needs some; answers whether it had none."""
    if await documents.select(tx, tenant, CONNECTION_KEYS, parent=connection.id):
        return False
    now = tenant.clock.now()
    await _add(tx, tenant, connection, await _material(connection, now), current=True, current_since=iso(now))
    await _add(tx, tenant, connection, await _material(connection, now), next=True)
    return True


def needs_keys(connection: Connection) -> bool:
    """Whether the connection authenticates with a key."""
    return (connection.options or {}).get("token_endpoint_auth_method") == "private_key_jwt"


async def list_keys(call: Call) -> list[dict[str, Any]]:
    """GET connections/{id}/keys: current, next, and previous if there is one."""
    await _connection(call)
    keys = await documents.select(call.reader, call.tenant, CONNECTION_KEYS, parent=call.params["id"])
    if not keys:
        raise BadRequest("keys are not available for this connection", code="operation_not_supported")
    ordered = sorted(keys, key=lambda key: (not key.document.get("current"), not key.document.get("previous")))
    return [key.document for key in ordered]


async def create_keys(call: Call) -> list[dict[str, Any]]:
    """POST connections/{id}/keys."""
    connection = await _connection(call)
    if not await ensure(call.tx, call.tenant, connection):
        raise Conflict("Keys have already been created for this connection.")
    return await list_keys(call)


async def rotate_keys(call: Call) -> dict[str, Any]:
    """POST connections/{id}/keys/rotate: answers the new next key."""
    connection = await _connection(call)
    keys = await documents.find_all(call.tx, call.tenant, CONNECTION_KEYS, parent=connection.id)
    if not keys:
        raise BadRequest(
            "Connection is not configured to use JWT Client Authentication", code="operation_not_supported"
        )
    now = call.tenant.clock.now()
    for key in keys:
        if key.previous is True:
            await documents.delete(call.tx, call.tenant, CONNECTION_KEYS, key.kid)
        elif key.current is True:
            await _mark(call, key.kid, current=UNSET, current_since=UNSET, previous=True)
        else:
            await _mark(call, key.kid, next=UNSET, current=True, current_since=iso(now))
    made = await _add(call.tx, call.tenant, connection, await _material(connection, now), next=True)
    return {"kid": made["kid"], "cert": made["cert"]}


async def _connection(call: Call) -> Connection:
    declaration = call.tenant.registry.collection("connections")
    connection: Connection = await documents.get(call.reader, call.tenant, declaration, call.params["id"])
    return connection


async def _material(connection: Connection, now: datetime) -> SigningMaterial:
    return await asyncio.to_thread(new_tenant_signing_material, connection.name, now)


async def _mark(call: Call, kid: str, **members: Any) -> None:
    await documents.update(call.tx, call.tenant, CONNECTION_KEYS, kid, {}, server=members)


async def _add(
    tx: Transaction, tenant: TenantScope, connection: Connection, material: SigningMaterial, **members: Any
) -> dict[str, Any]:
    kid = jwk_thumbprint(material.private_key.public_key())
    server = {
        "kid": kid,
        "algorithm": "RS256",
        "key_use": "signing",
        "subject_dn": f"/CN={connection.name}",
        "cert": material.certificate_pem,
        "fingerprint": material.fingerprint,
        "thumbprint": material.thumbprint,
        "pkcs": material.pkcs7_pem,
        **members,
    }
    record = await documents.create(tx, tenant, CONNECTION_KEYS, {}, server=server, parent=connection.id)
    await vault.put(tx, tenant, PRIVATE_KEYS, kid, private_key_pem(material.private_key))
    return record.document


CONNECTION_KEYS = Child(
    document=ConnectionKey,
    path="connections/{connection_id}/keys",
    key="kid",
    parent="connections",
    scopes=Scopes(("read:connections_keys",)),
    table="connection_keys",
    operations=frozenset(),
    not_found=Text("Connection not found."),
    changed=forget_private_key,
)

OPERATIONS = (
    Operation(
        method="GET", path="connections/{id}/keys", scopes=("read:connections_keys",), handler=list_keys,
        name="connections.keys.list",
    ),
    Operation(
        method="POST", path="connections/{id}/keys", scopes=("create:connections_keys",), handler=create_keys,
        status=201, name="connections.keys.create", audit="Create the keys of a connection",
    ),
    Operation(
        method="POST", path="connections/{id}/keys/rotate",
        scopes=("create:connections_keys", "update:connections_keys"), handler=rotate_keys, status=201,
        name="connections.keys.rotate", audit="Rotate the keys of a connection",
    ),
)  # fmt: skip
