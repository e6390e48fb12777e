"""The life of a signing key: next, current, previous, revoked.

There is always exactly one current and one next key, and at most one previous. All three are published, so that a
verifier knows a key before it is used, and tokens of the previous one stay valid until it is revoked. A revoked key's
private half is gone; its certificate is kept while it is one of the last three.
"""

import asyncio
from typing import Any

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from freehold.domain.keys.documents import PRIVATE_KEYS, SIGNING_KEYS, SigningKey
from freehold.kernel import vault
from freehold.kernel.clock import iso
from freehold.kernel.crypto.ids import new_kid
from freehold.kernel.crypto.x509 import SigningMaterial, new_tenant_signing_material, private_key_pem
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.errors import BadRequest, Conflict
from freehold.kernel.store import Reader, Transaction

REVOKED_KEPT = 3
SHORTEST_RSA_BITS = 2048


class NewKey(msgspec.Struct, frozen=True):
    """A key pair with its certificate, not stored yet."""

    kid: str
    material: SigningMaterial


async def new_key(tenant: TenantScope) -> NewKey:
    """A fresh key pair; making one takes a tenth of a second, so keep it out of transactions."""
    material = await asyncio.to_thread(new_tenant_signing_material, tenant.domain, tenant.clock.now())
    return NewKey(new_kid(), material)


async def bootstrap(tx: Transaction, tenant: TenantScope) -> None:
    """Give a new tenant a current and a next key, unless it has keys (a reset keeps them)."""
    if await all_keys(tx, tenant):
        return
    current, following = await new_key(tenant), await new_key(tenant)
    await _insert(tx, tenant, current, current=True, current_since=iso(tenant.clock.now_ms()))
    await _insert(tx, tenant, following, next=True)


async def all_keys(reader: Reader, tenant: TenantScope) -> list[SigningKey]:
    """All keys: current, next, previous, then the revoked ones, latest first."""
    found = await documents.find_all(reader, tenant, SIGNING_KEYS)
    found.sort(key=lambda key: str(key.revoked_at), reverse=True)
    return sorted(found, key=lambda key: (key.revoked, not key.current, not key.next))


async def rotate(tx: Transaction, tenant: TenantScope, fresh: NewKey) -> SigningKey:
    """Next becomes current, current becomes previous, `fresh` becomes next and is the answer.

    The previous key of before is revoked: only one may be valid beside the current one.
    """
    now = iso(tenant.clock.now_ms())
    keys = await all_keys(tx, tenant)
    for key in keys:
        if key.previous:
            await _revoke(tx, tenant, key, now)
        elif key.current:
            await _change(tx, tenant, key, current=False, previous=True, current_until=now)
        elif key.next:
            await _change(tx, tenant, key, next=False, current=True, current_since=now)
    return await _insert(tx, tenant, fresh, next=True)


async def revoke(tx: Transaction, tenant: TenantScope, kid: str, fresh: NewKey) -> SigningKey:
    """End a key at once: what it signed is refused from now on, everywhere.

    The current key is replaced by the next one and the next one by `fresh`, so that the tenant never stands without.
    Raises NotFound.
    """
    key = await documents.get(tx, tenant, SIGNING_KEYS, kid)
    if key.revoked:
        return key
    if key.current:
        await rotate(tx, tenant, fresh)
        key = await documents.get(tx, tenant, SIGNING_KEYS, kid)
    elif key.next:
        await _insert(tx, tenant, fresh, next=True)
    return await _revoke(tx, tenant, key, iso(tenant.clock.now_ms()))


