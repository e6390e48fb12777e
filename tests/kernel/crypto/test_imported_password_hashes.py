"""Every algorithm of Auth0's user import: given a hash made elsewhere, the same password signs in here."""

import hashlib
from base64 import b64encode
from typing import Any

import bcrypt
import pytest
from argon2.low_level import Type, hash_secret

from freehold.kernel.crypto.passwords import BadHash, are_bcrypt, digests, parse_bcrypt, parse_custom_hash, verify
from freehold.kernel.crypto.passwords.digests import derived_key, digest, keyed_digest

PASSWORD = "Freehold-Passw0rd!"

Custom = dict[str, Any]


def custom(algorithm: str, value: str, encoding: str | None = None, **more: Any) -> Custom:
    hash_part = {"value": value} | ({"encoding": encoding} if encoding else {}) | more.pop("hash", {})
    return {"algorithm": algorithm, "hash": hash_part, **more}


def salt(value: str, position: str | None = None, encoding: str | None = None) -> Custom:
    return (
        {"value": value} | ({"position": position} if position else {}) | ({"encoding": encoding} if encoding else {})
    )


# One of each algorithm and position, made with other programs from PASSWORD.
VECTORS = [
    custom(
        "argon2",
        "$argon2id$v=19$m=65536,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$iG/zj8ApkWfrc3ZJLqvOnj6Ju2rClP82JhOc1uj5o1U",
        "utf8",
    ),
    custom("bcrypt", "$2b$10$abcdefghijklmnopqrstuuGZUIpbfRKhanNRKUby/Zwgr56ll91z2", "utf8"),
    custom(
        "bcrypt",
        "$2b$10$abcdefghijklmnopqrstuuliRSBNrYYWMIlz8qPlyEVWTFMsNQY8C",
        "utf8",
        salt=salt("pepper", "prefix", "utf8"),
    ),
    custom(
        "hmac",
        "4d5909ddb86b9ac1ceece9f3553dbdadfb45b6ffdb1746dd2913bdcc57f2ee69",
        "hex",
        hash={"digest": "sha256", "key": {"value": "736868", "encoding": "hex"}},
    ),
    custom("ldap", "{SSHA}t6v9Rgj7cn3Ze6lKe15YuQ+1cJZzYWx0c2FsdA==", "utf8"),
    custom("md4", "bRZ5ZvMvZl2U0WvHNG6z5Q==", "base64"),
    custom("md4", "42b0f8241d022b21f2783cc7961b2bf0", "hex", password={"encoding": "utf16le"}),
    custom("md5", "7915f4929a3306d68234a6b7aaf90820", "hex", salt=salt("abc123", "prefix", "utf8")),
    custom("sha1", "e358121f34d76c946034452e9b53dadb2cea34d6", "hex", salt=salt("abc123", "suffix", "utf8")),
    custom(
        "sha256",
        "e94f153ec1dbcd83ed83c166ae53bf85d559a5a972e27f31db77d567d2e29841",
        "hex",
        salt=salt("abc123", "prefix", "utf8"),
    ),
    custom(
        "sha512",
        "160fd1fc760463b68a44d07867a02e61f63ebf82b8bea2b705cc172f5eb51994"
        "5dc01f867a946ae6be8017859e05f23e6b585e16407cff02af9a06cbdb099c67",
        "hex",
        salt=salt("abc123", "suffix", "utf8"),
    ),
    custom(
        "pbkdf2",
        "$pbkdf2-sha512$i=100000,l=64$MDEyMzQ1Njc4OWFi"
        "$zrTaSXFEdiEwd9WxlComN7IJCnSBxa/HSy7RefPfNCt0bbiEQxX1eK5FE71oMLX0U6aUix7sfYpcFuuo1yG3aQ",
        "utf8",
    ),
    custom(
        "scrypt",
        "82d7d47953b041c56f865ec51500f95ca1db2bcacd2e8ba5ac45fd42d4ce0730",
        "hex",
        salt=salt("abc123", None, "utf8"),
        keylen=32,
        cost=4096,
        blockSize=8,
        parallelization=1,
    ),
]

