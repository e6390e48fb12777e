"""bcrypt: `$2b$10$` + 22 characters of salt + 31 of hash. Our default scheme, and the one Auth0 exports.

bcrypt reads 72 bytes. An imported hash is checked with the password cut there, as the system it comes from did (a salt
around the password counts towards the 72); a new password that is longer is refused (`PasswordTooLong`), never cut.
"""

import hmac
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from freehold.kernel.crypto.passwords.bcrypt_engine import LONGEST_PASSWORD_BYTES, bcrypt_hash
from freehold.kernel.crypto.passwords.lanes import Lanes
from freehold.kernel.crypto.passwords.scheme import (
    BadHash,
    CustomHash,
    Imported,
    Scheme,
    check_range,
    check_text_form,
    imported_with_salt,
)

LOWEST_COST, HIGHEST_COST = 4, 16

_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_FORM = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$(?P<salt>[./A-Za-z0-9]{22})(?P<hash>[./A-Za-z0-9]{31})")
_PREFIXES = {f"$2{kind}${cost:02}$" for kind in "aby" for cost in range(LOWEST_COST, HIGHEST_COST + 1)}
_SHAPES = bytes(ord(".") if chr(byte) in _ALPHABET else byte for byte in range(256))
_SHAPE = b"$..$..$" + b"." * 53


def parse_bcrypt(text: str, *, path: str = "") -> str:
    """A bcrypt string as it is stored, which is as it came. Raises BadHash."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise BadHash(
            path, "not a bcrypt hash: $2a$, $2b$ or $2y$, a cost of two digits, 53 characters", code="PATTERN"
        )
    check_range(int(match["cost"]), path, low=LOWEST_COST, high=HIGHEST_COST, what="bcrypt's cost")
    return text


def are_bcrypt(texts: Sequence[str]) -> bool:
    """Whether `parse_bcrypt` takes them all, for those who ask a million times."""
    joined = "".join(texts)
    if not joined.isascii() or not _PREFIXES.issuperset(text[:7] for text in texts):
        return False
    # Prefixes have three dollar signs and the rest none, so what stands in between has the one length it may have.
    return joined.encode().translate(_SHAPES) == _SHAPE * len(texts)


class Computation(NamedTuple):
    """One run of bcrypt: what there is to compute, apart from the computing, so that several can be done at once."""

    password: bytes
    setting: str

    @property
    def cost(self) -> int:
        """The cost, which all of a batch must have in common."""
        return cost_of(self.setting)

    def run(self) -> str:
        """The 60 characters."""
        return bcrypt_hash(self.password, self.setting)


def new_hash(password: bytes, *, cost: int) -> Computation:
    """What makes a new hash, with a random salt, of at most 72 bytes."""
    return Computation(password, f"$2b${cost:02}${_encode(os.urandom(16))}")


def check(stored: str, password: bytes) -> Computation:
    """What is computed to check a password against a stored hash; `matches` tells the answer."""
    return Computation(password[:LONGEST_PASSWORD_BYTES], setting_of(stored))


def matches(stored: str, computed: str) -> bool:
    """Whether the computed hash is the stored one, but for bits that mean nothing."""
    return hmac.compare_digest(computed[29:], stored[29:59] + _canonical(stored[59], unused_bits=2))


def run_together(computations: Sequence[Computation], lanes: Lanes) -> list[str]:
    """What `run` gives for each, computed at once; all must have the same cost."""
    salts = [_decode(computation.setting[7:]) for computation in computations]
    hashes = lanes.hash([computation.password for computation in computations], salts, cost=computations[0].cost)
    return [computation.setting + _encode(raw) for computation, raw in zip(computations, hashes, strict=True)]


def cost_of(stored: str) -> int:
    """The cost of a stored hash, or of a setting."""
    return int(stored[4:6])


def _parse(custom: CustomHash) -> Imported:
    check_text_form(custom)
    return imported_with_salt(parse_bcrypt(custom.hash.value, path="hash.value"), custom)


def _verify(stored: str, password: bytes) -> bool:
    return matches(stored, check(stored, password).run())


def setting_of(stored: str) -> str:
    """Version, cost and salt as an implementation takes them.

    All of `$2a$`, `$2b$` and `$2y$` are the same function done right, so `$2b$` is asked for: libxcrypt would answer
    differently for `$2a$` on a few inputs, as a guard against an old fault. The bits of the last character that are
    no part of the salt are cleared, because some implementations refuse them.
    """
    return f"$2b${stored[4:28]}{_canonical(stored[28], unused_bits=4)}"


def _canonical(character: str, *, unused_bits: int) -> str:
    value = _ALPHABET.index(character)
    return _ALPHABET[value >> unused_bits << unused_bits]


def _encode(raw: bytes) -> str:
    """bcrypt's own base64: its alphabet, most significant bits first, no padding."""
    bits, count = int.from_bytes(raw), len(raw) * 8
    padding = -count % 6
    bits <<= padding
    return "".join(_ALPHABET[bits >> shift & 63] for shift in range(count + padding - 6, -1, -6))


def _decode(text: str) -> bytes:
    """The 16 bytes of a canonical salt."""
    bits = 0
    for character in text:
        bits = bits << 6 | _ALPHABET.index(character)
    return (bits >> 4).to_bytes(16)


BCRYPT = Scheme(
    algorithms=frozenset({"bcrypt"}),
    identifiers=frozenset({"2a", "2b", "2y"}),
    parse=_parse,
    verify=_verify,
)
