"""scrypt (RFC 7914). In storage: `$scrypt$ln=14,r=8,p=1$` + salt + `$` + hash; the cost is 2 to the power of ln."""

import hashlib
import hmac
import re

from freehold.kernel.crypto.passwords.scheme import (
    LONGEST_HASH_BYTES,
    BadHash,
    CustomHash,
    Imported,
    Scheme,
    check_hash_length,
    check_range,
    decode_base64,
    decode_digest,
    decode_salt,
    encode_base64,
)

MOST_MEMORY_BYTES = 1 << 30
# Blocks mixed in all, cost * blockSize * parallelization: about 4 s.
MOST_WORK = 1 << 24
_DEFAULT_COST, _DEFAULT_BLOCK_SIZE, _DEFAULT_PARALLELIZATION = 16384, 8, 1

_FORM = re.compile(r"\$scrypt\$ln=(?P<ln>\d+),r=(?P<r>\d+),p=(?P<p>\d+)\$(?P<salt>[^$]*)\$(?P<hash>[^$]+)")


def _parse(custom: CustomHash) -> Imported:
    if custom.keylen is None:
        raise BadHash("keylen", "keylen is required for scrypt", code="OBJECT_REQUIRED")
    cost = _DEFAULT_COST if custom.cost is None else custom.cost
    r = _DEFAULT_BLOCK_SIZE if custom.block_size is None else custom.block_size
    p = _DEFAULT_PARALLELIZATION if custom.parallelization is None else custom.parallelization
    check_range(custom.keylen, "keylen", low=1, high=LONGEST_HASH_BYTES, what="keylen")
    check_range(r, "blockSize", low=1, high=1 << 16, what="scrypt's blockSize")
    check_range(p, "parallelization", low=1, high=1 << 16, what="scrypt's parallelization")
    most = min(MOST_MEMORY_BYTES // (128 * r), MOST_WORK // (r * p))
    check_range(cost, "cost", low=2, high=most, what="scrypt's cost (with this blockSize and parallelization)")
    if cost & (cost - 1):
        raise BadHash("cost", "scrypt's cost must be a power of two")
    raw = decode_digest(custom)
    check_hash_length(raw)
    if len(raw) != custom.keylen:
        raise BadHash("hash.value", f"the hash has {len(raw)} bytes, and keylen says {custom.keylen}")
    parameters = f"ln={cost.bit_length() - 1},r={r},p={p}"
    return Imported(f"$scrypt${parameters}${encode_base64(decode_salt(custom))}${encode_base64(raw)}")


def _verify(stored: str, password: bytes) -> bool:
    match = _FORM.fullmatch(stored)
    if match is None:
        raise ValueError("not a stored scrypt hash")
    expected = decode_base64(match["hash"])
    n, r, p = 1 << int(match["ln"]), int(match["r"]), int(match["p"])
    computed = hashlib.scrypt(
        password,
        salt=decode_base64(match["salt"]),
        n=n,
        r=r,
        p=p,
        maxmem=128 * r * (n + p + 2) + (1 << 20),
        dklen=len(expected),
    )
    return hmac.compare_digest(computed, expected)


def _is_cheap(stored: str) -> bool:
    match = _FORM.fullmatch(stored)
    return match is not None and (int(match["r"]) * int(match["p"]) << int(match["ln"])) < 1 << 17


SCRYPT = Scheme(
    algorithms=frozenset({"scrypt"}),
    identifiers=frozenset({"scrypt"}),
    parse=_parse,
    verify=_verify,
    is_cheap=_is_cheap,
)
