"""Files sealed with OpenPGP: what goes in comes out for the right key, and for nobody and nothing else."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pysequoia import CipherSuite, Profile, Tsk

from freehold.kernel.crypto.openpgp import (
    CannotDecrypt,
    NotOpenPGP,
    UnusableCertificate,
    decrypt_file,
    encrypt_file,
    encrypting,
    is_pgp_message,
    read_certificate,
)

PLAIN = b"user_id,passwordHash\n" * 5000


@dataclass(frozen=True)
class Key:
    public: str
    secret_file: Path


@pytest.fixture
def new_key(tmp_path: Path) -> Callable[[str], Key]:
    def make(user_id: str) -> Key:
        secret = Tsk.generate(user_id=user_id, cipher_suite=CipherSuite.Cv25519, profile=Profile.RFC4880)
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.sec"
        file.write_text(str(secret))
        return Key(str(secret.extract_certificate()), file)

    return make


@pytest.fixture
def ada(new_key: Callable[[str], Key]) -> Key:
    return new_key("Ada Lovelace <ada@example.test>")


@pytest.fixture
def plain_file(tmp_path: Path) -> Path:
    file = tmp_path / "plain"
    file.write_bytes(PLAIN)
    return file


@pytest.fixture
def sealed(tmp_path: Path, plain_file: Path, ada: Key) -> Path:
    encrypt_file(plain_file, tmp_path / "sealed.pgp", recipients=[ada.public])
    return tmp_path / "sealed.pgp"


def test_a_file_encrypted_to_a_key_is_decrypted_with_it(tmp_path: Path, sealed: Path, ada: Key) -> None:
    decrypt_file(sealed, tmp_path / "out", ada.secret_file)

    assert (tmp_path / "out").read_bytes() == PLAIN
    assert PLAIN[:20] not in sealed.read_bytes()
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600


def test_each_of_several_recipients_can_decrypt(
    tmp_path: Path, plain_file: Path, ada: Key, new_key: Callable[[str], Key]
) -> None:
    grace = new_key("grace@example.test")
    encrypt_file(plain_file, tmp_path / "sealed", recipients=[ada.public, grace.public])

    for key in (ada, grace):
        decrypt_file(tmp_path / "sealed", tmp_path / "out", key.secret_file)
        assert (tmp_path / "out").read_bytes() == PLAIN


def test_a_stream_is_encrypted_as_it_is_written(tmp_path: Path, ada: Key) -> None:
    with encrypting(tmp_path / "sealed", recipients=[ada.public]) as stream:
        for _ in range(100):
            stream.write(PLAIN)
    decrypt_file(tmp_path / "sealed", tmp_path / "out", ada.secret_file)

    assert (tmp_path / "out").read_bytes() == PLAIN * 100


def test_a_stream_that_fails_leaves_nothing_behind(tmp_path: Path, ada: Key) -> None:
    before = sorted(tmp_path.iterdir())

    with pytest.raises(ZeroDivisionError), encrypting(tmp_path / "sealed", recipients=[ada.public]) as stream:
        stream.write(PLAIN)
        raise ZeroDivisionError
    assert sorted(tmp_path.iterdir()) == before


def test_a_stream_to_a_key_that_cannot_be_encrypted_to_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnusableCertificate), encrypting(tmp_path / "sealed", recipients=["junk"]) as stream:
        for _ in range(100):
            stream.write(PLAIN)
    assert list(tmp_path.iterdir()) == []


def test_another_key_does_not_decrypt(tmp_path: Path, sealed: Path, new_key: Callable[[str], Key]) -> None:
    with pytest.raises(CannotDecrypt) as refusal:
        decrypt_file(sealed, tmp_path / "out", new_key("eve@example.test").secret_file)

    assert refusal.value.reason == "no_key"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("position", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_file_is_refused_and_leaves_nothing(
    tmp_path: Path, sealed: Path, ada: Key, position: float, damage: str
) -> None:
    content = bytearray(sealed.read_bytes())
    at = int(len(content) * position)
    if damage == "cut":
        del content[at:]
    else:
        content[at] ^= 1
    sealed.write_bytes(content)
    before = sorted(tmp_path.iterdir())

    with pytest.raises(CannotDecrypt) as refusal:
        decrypt_file(sealed, tmp_path / "out", ada.secret_file)
    assert refusal.value.reason == "damaged"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("content", [b"", b"hello", b'{"a":1}\n', b"\x1f\x8b\x08\x00", os.urandom(300)])
def test_a_file_that_is_no_message_is_refused(tmp_path: Path, ada: Key, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)

    with pytest.raises((NotOpenPGP, CannotDecrypt)):
        decrypt_file(tmp_path / "file", tmp_path / "out", ada.secret_file)
    assert not (tmp_path / "out").exists()


def test_more_than_allowed_does_not_come_out(tmp_path: Path, sealed: Path, ada: Key) -> None:
    with pytest.raises(CannotDecrypt) as refusal:
        decrypt_file(sealed, tmp_path / "out", ada.secret_file, max_bytes=1000)

    assert refusal.value.reason == "too_large"
    assert not (tmp_path / "out").exists()


def test_a_missing_file_is_an_ordinary_error(tmp_path: Path, ada: Key) -> None:
    with pytest.raises(FileNotFoundError):
        encrypt_file(tmp_path / "none", tmp_path / "out", recipients=[ada.public])
    with pytest.raises(FileNotFoundError):
        decrypt_file(tmp_path / "none", tmp_path / "out", ada.secret_file)


@pytest.mark.parametrize("content", [b"junk", b""])
def test_a_file_that_is_no_secret_key_is_named(tmp_path: Path, sealed: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)

    with pytest.raises(CannotDecrypt) as refusal:
        decrypt_file(sealed, tmp_path / "out", tmp_path / "key")
    assert refusal.value.reason == "bad_secret_key"


def test_a_public_key_where_the_secret_one_belongs_is_named(tmp_path: Path, sealed: Path, ada: Key) -> None:
    (tmp_path / "public").write_text(ada.public)

    with pytest.raises(CannotDecrypt, match="export-secret-keys"):
        decrypt_file(sealed, tmp_path / "out", tmp_path / "public")


def test_nobody_to_encrypt_to_is_refused(tmp_path: Path, plain_file: Path) -> None:
    with pytest.raises(UnusableCertificate):
        encrypt_file(plain_file, tmp_path / "out", recipients=[])


def test_a_certificate_tells_fingerprint_user_ids_and_addresses(ada: Key) -> None:
    certificate = read_certificate(ada.public)

    assert certificate.user_ids == ("Ada Lovelace <ada@example.test>",)
    assert certificate.emails == ("ada@example.test",)
    assert len(certificate.fingerprint) == 40
    assert certificate.fingerprint == certificate.fingerprint.upper()
    assert not certificate.is_revoked


def test_a_certificate_tells_when_it_ends() -> None:
    key = Tsk.generate(user_id="a@example.test", validity_seconds=3600).extract_certificate()
    certificate = read_certificate(str(key))

    assert certificate.expires_at is not None
    assert 0 < (certificate.expires_at - datetime.now(UTC)).total_seconds() <= 3600


def test_a_pasted_secret_key_is_refused_as_recipient_and_as_certificate(
    tmp_path: Path, plain_file: Path, ada: Key
) -> None:
    pasted = ada.secret_file.read_text()

    with pytest.raises(UnusableCertificate) as refusal:
        read_certificate(pasted)
    with pytest.raises(UnusableCertificate):
        encrypt_file(plain_file, tmp_path / "out", recipients=[pasted])
    assert refusal.value.reason == "secret_key"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "junk",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n=AAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n/////////////////////w==\n-----END PGP PUBLIC KEY BLOCK-----\n",
        "\x00" * 5000,
        "A" * 2_000_000,
    ],
)
def test_what_is_no_certificate_is_refused_without_a_crash(text: str) -> None:
    with pytest.raises(UnusableCertificate) as refusal:
        read_certificate(text)
    assert refusal.value.reason == "bad_certificate"


def test_messages_are_told_from_other_files_by_their_first_bytes(sealed: Path) -> None:
    assert is_pgp_message(sealed.read_bytes()[:64])
    assert is_pgp_message(b"\xef\xbb\xbf\r\n-----BEGIN PGP MESSAGE-----\n")
    for other in (
        b"",
        b"[]",
        b'\xef\xbb\xbf{"a":1}',
        b"\x1f\x8b\x08",
        b"PK\x03\x04",
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----",
        b"\x99\x01\x0d\x04",  # a binary public key
        "ääää".encode(),
    ):
        assert not is_pgp_message(other)
