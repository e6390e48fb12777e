"""The keys in use: what signs, what verifies, what is published. Loaded once per change of the tenant's data."""

from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography import x509

from freehold.domain.keys.documents import PRIVATE_KEYS, SIGNING_KEYS
from freehold.domain.keys.rotation import all_keys
from freehold.kernel import vault
from freehold.kernel.crypto.jose import PublicKey, SigningKey, jwk_of
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.errors import Unavailable
from freehold.kernel.store import Reader, Store


async def signing_key(store: Store, tenant: TenantScope) -> SigningKey:
    """The tenant's current private key, ready to sign. Raises Unavailable when the tenant has none."""
    entries = tenant.cached(store.cache_epoch(tenant.id))
    key: SigningKey | None = entries.get("signing_key")
    if key is None:
        key = await _load_current(store, tenant)
        entries["signing_key"] = key
    return key


async def verification_keys(store: Store, tenant: TenantScope) -> Mapping[str, PublicKey]:
    """The public keys that count at this moment by kid: current, next and previous, none that is revoked."""
    entries = tenant.cached(store.cache_epoch(tenant.id))
    keys: Mapping[str, PublicKey] | None = entries.get("verification_keys")
    if keys is None:
        keys = {
            key.kid: PublicKey.from_certificate(key.kid, key.cert)
            for key in await all_keys(store, tenant)
            if not key.revoked
        }
        entries["verification_keys"] = keys
    return keys


async def jwks(store: Store, tenant: TenantScope) -> bytes:
    """The published key set (RFC 7517 section 5), encoded: current first, then next and previous."""
    entries = tenant.cached(store.cache_epoch(tenant.id))
    body: bytes | None = entries.get("jwks")
    if body is None:
        certificates = {key.kid: key.cert for key in await all_keys(store, tenant)}
        public = await verification_keys(store, tenant)
        body = msgspec.json.encode(
            {"keys": [jwk_of(key.key, kid=kid, certificate_pem=certificates[kid]) for kid, key in public.items()]}
        )
        entries["jwks"] = body
    return body


async def current_certificate(reader: Reader, tenant: TenantScope) -> dict[str, Any]:
    """The certificate of the current key as applications are shown it: `{cert, pkcs7, subject}`."""
    for key in await all_keys(reader, tenant):
        if key.current:
            subject = x509.load_pem_x509_certificate(key.cert.encode()).subject
            return {"cert": key.cert, "pkcs7": key.pkcs7, "subject": f"/{subject.rfc4514_string()}"}
    raise _no_key()


async def _load_current(reader: Reader, tenant: TenantScope) -> SigningKey:
    for key in await documents.find_all(reader, tenant, SIGNING_KEYS):
        if key.current:
            pem = await vault.open_one(reader, tenant, PRIVATE_KEYS.name, key.kid)
            if pem is not None:
                return SigningKey.load(key.kid, "RS256", pem, key.cert)
    raise _no_key()


def _no_key() -> Unavailable:
    return Unavailable(
        "The tenant has no private key to sign with. "
        "After a restore without the vault archive, rotate its signing keys."
    )
