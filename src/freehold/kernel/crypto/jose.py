"""JSON Web Signature: our own tokens, made and checked with key objects that are loaded once.

Our own tokens (RS256, RS512, PS256, HS256) go through a short encoder and a strict verifier here, because a token
costs one RSA signature and should cost little else. What others sign goes through `assertions.py` and joserfc.

What a token says about how to check it is never followed (RFC 8725): the caller names the algorithms, and each must
fit the type of the key; `jwk`, `jku`, `x5u` and `x5c` are not looked at; a header with `crit` is refused; so is
`none`, in any spelling, because it is in no list. A token has one reading: canonical base64url, JSON without
repeated members.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from freehold.kernel.errors import FreeholdError, Unauthorized

# Each algorithm of ours: how the signature is padded, and its hash. PS256 salts with as many bytes as the hash has.
_RSA_ALGORITHMS: dict[str, tuple[padding.AsymmetricPadding, hashes.HashAlgorithm]] = {
    "RS256": (padding.PKCS1v15(), hashes.SHA256()),
    "RS512": (padding.PKCS1v15(), hashes.SHA512()),
    "PS256": (padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size), hashes.SHA256()),
}
SHORTEST_HMAC_SECRET_BYTES = 32

LONGEST_TOKEN = 64 * 1024
_LONGEST_HEADER = 2048
_LATEST_DATE = 253402300799  # 9999-12-31T23:59:59Z
_OWN_TYPES = ("JWT", "at+jwt")

_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode


class InvalidToken(Unauthorized):
    """A token that does not hold; `reason` is a word for logs and tests, the message a sentence."""

    code = "invalid_token"

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason.replace("_", " "))
        self.reason = reason


class UnusableKey(FreeholdError):
    """A key that cannot sign what it is asked to: wrong type, too short, or an algorithm we do not sign with."""

    code = "unusable_key"


@dataclass(frozen=True)
class PublicKey:
    """What a token is checked with. `algorithms` are those its type allows; the caller may narrow them, never widen."""

    kid: str
    key: rsa.RSAPublicKey
    algorithms: frozenset[str] = frozenset(_RSA_ALGORITHMS)

    @classmethod
    def from_certificate(cls, kid: str, certificate_pem: str) -> "PublicKey":
        """The key inside a certificate. Raises UnusableKey."""
        return cls(kid, _rsa_public_key(x509.load_pem_x509_certificate(certificate_pem.encode()).public_key()))


@dataclass(frozen=True)
class SigningKey:
    """A private key of ours, loaded once, with the header bytes of each algorithm and type prepared at first use."""

    kid: str
    alg: str
    private_key: rsa.RSAPrivateKey = field(repr=False)
    certificate_pem: str = ""
    _headers: dict[tuple[str, str], bytes] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.alg not in _RSA_ALGORITHMS:
            raise UnusableKey(f"an RSA key cannot sign with {self.alg[:20]}")

    @classmethod
    def load(cls, kid: str, alg: str, private_key_pem: bytes, certificate_pem: str = "") -> "SigningKey":
        """From PEM that we made ourselves: OpenSSL's checks of RSA keys take 40 ms and are left out."""
        key = serialization.load_pem_private_key(private_key_pem, password=None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise UnusableKey("a signing key must be an RSA key")
        return cls(kid, alg, key, certificate_pem)

    @property
    def public(self) -> PublicKey:
        """The key that checks what this one signs."""
        return PublicKey(self.kid, self.private_key.public_key())

    def header(self, alg: str, typ: str) -> bytes:
        """The first part of a token and its dot."""
        prepared = self._headers.get((alg, typ))
        if prepared is None:
            prepared = b64u_encode(_encode_json({"alg": alg, "typ": typ, "kid": self.kid})) + b"."
            self._headers[alg, typ] = prepared
        return prepared


def sign_jwt(claims: Mapping[str, Any], key: SigningKey, *, typ: str = "JWT", alg: str | None = None) -> str:
    """A compact JWT. `alg` may be another RSA algorithm than the key's own, as a client or an API can ask for."""
    alg = alg or key.alg
    try:
        padded_with, hashed_with = _RSA_ALGORITHMS[alg]
    except KeyError:
        raise UnusableKey(f"an RSA key cannot sign with {alg[:20]}") from None
    signed = key.header(alg, typ) + b64u_encode(_encode_json(claims))
    return (signed + b"." + b64u_encode(key.private_key.sign(signed, padded_with, hashed_with))).decode("ascii")


def sign_jwt_hs256(
    claims: Mapping[str, Any],
    secret: str | bytes,
    *,
    typ: str = "JWT",
    shortest_secret: int = SHORTEST_HMAC_SECRET_BYTES,
) -> str:
    """A compact JWT under a shared secret: a client's, or an API's `signing_secret`. Raises UnusableKey.

    Auth0 lets an API have a signing_secret of 16 characters; only there `shortest_secret` is lowered.
    """
    key = _hmac_key(secret, shortest_secret)
    signed = _hs256_header(typ) + b64u_encode(_encode_json(claims))
    return (signed + b"." + b64u_encode(hmac.digest(key, signed, "sha256"))).decode("ascii")


def verify_jwt(
    token: str,
    *,
    keys: Mapping[str, PublicKey],
    algorithms: Collection[str],
    issuer: str,
    audience: str | None,
    now: datetime,
    types: Collection[str] = _OWN_TYPES,
    expired_ok: bool = False,
) -> dict[str, Any]:
    """The claims of one of our tokens. Raises InvalidToken.

    `keys` are the tenant's keys that count at this moment: a revoked one is not among them. `audience` must be the
    `aud` or one of it; None is for callers who compare it themselves. `expired_ok` is for an id_token_hint.
    An answer may be remembered under a hash of the token until `exp`, as long as `keys` stays the same.
    """
    header, claims, signed, signature = parse_compact(token)
    alg = _allowed_algorithm(header, algorithms, types)
    kid = header.get("kid")
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise InvalidToken("unknown_key", "no key of this issuer has the token's kid")
    if alg not in _RSA_ALGORITHMS or alg not in key.algorithms:
        raise InvalidToken("wrong_algorithm", "the token's algorithm does not fit the key")
    padded_with, hashed_with = _RSA_ALGORITHMS[alg]
    try:
        key.key.verify(signature, signed, padded_with, hashed_with)
    except InvalidSignature:
        raise InvalidToken("bad_signature", "the signature is not this key's") from None
    check_claims(claims, issuer=issuer, audience=audience, now=now, expired_ok=expired_ok)
    return claims


def verify_jwt_hs256(
    token: str,
    secret: str | bytes,
    *,
    issuer: str,
    audience: str | None,
    now: datetime,
    types: Collection[str] = _OWN_TYPES,
    expired_ok: bool = False,
    shortest_secret: int = SHORTEST_HMAC_SECRET_BYTES,
) -> dict[str, Any]:
    """The claims of one of our tokens under a shared secret. Raises InvalidToken, UnusableKey.

    A function of its own, so that a public key can never be taken for a secret.
    """
    key = _hmac_key(secret, shortest_secret)
    header, claims, signed, signature = parse_compact(token)
    _allowed_algorithm(header, ("HS256",), types)
    if not hmac.compare_digest(hmac.digest(key, signed, "sha256"), signature):
        raise InvalidToken("bad_signature", "the signature is not this secret's")
    check_claims(claims, issuer=issuer, audience=audience, now=now, expired_ok=expired_ok)
    return claims


def parse_compact(token: str) -> tuple[Mapping[str, Any], dict[str, Any], bytes, bytes]:
    """Header, claims, signed bytes and signature of a compact JWS, read strictly, not verified. Raises InvalidToken."""
    if len(token) > LONGEST_TOKEN:
        raise InvalidToken("too_long", "the token is too long")
    try:
        raw = token.encode("ascii")
    except UnicodeEncodeError:
        _malformed()
    parts = raw.split(b".")
    if len(parts) != 3:  # five would be a JWE, which is never taken for a JWS
        _malformed()
    header = _parse_header(parts[0])
    claims = _strict_json_object(b64u_decode(parts[1]))
    return header, claims, raw[: len(parts[0]) + 1 + len(parts[1])], b64u_decode(parts[2])


def check_claims(
    claims: Mapping[str, Any],
    *,
    issuer: str,
    audience: str | None,
    now: datetime,
    expired_ok: bool = False,
    leeway_s: int = 0,
) -> None:
    """Check `iss`, `aud`, `exp`, `nbf` and `iat` (RFC 7519 section 4.1). Raises InvalidToken.

    `exp` is required. Dates are finite numbers between 1970 and 9999. `iat` and `nbf` may lie a minute ahead, for
    nodes whose clocks differ.
    """
    if claims.get("iss") != issuer:
        raise InvalidToken("wrong_issuer", "the token is from another issuer")
    if audience is not None and audience not in audiences_of(claims):
        raise InvalidToken("wrong_audience", "the token is for another audience")
    moment = now.timestamp()
    if "exp" not in claims:
        raise InvalidToken("no_expiry", "the token does not say when it ends")
    if numeric_date(claims, "exp") + leeway_s <= moment and not expired_ok:
        raise InvalidToken("expired", "the token has expired")
    ahead = moment + max(leeway_s, 60)
    if ("nbf" in claims and numeric_date(claims, "nbf") > ahead) or (
        "iat" in claims and numeric_date(claims, "iat") > ahead
    ):
        raise InvalidToken("not_yet_valid", "the token is not valid yet")


def audiences_of(claims: Mapping[str, Any]) -> list[str]:
    """`aud` as a list. Raises InvalidToken when it is neither a string nor a list of strings."""
    aud = claims.get("aud", [])
    if isinstance(aud, str):
        return [aud]
    if not isinstance(aud, list) or not all(isinstance(member, str) for member in aud):
        raise InvalidToken("wrong_audience", "the token's aud is not a string or a list of strings")
    return aud


def token_hash(value: str, *, alg: str = "RS256") -> str:
    """`at_hash` and `c_hash` (OpenID Connect Core section 3.1.3.6): the left half of the hash that `alg` signs with."""
    digest = (hashlib.sha512 if alg.endswith("512") else hashlib.sha256)(value.encode("ascii")).digest()
    return b64u_encode(digest[: len(digest) // 2]).decode("ascii")


def jwk_of(key: rsa.RSAPublicKey, *, kid: str, alg: str = "RS256", certificate_pem: str = "") -> dict[str, Any]:
    """An entry of the JWKS (RFC 7517), with the certificate and its SHA-1 thumbprint where there is one."""
    jwk: dict[str, Any] = {"kty": "RSA", "use": "sig", **_rsa_numbers(key), "kid": kid}
    if certificate_pem:
        der = x509.load_pem_x509_certificate(certificate_pem.encode()).public_bytes(serialization.Encoding.DER)
        jwk["x5t"] = b64u_encode(hashlib.sha1(der, usedforsecurity=False).digest()).decode("ascii")
        jwk["x5c"] = [base64.b64encode(der).decode("ascii")]
    jwk["alg"] = alg
    return jwk


def jwk_thumbprint(key: rsa.RSAPublicKey) -> str:
    """SHA-256 over the members that make the key, in lexical order (RFC 7638)."""
    numbers = _rsa_numbers(key)
    canonical = _encode_json({"e": numbers["e"], "kty": "RSA", "n": numbers["n"]})
    return b64u_encode(hashlib.sha256(canonical).digest()).decode("ascii")


_TO_URL = bytes.maketrans(b"+/", b"-_")
# `+`, `/` and `=` become a character that no base64 has, so that only the URL-safe alphabet passes.
_FROM_URL = bytes.maketrans(b"-_+/=", b"+/***")


def b64u_encode(raw: bytes) -> bytes:
    """Unpadded base64url (RFC 7515 section 2)."""
    return binascii.b2a_base64(raw, newline=False).translate(_TO_URL, b"=")


def b64u_decode(text: bytes) -> bytes:
    """The bytes behind unpadded, canonical base64url. Raises InvalidToken.

    Set bits behind the last byte are refused: they would give one signature several spellings.
    """
    try:
        raw = binascii.a2b_base64(text.translate(_FROM_URL) + b"=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        _malformed()
    if b64u_encode(raw) != text:
        _malformed()
    return raw


@lru_cache(maxsize=512)
def _parse_header(part: bytes) -> Mapping[str, Any]:
    """The header; ours are few and come again and again."""
    if len(part) > _LONGEST_HEADER:
        raise InvalidToken("too_long", "the token's header is too long")
    header = _strict_json_object(b64u_decode(part))
    if "crit" in header or "b64" in header:
        raise InvalidToken("critical_header", "the token demands an extension that is not understood here")
    if not isinstance(header.get("alg"), str):
        _malformed()
    return header


@lru_cache(maxsize=32)
def _hs256_header(typ: str) -> bytes:
    return b64u_encode(_encode_json({"alg": "HS256", "typ": typ})) + b"."


def _allowed_algorithm(header: Mapping[str, Any], algorithms: Collection[str], types: Collection[str]) -> str:
    alg: str = header["alg"]
    if alg not in algorithms:
        raise InvalidToken("wrong_algorithm", "the token is not signed with an algorithm that is expected here")
    if header.get("typ") not in types:
        raise InvalidToken("wrong_type", "a token of another type is expected here")
    return alg


def _strict_json_object(raw: bytes) -> dict[str, Any]:
    """A JSON object that every parser reads alike."""
    try:
        value = _decode_json(raw)
        # What we wrote ourselves comes out of the encoder as it went in, and then has no repeated member.
        if _encode_json(value) != raw:
            json.loads(raw, object_pairs_hook=_refuse_repeated, parse_constant=_refuse_constant)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
        _malformed()
    if not isinstance(value, dict):
        _malformed()
    return value


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("repeated member")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("not a JSON number")


def numeric_date(claims: Mapping[str, Any], name: str) -> float:
    """A date of the claims as seconds since 1970. Raises InvalidToken unless it is a finite number in range."""
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken("bad_date", f"the token's {name} is not a date")
    if not 0 <= value <= _LATEST_DATE:  # nor is it NaN or infinite, then
        raise InvalidToken("bad_date", f"the token's {name} is out of range")
    return value


def _hmac_key(secret: str | bytes, shortest: int) -> bytes:
    key = secret.encode() if isinstance(secret, str) else secret
    if len(key) < max(shortest, 16):
        raise UnusableKey(f"a secret of {len(key)} bytes is too short for HS256; {max(shortest, 16)} are needed")
    return key


def _rsa_public_key(key: object) -> rsa.RSAPublicKey:
    if not isinstance(key, rsa.RSAPublicKey):
        raise UnusableKey("the key is not an RSA key")
    return key


def _rsa_numbers(key: rsa.RSAPublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    return {
        "n": b64u_encode(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)).decode("ascii"),
        "e": b64u_encode(numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8)).decode("ascii"),
    }


def _malformed() -> NoReturn:
    raise InvalidToken("malformed", "this is not a token")
