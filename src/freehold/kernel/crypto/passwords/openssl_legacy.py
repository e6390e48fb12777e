"""The digests OpenSSL has put aside (MD4, MDC-2, RIPEMD-160, Whirlpool), for imported hashes that were made with them.

They live in OpenSSL's legacy provider, which Python's hashlib does not load. It is loaded here into a library context
of its own, so that nothing else in the process can reach these digests by name. Where libcrypto or its provider is
missing, `load` answers None and `digests.py` offers what it can without.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

_LIBRARY = "libcrypto.so.3"
_KNOWN_ANSWERS = {"MD4": "a448017aaf21d8525fc10ae87aa6729d"}  # of "abc" (RFC 1320 appendix A.5)

# OSSL_PARAM data types (openssl/core.h).
_INTEGER, _UNSIGNED_INTEGER, _UTF8_STRING, _OCTET_STRING = 1, 2, 4, 5
_LONGEST_DIGEST_BYTES = 64


class _Param(ctypes.Structure):
    _fields_ = (
        ("key", ctypes.c_char_p),
        ("data_type", ctypes.c_uint),
        ("data", ctypes.c_void_p),
        ("data_size", ctypes.c_size_t),
        ("return_size", ctypes.c_size_t),
    )


class LegacyDigests:
    """Digests and PBKDF2 of OpenSSL's legacy provider; calls let go of the GIL."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        for name in ("OSSL_LIB_CTX_new", "OSSL_PROVIDER_load", "EVP_MD_fetch", "EVP_KDF_fetch", "EVP_KDF_CTX_new"):
            getattr(library, name).restype = ctypes.c_void_p
        library.OSSL_PROVIDER_load.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
        library.EVP_MD_fetch.argtypes = library.EVP_KDF_fetch.argtypes = (
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_char_p,
        )
        library.EVP_KDF_CTX_new.argtypes = library.EVP_KDF_CTX_free.argtypes = (ctypes.c_void_p,)
        library.EVP_KDF_CTX_free.restype = None
        library.EVP_KDF_derive.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p)
        library.EVP_Digest.argtypes = (
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_char_p,
            ctypes.POINTER(ctypes.c_uint),
            ctypes.c_void_p,
            ctypes.c_void_p,
        )
        self._context = library.OSSL_LIB_CTX_new()
        providers = [library.OSSL_PROVIDER_load(self._context, name) for name in (b"default", b"legacy")]
        self._pbkdf2 = library.EVP_KDF_fetch(self._context, b"PBKDF2", None)
        if not all(providers) or not self._pbkdf2:
            raise OSError("OpenSSL's legacy provider is not installed")
        self._digests: dict[str, int] = {}
        for name, expected in _KNOWN_ANSWERS.items():
            if self.digest(name, b"abc").hex() != expected:
                raise OSError(f"OpenSSL computes {name} wrongly")

    def has(self, name: str) -> bool:
        """Whether this OpenSSL was built with the digest."""
        return bool(self._find(name))

    def digest(self, name: str, data: bytes) -> bytes:
        """The digest of some bytes. Raises OSError when this OpenSSL lacks it."""
        output = ctypes.create_string_buffer(_LONGEST_DIGEST_BYTES)
        length = ctypes.c_uint(0)
        if not self._library.EVP_Digest(data, len(data), output, ctypes.byref(length), self._fetched(name), None):
            raise OSError(f"OpenSSL could not compute {name}")
        return output.raw[: length.value]

    def pbkdf2(self, name: str, password: bytes, salt: bytes, *, iterations: int, length: int) -> bytes:
        """PBKDF2 with HMAC of that digest (RFC 8018 section 5.2)."""
        self._fetched(name)
        rounds, pkcs5 = ctypes.c_uint64(iterations), ctypes.c_int(1)  # pkcs5: without NIST's lower bounds
        values: list[tuple[bytes, int, Any, int]] = [
            (b"pass", _OCTET_STRING, ctypes.create_string_buffer(password, max(len(password), 1)), len(password)),
            (b"salt", _OCTET_STRING, ctypes.create_string_buffer(salt, max(len(salt), 1)), len(salt)),
            (b"digest", _UTF8_STRING, ctypes.create_string_buffer(name.encode()), len(name)),
            (b"iter", _UNSIGNED_INTEGER, rounds, ctypes.sizeof(rounds)),
            (b"pkcs5", _INTEGER, pkcs5, ctypes.sizeof(pkcs5)),
        ]
        params = _param_array(values)
        output = ctypes.create_string_buffer(length)
        context = self._library.EVP_KDF_CTX_new(self._pbkdf2)
        try:
            if self._library.EVP_KDF_derive(context, output, length, params) != 1:
                raise OSError(f"OpenSSL could not compute PBKDF2 with {name}")
        finally:
            self._library.EVP_KDF_CTX_free(context)
        return output.raw

    def _fetched(self, name: str) -> int:
        handle = self._find(name)
        if not handle:
            raise OSError(f"this OpenSSL has no {name}")
        return handle

    def _find(self, name: str) -> int:
        if name not in self._digests:
            self._digests[name] = self._library.EVP_MD_fetch(self._context, name.encode(), None) or 0
        return self._digests[name]


def load() -> LegacyDigests | None:
    """The legacy digests, or None where this machine has none."""
    try:
        return LegacyDigests(ctypes.CDLL(_LIBRARY))
    except (OSError, AttributeError):
        return None


def _param_array(params: Sequence[tuple[bytes, int, Any, int]]) -> "ctypes.Array[_Param]":
    """The parameters with the empty entry that ends them. It points into the values, which the caller keeps alive."""
    array = (_Param * (len(params) + 1))()
    for entry, (key, data_type, value, size) in zip(array, params, strict=False):
        entry.key, entry.data_type, entry.data_size = key, data_type, size
        entry.data = ctypes.cast(ctypes.pointer(value), ctypes.c_void_p)
    return array
