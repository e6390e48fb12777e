"""Our own JWTs: what a verifier must believe, and everything it must not (RFC 7515, RFC 7519, RFC 8725)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe, jws, jwt
from joserfc.jwk import OctKey, RSAKey

from freehold.kernel.crypto.jose import (
    InvalidToken,
    PublicKey,
    SigningKey,
    UnusableKey,
    b64u_decode,
    b64u_encode,
    jwk_of,
    jwk_thumbprint,
    sign_jwt,
    sign_jwt_hs256,
    token_hash,
    verify_jwt,
    verify_jwt_hs256,
)
from freehold.kernel.crypto.x509 import SigningMaterial, new_tenant_signing_material, private_key_pem

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ISSUER = "https://tenant.example.test/"
API = "https://api.example.test"
SECRET = "s" * 64
RSA_ALGORITHMS = ("RS256", "RS512", "PS256")


def claims(**more: Any) -> dict[str, Any]:
    issued = int(NOW.timestamp())
    return {"iss": ISSUER, "sub": "auth0|ada", "aud": API, "iat": issued, "exp": issued + 3600, **more}


@pytest.fixture(scope="module")
def material() -> SigningMaterial:
    return new_tenant_signing_material("tenant.example.test", NOW)


@pytest.fixture(scope="module")
def key(material: SigningMaterial) -> SigningKey:
    return SigningKey.load("kid-1", "RS256", private_key_pem(material.private_key), material.certificate_pem)


Verify = Callable[..., dict[str, Any]]


@pytest.fixture
def verify(key: SigningKey) -> Verify:
    def verify_with(token: str, **expected: Any) -> dict[str, Any]:
        keys = {key.kid: key.public}
        ours: dict[str, Any] = {
            "keys": keys,
            "algorithms": RSA_ALGORITHMS,
            "issuer": ISSUER,
            "audience": API,
            "now": NOW,
        }
        return verify_jwt(token, **(ours | expected))

    return verify_with


def part(value: Mapping[str, Any] | str | bytes) -> bytes:
    raw = json.dumps(value) if isinstance(value, Mapping) else value
    return b64u_encode(raw.encode() if isinstance(raw, str) else raw)


def signed_by(key: SigningKey, header: Mapping[str, Any] | str, payload: Mapping[str, Any] | str | bytes) -> str:
    """A token with any header and payload and a good RS256 signature over them."""
    content = part(header) + b"." + part(payload)
    signature = key.private_key.sign(content, padding.PKCS1v15(), hashes.SHA256())
    return (content + b"." + b64u_encode(signature)).decode()


def header(**more: Any) -> dict[str, Any]:
    return {"alg": "RS256", "typ": "JWT", "kid": "kid-1", **more}


def refusal(verify: Verify, token: str, **expected: Any) -> str:
    with pytest.raises(InvalidToken) as refused:
        verify(token, **expected)
    assert refused.value.code == "invalid_token"
    return refused.value.reason


class TestATokenOfOurs:
    @pytest.mark.parametrize("alg", RSA_ALGORITHMS)
    def test_verifies_with_every_algorithm_here_and_in_another_library(
        self, key: SigningKey, verify: Verify, alg: str
    ) -> None:
        token = sign_jwt(claims(), key, alg=alg)

        assert verify(token) == claims()
        other = jwt.decode(token, RSAKey.import_key(key.private_key.public_key()), algorithms=[alg])
        assert other.claims == claims()
        assert other.header == {"alg": alg, "typ": "JWT", "kid": "kid-1"}

    @pytest.mark.parametrize("alg", RSA_ALGORITHMS)
    def test_made_by_another_library_verifies_here(self, key: SigningKey, verify: Verify, alg: str) -> None:
        token = jwt.encode(header(alg=alg), claims(), RSAKey.import_key(key.private_key), algorithms=[alg])

        assert verify(token) == claims()

    def test_takes_the_keys_own_algorithm_unless_told(self, material: SigningMaterial) -> None:
        key = SigningKey("k", "PS256", material.private_key)

        assert jws.extract_compact(sign_jwt(claims(), key).encode()).headers()["alg"] == "PS256"

    def test_of_another_type_says_so_and_is_accepted_only_as_that(self, key: SigningKey, verify: Verify) -> None:
        access_token = sign_jwt(claims(), key, typ="at+jwt")
        logout_token = sign_jwt(claims(), key, typ="logout+jwt")

        assert verify(access_token, types=["at+jwt"]) == claims()
        assert refusal(verify, sign_jwt(claims(), key), types=["at+jwt"]) == "wrong_type"
        assert refusal(verify, logout_token) == "wrong_type"
        assert refusal(verify, signed_by(key, {"alg": "RS256", "kid": "kid-1"}, claims())) == "wrong_type"

    def test_carries_any_text(self, key: SigningKey, verify: Verify) -> None:
        content = claims(name='Ада Лавлейс 👩‍💻 "</script>', nested={"a": [1, None, True, 1.5]})

        assert verify(sign_jwt(content, key)) == content

    def test_under_a_shared_secret_verifies_here_and_in_another_library(self) -> None:
        token = sign_jwt_hs256(claims(), SECRET)

        assert verify_jwt_hs256(token, SECRET, issuer=ISSUER, audience=API, now=NOW) == claims()
        assert jwt.decode(token, OctKey.import_key(SECRET), algorithms=["HS256"]).claims == claims()

    def test_loses_to_one_changed_bit_anywhere(self, key: SigningKey, verify: Verify) -> None:
        token = sign_jwt(claims(), key)
        for position in range(0, len(token), 7):
            for replacement in ("A", "B", "-"):
                changed = token[:position] + replacement + token[position + 1 :]
                if changed != token:
                    with pytest.raises(InvalidToken):
                        verify(changed)


class TestAlgorithms:
    @pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "nonE", "none ", "", "RS256 ", "rs256"])
    @pytest.mark.parametrize("signature", ["", "AAAA"])
    def test_none_in_any_spelling_is_refused(self, verify: Verify, alg: str, signature: str) -> None:
        unsigned = (part(header(alg=alg)) + b"." + part(claims())).decode() + "." + signature

        assert refusal(verify, unsigned) == "wrong_algorithm"

    def test_even_when_the_caller_were_to_allow_it(self, verify: Verify) -> None:
        unsigned = (part(header(alg="none")) + b"." + part(claims()) + b".").decode()

        assert refusal(verify, unsigned, algorithms=["none"]) == "wrong_algorithm"

    @pytest.mark.parametrize("form", ["pem", "pem_stripped", "der", "certificate", "pkcs1", "jwk", "openssh"])
    def test_the_public_key_is_never_an_hmac_secret(self, key: SigningKey, verify: Verify, form: str) -> None:
        """CVE-2022-29217, CVE-2024-37568, CVE-2024-33663"""
        token = self.confused(key, form)

        assert refusal(verify, token) == "wrong_algorithm"
        assert refusal(verify, token, algorithms=["HS256", "RS256"]) == "wrong_algorithm"

    def confused(self, key: SigningKey, form: str) -> str:
        public = key.private_key.public_key()
        pem, der = serialization.Encoding.PEM, serialization.Encoding.DER
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        secret = {
            "pem": public.public_bytes(pem, spki),
            "pem_stripped": public.public_bytes(pem, spki).strip(),
            "der": public.public_bytes(der, spki),
            "certificate": key.certificate_pem.encode(),
            "pkcs1": public.public_bytes(pem, serialization.PublicFormat.PKCS1),
            "jwk": json.dumps(jwk_of(public, kid="kid-1")).encode(),
            "openssh": public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
        }[form]
        content = part(header(alg="HS256")) + b"." + part(claims())
        return (content + b"." + b64u_encode(hmac.digest(secret, content, "sha256"))).decode()

    def test_an_algorithm_that_the_caller_did_not_name_is_refused(self, key: SigningKey, verify: Verify) -> None:
        assert refusal(verify, sign_jwt(claims(), key, alg="PS256"), algorithms=["RS256"]) == "wrong_algorithm"

    def test_an_algorithm_that_the_key_was_not_made_for_is_refused(self, key: SigningKey, verify: Verify) -> None:
        only_rs256 = PublicKey(key.kid, key.private_key.public_key(), frozenset({"RS256"}))
        token = sign_jwt(claims(), key, alg="PS256")

        assert refusal(verify, token, keys={key.kid: only_rs256}) == "wrong_algorithm"

    def test_a_signature_of_another_algorithm_under_this_name_is_refused(self, key: SigningKey, verify: Verify) -> None:
        content = part(header(alg="RS256")) + b"." + part(claims())
        pss = key.private_key.sign(content, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())

        assert refusal(verify, (content + b"." + b64u_encode(pss)).decode()) == "bad_signature"

    def test_an_hs256_token_is_not_taken_for_an_rsa_one_nor_the_other_way(
        self, key: SigningKey, verify: Verify
    ) -> None:
        assert refusal(verify, sign_jwt_hs256(claims(), SECRET)) == "wrong_algorithm"
        with pytest.raises(InvalidToken, match="algorithm"):
            verify_jwt_hs256(sign_jwt(claims(), key), SECRET, issuer=ISSUER, audience=API, now=NOW)

    @pytest.mark.parametrize("secret", ["", "s", "s" * 31, b"\0" * 31])
    def test_a_short_secret_signs_and_verifies_nothing(self, secret: str | bytes) -> None:
        with pytest.raises(UnusableKey):
            sign_jwt_hs256(claims(), secret)
        with pytest.raises(UnusableKey):
            verify_jwt_hs256(sign_jwt_hs256(claims(), SECRET), secret, issuer=ISSUER, audience=API, now=NOW)

    def test_an_apis_secret_may_be_16_characters_but_never_fewer(self) -> None:
        token = sign_jwt_hs256(claims(), "s" * 16, shortest_secret=16)

        assert verify_jwt_hs256(token, "s" * 16, issuer=ISSUER, audience=API, now=NOW, shortest_secret=16)
        with pytest.raises(UnusableKey):
            sign_jwt_hs256(claims(), "s" * 15, shortest_secret=0)

    def test_a_wrong_secret_is_refused(self) -> None:
        with pytest.raises(InvalidToken, match="signature"):
            verify_jwt_hs256(sign_jwt_hs256(claims(), SECRET), "t" * 64, issuer=ISSUER, audience=API, now=NOW)

    @pytest.mark.parametrize("alg", ["ES256", "HS256", "none", "RS384", ""])
    def test_an_rsa_key_signs_with_rsa_algorithms_only(self, key: SigningKey, alg: str) -> None:
        with pytest.raises(UnusableKey):
            sign_jwt(claims(), key, alg=alg or "?")
        with pytest.raises(UnusableKey):
            SigningKey("k", alg, key.private_key)

    def test_a_key_that_is_not_rsa_is_no_signing_key(self) -> None:
        with pytest.raises(UnusableKey):
            SigningKey.load("k", "RS256", private_key_pem(ec.generate_private_key(ec.SECP256R1())))


class TestTheHeaderGivesNoOrders:
    @pytest.fixture(scope="class")
    @classmethod
    def evil(cls) -> SigningKey:
        return SigningKey("kid-1", "RS256", rsa.generate_private_key(65537, 2048))

    def test_a_key_in_the_header_is_not_used(self, evil: SigningKey, verify: Verify) -> None:
        """CVE-2018-0114, CVE-2026-27962"""
        embedded = jwk_of(evil.private_key.public_key(), kid="kid-1")
        token = signed_by(evil, header(jwk=embedded, x5c=["AAAA"]), claims())

        assert refusal(verify, token) == "bad_signature"

    @pytest.mark.parametrize("name", ["jku", "x5u"])
    def test_an_address_in_the_header_is_not_fetched(self, evil: SigningKey, verify: Verify, name: str) -> None:
        token = signed_by(evil, header(**{name: "http://169.254.169.254/keys"}), claims())

        assert refusal(verify, token) == "bad_signature"

    def test_what_is_ignored_does_no_harm_to_a_good_token(self, key: SigningKey, verify: Verify) -> None:
        token = signed_by(key, header(jku="https://evil.example.test", x5t="abc"), claims())

        assert verify(token) == claims()

    @pytest.mark.parametrize("extension", [{"crit": ["exp"]}, {"crit": []}, {"crit": None}, {"b64": False}])
    def test_a_demand_for_an_extension_is_refused(
        self, key: SigningKey, verify: Verify, extension: dict[str, Any]
    ) -> None:
        """CVE-2025-59420, CVE-2026-32597"""
        assert refusal(verify, signed_by(key, header(**extension), claims())) == "critical_header"

    @pytest.mark.parametrize("kid", ["kid-2", "KID-1", "kid-1 ", "", None, 1, ["kid-1"], "../kid-1", "kid-1\0"])
    def test_an_unknown_key_is_refused(self, key: SigningKey, verify: Verify, kid: Any) -> None:
        assert refusal(verify, signed_by(key, header(kid=kid), claims())) == "unknown_key"

    def test_a_token_without_kid_is_refused(self, key: SigningKey, verify: Verify) -> None:
        assert refusal(verify, signed_by(key, {"alg": "RS256", "typ": "JWT"}, claims())) == "unknown_key"

    def test_a_revoked_key_is_refused_at_once(self, key: SigningKey, verify: Verify) -> None:
        token = sign_jwt(claims(), key)
        verify(token)

        assert refusal(verify, token, keys={}) == "unknown_key"


class TestOneReading:
    """A token that two parsers could read differently is no token."""

    @pytest.mark.parametrize(
        "payload",
        [
            '{"iss":"https://evil.example.test/","iss":"https://tenant.example.test/","exp":2000000000}',
            '{"iss":"https://tenant.example.test/","exp":2000000000,"\\u0065xp":1}',
            '{"iss":"https://tenant.example.test/","exp":2000000000,"nested":{"a":1,"a":2}}',
            '{"iss":"https://tenant.example.test/","exp":NaN}',
            '{"iss":"https://tenant.example.test/","exp":Infinity}',
            '{"iss":"https://tenant.example.test/","exp":2000000000,}',
            '{"iss":"https://tenant.example.test/","exp":2000000000}{}',
            "[]",
            '"text"',
            "null",
            "",
            "{",
            '{"a":"\\ud800"}',
            b'{"a":"\xff"}',
            b"\xef\xbb\xbf{}",
            "[" * 100_000,
            '{"a":' * 5_000 + "1" + "}" * 5_000,
        ],
    )
    def test_ambiguous_or_broken_json_is_refused(self, key: SigningKey, verify: Verify, payload: str | bytes) -> None:
        assert refusal(verify, signed_by(key, header(), payload), audience=None) in {"malformed", "too_long"}

    def test_a_repeated_member_in_the_header_is_refused(self, key: SigningKey, verify: Verify) -> None:
        twice = '{"alg":"none","typ":"JWT","kid":"kid-1","alg":"RS256"}'

        assert refusal(verify, signed_by(key, twice, claims())) == "malformed"

    @pytest.mark.parametrize("alg", [None, 1, ["RS256"], {"alg": "RS256"}])
    def test_an_alg_that_is_no_text_is_refused(self, key: SigningKey, verify: Verify, alg: Any) -> None:
        assert refusal(verify, signed_by(key, header(alg=alg), claims())) == "malformed"

    def test_the_parts_are_exactly_three(self, key: SigningKey, verify: Verify) -> None:
        token = sign_jwt(claims(), key)

        for wrong in ("", ".", "..", "a.b", token + ".", token + ".AA", token.rsplit(".", 1)[0], "." + token):
            with pytest.raises(InvalidToken):
                verify(wrong)

    def test_a_jwe_is_not_taken_for_a_jws(self, key: SigningKey, verify: Verify) -> None:
        """CVE-2023-51774"""
        public = RSAKey.import_key(key.private_key.public_key())
        encrypted = jwe.encrypt_compact(
            {"alg": "RSA-OAEP-256", "enc": "A256GCM"},
            json.dumps(claims()),
            public,
            algorithms=["RSA-OAEP-256", "A256GCM"],
        )

        assert refusal(verify, encrypted) == "malformed"

    def test_there_is_one_spelling_of_a_signature(self, key: SigningKey, verify: Verify) -> None:
        token = sign_jwt(claims(), key)
        last = token[-1]
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        sibling = alphabet[alphabet.index(last) ^ 1]

        for other in (
            token[:-1] + sibling,
            token + "=",
            token + "==",
            token + "\n",
            " " + token,
            token.replace("_", "/"),
        ):
            if other != token:
                with pytest.raises(InvalidToken):
                    verify(other)

    def test_length_is_bounded_before_anything_is_parsed(self, key: SigningKey, verify: Verify) -> None:
        assert refusal(verify, sign_jwt(claims(x="x" * 100_000), key)) == "too_long"
        assert refusal(verify, signed_by(key, header(x="x" * 10_000), claims())) == "too_long"

    def test_text_that_is_not_ascii_is_refused(self, verify: Verify) -> None:
        assert refusal(verify, "ä.ö.ü") == "malformed"

    @given(st.text(max_size=200))
    def test_no_text_makes_it_crash(self, text: str) -> None:
        with pytest.raises(InvalidToken):
            verify_jwt(text, keys={}, algorithms=RSA_ALGORITHMS, issuer=ISSUER, audience=API, now=NOW)

    @given(st.binary(max_size=100))
    def test_base64url_comes_back_as_it_went(self, raw: bytes) -> None:
        text = b64u_encode(raw)

        assert b64u_decode(text) == raw
        assert text == base64.urlsafe_b64encode(raw).rstrip(b"=")


class TestClaims:
    @pytest.mark.parametrize(
        "issuer",
        [
            "https://tenant.example.test",
            "https://tenant.example.test/x",
            "https://tenant.example.tes",
            "HTTPS://tenant.example.test/",
            "https://tenant.example.test/ ",
            "",
            None,
            ["https://tenant.example.test/"],
        ],
    )
    def test_the_issuer_is_compared_exactly(self, key: SigningKey, verify: Verify, issuer: Any) -> None:
        """CVE-2024-53861"""
        assert refusal(verify, sign_jwt(claims(iss=issuer), key)) == "wrong_issuer"

    def test_a_token_without_issuer_is_refused(self, key: SigningKey, verify: Verify) -> None:
        without = {name: value for name, value in claims().items() if name != "iss"}

        assert refusal(verify, sign_jwt(without, key)) == "wrong_issuer"

    @pytest.mark.parametrize("aud", [API + "/", API[:-1], "", None, [], [API + "/"], [[API]], {"a": API}, 1, [API, 1]])
    def test_the_audience_is_compared_exactly(self, key: SigningKey, verify: Verify, aud: Any) -> None:
        assert refusal(verify, sign_jwt(claims(aud=aud), key)) == "wrong_audience"

    def test_the_audience_may_be_one_of_several(self, key: SigningKey, verify: Verify) -> None:
        assert verify(sign_jwt(claims(aud=[API, ISSUER + "userinfo"]), key))

    def test_a_token_ends_at_its_expiry(self, key: SigningKey, verify: Verify) -> None:
        token = sign_jwt(claims(), key)

        assert verify(token, now=NOW + timedelta(seconds=3599))
        assert refusal(verify, token, now=NOW + timedelta(seconds=3600)) == "expired"
        assert verify(token, now=NOW + timedelta(days=365), expired_ok=True)

    def test_a_token_without_expiry_is_refused(self, key: SigningKey, verify: Verify) -> None:
        without = {name: value for name, value in claims().items() if name != "exp"}

        assert refusal(verify, sign_jwt(without, key)) == "no_expiry"
        assert refusal(verify, sign_jwt(without, key), expired_ok=True) == "no_expiry"

    @pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
    @pytest.mark.parametrize("value", ["2000000000", None, True, [], {}, -1, 1e18, 10**400, 253402300800])
    def test_a_date_that_is_none_is_refused(self, key: SigningKey, verify: Verify, name: str, value: Any) -> None:
        token = signed_by(key, header(), claims(**{name: value}))

        assert refusal(verify, token) in {"bad_date", "malformed"}

    @pytest.mark.parametrize("name", ["nbf", "iat"])
    def test_a_token_from_the_future_is_refused_beyond_a_minute(
        self, key: SigningKey, verify: Verify, name: str
    ) -> None:
        ahead = int(NOW.timestamp())

        assert verify(sign_jwt(claims(**{name: ahead + 60}), key))
        assert refusal(verify, sign_jwt(claims(**{name: ahead + 61}), key)) == "not_yet_valid"

    def test_a_date_may_have_a_fraction(self, key: SigningKey, verify: Verify) -> None:
        assert verify(sign_jwt(claims(exp=NOW.timestamp() + 0.5), key))


class TestPublishedKeys:
    def test_a_jwks_entry_has_the_key_its_certificate_and_thumbprint(self, material: SigningMaterial) -> None:
        entry = jwk_of(material.private_key.public_key(), kid="kid-1", certificate_pem=material.certificate_pem)
        der = base64.b64decode(entry["x5c"][0])

        assert entry.keys() == {"kty", "use", "n", "e", "kid", "x5t", "x5c", "alg"}
        assert (entry["kty"], entry["use"], entry["alg"], entry["e"]) == ("RSA", "sig", "RS256", "AQAB")
        assert hashlib.sha1(der).hexdigest().upper() == material.thumbprint
        assert b64u_decode(entry["x5t"].encode()) == hashlib.sha1(der).digest()
        assert RSAKey.import_key(entry).public_key == material.private_key.public_key()

    def test_the_thumbprint_is_that_of_rfc_7638(self, material: SigningMaterial) -> None:
        public = material.private_key.public_key()

        assert jwk_thumbprint(public) == RSAKey.import_key(public).thumbprint()

    def test_the_key_inside_a_certificate_verifies(
        self, material: SigningMaterial, key: SigningKey, verify: Verify
    ) -> None:
        public = PublicKey.from_certificate("kid-1", material.certificate_pem)

        assert verify(sign_jwt(claims(), key), keys={"kid-1": public})

    def test_a_private_key_does_not_show_itself(self, key: SigningKey) -> None:
        assert "private" not in repr(key).lower()


def test_at_hash_and_c_hash_are_the_left_half_of_the_hash() -> None:
    """The example of OpenID Connect Core appendix A.3 and A.4"""
    access_token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
    code = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk"

    assert token_hash(access_token) == "77QmUPtjPfzWtF2AnpK9RQ"
    assert token_hash(code) == "LDktKdoQak3Pk0cnXxCltA"
    assert len(b64u_decode(token_hash(code, alg="RS512").encode())) == 32
