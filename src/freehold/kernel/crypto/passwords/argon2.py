"""Argon2 (RFC 9106) as the PHC string everyone writes: `$argon2id$v=19$m=65536,t=2,p=1$` + salt + `$` + hash.

The library is imported at first use: most installations never see such a hash, and it would slow every start.
"""

import os
import re

from freehold.kernel.crypto.passwords.scheme import (
    BadHash,
    CustomHash,
    Imported,
    Scheme,
    check_hash_length,
    check_no_salt,
    check_range,
    check_salt_length,
    check_text_form,
    decode_base64,
    encode_base64,
)

# 1 GiB, which libsodium's "sensitive" setting asks for; that setting's four passes over it are the most work taken.
MOST_MEMORY_KIB = 1 << 20
MOST_WORK_KIB = 4 * MOST_MEMORY_KIB
MOST_LANES = 16

_FORM = re.compile(
    r"\$argon2(?P<type>id|i|d)(?:\$v=(?P<v>16|19))?\$m=(?P<m>[0-9]{1,10}),t=(?P<t>[0-9]{1,10}),p=(?P<p>[0-9]{1,8})"
    r"\$(?P<salt>[A-Za-z0-9+/]+)\$(?P<hash>[A-Za-z0-9+/]+)"
)


def hash_argon2id(password: bytes, *, memory_kib: int, passes: int) -> str:
    """A new hash with a random salt. One lane: more would start threads beside the pool's."""
    from argon2.low_level import ARGON2_VERSION, Type, hash_secret

    raw = hash_secret(password, os.urandom(16), passes, memory_kib, 1, 32, Type.ID, ARGON2_VERSION)
    return raw.decode("ascii")


def memory_and_passes(stored: str) -> tuple[int, int]:
    """The two costs of a stored hash."""
    match = _match(stored)
    return int(match["m"]), int(match["t"])


def _parse(custom: CustomHash) -> Imported:
    check_text_form(custom)
    check_no_salt(custom)
    text = custom.hash.value
    match = _FORM.fullmatch(text)
    if match is None:
        raise BadHash("hash.value", "not a PHC string: $argon2id$v=19$m=...,t=...,p=...$salt$hash", code="PATTERN")
    memory_kib, passes, lanes = int(match["m"]), int(match["t"]), int(match["p"])
    check_range(lanes, "hash.value", low=1, high=MOST_LANES, what="Argon2's p")
    check_range(memory_kib, "hash.value", low=8 * lanes, high=MOST_MEMORY_KIB, what="Argon2's m")
    check_range(passes, "hash.value", low=1, high=MOST_WORK_KIB // memory_kib, what="Argon2's t (with this m)")
    try:
        salt, raw = decode_base64(match["salt"]), decode_base64(match["hash"])
    except ValueError:
        raise BadHash("hash.value", "the salt or the hash is not base64") from None
    if encode_base64(salt) != match["salt"] or encode_base64(raw) != match["hash"]:
        raise BadHash("hash.value", "the salt or the hash has stray bits behind its last byte")
    check_hash_length(raw)
    check_salt_length(salt, "hash.value", shortest=8)
    return Imported(text)


def _verify(stored: str, password: bytes) -> bool:
    from argon2.exceptions import VerifyMismatchError
    from argon2.low_level import Type, verify_secret

    kind = {"id": Type.ID, "i": Type.I, "d": Type.D}[_match(stored)["type"]]
    try:
        return verify_secret(stored.encode("ascii"), password, kind)
    except VerifyMismatchError:
        return False


def _match(stored: str) -> re.Match[str]:
    match = _FORM.fullmatch(stored)
    if match is None:
        raise ValueError("not a stored Argon2 hash")
    return match


def _is_cheap(stored: str) -> bool:
    memory_kib, passes = memory_and_passes(stored)
    return memory_kib * passes < 2 * 19456


ARGON2 = Scheme(
    algorithms=frozenset({"argon2"}),
    identifiers=frozenset({"argon2id", "argon2i", "argon2d"}),
    parse=_parse,
    verify=_verify,
    is_cheap=_is_cheap,
)
