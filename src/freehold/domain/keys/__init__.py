"""Signing keys: one current, one next, at most one previous; private halves stay in the vault."""

from freehold.domain.keys.documents import PRIVATE_KEYS, SIGNING_KEYS, SigningKey
from freehold.domain.keys.operations import OPERATIONS
from freehold.domain.keys.rotation import bootstrap, import_key
from freehold.domain.keys.signing import current_certificate, jwks, signing_key, verification_keys
from freehold.kernel.declare import Package

PACKAGE = Package(name="keys", declarations=(SIGNING_KEYS, PRIVATE_KEYS), operations=OPERATIONS, bootstrap=bootstrap)

__all__ = [
    "PACKAGE", "PRIVATE_KEYS", "SIGNING_KEYS", "SigningKey", "current_certificate", "import_key", "jwks",
    "signing_key", "verification_keys",
]  # fmt: skip
