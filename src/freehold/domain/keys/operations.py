"""`/keys/signing` of the Management API."""

from typing import Any

import msgspec

from freehold.domain.keys import rotation
from freehold.domain.keys.documents import SIGNING_KEYS, SigningKey
from freehold.kernel.declare import Operation, documents
from freehold.kernel.declare.call import Call


async def list_keys(call: Call) -> list[SigningKey]:
    """All keys, the current one first."""
    return await rotation.all_keys(call.store, call.tenant)


async def get_key(call: Call) -> SigningKey:
    """One key by kid. Raises NotFound."""
    return await documents.get(call.store, call.tenant, SIGNING_KEYS, call.params["kid"])


async def make_key(call: Call) -> rotation.NewKey:
    """The key that becomes next, made before the transaction."""
    return await rotation.new_key(call.tenant)


async def rotate(call: Call) -> dict[str, Any]:
    """The next key takes over; answers the new next one."""
    key = await rotation.rotate(call.tx, call.tenant, call.prepared)
    return {"cert": key.cert, "kid": key.kid}


async def revoke(call: Call) -> dict[str, Any]:
    """End a key at once."""
    key = await rotation.revoke(call.tx, call.tenant, call.params["kid"], call.prepared)
    shown: dict[str, Any] = msgspec.to_builtins(key)
    return {"cert": shown["cert"], "kid": shown["kid"], "revoked_at": shown["revoked_at"]}


OPERATIONS = (
    Operation(
        method="GET", path="keys/signing", scopes=("read:signing_keys",), handler=list_keys, name="signing_keys.list"
    ),
    Operation(
        method="GET", path="keys/signing/{kid}", scopes=("read:signing_keys",), handler=get_key,
        name="signing_keys.get",
    ),
    Operation(
        method="POST", path="keys/signing/rotate", scopes=("create:signing_keys", "update:signing_keys"),
        before=make_key, handler=rotate, name="signing_keys.rotate", status=201,
        audit="Rotate the application signing key",
    ),
    Operation(
        method="PUT", path="keys/signing/{kid}/revoke", scopes=("update:signing_keys",), before=make_key,
        handler=revoke, name="signing_keys.revoke", audit="Revoke an application signing key",
    ),
)  # fmt: skip
