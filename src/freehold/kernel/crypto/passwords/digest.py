"""One round of a digest, with a salt before or after the password or none: `md4`, `md5`, `sha1`, `sha256`, `sha512`.

In storage: `$digest-sha256$` + hash. The salt is the preparation's. LDAP's schemes end up here too (`ldap.py`).
"""

import hmac

from freehold.kernel.crypto.passwords.digests import DIGESTS, DigestMissing, digest, digest_size
from freehold.kernel.crypto.passwords.scheme import (
    BadHash,
    CustomHash,
    Imported,
    Scheme,
    decode_base64,
    decode_digest,
    encode_base64,
    imported_with_salt,
)

_MARK = "digest-"


def digest_text(name: str, raw: bytes) -> str:
    """The storage form of a digest."""
    return f"${_MARK}{name}${encode_base64(raw)}"


def check_digest(name: str, raw: bytes, path: str) -> None:
    """Refuse a value that is not as long as the digest's output, or a digest this machine cannot compute."""
    if len(raw) != digest_size(name):
        raise BadHash(path, f"a {name} hash has {digest_size(name)} bytes, and this value has {len(raw)}")
    try:
        digest(name, b"")
    except DigestMissing as missing:
        raise BadHash(path, missing.message) from missing


def _parse(custom: CustomHash) -> Imported:
    raw = decode_digest(custom)
    check_digest(custom.algorithm, raw, "hash.value")
    return imported_with_salt(digest_text(custom.algorithm, raw), custom)


def _verify(stored: str, password: bytes) -> bool:
    _, identifier, expected = stored.split("$")
    return hmac.compare_digest(digest(identifier.removeprefix(_MARK), password), decode_base64(expected))


DIGEST = Scheme(
    algorithms=frozenset({"md4", "md5", "sha1", "sha256", "sha512"}),
    identifiers=frozenset(_MARK + name for name in DIGESTS),
    parse=_parse,
    verify=_verify,
    is_cheap=lambda _stored: True,
)
