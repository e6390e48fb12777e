"""A recipient's key: each rule has a key that keeps all the others."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from pysequoia import CipherSuite, Profile, Tsk

from freehold.domain.ceremonies.evidence.recipient_key import (
    ADVICE_TO_REVOKE,
    LONGEST_KEY,
    KeyPolicy,
    KeyRefused,
    RecipientKey,
    check_recipient_key,
    check_several,
)
from tests.support import openpgp_keys as keys
from tests.support.openpgp_keys import (
    BINDING,
    CERTIFY,
    DIRECT,
    EMAIL,
    ENCRYPT,
    POSITIVE,
    REVOKED,
    SIGN,
    SUBKEY_REVOKED,
    USER_ID_REVOKED,
    Shape,
    Signed,
    Sub,
    rsa_key,
)
from tests.support.programs import find_gnupg

NOW = keys.now()
MADE = NOW - timedelta(days=1)
MONTHS = timedelta(days=90)
SELF = Signed(POSITIVE, flags=CERTIFY | SIGN, lasts=MONTHS)
BOUND = Signed(BINDING, flags=ENCRYPT, lasts=MONTHS)
NAMED = f"Ada <{EMAIL}>"


def good() -> Shape:
    return Shape(MADE, rsa_key("primary"), subkeys=(Sub(rsa_key("encryption")),))


def with_subkey(sub: Sub) -> Shape:
    return replace(good(), subkeys=(sub,))


def with_user_id(text: str, *signatures: Signed) -> Shape:
    return replace(good(), user_ids=((text, signatures),))


async def check(armored: str, **options: object) -> RecipientKey:
    arguments: dict[str, object] = {"email": EMAIL, "now": NOW, "retention_days": 7, **options}
    return await check_recipient_key(armored, **arguments)  # type: ignore[arg-type]


async def refusal(armored: str, **options: object) -> str:
    with pytest.raises(KeyRefused) as refused:
        await check(armored, **options)
    assert len(refused.value.message) > 20
    return refused.value.code


@pytest.mark.whole_reader
async def test_a_good_key_is_taken_and_described() -> None:
    armored = keys.write(good())
    key = await check(armored)

    assert key.fingerprint == keys.fingerprint(keys.key_body(rsa_key("primary"), MADE)).hex().upper()
    assert key.encryption_subkeys == (keys.fingerprint(keys.key_body(rsa_key("encryption"), MADE)).hex().upper(),)
    assert key.user_ids == (NAMED,)
    assert (key.algorithm, key.bits, len(key.moduli)) == ("RSA", 4096, 2)
    assert key.expires_at == MADE + MONTHS
    assert key.readers[0] == "pysequoia"
    if find_gnupg():
        assert "GnuPG" in key.readers[1]
    assert (await check(key.certificate)).fingerprint == key.fingerprint


@pytest.mark.gnupg
async def test_two_readers_can_be_asked_for() -> None:
    assert len((await check(keys.write(good()), policy=KeyPolicy(two_readers=True))).readers) == 2


async def test_one_reader_is_not_enough_where_two_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    assert (await check(keys.write(good()))).readers == ("pysequoia",)
    assert await refusal(keys.write(good()), policy=KeyPolicy(two_readers=True)) == "one_reader"


REFUSED: dict[str, tuple[str, Callable[[], Shape]]] = {
    "secret primary key": ("secret_key", lambda: replace(good(), secret=True)),
    "secret subkey": ("secret_key", lambda: replace(good(), secret_subkey=True)),
    "short primary key": ("too_short", lambda: replace(good(), primary=rsa_key("short", 3072))),
    "short encryption subkey": ("too_short", lambda: with_subkey(Sub(rsa_key("short", 3072)))),
    "one short encryption subkey of two": (
        "too_short", lambda: replace(good(), subkeys=(Sub(rsa_key("encryption")), Sub(rsa_key("short", 3072))))),
    "no subkey": ("no_encryption_subkey", lambda: replace(good(), subkeys=())),
    "a subkey for signing only": (
        "no_encryption_subkey", lambda: with_subkey(Sub(rsa_key("encryption"), (Signed(BINDING, flags=SIGN),)))),
    "a subkey without flags": (
        "no_encryption_subkey", lambda: with_subkey(Sub(rsa_key("encryption"), (Signed(BINDING),)))),
    "a subkey bound by another key": (
        "not_bound", lambda: with_subkey(Sub(rsa_key("encryption"), (replace(BOUND, signer=rsa_key("other")),)))),
    "a damaged binding": (
        "not_bound", lambda: with_subkey(Sub(rsa_key("encryption"), (replace(BOUND, corrupt=True),)))),
    "a binding with SHA-1": (
        "weak_digest", lambda: with_subkey(Sub(rsa_key("encryption"), (replace(BOUND, digest="sha1"),)))),
    "a binding with MD5": (
        "weak_digest", lambda: with_subkey(Sub(rsa_key("encryption"), (replace(BOUND, digest="md5"),)))),
    "a user id with SHA-1": ("weak_digest", lambda: with_user_id(NAMED, replace(SELF, digest="sha1"))),
    "a user id with MD5": ("weak_digest", lambda: with_user_id(NAMED, replace(SELF, digest="md5"))),
    "an old user id with SHA-1": (
        "weak_digest",
        lambda: replace(
            with_user_id(NAMED, replace(SELF, digest="sha1", lasts=timedelta(days=9000))),
            made=NOW - timedelta(days=6000))),
    "a revoked key": ("revoked", lambda: replace(good(), direct=(Signed(REVOKED),))),
    "a revoked subkey": (
        "revoked", lambda: with_subkey(Sub(rsa_key("encryption"), (BOUND, Signed(SUBKEY_REVOKED))))),
    "a revoked user id": (
        "revoked", lambda: with_user_id(NAMED, SELF, Signed(USER_ID_REVOKED, made=MADE + timedelta(hours=1)))),
    "an expired key": ("expired", lambda: with_user_id(NAMED, replace(SELF, lasts=timedelta(hours=3)))),
    "an expired subkey": (
        "expired", lambda: with_subkey(Sub(rsa_key("encryption"), (replace(BOUND, lasts=timedelta(hours=3)),)))),
    "a key that ends too soon": (
        "expires_too_soon", lambda: with_user_id(NAMED, replace(SELF, lasts=timedelta(days=7)))),
    "a subkey that ends too soon": (
        "expires_too_soon",
        lambda: with_subkey(Sub(rsa_key("encryption"), (replace(BOUND, lasts=timedelta(days=7)),)))),
    "a direct signature that ends the key too soon": (
        "expires_too_soon", lambda: replace(good(), direct=(Signed(DIRECT, flags=CERTIFY, lasts=timedelta(days=7)),))),
    "a key of tomorrow": ("not_yet_valid", lambda: replace(good(), made=NOW + timedelta(days=1))),
    "a user id of tomorrow": (
        "not_yet_valid", lambda: with_user_id(NAMED, replace(SELF, made=NOW + timedelta(days=1)))),
    "a subkey of tomorrow": (
        "not_yet_valid",
        lambda: with_subkey(
            Sub(rsa_key("encryption"), (replace(BOUND, made=NOW + timedelta(days=1)),), made=NOW + timedelta(days=1)))),
    "another's e-mail": ("foreign_email", lambda: with_user_id("Ada <ada@example.org>", SELF)),
    "the e-mail in other letters": ("foreign_email", lambda: with_user_id("Ada <Ada@example.com>", SELF)),
    "the e-mail as a name": ("foreign_email", lambda: with_user_id(f"{EMAIL} <eve@example.com>", SELF)),
    "the e-mail twice": ("foreign_email", lambda: with_user_id(f"<eve@example.com> <{EMAIL}>", SELF)),
    "the e-mail with a look-alike": ("foreign_email", lambda: with_user_id("Ada <аda@example.com>", SELF)),
    "the e-mail after a line break": ("foreign_email", lambda: with_user_id(f"Eve\n <{EMAIL}>", SELF)),
    "a user id that another key signed": (
        "not_bound", lambda: with_user_id(NAMED, replace(SELF, signer=rsa_key("other")))),
    "a user id without a signature": (
        "not_bound", lambda: replace(good(), user_ids=((NAMED, ()), ("Eve <eve@example.com>", (SELF,))))),
    "the exponent 3": ("bad_exponent", lambda: replace(good(), primary=small_exponent())),
    "ROCA": ("roca", lambda: replace(good(), primary=keys.roca_key())),
    "ROCA in the subkey": ("roca", lambda: with_subkey(Sub(keys.roca_key()))),
    "factors that are neighbours": ("breakable", lambda: with_subkey(Sub(keys.close_key()))),
    "the same modulus twice": ("shared_modulus", lambda: with_subkey(Sub(rsa_key("primary")))),
    "two moduli with a common prime": ("shared_modulus", lambda: with_subkey(Sub(shared_prime()))),
    "too many signatures": ("flooded", lambda: with_user_id(NAMED, replace(SELF, times=41))),
    "too many names": (
        "flooded", lambda: replace(good(), user_ids=[(f"A{number} <{EMAIL}>", ()) for number in range(21)])),
    "two certificates in one block": (
        "several_keys", lambda: replace(good(), extra=keys.packet(6, keys.key_body(rsa_key("other"), MADE)))),
    "a message after the key": (
        "not_a_public_key", lambda: replace(good(), extra=keys.packet(11, b"b\x00\x00\x00\x00\x00x"))),
}  # fmt: skip


def small_exponent() -> RSAPrivateKey:
    """A key with the exponent 3, for which its primes have to be 2 modulo 3."""
    return keys.prime_key(3)


def shared_prime() -> RSAPrivateKey:
    """A key that has one prime in common with the primary key."""
    return keys.key_of_primes(keys.primes_of(rsa_key("primary"))[0], keys.primes_of(rsa_key("other"))[1])


@pytest.mark.parametrize("name", REFUSED)
async def test_a_key_that_breaks_one_rule_is_refused(name: str) -> None:
    code, make = REFUSED[name]

    assert await refusal(keys.write(make())) == code


async def test_a_secret_key_is_refused_with_advice_and_not_repeated(tmp_path: Path) -> None:
    secret = Tsk.generate(user_id=NAMED)
    for text in (str(secret), str(secret).replace("PRIVATE", "PUBLIC")):
        with pytest.raises(KeyRefused) as refused:
            await check(text)
        assert (refused.value.code, refused.value.message) == ("secret_key", ADVICE_TO_REVOKE)
        assert refused.value.__context__ is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: text * 2, "several_keys"),
        (lambda text: text[: len(text) // 2], "not_a_public_key"),
        (lambda text: text.replace("PUBLIC KEY BLOCK", "MESSAGE"), "not_a_public_key"),
        (lambda text: "Here is my key:\n" + text, "not_a_public_key"),
        (lambda text: text.replace("\n\n", "\nNot a header\n\n", 1), "not_a_public_key"),
        (lambda text: text.replace("-----\n\n", "-----\n\n\u00e4", 1), "not_a_public_key"),
        (lambda text: text.replace("-----\n\n", "-----\n\nAAAA", 1), "not_a_public_key"),
        (lambda text: text + "x" * LONGEST_KEY, "key_too_long"),
        (lambda text: "", "not_a_public_key"),
    ],
)
async def test_only_one_whole_block_is_read(change: Callable[[str], str], code: str) -> None:
    assert await refusal(change(keys.write(good()))) == code


async def test_windows_line_ends_and_headers_do_no_harm() -> None:
    text = keys.write(good()).replace("\n\n", "\nComment: made on a Tuesday\n\n", 1)

    assert (await check(text.replace("\n", "\r\n"))).fingerprint == (await check(text)).fingerprint


async def test_a_known_modulus_of_another_key_is_refused_and_ones_own_is_not() -> None:
    key = await check(keys.write(good()))
    known = {key.fingerprint: key.moduli}

    assert (await check(keys.write(good()), known_moduli=known)).fingerprint == key.fingerprint
    assert await refusal(keys.write(good()), known_moduli={"ABCD": key.moduli}) == "shared_modulus"
    other = f"{shared_prime().public_key().public_numbers().n:x}"
    assert await refusal(keys.write(good()), known_moduli={"ABCD": [other]}) == "shared_modulus"


async def test_several_keys_may_not_be_one() -> None:
    key = await check(keys.write(good()))
    other = await check(keys.write(replace(good(), primary=rsa_key("other"))))

    for pair in ((key, key), (key, other)):
        with pytest.raises(KeyRefused):
            check_several(pair)
    check_several([key])


async def test_the_key_has_to_last_as_long_as_the_export_is_kept() -> None:
    armored = keys.write(good())

    assert await check(armored, retention_days=80)
    assert await refusal(armored, retention_days=90) == "expires_too_soon"


async def test_a_key_without_an_end_is_a_matter_of_policy() -> None:
    armored = keys.write(
        replace(
            with_user_id(NAMED, replace(SELF, lasts=None)),
            subkeys=(Sub(rsa_key("encryption"), (replace(BOUND, lasts=None),)),),
        )
    )

    assert (await check(armored, policy=KeyPolicy(allow_no_expiry=True))).expires_at is None
    assert await refusal(armored) == "no_expiry"


async def test_a_subkey_without_an_end_ends_with_its_key() -> None:
    armored = keys.write(with_subkey(Sub(rsa_key("encryption"), (replace(BOUND, lasts=None),))))

    assert (await check(armored)).expires_at == MADE + MONTHS


@pytest.mark.parametrize(
    "extra",
    [
        b"\xc8\x05\x02" + b"\x00" * 4,  # compressed data
        b"\xcd\xff\xff\xff\xff\xff" + b"Ada",  # a user id of four gigabytes
        b"\xcd\xf0" + b"partial lengths" * 10,
        b"\x00\x00\x00",
        b"\xd2\x10" + b"\x01" * 16,  # encrypted data
    ],
)
async def test_packets_that_lie_about_themselves_are_refused(extra: bytes) -> None:
    assert await refusal(keys.write(replace(good(), extra=extra))) in {"not_a_public_key", "readers_disagree"}


async def test_a_later_signature_that_somebody_else_appended_changes_nothing() -> None:
    forged = replace(BOUND, signer=rsa_key("other"), made=NOW - timedelta(hours=1), lasts=timedelta(days=3000))
    sub = Sub(rsa_key("encryption"), (replace(BOUND, lasts=timedelta(days=3)), forged))

    assert await refusal(keys.write(with_subkey(sub))) == "expires_too_soon"


async def test_an_extended_key_is_taken_by_its_newest_signature() -> None:
    early = replace(BOUND, lasts=timedelta(hours=3))
    later = replace(BOUND, made=NOW - timedelta(hours=1))
    sub = Sub(rsa_key("encryption"), (early, later))

    assert (await check(keys.write(with_subkey(sub)))).encryption_subkeys


async def test_modern_curves_are_a_matter_of_policy() -> None:
    allowing = KeyPolicy(allow_modern=True, allow_no_expiry=True)
    for profile in (Profile.RFC4880, Profile.RFC9580):
        armored = str(Tsk.generate(user_id=NAMED, profile=profile).extract_certificate())
        assert await refusal(armored, now=keys.now()) in {"not_rsa", "key_version"}
        assert (await check(armored, now=keys.now(), policy=allowing)).encryption_subkeys
    hybrid = Tsk.generate(user_id=NAMED, profile=Profile.RFC9580, cipher_suite=CipherSuite.MLDSA65_Ed25519)
    assert (await check(str(hybrid.extract_certificate()), now=keys.now(), policy=allowing)).encryption_subkeys
    nist = str(Tsk.generate(user_id=NAMED, cipher_suite=CipherSuite.P256).extract_certificate())
    assert await refusal(nist, now=keys.now(), policy=allowing) == "not_rsa"


@pytest.mark.gnupg
async def test_a_key_that_gnupg_made_is_taken(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    gpg = ["gpg", "--homedir", str(tmp_path), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    run = subprocess.run
    run([*gpg, "--quick-gen-key", NAMED, "rsa4096", "cert,sign", "60d"], check=True, capture_output=True)
    listing = run([*gpg, "--with-colons", "--list-keys"], check=True, capture_output=True, text=True).stdout
    fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))
    run([*gpg, "--quick-add-key", fingerprint, "rsa4096", "encrypt", "60d"], check=True, capture_output=True)
    armored = run([*gpg, "--armor", "--export", EMAIL], check=True, capture_output=True, text=True).stdout
    run(["gpgconf", "--homedir", str(tmp_path), "--kill", "all"], check=False)

    assert (await check(armored, now=keys.now())).fingerprint == fingerprint
