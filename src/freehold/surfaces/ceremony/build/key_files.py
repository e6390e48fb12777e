"""Private keys as files that other programs read: a JWK set, and PKCS #8 with the certificate beside it."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

FOLDER = "private-keys"
JWK_SET = "private-keys.jwks.json"


class PrivateKey(msgspec.Struct, frozen=True):
    """A private key with what is known of it."""

    kid: str
    pem: bytes
    purpose: str
    """`signing` for the tenant's tokens, `connection` towards a provider, `audit` and `openpgp` for log and exports."""
    state: str = ""
    """`current`, `next` or `previous`; empty where there is no such order."""
    certificate: str = ""
    """PEM."""
    algorithm: str = ""


def key_files(keys: list[PrivateKey]) -> Iterator[tuple[str, bytes]]:
    """Path and content of each file; the set comes first, in the order of the list."""
    jwks = [jwk for jwk in map(private_jwk, keys) if jwk is not None]
    yield JWK_SET, msgspec.json.format(msgspec.json.encode({"keys": jwks}), indent=1) + b"\n"
    for key in keys:
        name = quote(key.kid, safe="")
        yield f"{FOLDER}/{name}.{'asc' if key.purpose == 'openpgp' else 'pem'}", key.pem
        if key.certificate:
            yield f"{FOLDER}/{name}.certificate.pem", key.certificate.replace("\r\n", "\n").encode()


def private_jwk(key: PrivateKey) -> dict[str, Any] | None:
    """The key as a JWK (RFC 7517) with its private part; None for what is no key of RSA, EC or Edwards curves."""
    from joserfc.jwk import ECKey, OKPKey, RSAKey  # a server's start does without

    try:
        loaded = serialization.load_pem_private_key(key.pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if isinstance(loaded, rsa.RSAPrivateKey):
        jwk, algorithm = RSAKey.import_key(loaded).as_dict(private=True), "RS256"
    elif isinstance(loaded, ec.EllipticCurvePrivateKey):
        jwk, algorithm = ECKey.import_key(loaded).as_dict(private=True), ""
    elif isinstance(loaded, ed25519.Ed25519PrivateKey):
        jwk, algorithm = OKPKey.import_key(loaded).as_dict(private=True), "EdDSA"
    else:
        return None
    found = {"kid": key.kid, "use": "sig", **jwk}
    found.update({"kid": key.kid, "use": "sig", "purpose": key.purpose})
    if key.algorithm or algorithm:
        found["alg"] = key.algorithm or algorithm
    if key.state:
        found["state"] = key.state
    if key.certificate:
        body = "".join(key.certificate.replace("\r", "").split("\n")[1:]).partition("-----END")[0]
        found["x5c"] = [body]
    return found