# The example hashes of Auth0's published import schema, with the passwords they were made from.
PUBLISHED = [
    ("shh", custom("md4", "AbuUujgF0pPPkJPSFRTpmA==", "base64")),
    (
        "shh",
        custom(
            "sha256",
            "d24e794fce503c3ddb1cd1ba1dd5d9b250cf9917336a0316fefd87fecf79200f",
            "hex",
            salt=salt("abc123", "prefix"),
        ),
    ),
    ("shh", custom("bcrypt", "$2b$10$C9hB01.YxRSTcn/ZOOo4j.TW7xCKKFKBSF.C7E0xiUwumqIDqWUXG")),
    (
        "shh",
        custom(
            "argon2",
            "$argon2id$v=19$m=65536,t=2,p=1$J6Q/82PCyaNpYKRELJyTZg$m04qUAB8rexWDR4+/0f+SFB+4XMFxt7YAvAq2UycYos",
        ),
    ),
    (
        "shh",
        custom(
            "pbkdf2",
            "$pbkdf2-md4$i=100000,l=64$+N375B8q0Fw"
            "$fp2R9KAM4hK/votGHC5Fu+jhqbxUD8+Nic/EMSGvNC3UP/k7wSHI0uXluHRSkZfl/BOheYqNOemayG90ZaSSQw",
            "utf8",
        ),
    ),
    (
        "shh",
        custom(
            "pbkdf2",
            "$pbkdf2-sha512$i=100000,l=64$KNyFsA2rWoE"
            "$I2CQGI9H0JxdDf3kERRI97kPCGxh0KWBIV3MxyaS191gDGfzVBGyS4BibhgqWQ0/ails8mHuU9ckASxHOOq58w",
        ),
    ),
    (
        "shh",
        custom(
            "ldap",
            "{SSHA384}/cgEjdoZh85DhurDeOQEMO1rMlAur93SVPbYe5XSD4lF7nNuvrBju5hUeg9A6agRemgSXGl5YuE=",
            "utf8",
        ),
    ),
    (
        "test",
        custom(
            "hmac",
            "cg7f42jH39/2EaAU4wNd4s2lKIk=",
            "base64",
            hash={"digest": "sha1", "key": {"value": "736868", "encoding": "hex"}},
        ),
    ),
    (
        "password",
        custom(
            "scrypt",
            "097f6197e1b41538f723e32aa7a68e8d76227d8e432ce5faa4882a913032db29",
            "hex",
            salt=salt("abc123", None, "utf8"),
            keylen=32,
            cost=4096,
        ),
    ),
    ("hello", custom("bcrypt", "$2b$10$nFguVi9LsCAcvTZFKQlRKeLVydo8ETv483lkNsSFI/Wl1Rz1Ypo1K")),
    ("password", custom("md5", "67A1E09BB1F83F5007DC119C14D663AA", "hex", salt=salt("salt", "prefix"))),
]


@pytest.mark.parametrize("imported", VECTORS, ids=lambda imported: imported["algorithm"])
def test_the_right_password_verifies_and_a_wrong_one_does_not(imported: Custom) -> None:
    stored = parse_custom_hash(imported)

    assert verify(stored, PASSWORD)
    assert not verify(stored, PASSWORD.swapcase())


@pytest.mark.parametrize(("password", "imported"), PUBLISHED, ids=lambda value: value if isinstance(value, str) else "")
def test_the_published_examples_verify(password: str, imported: Custom) -> None:
    assert verify(parse_custom_hash(imported), password)


def test_hex_may_be_upper_case_and_base64_url_safe_and_unpadded() -> None:
    hexadecimal = custom(
        "sha256", digest("sha256", b"?>salt?>pw").hex().upper(), "hex", salt=salt("3f3e73616c74", None, "hex")
    )
    url_safe = custom("md5", "bRZ5ZvMvZl2U0WvHNG6z5Q", "base64")

    assert verify(parse_custom_hash(hexadecimal), "?>pw")
    assert parse_custom_hash(url_safe) == parse_custom_hash(custom("md5", "bRZ5ZvMvZl2U0WvHNG6z5Q==", "base64"))
    assert parse_custom_hash(custom("md5", "_-_-_-_-_-_-_-_-_-_-_w", "base64")) == parse_custom_hash(
        custom("md5", "/+/+/+/+/+/+/+/+/+/+/w==", "base64")
    )


