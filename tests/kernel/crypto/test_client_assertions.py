"""private_key_jwt: what a client's assertion must be, and every way in which it is refused (RFC 7523 section 3)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jws, jwt
from joserfc.jwk import OctKey, RSAKey

from freehold.kernel.crypto.assertions import AssertionKey, verify_assertion
from freehold.kernel.crypto.jose import InvalidToken, UnusableKey, jwk_of
from freehold.kernel.crypto.x509 import new_tenant_signing_material

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLIENT = "abcdefghijklmnopqrstuvwxyz012345"
ISSUER = "https://tenant.example.test/"
HERE = (ISSUER, ISSUER + "oauth/token")
ALGORITHMS = ["RS256", "RS384", "PS256"]


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def pem(private_key: rsa.RSAPrivateKey) -> str:
    return public_pem(private_key)


def public_pem(private_key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return private_key.public_key().public_bytes(serialization.Encoding.PEM, spki).decode()


def claims(**more: Any) -> dict[str, Any]:
    at = int(NOW.timestamp())
    return {"iss": CLIENT, "sub": CLIENT, "aud": ISSUER, "jti": "once", "iat": at, "exp": at + 60, **more}


def signed(private_key: rsa.RSAPrivateKey, alg: str = "RS256", *, header: Any = None, **more: Any) -> str:
    content = {name: value for name, value in claims(**more).items() if value is not ...}
    jwk = RSAKey.import_key(private_key)
    registry = jws.JWSRegistry(algorithms=[*ALGORITHMS, "RS512"], strict_check_header=False)
    return jwt.encode({"alg": alg, **(header or {})}, content, jwk, registry=registry)


def verify(token: str, *keys: AssertionKey, now: datetime = NOW) -> dict[str, Any]:
    return verify_assertion(token, keys=keys, client_id=CLIENT, audiences=HERE, now=now)


def refusal(token: str, *keys: AssertionKey, now: datetime = NOW) -> str:
    with pytest.raises(InvalidToken) as refused:
        verify(token, *keys, now=now)
    return refused.value.reason


@pytest.fixture
def key(pem: str) -> AssertionKey:
    return AssertionKey.from_pem(pem, kid="k1", alg="RS256")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_an_assertion_of_each_algorithm_is_accepted(private_key: rsa.RSAPrivateKey, pem: str, alg: str) -> None:
    assert verify(signed(private_key, alg), AssertionKey.from_pem(pem, kid="k1", alg=alg)) == claims()


def test_the_key_may_come_from_a_certificate_or_a_jwk(private_key: rsa.RSAPrivateKey) -> None:
    material = new_tenant_signing_material("client.example.test", NOW)
    from_certificate = AssertionKey.from_pem(material.certificate_pem, kid="k1", alg="RS256")
    from_jwk = AssertionKey.from_jwk(jwk_of(private_key.public_key(), kid="x"), kid="k1", alg="RS256")

    assert verify(signed(material.private_key), from_certificate)
    assert verify(signed(private_key), from_jwk)


def test_the_header_may_name_the_key_and_carry_what_we_do_not_know(
    private_key: rsa.RSAPrivateKey, key: AssertionKey
) -> None:
    header = {"kid": "k1", "typ": "JWT", "x5t": "abc", "x-vendor": {"a": 1}, "x5c": ["A" * 900]}

    assert verify(signed(private_key, header=header), key)


def test_with_two_keys_either_may_sign(private_key: rsa.RSAPrivateKey, key: AssertionKey) -> None:
    other_key = rsa.generate_private_key(65537, 2048)
    other = AssertionKey.from_pem(public_pem(other_key), kid="k2", alg="RS256")

    assert verify(signed(private_key), other, key)
    assert verify(signed(other_key, header={"kid": "k2"}), key, other)
    assert refusal(signed(other_key, header={"kid": "k1"}), key, other) == "bad_signature"


def test_a_key_that_is_not_registered_is_refused(private_key: rsa.RSAPrivateKey, key: AssertionKey) -> None:
    stranger = rsa.generate_private_key(65537, 2048)
    embedded = {"jwk": jwk_of(stranger.public_key(), kid="k1"), "kid": "k1"}

    assert refusal(signed(stranger), key) == "bad_signature"
    assert refusal(signed(stranger, header=embedded), key) == "bad_signature"
    assert refusal(signed(private_key, header={"kid": "other"}), key) == "unknown_key"
    assert refusal(signed(private_key)) == "unknown_key"


@pytest.mark.parametrize("alg", ["RS384", "PS256"])
def test_a_key_signs_only_with_the_algorithm_it_was_registered_for(
    private_key: rsa.RSAPrivateKey, key: AssertionKey, alg: str
) -> None:
    assert refusal(signed(private_key, alg), key) == "unknown_key"


def test_other_algorithms_are_refused(private_key: rsa.RSAPrivateKey, key: AssertionKey, pem: str) -> None:
    confused = jwt.encode({"alg": "HS256"}, claims(), OctKey.import_key("p" * 64), algorithms=["HS256"])
    parts = signed(private_key).split(".")

    assert refusal(confused, key) == "wrong_algorithm"
    assert refusal(signed(private_key, "RS512"), key) == "wrong_algorithm"
    assert refusal(f"eyJhbGciOiJub25lIn0.{parts[1]}.", key) == "wrong_algorithm"


def test_an_unknown_critical_extension_is_refused(key: AssertionKey) -> None:
    header = "eyJhbGciOiJSUzI1NiIsImNyaXQiOlsiZXhwIl19"  # {"alg":"RS256","crit":["exp"]}

    assert refusal(f"{header}.e30.AAAA", key) == "critical_header"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"iss": "other"}, "wrong_issuer"),
        ({"iss": ...}, "wrong_issuer"),
        ({"sub": "other"}, "wrong_subject"),
        ({"sub": ...}, "wrong_subject"),
        ({"aud": "https://other.example.test/"}, "wrong_audience"),
        ({"aud": ISSUER[:-1]}, "wrong_audience"),
        ({"aud": ISSUER + "x"}, "wrong_audience"),
        ({"aud": []}, "wrong_audience"),
        ({"aud": ...}, "wrong_audience"),
        ({"aud": None}, "wrong_audience"),
        ({"aud": [ISSUER, "https://other.example.test/"]}, "wrong_audience"),
        ({"exp": ...}, "no_expiry"),
        ({"exp": int(NOW.timestamp()) - 61}, "expired"),
        ({"exp": int(NOW.timestamp()) + 361}, "lives_too_long"),
        ({"nbf": int(NOW.timestamp()) + 61}, "not_yet_valid"),
        ({"iat": int(NOW.timestamp()) + 61}, "not_yet_valid"),
        ({"jti": ...}, "no_jti"),
        ({"jti": ""}, "no_jti"),
        ({"jti": 1}, "no_jti"),
        ({"jti": "x" * 256}, "no_jti"),
    ],
)
def test_a_claim_that_is_wrong_is_refused(
    private_key: rsa.RSAPrivateKey, key: AssertionKey, changed: dict[str, Any], reason: str
) -> None:
    """CVE-2025-27370 and CVE-2025-27371 for the audience"""
    assert refusal(signed(private_key, **changed), key) == reason


@pytest.mark.parametrize("aud", [ISSUER, HERE[1], [ISSUER], list(HERE)])
def test_each_name_of_this_server_is_an_audience(
    private_key: rsa.RSAPrivateKey, key: AssertionKey, aud: str | list[str]
) -> None:
    assert verify(signed(private_key, aud=aud), key)


def test_it_is_accepted_until_it_ends_with_a_minute_for_clocks(
    private_key: rsa.RSAPrivateKey, key: AssertionKey
) -> None:
    token = signed(private_key)

    assert verify(token, key, now=NOW + timedelta(seconds=119))
    assert refusal(token, key, now=NOW + timedelta(seconds=120)) == "expired"


class TestKeysThatCannotBeRegistered:
    def test_a_private_key(self, private_key: rsa.RSAPrivateKey) -> None:
        private_pem = private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

        with pytest.raises(UnusableKey):
            AssertionKey.from_pem(private_pem, kid="k", alg="RS256")
        with pytest.raises(UnusableKey):
            AssertionKey.from_jwk(RSAKey.import_key(private_key).as_dict(private=True), kid="k", alg="RS256")

    def test_a_short_key_or_one_of_another_kind(self) -> None:
        with pytest.raises(UnusableKey, match="1024"):
            AssertionKey.from_pem(public_pem(rsa.generate_private_key(65537, 1024)), kid="k", alg="RS256")
        with pytest.raises(UnusableKey, match="RSA"):
            AssertionKey.from_pem(public_pem(ec.generate_private_key(ec.SECP256R1())), kid="k", alg="RS256")

    @pytest.mark.parametrize("text", ["", "junk", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])
    def test_what_is_no_key(self, text: str) -> None:
        with pytest.raises(UnusableKey):
            AssertionKey.from_pem(text, kid="k", alg="RS256")

    @pytest.mark.parametrize(
        "jwk",
        [
            {},
            {"kty": "oct", "k": "AAAA"},
            {"kty": "RSA"},
            {"kty": "RSA", "n": 1, "e": 2},
            {"kty": "RSA", "n": "", "e": ""},
        ],
    )
    def test_what_is_no_jwk(self, jwk: dict[str, Any]) -> None:
        with pytest.raises(UnusableKey):
            AssertionKey.from_jwk(jwk, kid="k", alg="RS256")

    @pytest.mark.parametrize("alg", ["HS256", "none", "RS512", "ES256"])
    def test_an_algorithm_that_is_not_offered(self, pem: str, alg: str) -> None:
        with pytest.raises(UnusableKey):
            AssertionKey.from_pem(pem, kid="k", alg=alg)
