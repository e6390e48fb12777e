"""The hash functions of imported password hashes, under one set of names, whatever library supplies them.

hashlib where it has them; MD4 and its like from OpenSSL's legacy provider, or from pycryptodome where that is missing.
None of these is chosen for anything new.
"""

import hashlib
import hmac
from functools import lru_cache

from freehold.kernel.crypto.passwords import openssl_legacy
from freehold.kernel.errors import Unavailable

# name: digest size and block size in bytes
_SIZES = {
    "md4": (16, 64),
    "md5": (16, 64),
    "mdc2": (16, 8),
    "ripemd160": (20, 64),
    "sha1": (20, 64),
    "sha224": (28, 64),
    "sha256": (32, 64),
    "sha384": (48, 128),
    "sha512": (64, 128),
    "whirlpool": (64, 64),
}
DIGESTS = frozenset(_SIZES)
_IN_HASHLIB = frozenset({"md5", "sha1", "sha224", "sha256", "sha384", "sha512"})


class DigestMissing(Unavailable):
    """This machine's OpenSSL lacks the digest or its whole legacy provider, and nothing else here computes it."""

    code = "digest_missing"


def digest_size(name: str) -> int:
    """The output's length in bytes."""
    return _SIZES[name][0]


def digest(name: str, data: bytes) -> bytes:
    """The hash of some bytes. Raises DigestMissing."""
    if name in _IN_HASHLIB:
        return hashlib.new(name, data, usedforsecurity=False).digest()
    legacy = _legacy_with(name)
    if legacy is not None:
        return legacy.digest(name.upper(), data)
    if name in ("md4", "ripemd160"):
        return _pycryptodome_digest(name, data)
    raise DigestMissing(f"{name} is not in this machine's OpenSSL, or its legacy provider is not installed")


def keyed_digest(name: str, key: bytes, data: bytes) -> bytes:
    """HMAC (RFC 2104). Raises DigestMissing."""
    if name in _IN_HASHLIB:
        return hmac.digest(key, data, name)
    block_bytes = _SIZES[name][1]
    block = (digest(name, key) if len(key) > block_bytes else key).ljust(block_bytes, b"\0")
    inner = digest(name, bytes(byte ^ 0x36 for byte in block) + data)
    return digest(name, bytes(byte ^ 0x5C for byte in block) + inner)


def derived_key(name: str, password: bytes, salt: bytes, *, iterations: int, length: int) -> bytes:
    """PBKDF2 with HMAC of the digest (RFC 8018). Raises DigestMissing."""
    if name in _IN_HASHLIB:
        return hashlib.pbkdf2_hmac(name, password, salt, iterations, length)
    legacy = _legacy_with(name)
    if legacy is None:  # the loop in Python would take half a minute, and the GIL with it
        raise DigestMissing(f"{name} is not in this machine's OpenSSL, or its legacy provider is not installed")
    return legacy.pbkdf2(name.upper(), password, salt, iterations=iterations, length=length)


def _pycryptodome_digest(name: str, data: bytes) -> bytes:
    from Crypto.Hash import MD4, RIPEMD160  # takes 80 ms to import, and is rarely needed

    module = MD4 if name == "md4" else RIPEMD160
    return bytes(module.new(data).digest())


def _legacy_with(name: str) -> openssl_legacy.LegacyDigests | None:
    """The legacy digests if they include this one: some distributions build without MDC-2."""
    legacy = _legacy()
    return legacy if legacy is not None and legacy.has(name.upper()) else None


@lru_cache(maxsize=1)
def _legacy() -> openssl_legacy.LegacyDigests | None:
    return openssl_legacy.load()
