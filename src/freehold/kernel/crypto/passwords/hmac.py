"""HMAC of the password under a key that came with the hash (RFC 2104).

In storage: `$hmac-sha256$` + key + `$` + hash.
"""

import hmac

from freehold.kernel.crypto.passwords.digest import check_digest
from freehold.kernel.crypto.passwords.digests import keyed_digest
from freehold.kernel.crypto.passwords.scheme import (
    LONGEST_SALT_BYTES,
    BadHash,
    CustomHash,
    Imported,
    Scheme,
    check_no_salt,
    decode_base64,
    decode_digest,
    decode_text,
    encode_base64,
)

_MARK = "hmac-"
_DIGESTS = frozenset({"md4", "md5", "ripemd160", "sha1", "sha224", "sha256", "sha384", "sha512", "whirlpool"})


def _parse(custom: CustomHash) -> Imported:
    check_no_salt(custom)
    name = custom.hash.digest
    if name is None:
        raise BadHash("hash.digest", "hash.digest is required for hmac", code="OBJECT_REQUIRED")
    if name not in _DIGESTS:
        raise BadHash("hash.digest", f"hash.digest must be one of {', '.join(sorted(_DIGESTS))}", code="ENUM_MISMATCH")
    if custom.hash.key is None:
        raise BadHash("hash.key", "hash.key is required for hmac", code="OBJECT_REQUIRED")
    key = decode_text(custom.hash.key.value, custom.hash.key.encoding, "hash.key.value")
    if len(key) > LONGEST_SALT_BYTES:
        raise BadHash("hash.key.value", f"the key is longer than {LONGEST_SALT_BYTES} bytes", code="MAX_LENGTH")
    raw = decode_digest(custom)
    check_digest(name, raw, "hash.value")
    return Imported(f"${_MARK}{name}${encode_base64(key)}${encode_base64(raw)}")


def _verify(stored: str, password: bytes) -> bool:
    _, identifier, key, expected = stored.split("$")
    computed = keyed_digest(identifier.removeprefix(_MARK), decode_base64(key), password)
    return hmac.compare_digest(computed, decode_base64(expected))


HMAC = Scheme(
    algorithms=frozenset({"hmac"}),
    identifiers=frozenset(_MARK + name for name in _DIGESTS),
    parse=_parse,
    verify=_verify,
    is_cheap=lambda _stored: True,
)
