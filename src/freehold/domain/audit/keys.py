"""The tenant's audit key: Ed25519, private half in the vault, named by the digest of its public half."""

import hashlib
from typing import Any

import msgspec
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from freehold.domain.audit import merkle
from freehold.kernel import vault
from freehold.kernel.clock import iso
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Row, Transaction

PRIVATE_KEYS = "private_keys"
HEAD_DOMAIN = b"freehold.audit.head.v1\0"


class TreeHead(msgspec.Struct, frozen=True, kw_only=True):
    """What the log was at one moment, signed: its size and the root of its tree."""

    tenant_id: str
    size: int
    root: str
    time_ms: int
    kid: str
    signature: str

    @property
    def shown(self) -> dict[str, Any]:
        """The head as files, streams and receipts hold it."""
        return {**self._signed_part, "signature": self.signature}

    @property
    def _signed_part(self) -> dict[str, Any]:
        return {
            "v": 1, "tenant": self.tenant_id, "size": self.size, "root": self.root, "time": iso(self.time_ms),
            "kid": self.kid,
        }  # fmt: skip

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        return HEAD_DOMAIN + rfc8785.dumps(self._signed_part)

    @classmethod
    def of_row(cls, tenant_id: str, row: Row) -> "TreeHead":
        """The head in a row of size, root, time_ms, kid, signature."""
        size, root, time_ms, kid, signature = row
        return cls(tenant_id=tenant_id, size=size, root=root, time_ms=time_ms, kid=kid, signature=signature)


def fingerprint(public_key: bytes) -> str:
    """The name of a key: SHA-256 of the 32 bytes of its public half, in hexadecimal."""
    return hashlib.sha256(public_key).hexdigest()


def is_signed(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the Ed25519 signature is of this message by this key."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


async def public_keys(reader: Reader, tenant: TenantScope) -> dict[str, bytes]:
    """All audit keys the tenant ever had, by their name, oldest first."""
    rows = await reader.all(
        "select kid, public_key from audit_keys where tenant_id = :tenant_id order by created_at_ms, kid",
        tenant_id=tenant.id,
    )
    return {kid: bytes.fromhex(public) for kid, public in rows}


async def current_key(reader: Reader, tenant: TenantScope) -> tuple[str, Ed25519PrivateKey] | None:
    """The latest key whose private half is here; None in a tenant that was restored without its vault."""
    for kid in reversed(await public_keys(reader, tenant)):
        raw = await vault.open_one(reader, tenant, PRIVATE_KEYS, owner(kid))
        if raw is not None:
            return kid, Ed25519PrivateKey.from_private_bytes(raw)
    return None


async def make_key(tx: Transaction, tenant: TenantScope) -> tuple[str, Ed25519PrivateKey]:
    """A new audit key."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    kid = fingerprint(public)
    await tx.run(
        """insert into audit_keys (tenant_id, kid, public_key, created_at_ms)
        values (:tenant_id, :kid, :public_key, :now)""",
        tenant_id=tenant.id,
        kid=kid,
        public_key=public.hex(),
        now=tenant.clock.now_ms(),
    )
    raw = key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    await vault.put(tx, tenant, PRIVATE_KEYS, owner(kid), raw)
    return kid, key


def owner(kid: str) -> str:
    """Under which name the vault keeps the private half."""
    return f"audit|{kid}"


def signed_head(tenant: TenantScope, kid: str, key: Ed25519PrivateKey, *, size: int, frontier: list[bytes]) -> TreeHead:
    """Sign the tree of this size."""
    unsigned = TreeHead(
        tenant_id=tenant.id, size=size, root=merkle.root_of_frontier(frontier).hex(),
        time_ms=tenant.clock.now_ms(), kid=kid, signature="",
    )  # fmt: skip
    return msgspec.structs.replace(unsigned, signature=key.sign(unsigned.message).hex())