async def import_key(
    tx: Transaction,
    tenant: TenantScope,
    *,
    kid: str,
    private_key: bytes | dict[str, Any],
    certificate_pem: str | None = None,
) -> SigningKey:
    """Take over a key that signs elsewhere, as PEM or JWK, under its own kid: it becomes the current one.

    The current key of before becomes the previous one. Raises BadRequest for a key that cannot sign here or does not
    belong to the certificate, Conflict for a kid that is taken.
    """
    if not kid or len(kid) > 255 or not kid.isprintable() or " " in kid:
        raise BadRequest("A kid has 1 to 255 printable characters and no space.")
    if await documents.find(tx, tenant, SIGNING_KEYS, kid):
        raise Conflict(f"The tenant has a signing key {kid} already.")
    key = load_private_key(private_key)
    material = new_tenant_signing_material(tenant.domain, tenant.clock.now(), private_key=key)
    if certificate_pem is not None:
        material = _with_certificate(material, certificate_pem)
    now = iso(tenant.clock.now_ms())
    for other in await all_keys(tx, tenant):
        if other.previous:
            await _revoke(tx, tenant, other, now)
        elif other.current:
            await _change(tx, tenant, other, current=False, previous=True, current_until=now)
    return await _insert(tx, tenant, NewKey(kid, material), current=True, current_since=now)


def load_private_key(source: bytes | dict[str, Any]) -> rsa.RSAPrivateKey:
    """An RSA private key of at least 2048 bits from PEM or a JWK, checked. Raises BadRequest."""
    from joserfc.errors import JoseError  # a server that never does this saves the time to import it
    from joserfc.jwk import RSAKey

    try:
        if isinstance(source, dict):
            source = RSAKey.import_key(source).as_pem(private=True)
        key = serialization.load_pem_private_key(source, password=None)
    except (ValueError, TypeError, KeyError, UnsupportedAlgorithm, JoseError):
        raise BadRequest("The private key can be read neither as PEM nor as a JWK.") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < SHORTEST_RSA_BITS:
        raise BadRequest(f"A signing key must be an RSA key of at least {SHORTEST_RSA_BITS} bits.")
    return key


def _with_certificate(material: SigningMaterial, certificate_pem: str) -> SigningMaterial:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    except ValueError:
        raise BadRequest("The certificate is not PEM.") from None
    if certificate.public_key() != material.private_key.public_key():
        raise BadRequest("The certificate belongs to another private key.")
    return SigningMaterial.of(material.private_key, certificate)


async def _insert(tx: Transaction, tenant: TenantScope, key: NewKey, **state: Any) -> SigningKey:
    material = key.material
    document = SigningKey(
        kid=key.kid,
        cert=_crlf(material.certificate_pem),
        pkcs7=_crlf(material.pkcs7_pem),
        fingerprint=material.fingerprint,
        thumbprint=material.thumbprint,
        **state,
    )
    await documents.insert(tx, tenant, SIGNING_KEYS, document, id_=key.kid, now=tenant.clock.now_ms())
    await vault.put(tx, tenant, PRIVATE_KEYS.name, key.kid, private_key_pem(material.private_key))
    return document


async def _change(tx: Transaction, tenant: TenantScope, key: SigningKey, **state: Any) -> SigningKey:
    record = await documents.read(tx, tenant, SIGNING_KEYS, key.kid)
    if record is None:
        raise documents.missing(SIGNING_KEYS)
    changed = msgspec.structs.replace(key, **state)
    await documents.save(tx, tenant, SIGNING_KEYS, record, changed, now=tenant.clock.now_ms())
    return changed


async def _revoke(tx: Transaction, tenant: TenantScope, key: SigningKey, now: str) -> SigningKey:
    await vault.drop(tx, tenant, PRIVATE_KEYS.name, key.kid)
    revoked = await _change(
        tx, tenant, key, current=False, next=False, previous=False, revoked=True, revoked_at=now
    )  # fmt: skip
    for old in [k for k in await all_keys(tx, tenant) if k.revoked][REVOKED_KEPT:]:
        await documents.delete(tx, tenant, SIGNING_KEYS, old.kid)
    return revoked


def _crlf(pem: str) -> str:
    """PEM with the line ends that Auth0 answers with."""
    return pem.replace("\r\n", "\n").replace("\n", "\r\n")
