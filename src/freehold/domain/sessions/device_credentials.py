"""Device credentials: public keys that a device registered, and refresh tokens seen as credentials of devices."""

from typing import Annotated, Any, Literal

import msgspec

from freehold.domain.sessions.refresh_tokens import RefreshToken, refresh_tokens_of, revoke_refresh_token
from freehold.kernel.crypto.ids import new_id
from freehold.kernel.declare import (
    Collection,
    Document,
    Indexed,
    Length,
    Operation,
    Scopes,
    ServerSet,
    TenantScope,
    documents,
)
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.fields import Fields
from freehold.kernel.errors import BadRequest, Conflict
from freehold.kernel.store import Transaction


class DeviceCredential(Document, kw_only=True):
    """A public key with which a device signs in for its user."""

    id: Annotated[str, ServerSet()]
    device_name: Annotated[str, Length(1, 256)]
    device_id: Annotated[str, Length(1, 64)]
    type: Literal["public_key"]
    value: Annotated[str, Length(1, 8192)]
    user_id: Annotated[str, ServerSet(), Indexed()]
    client_id: str = ""


DEVICE_CREDENTIALS = Collection(
    document=DeviceCredential,
    path="device-credentials",
    table="device_credentials",
    new_id=lambda: new_id("dcr_"),
    scopes=Scopes(
        ("read:device_credentials",),
        ("create:current_user_device_credentials", "create:device_credentials"),
        (),
        ("delete:device_credentials", "delete:current_user_device_credentials"),
    ),
    operations=frozenset(),
    cached=False,
)

_SHOWN = ("id", "device_name", "device_id", "type", "user_id", "client_id")
_TYPES = ("public_key", "refresh_token", "rotating_refresh_token")


class NewCredential(msgspec.Struct, kw_only=True):
    """The body that registers a public key."""

    device_name: Annotated[str, Length(1, 256)]
    type: Literal["public_key"]
    value: Annotated[str, Length(1, 8192)]
    device_id: Annotated[str, Length(1, 64)]
    client_id: str = ""


async def list_credentials(call: Call) -> Any:
    """Credentials of a user: public keys and, unless another type is asked for, refresh tokens."""
    wanted, user_id, client_id = call.query("type"), call.query("user_id"), call.query("client_id")
    if wanted is not None and wanted not in _TYPES:
        raise BadRequest(
            f"Query validation error: 'No enum match for: {wanted[:40]}' on property type.", code="invalid_query_string"
        )
    where = {"user_id": user_id} if user_id else {}
    keys = await documents.find_all(call.store, call.tenant, DEVICE_CREDENTIALS, **where)
    found: list[dict[str, Any]] = [msgspec.to_builtins(key) for key in keys]
    if user_id and wanted != "public_key":
        found += [_of_token(token) for token in await refresh_tokens_of(call.store, call.tenant, user_id)]
    chosen = [
        {name: credential[name] for name in _SHOWN}
        for credential in found
        if (not wanted or credential["type"] == wanted) and (not client_id or credential["client_id"] == client_id)
    ]
    fields = Fields.of(call)
    return call.paged("device_credentials", [fields.apply(credential) for credential in chosen])


async def create_credential(call: Call) -> dict[str, str]:
    """Register a public key for the calling user. Raises Conflict when the device has one."""
    body: NewCredential = call.body
    for other in await documents.find_all(call.tx, call.tenant, DEVICE_CREDENTIALS, user_id=call.actor.id):
        if other.device_id == body.device_id and other.client_id == body.client_id:
            raise Conflict("A public key already exists for the device.", code="public_key_exists")
    record = await documents.create(
        call.tx, call.tenant, DEVICE_CREDENTIALS, msgspec.to_builtins(body), actor=call.actor,
        server={"user_id": call.actor.id},
    )  # fmt: skip
    return {"id": record.id}


async def delete_credential(call: Call) -> None:
    """Remove a public key, or revoke a refresh token by its credential id; one that is not there is a success."""
    id_ = call.params["id"]
    if not await documents.delete(call.tx, call.tenant, DEVICE_CREDENTIALS, id_, actor=call.actor):
        await revoke_refresh_token(call.tx, call.tenant, id_.removeprefix("dcr_"))


async def forget_user(tx: Transaction, tenant: TenantScope, user_id: str) -> None:
    """Remove the public keys of a user who goes."""
    for record in await documents.select(tx, tenant, DEVICE_CREDENTIALS, user_id=user_id):
        await documents.delete(tx, tenant, DEVICE_CREDENTIALS, record.id)


def _of_token(token: RefreshToken) -> dict[str, Any]:
    return {
        "id": f"dcr_{token.id}",
        "device_name": token.device.get("initial_user_agent") or "Unknown",
        "device_id": token.id,
        "type": "rotating_refresh_token" if token.rotating else "refresh_token",
        "user_id": token.user_id,
        "client_id": token.client_id,
    }


_SCOPES = DEVICE_CREDENTIALS.scopes
OPERATIONS = (
    Operation(
        method="GET", path="device-credentials", scopes=_SCOPES.read, handler=list_credentials,
        name="device_credentials.list",
    ),
    Operation(
        method="POST", path="device-credentials", scopes=_SCOPES.create, body=NewCredential,
        handler=create_credential, name="device_credentials.create", status=201,
        audit="Create a device public key credential",
    ),
    Operation(
        method="DELETE", path="device-credentials/{id}", scopes=_SCOPES.delete, handler=delete_credential,
        name="device_credentials.delete", status=204, audit="Delete a device credential",
    ),
)  # fmt: skip