@pytest.mark.parametrize(
    ("encoding", "as_bytes"),
    [
        ("utf8", "pässwörd€".encode()),
        ("utf16le", "pässwörd€".encode("utf-16-le")),
        ("ucs2", "pässwörd€".encode("utf-16-le")),
        ("latin1", b"p\xe4ssw\xf6rd?"),
        ("binary", b"p\xe4ssw\xf6rd?"),
        ("ascii", b"p?ssw?rd?"),
    ],
)
def test_the_password_is_transcoded_before_it_is_checked(encoding: str, as_bytes: bytes) -> None:
    stored = parse_custom_hash(custom("sha1", digest("sha1", as_bytes).hex(), "hex", password={"encoding": encoding}))

    assert verify(stored, "pässwörd€")
    assert not verify(stored, "pässwört€")


@pytest.mark.parametrize(
    "name", ["md4", "md5", "ripemd160", "sha1", "sha224", "sha256", "sha384", "sha512", "whirlpool"]
)
def test_every_hmac_digest_verifies(name: str) -> None:
    value = keyed_digest(name, b"key", b"password").hex()
    stored = parse_custom_hash(custom("hmac", value, "hex", hash={"digest": name, "key": {"value": "key"}}))

    assert verify(stored, "password")
    assert not verify(stored, "passwort")


@pytest.mark.parametrize(
    ("name", "key", "message", "expected"),
    [
        # RFC 2202 section 2 and RFC 2286 section 2, test case 2; MD4 and Whirlpool with OpenSSL's command line.
        ("md5", b"Jefe", b"what do ya want for nothing?", "750c783e6ab0b503eaa86e310a5db738"),
        ("ripemd160", b"Jefe", b"what do ya want for nothing?", "dda6c0213a485a9e24f4742064a7f033b43c4069"),
        ("md4", b"Jefe", b"what do ya want for nothing?", "be192c588a8e914d8a59b474a828128f"),
        (
            "whirlpool",
            b"Jefe",
            b"what do ya want for nothing?",
            "3d595ccd1d4f4cfd045af53ba7d5c8283fee6ded6eaf1269071b6b4ea6480005"
            "6b5077c6a942cfa1221bd4e5aed791276e5dd46a407d2b8007163d3e7cd1de66",
        ),
    ],
)
def test_hmac_gives_the_published_values(name: str, key: bytes, message: bytes, expected: str) -> None:
    assert keyed_digest(name, key, message).hex() == expected


def test_an_hmac_key_longer_than_a_block_is_hashed_first() -> None:
    """RFC 2104 section 2; the key of RFC 2286 section 2 test case 6."""
    value = keyed_digest("ripemd160", b"\xaa" * 80, b"Test Using Larger Than Block-Size Key - Hash Key First")

    assert value.hex() == "6466ca07ac5eac29e1bd523e5ada7605b791fd8b"


@pytest.mark.parametrize("scheme", ["MD5", "SHA", "SHA256", "SHA384", "SHA512", "sha224"])
def test_every_ldap_scheme_verifies_with_and_without_salt(scheme: str) -> None:
    name = {"SHA": "sha1"}.get(scheme, scheme.lower())
    plain = b64encode(digest(name, b"password")).decode()
    salted = b64encode(digest(name, b"password" + b"\0salt") + b"\0salt").decode()

    assert verify(parse_custom_hash(custom("ldap", f"{{{scheme}}}{plain}")), "password")
    assert verify(parse_custom_hash(custom("ldap", f"{{S{scheme}}}{salted}")), "password")
    assert not verify(parse_custom_hash(custom("ldap", f"{{S{scheme}}}{salted}")), "passwort")


