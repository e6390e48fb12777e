"""One-time passwords as RFC 6238 computes them, each of which works once; secrets and recovery codes in their forms."""

import base64
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from freehold.kernel.crypto.otp import (
    Algorithm,
    BadTotpSecret,
    match_totp,
    new_recovery_code,
    new_totp_secret,
    normalise_code,
    totp_uri,
)

# RFC 6238 appendix B: the key of each algorithm is the digits 1234567890 repeated to the length of its digest.
KEYS: dict[Algorithm, bytes] = {
    "SHA1": b"1234567890" * 2,
    "SHA256": (b"1234567890" * 4)[:32],
    "SHA512": (b"1234567890" * 7)[:64],
}
VECTORS: list[tuple[int, str, Algorithm]] = [
    (59, "94287082", "SHA1"),
    (59, "46119246", "SHA256"),
    (59, "90693936", "SHA512"),
    (1111111109, "07081804", "SHA1"),
    (1111111109, "68084774", "SHA256"),
    (1111111109, "25091201", "SHA512"),
    (1111111111, "14050471", "SHA1"),
    (1111111111, "67062674", "SHA256"),
    (1111111111, "99943326", "SHA512"),
    (1234567890, "89005924", "SHA1"),
    (1234567890, "91819424", "SHA256"),
    (1234567890, "93441116", "SHA512"),
    (2000000000, "69279037", "SHA1"),
    (2000000000, "90698825", "SHA256"),
    (2000000000, "38618901", "SHA512"),
    (20000000000, "65353130", "SHA1"),
    (20000000000, "77737706", "SHA256"),
    (20000000000, "47863826", "SHA512"),
]
SECRET = base64.b32encode(KEYS["SHA1"]).decode()
# The last six digits of the vectors of SHA1 are the code of six digits.
NOW = datetime.fromtimestamp(1111111111, UTC)
STEP, CODE = 1111111111 // 30, "050471"


@pytest.mark.parametrize(("seconds", "code", "algorithm"), VECTORS)
def test_the_vectors_of_the_rfc(seconds: int, code: str, algorithm: Algorithm) -> None:
    secret = base64.b32encode(KEYS[algorithm]).decode()
    now = datetime.fromtimestamp(seconds, UTC)

    step = match_totp(secret, code, now=now, last_step=None, digits=8, algorithm=algorithm, drift=0)

    assert step == seconds // 30


def test_a_code_counts_one_step_early_and_one_late_and_no_further() -> None:
    offsets = range(-90, 91, 30)

    counted = {o: match_totp(SECRET, CODE, now=NOW + timedelta(seconds=o), last_step=None) for o in offsets}

    assert counted == {-90: None, -60: None, -30: STEP, 0: STEP, 30: STEP, 60: None, 90: None}


def test_a_step_counts_once_and_none_before_it() -> None:
    assert match_totp(SECRET, CODE, now=NOW, last_step=STEP - 1) == STEP
    assert match_totp(SECRET, CODE, now=NOW, last_step=STEP) is None
    assert match_totp(SECRET, CODE, now=NOW, last_step=STEP + 1) is None


def test_the_first_seconds_of_the_epoch_have_no_step_before_them() -> None:
    assert match_totp(SECRET, "287082", now=datetime.fromtimestamp(5, UTC), last_step=None) == 1


@pytest.mark.parametrize("typed", ["050 471", " 050471 ", "050-471", "050\xa0471"])
def test_what_people_put_between_digits_does_not_matter(typed: str) -> None:
    assert match_totp(SECRET, typed, now=NOW, last_step=None) == STEP


@pytest.mark.parametrize(
    "typed", ["", "05047", "0504711", "50471", "abcdef", "٠٥٠٤٧١", "050471\x00", "\ud800", "14050471"]
)
def test_anything_else_counts_for_nothing(typed: str) -> None:
    assert match_totp(SECRET, typed, now=NOW, last_step=None) is None


def test_a_secret_is_read_as_people_and_files_write_it() -> None:
    short = base64.b32encode(b"1234567890").decode()
    spaced = " ".join(re.findall("....", SECRET.lower()))

    assert match_totp(spaced, CODE, now=NOW, last_step=None) == STEP
    assert match_totp(short, "000000", now=NOW, last_step=None) is None


def test_a_secret_of_an_odd_length_is_read_as_apps_read_it() -> None:
    for extra in ("A", "7"):
        assert match_totp(SECRET + extra, CODE, now=NOW, last_step=None) == STEP


@pytest.mark.parametrize("secret", ["", "====", "not base32 at all!", "0189", "A", "ÄÖÜ"])
def test_what_is_no_secret_is_refused_without_being_quoted(secret: str) -> None:
    with pytest.raises(BadTotpSecret) as refusal:
        match_totp(secret, CODE, now=NOW, last_step=None)

    assert str(refusal.value) in ("The secret is not Base32.", "The secret is empty.")


def test_a_secret_has_160_bits_and_none_comes_twice() -> None:
    made = {new_totp_secret() for _ in range(500)}

    assert len(made) == 500
    assert all(re.fullmatch(r"[A-Z2-7]{32}", secret) for secret in made)


def test_a_recovery_code_has_24_letters_and_digits_and_none_comes_twice() -> None:
    made = {new_recovery_code() for _ in range(500)}

    assert len(made) == 500
    assert all(re.fullmatch(r"[A-Z0-9]{24}", code) for code in made)


def test_a_typed_recovery_code_is_read_without_its_groups_and_case() -> None:
    assert normalise_code("abcd-efgh 1234\t5678") == "ABCDEFGH12345678"


def test_the_uri_holds_what_an_app_needs_however_odd_the_names() -> None:
    uri = urlsplit(totp_uri(SECRET, issuer="Acme & Söhne: Shop", account="a/b?c+d@example.com"))

    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert unquote(uri.path) == "/Acme & Söhne: Shop:a/b?c+d@example.com"
    assert uri.path.count(":") == 1
    assert parse_qs(uri.query) == {
        "secret": [SECRET],
        "issuer": ["Acme & Söhne: Shop"],
        "algorithm": ["SHA1"],
        "digits": ["6"],
        "period": ["30"],
    }
