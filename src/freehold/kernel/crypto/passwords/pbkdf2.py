"""PBKDF2 (RFC 8018 section 5.2) as a PHC string: `$pbkdf2-sha512$i=100000,l=64$` + salt + `$` + hash.

Stored in the same form, with the digest's many OpenSSL names made one and the parameters written out.
"""

import hmac
import re

from freehold.kernel.crypto.passwords.digests import DIGESTS, DigestMissing, derived_key, digest_size
from freehold.kernel.crypto.passwords.scheme import (
    LONGEST_HASH_BYTES,
    SHORTEST_HASH_BYTES,
    BadHash,
    CustomHash,
    Imported,
    Scheme,
    check_no_salt,
    check_range,
    check_salt_length,
    check_text_form,
    decode_base64,
    encode_base64,
)

# Rounds of HMAC in all: each block of output takes the iterations again. 10 million are about 5 s of SHA-512.
MOST_ROUNDS = 10_000_000
_DEFAULT_ITERATIONS, _DEFAULT_LENGTH = 100_000, 64

_MARK = "pbkdf2-"
_FORM = re.compile(
    r"\$pbkdf2-(?P<digest>[A-Za-z0-9-]{2,24})"
    r"(?:\$(?:i=(?P<i>[0-9]{1,12})(?:,l=(?P<l>[0-9]{1,6}))?|l=(?P<only_l>[0-9]{1,6})))?"
    r"\$(?P<salt>[A-Za-z0-9+/]*)\$(?P<hash>[A-Za-z0-9+/]+)"
)
_OTHER_NAMES = {
    "ripemd": "ripemd160",
    "ripemd160withrsa": "ripemd160",
    "rmd160": "ripemd160",
    "mdc2withrsa": "mdc2",
    "rsa-sha1-2": "sha1",
    "ssl3-md5": "md5",
    "ssl3-sha1": "sha1",
}


def _parse(custom: CustomHash) -> Imported:
    check_text_form(custom)
    check_no_salt(custom)
    match = _FORM.fullmatch(custom.hash.value)
    if match is None:
        raise BadHash("hash.value", "not a PHC string: $pbkdf2-<digest>$i=...,l=...$salt$hash", code="PATTERN")
    name = _digest_named(match["digest"])
    iterations, length = int(match["i"] or _DEFAULT_ITERATIONS), int(match["l"] or match["only_l"] or _DEFAULT_LENGTH)
    check_range(length, "hash.value", low=SHORTEST_HASH_BYTES, high=LONGEST_HASH_BYTES, what="PBKDF2's l")
    blocks = -(-length // digest_size(name))
    check_range(iterations, "hash.value", low=1, high=MOST_ROUNDS // blocks, what="PBKDF2's i")
    try:
        salt, raw = decode_base64(match["salt"]), decode_base64(match["hash"])
    except ValueError:
        raise BadHash("hash.value", "the salt or the hash is not base64") from None
    check_salt_length(salt, "hash.value")
    if len(raw) != length:
        raise BadHash("hash.value", f"the hash has {len(raw)} bytes, and l says {length}")
    try:
        derived_key(name, b"", b"", iterations=1, length=1)
    except DigestMissing as missing:
        raise BadHash("hash.value", missing.message) from missing
    return Imported(f"${_MARK}{name}$i={iterations},l={length}${encode_base64(salt)}${encode_base64(raw)}")


def _digest_named(given: str) -> str:
    name = given.lower()
    name = _OTHER_NAMES.get(name, name.removeprefix("rsa-").removesuffix("withrsaencryption"))
    if name not in DIGESTS:
        raise BadHash(
            "hash.value", f"pbkdf2-{given} is not supported; the digest is one of {', '.join(sorted(DIGESTS))}"
        )
    return name


def _verify(stored: str, password: bytes) -> bool:
    _, identifier, _, salt, expected_text = stored.split("$")
    expected = decode_base64(expected_text)
    computed = derived_key(
        identifier.removeprefix(_MARK),
        password,
        decode_base64(salt),
        iterations=_iterations(stored),
        length=len(expected),
    )
    return hmac.compare_digest(computed, expected)


def _iterations(stored: str) -> int:
    parameters = stored.split("$", 3)[2]
    return int(parameters.split(",", 1)[0].removeprefix("i="))


PBKDF2 = Scheme(
    algorithms=frozenset({"pbkdf2"}),
    identifiers=frozenset(_MARK + name for name in DIGESTS),
    parse=_parse,
    verify=_verify,
    is_cheap=lambda stored: _iterations(stored) < 100_000,
)
