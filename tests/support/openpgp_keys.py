"""OpenPGP certificates as no program would make them: each rule of a key check has one that breaks only this rule.

Packets are written by hand (RFC 4880 section 5); the RSA keys are made once in a process, because they take long.
"""

import base64
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import new as new_hash

from Crypto.Util.number import isPrime
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

HASHES: dict[str, tuple[int, hashes.HashAlgorithm]] = {
    "md5": (1, hashes.MD5()),
    "sha1": (2, hashes.SHA1()),
    "sha256": (8, hashes.SHA256()),
    "sha512": (10, hashes.SHA512()),
}
CERTIFY, SIGN, ENCRYPT = 0x01, 0x02, 0x0C
POSITIVE, BINDING, DIRECT, REVOKED, SUBKEY_REVOKED, USER_ID_REVOKED = 0x13, 0x18, 0x1F, 0x20, 0x28, 0x30
EMAIL = "ada@example.com"


@cache
def rsa_key(_name: str, bits: int = 4096) -> rsa.RSAPrivateKey:
    """A key of this process's own; the same name gives the same key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def primes_of(key: rsa.RSAPrivateKey) -> tuple[int, int]:
    numbers = key.private_numbers()
    return numbers.p, numbers.q


def key_of_primes(p: int, q: int, exponent: int = 65537) -> rsa.RSAPrivateKey:
    """The key with these factors."""
    assert isPrime(p)
    assert isPrime(q)
    secret = pow(exponent, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, secret, secret % (p - 1), secret % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(exponent, p * q)
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


# Seeds with which the first draw is a prime: to search for one takes seconds.
_ROCA_SEEDS = (484, 1242)
_SEEDS = (20, 722)
_CLOSE_SEED, _GAP = 1611, 366


@cache
def roca_key() -> rsa.RSAPrivateKey:
    """A key as the broken generator made them: its primes are powers of 65537 modulo a product of small primes."""
    product = 1
    for number in range(2, 702):
        if isPrime(number):
            product *= number

    def prime(seed: int) -> int:
        chance = random.Random(seed)
        factor = chance.getrandbits(2048 - product.bit_length()) | 1 << (2047 - product.bit_length())
        return int(factor * product + pow(65537, chance.randrange(1 << 60), product))

    p, q = map(prime, _ROCA_SEEDS)
    return key_of_primes(p, q)


@cache
def prime_key(exponent: int) -> rsa.RSAPrivateKey:
    """A key with another exponent than is usual."""
    p, q = map(_prime, _SEEDS)
    return key_of_primes(p, q, exponent)


@cache
def close_key() -> rsa.RSAPrivateKey:
    """A key whose factors are neighbours."""
    return key_of_primes(_prime(_CLOSE_SEED), _prime(_CLOSE_SEED) + _GAP)


def _prime(seed: int) -> int:
    return random.Random(seed).getrandbits(2048) | 3 << 2046 | 1


@dataclass(frozen=True)
class Signed:
    """A signature to be made."""

    kind: int
    signer: rsa.RSAPrivateKey | None = None
    digest: str = "sha256"
    flags: int | None = None
    made: datetime | None = None
    lasts: timedelta | None = None
    corrupt: bool = False
    times: int = 1


@dataclass(frozen=True)
class Sub:
    """A subkey and what is signed about it."""

    key: rsa.RSAPrivateKey
    signatures: Sequence[Signed] = (Signed(BINDING, flags=ENCRYPT, lasts=timedelta(days=90)),)
    made: datetime | None = None


@dataclass(frozen=True)
class Shape:
    """A certificate to be made."""

    made: datetime
    primary: rsa.RSAPrivateKey
    user_ids: Sequence[tuple[str, Sequence[Signed]]] = (
        (f"Ada <{EMAIL}>", (Signed(POSITIVE, flags=CERTIFY | SIGN, lasts=timedelta(days=90)),)),
    )
    direct: Sequence[Signed] = ()
    subkeys: Sequence[Sub] = ()
    secret: bool = False
    secret_subkey: bool = False
    extra: bytes = b""


@dataclass
class _Writer:
    shape: Shape
    out: bytes = b""
    primary: bytes = field(default=b"")

    def signature(self, what: Signed, signed: bytes) -> None:
        made = what.made or self.shape.made
        hashed = subpacket(2, int(made.timestamp()).to_bytes(4, "big"))
        hashed += subpacket(33, b"\x04" + fingerprint(self.primary))
        if what.flags is not None:
            hashed += subpacket(27, bytes([what.flags]))
        if what.lasts is not None:
            hashed += subpacket(9, int(what.lasts.total_seconds()).to_bytes(4, "big"))
        number, algorithm = HASHES[what.digest]
        head = bytes([4, what.kind, 1, number]) + len(hashed).to_bytes(2, "big") + hashed
        digest = new_hash(what.digest, signed + head + b"\x04\xff" + len(head).to_bytes(4, "big")).digest()
        value = (what.signer or self.shape.primary).sign(digest, padding.PKCS1v15(), Prehashed(algorithm))
        if what.corrupt:
            value = value[:-1] + bytes([value[-1] ^ 1])
        issuer = subpacket(16, fingerprint(self.primary)[-8:])
        body = head + len(issuer).to_bytes(2, "big") + issuer + digest[:2] + number_bytes(int.from_bytes(value, "big"))
        self.out += packet(2, body) * what.times


def write(shape: Shape) -> str:
    """The certificate in armor."""
    writer = _Writer(shape)
    writer.primary = key_body(shape.primary, shape.made)
    framed = frame(writer.primary)
    secret = b"\x00" + number_bytes(1) * 4 + b"\x00\x00"
    writer.out += packet(5, writer.primary + secret) if shape.secret else packet(6, writer.primary)
    for signed in shape.direct:
        writer.signature(signed, framed)
    for text, signatures in shape.user_ids:
        raw = text.encode()
        writer.out += packet(13, raw)
        for signed in signatures:
            writer.signature(signed, framed + b"\xb4" + len(raw).to_bytes(4, "big") + raw)
    for sub in shape.subkeys:
        body = key_body(sub.key, sub.made or shape.made)
        writer.out += packet(7, body + secret) if shape.secret_subkey else packet(14, body)
        for signed in sub.signatures:
            writer.signature(signed, framed + frame(body))
    return armored(writer.out + shape.extra)


def armored(raw: bytes) -> str:
    """The bytes as a public key block, without the checksum that nobody needs."""
    text = base64.b64encode(raw).decode()
    lines = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{lines}\n-----END PGP PUBLIC KEY BLOCK-----\n"


def packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4, "big") + body


def subpacket(kind: int, body: bytes) -> bytes:
    return bytes([len(body) + 1, kind]) + body


def number_bytes(number: int) -> bytes:
    return number.bit_length().to_bytes(2, "big") + number.to_bytes((number.bit_length() + 7) // 8, "big")


def key_body(key: rsa.RSAPrivateKey, made: datetime) -> bytes:
    numbers = key.public_key().public_numbers()
    return (
        b"\x04" + int(made.timestamp()).to_bytes(4, "big") + b"\x01" + number_bytes(numbers.n) + number_bytes(numbers.e)
    )


def frame(body: bytes) -> bytes:
    return b"\x99" + len(body).to_bytes(2, "big") + body


def fingerprint(body: bytes) -> bytes:
    return new_hash("sha1", frame(body), usedforsecurity=False).digest()


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
