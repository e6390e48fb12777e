"""Client assertions: JWTs that others sign to prove who they are (RFC 7523 section 3, `private_key_jwt`).

The token is read with the same strictness as our own (`jose.parse_compact`); its signature is checked through joserfc,
against keys that were registered beforehand. The header's `kid` chooses among those keys and does nothing else.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from freehold.kernel.crypto.jose import (
    InvalidToken,
    UnusableKey,
    audiences_of,
    check_claims,
    numeric_date,
    parse_compact,
)

ASSERTION_ALGORITHMS = frozenset({"RS256", "RS384", "PS256"})
LONGEST_LIFETIME = timedelta(minutes=5)
# Clocks of others differ from ours.
LEEWAY = timedelta(seconds=60)
SMALLEST_KEY_BITS, LARGEST_KEY_BITS = 2048, 8192
_LONGEST_JTI = 255


class _Registry(jws.JWSRegistry):
    """Headers may hold what we do not know (`x5t`, `x5c` ...): `crit` was refused before, and the rest is ignored."""

    max_header_length = 4096


_REGISTRY = _Registry(algorithms=[*ASSERTION_ALGORITHMS], strict_check_header=False)


@dataclass(frozen=True)
class AssertionKey:
    """A registered public key, and the one algorithm it was registered for."""

    kid: str
    alg: str
    key: RSAKey = field(repr=False)

    @classmethod
    def from_pem(cls, pem: str, *, kid: str, alg: str) -> "AssertionKey":
        """From a PEM public key or X.509 certificate. Raises UnusableKey."""
        return cls(kid, _known(alg), RSAKey.import_key(public_key_of_pem(pem)))

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any], *, kid: str, alg: str) -> "AssertionKey":
        """From a public RSA JWK. Raises UnusableKey."""
        if jwk.get("kty") != "RSA" or "d" in jwk:
            raise UnusableKey("the key must be a public RSA key")
        try:
            key = RSAKey.import_key({"kty": "RSA", "n": jwk["n"], "e": jwk["e"]})
            _check_strength(key.public_key)
        except (JoseError, KeyError, TypeError, ValueError):
            raise UnusableKey("the JWK cannot be read") from None
        return cls(kid, _known(alg), key)


def public_key_of_pem(pem: str) -> rsa.RSAPublicKey:
    """The RSA key of a PEM public key or certificate. Raises UnusableKey, also for a private key."""
    raw = pem.strip().encode()
    try:
        key: object = (
            x509.load_pem_x509_certificate(raw).public_key()
            if raw.startswith(b"-----BEGIN CERTIFICATE-----")
            else serialization.load_pem_public_key(raw)
        )
    except ValueError:
        raise UnusableKey("the key must be a PEM public key or certificate") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise UnusableKey("the key must be an RSA key")
    _check_strength(key)
    return key


def verify_assertion(
    token: str, *, keys: Sequence[AssertionKey], client_id: str, audiences: Collection[str], now: datetime
) -> dict[str, Any]:
    """The claims of a client's assertion (RFC 7523 section 3). Raises InvalidToken.

    `audiences` are the names of this server that it may be addressed to, each compared exactly; an array that names
    anybody else is refused, because an assertion made for two servers can be replayed by one at the other. Remembering
    `jti` until `exp`, so that it is used once, is the caller's.
    """
    header, claims, _, _ = parse_compact(token)
    alg = header["alg"]
    if alg not in ASSERTION_ALGORITHMS:
        raise InvalidToken("wrong_algorithm", "the assertion is not signed with RS256, RS384 or PS256")
    candidates = [key for key in keys if key.alg == alg and header.get("kid", key.kid) == key.kid]
    if not candidates:
        raise InvalidToken("unknown_key", "no key of this client has the assertion's kid and algorithm")
    if not any(_is_signed_by(token, key) for key in candidates):
        raise InvalidToken("bad_signature", "the signature is not by a key of this client")

    check_claims(claims, issuer=client_id, audience=None, now=now, leeway_s=int(LEEWAY.total_seconds()))
    if claims.get("sub") != client_id:
        raise InvalidToken("wrong_subject", "the assertion's sub is not the client")
    named = audiences_of(claims)
    if not named or not set(named) <= set(audiences):
        raise InvalidToken("wrong_audience", "the assertion is not made for this server alone")
    if numeric_date(claims, "exp") > (now + LONGEST_LIFETIME + LEEWAY).timestamp():
        raise InvalidToken("lives_too_long", "the assertion is valid for more than 5 minutes")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= _LONGEST_JTI:
        raise InvalidToken("no_jti", "the assertion has no jti")
    return claims


def _is_signed_by(token: str, key: AssertionKey) -> bool:
    try:
        jws.deserialize_compact(token, key.key, algorithms=[key.alg], registry=_REGISTRY)
    except JoseError:
        return False
    return True


def _known(alg: str) -> str:
    if alg not in ASSERTION_ALGORITHMS:
        raise UnusableKey(f"assertions are signed with RS256, RS384 or PS256, not {alg[:20]}")
    return alg


def _check_strength(key: rsa.RSAPublicKey) -> None:
    if not SMALLEST_KEY_BITS <= key.key_size <= LARGEST_KEY_BITS:
        raise UnusableKey(f"the key has {key.key_size} bits; {SMALLEST_KEY_BITS} to {LARGEST_KEY_BITS} are accepted")