# Every name of a digest that Auth0 documents for PBKDF2, but for MDC-2, which Debian's OpenSSL lacks.
PBKDF2_NAMES = {
    **dict.fromkeys(["RSA-MD4", "md4", "md4WithRSAEncryption"], "md4"),
    **dict.fromkeys(["RSA-MD5", "md5", "md5WithRSAEncryption", "ssl3-md5"], "md5"),
    **dict.fromkeys(["RSA-RIPEMD160", "ripemd", "ripemd160", "ripemd160WithRSA", "rmd160"], "ripemd160"),
    **dict.fromkeys(["RSA-SHA1", "RSA-SHA1-2", "sha1", "sha1WithRSAEncryption", "ssl3-sha1"], "sha1"),
    **dict.fromkeys(["RSA-SHA224", "sha224", "sha224WithRSAEncryption"], "sha224"),
    **dict.fromkeys(["RSA-SHA256", "sha256", "sha256WithRSAEncryption"], "sha256"),
    **dict.fromkeys(["RSA-SHA384", "sha384", "sha384WithRSAEncryption"], "sha384"),
    **dict.fromkeys(["RSA-SHA512", "sha512", "sha512WithRSAEncryption"], "sha512"),
    "whirlpool": "whirlpool",
}


@pytest.mark.parametrize("name", PBKDF2_NAMES)
def test_every_documented_pbkdf2_digest_verifies(name: str) -> None:
    raw = derived_key(PBKDF2_NAMES[name], b"password", b"saltsalt", iterations=3, length=24)
    stored = parse_custom_hash(custom("pbkdf2", f"$pbkdf2-{name}$i=3,l=24$c2FsdHNhbHQ${b64encode(raw).decode()}"))

    assert verify(stored, "password")
    assert not verify(stored, "passwort")


