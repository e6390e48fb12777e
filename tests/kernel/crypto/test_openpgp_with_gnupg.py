"""OpenPGP with the program people have: GnuPG's keys and messages here, and our messages there."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from freehold.kernel.crypto.openpgp import (
    CannotDecrypt,
    OpenPGPError,
    UnusableCertificate,
    decrypt_file,
    encrypt_file,
    is_pgp_message,
    read_certificate,
)
from tests.support.gnupg_homes import make_passphrases_cheap

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="GnuPG is not installed")

PLAIN = b"user_id,passwordHash\n" * 5000
Gpg = Callable[..., bytes]


@dataclass(frozen=True)
class Key:
    public: str
    secret_file: Path


@pytest.fixture
def plain_file(tmp_path: Path) -> Path:
    file = tmp_path / "plain"
    file.write_bytes(PLAIN)
    return file


PASSPHRASE = "a secret phrase"


@pytest.fixture(scope="module")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Gpg]]:
    homes = []

    def make() -> Gpg:
        home = tmp_path_factory.mktemp("g")
        home.chmod(0o700)
        make_passphrases_cheap(home)
        homes.append(home)

        def run(*arguments: str, dialogue: str = "") -> bytes:
            options = ["--homedir", str(home), "--batch", "--yes", "--quiet", "--pinentry-mode", "loopback"]
            command = ["gpg", *options, "--passphrase", PASSPHRASE, "--trust-model", "always", *arguments]
            return subprocess.run(command, input=dialogue.encode(), check=True, capture_output=True).stdout

        return run

    yield make
    for home in homes:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)


@pytest.fixture(scope="module")
def gpg(new_home: Callable[[], Gpg]) -> Gpg:
    return new_home()


@pytest.fixture(scope="module")
def key(gpg: Gpg, tmp_path_factory: pytest.TempPathFactory) -> Key:
    """Two encryption subkeys, of which gpg uses the newer."""
    gpg("--quick-gen-key", "Ada <ada@example.test>", "ed25519", "sign", "30d")
    gpg("--quick-add-key", fingerprint_of(gpg), "cv25519", "encrypt", "20d")
    gpg("--quick-add-key", fingerprint_of(gpg), "rsa2048", "encrypt", "20d")
    secret_file = tmp_path_factory.mktemp("key") / "gpg.sec"
    secret_file.write_bytes(gpg("--armor", "--export-secret-keys", fingerprint_of(gpg)))
    return Key(gpg("--armor", "--export", fingerprint_of(gpg)).decode(), secret_file)


def fingerprint_of(gpg: Gpg) -> str:
    lines = gpg("--list-keys", "--with-colons").decode().splitlines()
    return next(line.split(":")[9] for line in lines if line.startswith("fpr"))


def test_gpg_reads_what_we_encrypt(gpg: Gpg, key: Key, tmp_path: Path, plain_file: Path) -> None:
    encrypt_file(plain_file, tmp_path / "sealed", recipients=[key.public])

    assert gpg("--decrypt", str(tmp_path / "sealed")) == PLAIN
    assert read_certificate(key.public).fingerprint == fingerprint_of(gpg)


def test_we_read_what_gpg_encrypts(gpg: Gpg, key: Key, tmp_path: Path, plain_file: Path) -> None:
    for name, options in (("binary.gpg", []), ("armored.asc", ["--armor"])):
        sealed = tmp_path / name
        gpg(*options, "--output", str(sealed), "-r", fingerprint_of(gpg), "--encrypt", str(plain_file))
        assert is_pgp_message(sealed.read_bytes()[:64])

        decrypt_file(sealed, tmp_path / "out", key.secret_file, PASSPHRASE)
        assert (tmp_path / "out").read_bytes() == PLAIN


@pytest.mark.parametrize(
    ("passphrase", "reason"), [(None, "passphrase_needed"), ("wrong", "wrong_passphrase"), ("", "wrong_passphrase")]
)
def test_the_passphrase_is_asked_for_by_name(
    gpg: Gpg, key: Key, tmp_path: Path, plain_file: Path, passphrase: str | None, reason: str
) -> None:
    encrypt_file(plain_file, tmp_path / "sealed", recipients=[key.public])

    with pytest.raises(OpenPGPError) as refusal:
        decrypt_file(tmp_path / "sealed", tmp_path / "out", key.secret_file, passphrase)
    assert refusal.value.reason == reason


def test_a_key_without_an_encryption_subkey_is_refused(
    new_home: Callable[[], Gpg], tmp_path: Path, plain_file: Path
) -> None:
    gpg = new_home()
    gpg("--quick-gen-key", "sign@example.test", "ed25519", "sign", "30d")

    with pytest.raises(UnusableCertificate) as refusal:
        encrypt_file(plain_file, tmp_path / "out", recipients=[gpg("--armor", "--export").decode()])
    assert refusal.value.reason == "no_encryption_key"


def test_a_key_that_has_expired_is_refused_and_the_way_out_named(
    new_home: Callable[[], Gpg], tmp_path: Path, plain_file: Path, key: Key
) -> None:
    encrypt_file(plain_file, tmp_path / "sealed", recipients=[key.public])
    gpg = new_home()
    long_ago = ["--faked-system-time", "20200101T000000"]
    gpg(*long_ago, "--quick-gen-key", "old@example.test", "ed25519", "sign", "30d")
    gpg(*long_ago, "--quick-add-key", fingerprint_of(gpg), "cv25519", "encrypt", "30d")
    (tmp_path / "old.sec").write_bytes(gpg("--armor", "--export-secret-keys"))

    with pytest.raises(UnusableCertificate) as encrypting_refused:
        encrypt_file(plain_file, tmp_path / "out", recipients=[gpg("--armor", "--export").decode()])
    with pytest.raises(CannotDecrypt, match="quick-set-expire") as decrypting_refused:
        decrypt_file(tmp_path / "sealed", tmp_path / "out", tmp_path / "old.sec", PASSPHRASE)
    assert encrypting_refused.value.reason == "no_encryption_key"
    assert decrypting_refused.value.reason == "key_expired"


def test_a_subkey_that_has_ended_is_not_encrypted_to(
    new_home: Callable[[], Gpg], tmp_path: Path, plain_file: Path
) -> None:
    gpg = new_home()
    long_ago = ["--faked-system-time", "20200101T000000"]
    gpg(*long_ago, "--quick-gen-key", "ada@example.test", "ed25519", "sign", "none")
    gpg(*long_ago, "--quick-add-key", fingerprint_of(gpg), "cv25519", "encrypt", "30d")

    with pytest.raises(UnusableCertificate) as ended:
        encrypt_file(plain_file, tmp_path / "out", recipients=[gpg("--armor", "--export").decode()])
    gpg("--quick-add-key", fingerprint_of(gpg), "cv25519", "encrypt", "30d")
    encrypt_file(plain_file, tmp_path / "sealed", recipients=[gpg("--armor", "--export").decode()])

    assert ended.value.reason == "no_encryption_key"
    assert gpg("--decrypt", str(tmp_path / "sealed")) == PLAIN
    assert gpg("--list-packets", str(tmp_path / "sealed")).count(b":pubkey enc packet:") == 1


def test_a_subkey_that_was_revoked_is_not_encrypted_to(
    new_home: Callable[[], Gpg], tmp_path: Path, plain_file: Path
) -> None:
    gpg = new_home()
    gpg("--quick-gen-key", "ada@example.test", "ed25519", "sign", "none")
    gpg("--quick-add-key", fingerprint_of(gpg), "cv25519", "encrypt", "none")
    gpg("--command-fd", "0", "--edit-key", fingerprint_of(gpg), dialogue="key 1\nrevkey\ny\n0\n\ny\nsave\n")

    with pytest.raises(UnusableCertificate) as revoked:
        encrypt_file(plain_file, tmp_path / "out", recipients=[gpg("--armor", "--export").decode()])
    assert revoked.value.reason == "no_encryption_key"