class TestWithoutOpensslsLegacyProvider:
    """Where it is missing, what cannot be checked is refused at the import, by name."""

    @pytest.fixture(autouse=True)
    def no_legacy_provider(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(digests, "_legacy", lambda: None)

    @pytest.mark.parametrize("name", ["mdc2", "whirlpool", "md4"])
    def test_pbkdf2_is_refused(self, name: str) -> None:
        with pytest.raises(BadHash, match=f"{name} is not in this machine's OpenSSL"):
            parse_custom_hash(custom("pbkdf2", f"$pbkdf2-{name}$i=3,l=24$c2FsdHNhbHQ${'A' * 32}"))

    def test_an_hmac_is_refused(self) -> None:
        with pytest.raises(BadHash, match="whirlpool is not in this machine's OpenSSL"):
            parse_custom_hash(custom("hmac", "00" * 64, "hex", hash={"digest": "whirlpool", "key": {"value": "k"}}))

    def test_md4_and_ripemd160_are_still_computed(self) -> None:
        assert digest("md4", b"abc").hex() == "a448017aaf21d8525fc10ae87aa6729d"  # RFC 1320 appendix A.5
        assert digest("ripemd160", b"abc").hex() == "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"


def test_pbkdf2_without_parameters_means_100000_iterations_and_64_bytes() -> None:
    raw = derived_key("sha256", b"password", b"saltsalt", iterations=100_000, length=64)
    text = b64encode(raw).decode().rstrip("=")

    for parameters in ("", "$i=100000", "$l=64", "$i=100000,l=64"):
        assert verify(parse_custom_hash(custom("pbkdf2", f"$pbkdf2-sha256{parameters}$c2FsdHNhbHQ${text}")), "password")


@pytest.mark.parametrize("kind", ["argon2i", "argon2d", "argon2id"])
@pytest.mark.parametrize("version", [16, 19])
def test_every_kind_and_version_of_argon2_verifies(kind: str, version: int) -> None:
    kinds = {"argon2i": Type.I, "argon2d": Type.D, "argon2id": Type.ID}
    text = hash_secret(b"password", b"saltsalt", 1, 64, 2, 16, kinds[kind], version).decode()

    assert text.startswith(f"${kind}$")
    assert verify(parse_custom_hash(custom("argon2", text)), "password")
    assert not verify(parse_custom_hash(custom("argon2", text)), "passwort")


@pytest.mark.parametrize("position", ["prefix", "suffix"])
def test_scrypt_uses_its_salt_itself_wherever_the_import_says_it_stands(position: str) -> None:
    raw = hashlib.scrypt(b"password", salt=b"abc123", n=16, r=1, p=1, dklen=16)
    stored = parse_custom_hash(
        custom("scrypt", raw.hex(), "hex", salt=salt("abc123", position), keylen=16, cost=16, blockSize=1)
    )

    assert verify(stored, "password")


class TestBcryptReads72Bytes:
    """An imported hash is checked with the password cut there; a salt counts towards the 72."""

    LONG = "x" * 80

    def hash_of(self, raw: bytes) -> str:
        return bcrypt.hashpw(raw[:72], b"$2b$04$abcdefghijklmnopqrstuu").decode()

    def test_what_comes_after_does_not_matter(self) -> None:
        stored = parse_bcrypt(self.hash_of(b"x" * 80))

        assert verify(stored, "x" * 72)
        assert verify(stored, "x" * 72 + "anything")
        assert not verify(stored, "x" * 71)

    def test_a_salt_in_front_leaves_less_room(self) -> None:
        stored = parse_custom_hash(custom("bcrypt", self.hash_of(b"0123456789" + b"x" * 62), salt=salt("0123456789")))

        assert verify(stored, "x" * 62)
        assert verify(stored, "x" * 62 + "y")
        assert not verify(stored, "x" * 61)

    def test_a_password_of_utf16_with_its_nul_bytes_is_read_to_the_end(self) -> None:
        stored = parse_custom_hash(
            custom("bcrypt", self.hash_of("password".encode("utf-16-le")), password={"encoding": "utf16le"})
        )

        assert verify(stored, "password")
        assert not verify(stored, "p")

    @pytest.mark.parametrize("version", ["2a", "2b", "2y"])
    def test_the_versions_are_the_same_function(self, version: str) -> None:
        stored = parse_bcrypt(self.hash_of(b"\xff\xa3" + "€".encode()).replace("$2b$", f"${version}$"))
        latin = parse_custom_hash(custom("bcrypt", stored, password={"encoding": "latin1"}))
        plain = parse_bcrypt(self.hash_of("ÿ€".encode()).replace("$2b$", f"${version}$"))

        assert verify(plain, "ÿ€")
        assert not verify(latin, "ÿ£")

    def test_stray_bits_in_the_last_salt_character_do_not_matter(self) -> None:
        canonical = self.hash_of(b"password")
        stray = canonical[:28] + "v" + canonical[29:]

        assert canonical[28] == "u"
        assert verify(parse_bcrypt(stray), "password")


REFUSED: list[tuple[str, str, Custom]] = [
    # path, code, import
    ("algorithm", "ENUM_MISMATCH", custom("sha3", "00" * 32, "hex")),
    ("", "OBJECT_REQUIRED", {"algorithm": "md5"}),
    ("hash", "INVALID_TYPE", {"algorithm": "md5", "hash": "00"}),
    ("hash.encoding", "ENUM_MISMATCH", custom("md5", "00" * 16, "latin1")),
    ("hash.encoding", "ENUM_MISMATCH", custom("md5", "00" * 16, "utf8")),
    ("hash.encoding", "ENUM_MISMATCH", custom("md5", "00" * 16)),
    ("hash.encoding", "ENUM_MISMATCH", custom("bcrypt", "$2b$10$" + "a" * 53, "hex")),
    ("hash.value", "FORMAT", custom("md5", "zz" * 16, "hex")),
    ("hash.value", "FORMAT", custom("md5", "00" * 15, "hex")),
    ("hash.value", "FORMAT", custom("md5", "not base64 at all", "base64")),
    ("hash", "FORMAT", custom("md5", "00" * 16, "hex", hash={"salt": "x"})),
    ("salt.position", "ENUM_MISMATCH", custom("md5", "00" * 16, "hex", salt=salt("x", "middle"))),
    ("salt.value", "FORMAT", custom("md5", "00" * 16, "hex", salt=salt("xyz", None, "hex"))),
    ("password.encoding", "ENUM_MISMATCH", custom("md5", "00" * 16, "hex", password={"encoding": "ebcdic"})),
    ("", "FORMAT", custom("md5", "00" * 16, "hex", pepper="x")),
    ("hash.value", "PATTERN", custom("bcrypt", "$2$10$" + "a" * 53)),
    ("hash.value", "PATTERN", custom("bcrypt", "$2x$10$" + "a" * 53)),
    ("hash.value", "PATTERN", custom("bcrypt", "$sha1$10$" + "a" * 53)),
    ("hash.value", "PATTERN", custom("bcrypt", "$2b$10$" + "a" * 52)),
    ("hash.value", "PATTERN", custom("bcrypt", "$2b$10$" + "a" * 53 + "\n")),
    ("hash.value", "MAXIMUM", custom("bcrypt", "$2b$31$" + "a" * 53)),
    ("hash.value", "MINIMUM", custom("bcrypt", "$2b$03$" + "a" * 53)),
    ("hash.digest", "OBJECT_REQUIRED", custom("hmac", "00" * 20, "hex", hash={"key": {"value": "k"}})),
    ("hash.digest", "ENUM_MISMATCH", custom("hmac", "00" * 20, "hex", hash={"digest": "sha3", "key": {"value": "k"}})),
    ("hash.key", "OBJECT_REQUIRED", custom("hmac", "00" * 20, "hex", hash={"digest": "sha1"})),
    (
        "salt",
        "NOT_PASSED",
        custom("hmac", "00" * 20, "hex", hash={"digest": "sha1", "key": {"value": "k"}}, salt=salt("x")),
    ),
    ("salt", "NOT_PASSED", custom("ldap", "{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=", salt=salt("x"))),
    ("hash.value", "FORMAT", custom("ldap", "{CRYPT}AAAA")),
    ("hash.value", "FORMAT", custom("ldap", "{SSHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
    ("hash.value", "PATTERN", custom("ldap", "secret")),
    ("salt", "NOT_PASSED", custom("pbkdf2", "$pbkdf2-sha1$i=1,l=8$$AAAAAAAAAAA", salt=salt("x"))),
    ("hash.value", "FORMAT", custom("pbkdf2", "$pbkdf2-sha3$i=1,l=8$$AAAAAAAAAAA")),
    ("hash.value", "FORMAT", custom("pbkdf2", "$pbkdf2-sha1$i=1,l=9$$AAAAAAAAAAA")),
    ("hash.value", "MAXIMUM", custom("pbkdf2", "$pbkdf2-sha1$i=2147483648,l=8$$AAAAAAAAAAA")),
    ("hash.value", "MAXIMUM", custom("pbkdf2", f"$pbkdf2-sha1$i=9000000,l=40$${'A' * 54}")),
    ("hash.value", "MINIMUM", custom("pbkdf2", "$pbkdf2-sha1$i=0,l=8$$AAAAAAAAAAA")),
    ("hash.value", "MINIMUM", custom("pbkdf2", "$pbkdf2-sha1$i=1,l=1$$AA")),
    ("keylen", "OBJECT_REQUIRED", custom("scrypt", "00" * 32, "hex")),
    ("keylen", "MINIMUM", custom("scrypt", "00" * 32, "hex", keylen=0)),
    ("keylen", "INVALID_TYPE", custom("scrypt", "00" * 32, "hex", keylen="32")),
    ("hash.value", "FORMAT", custom("scrypt", "00" * 31, "hex", keylen=32)),
    ("hash.value", "MIN_LENGTH", custom("scrypt", "00", "hex", keylen=1)),
    ("cost", "FORMAT", custom("scrypt", "00" * 32, "hex", keylen=32, cost=1000)),
    ("cost", "MINIMUM", custom("scrypt", "00" * 32, "hex", keylen=32, cost=1)),
    ("cost", "MAXIMUM", custom("scrypt", "00" * 32, "hex", keylen=32, cost=1 << 30)),
    ("cost", "MAXIMUM", custom("scrypt", "00" * 32, "hex", keylen=32, cost=1 << 20, parallelization=16)),
    ("blockSize", "MAXIMUM", custom("scrypt", "00" * 32, "hex", keylen=32, blockSize=1 << 20)),
    ("parallelization", "MINIMUM", custom("scrypt", "00" * 32, "hex", keylen=32, parallelization=0)),
    ("hash.value", "PATTERN", custom("argon2", "$argon2x$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$" + "A" * 22)),
    ("hash.value", "MAXIMUM", custom("argon2", "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$" + "A" * 22)),
    ("hash.value", "MAXIMUM", custom("argon2", "$argon2id$v=19$m=1048576,t=5,p=1$c2FsdHNhbHQ$" + "A" * 22)),
    ("hash.value", "MAXIMUM", custom("argon2", "$argon2id$v=19$m=65536,t=1,p=255$c2FsdHNhbHQ$" + "A" * 22)),
    ("hash.value", "MINIMUM", custom("argon2", "$argon2id$v=19$m=7,t=1,p=1$c2FsdHNhbHQ$" + "A" * 22)),
    ("hash.value", "MIN_LENGTH", custom("argon2", "$argon2id$v=19$m=64,t=1,p=1$c2Fs$" + "A" * 22)),
    ("hash.value", "FORMAT", custom("argon2", "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$" + "A" * 21 + "B")),
    ("salt", "NOT_PASSED", custom("argon2", "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$" + "A" * 22, salt=salt("x"))),
]


@pytest.mark.parametrize(("path", "code", "imported"), REFUSED)
def test_a_hash_that_cannot_be_used_is_refused_with_the_property_at_fault(
    path: str, code: str, imported: Custom
) -> None:
    with pytest.raises(BadHash) as refusal:
        parse_custom_hash(imported)

    assert (refusal.value.path, refusal.value.code) == (path, code)
    assert refusal.value.message
    hash_part = imported.get("hash")
    assert (
        not isinstance(hash_part, dict)
        or len(hash_part["value"]) < 9
        or hash_part["value"] not in refusal.value.message
    )


def test_a_cost_at_the_ceiling_is_accepted() -> None:
    assert parse_bcrypt("$2b$16$" + "a" * 53)
    assert parse_custom_hash(custom("argon2", "$argon2id$v=19$m=1048576,t=4,p=1$c2FsdHNhbHQ$" + "A" * 22))
    assert parse_custom_hash(custom("scrypt", "00" * 32, "hex", keylen=32, cost=1 << 20))
    assert parse_custom_hash(custom("pbkdf2", f"$pbkdf2-sha1$i=10000000,l=20$${'A' * 27}"))


GOOD_BCRYPT = "$2b$10$" + "./Az09" * 8 + "abcde"


@pytest.mark.parametrize(
    "odd",
    [
        [GOOD_BCRYPT[:-1]],
        [GOOD_BCRYPT + "a", GOOD_BCRYPT[:-1]],
        [GOOD_BCRYPT[:-1], GOOD_BCRYPT + "a"],
        [GOOD_BCRYPT + GOOD_BCRYPT],
        [GOOD_BCRYPT[:-1] + "$"],
        [GOOD_BCRYPT[:-1] + "é"],
        ["$2b$17$" + GOOD_BCRYPT[7:]],
        ["$2x$10$" + GOOD_BCRYPT[7:]],
        [""],
    ],
)
def test_many_hashes_are_good_only_if_each_is(odd: list[str]) -> None:
    assert are_bcrypt([])
    assert are_bcrypt([GOOD_BCRYPT, GOOD_BCRYPT])
    assert not are_bcrypt([GOOD_BCRYPT, *odd])
    assert not are_bcrypt([*odd, GOOD_BCRYPT])
