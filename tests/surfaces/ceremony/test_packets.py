"""The outside of an OpenPGP message, read back: what is missing, foreign or cut off is refused."""

import shutil
import threading
from pathlib import Path

import pytest
from pysequoia import CipherSuite, Profile, Tsk
from pysequoia import encrypt as sequoia_encrypt
from pysequoia.packet import PacketPile, Tag

from freehold.kernel.crypto.openpgp import UnusableCertificate, encrypting_to_pipe
from freehold.surfaces.ceremony.build.packets import BadMessage, Message, MessageReader, check_recipients
from tests.support.gnupg_homes import run_gpg

PLAIN = b"user_id,passwordHash\n" * 20_000


def encrypted(recipients: list[str], *, subkeys: list[str] | None = None, plain: bytes = PLAIN) -> bytes:
    found: list[bytes] = []
    with encrypting_to_pipe(recipients, subkeys=subkeys) as (inside, outside):

        def read() -> None:
            while piece := outside.read(1 << 16):
                found.append(piece)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            inside.write(plain)
            inside.close()
        finally:
            reader.join()
    return b"".join(found)


def read(message: bytes, *, step: int = 1 << 16) -> Message:
    reader = MessageReader()
    for at in range(0, len(message), step):
        reader.feed(message[at : at + step])
    return reader.finish()


def subkeys_of(armored: str) -> list[str]:
    packets = PacketPile.from_bytes(armored.encode())
    return [str(packet.fingerprint).upper() for packet in packets if packet.tag == Tag.PublicSubkey]


@pytest.fixture(scope="module")
def gpg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("g")
    home.chmod(0o700)
    return home


@pytest.fixture(scope="module")
def two_subkeys(gpg: Path) -> tuple[str, list[str]]:
    """A key with two encryption subkeys, and their fingerprints."""
    run_gpg(gpg, "--quick-generate-key", "Ada <ada@example.com>", "rsa2048", "cert", "1y")
    listed = run_gpg(gpg, "--with-colons", "--list-keys").decode().splitlines()
    primary = next(line.split(":")[9] for line in listed if line.startswith("fpr"))
    for _ in range(2):
        run_gpg(gpg, "--quick-add-key", primary, "rsa2048", "encr", "1y")
    armored = run_gpg(gpg, "--armor", "--export", primary).decode()
    return armored, subkeys_of(armored)


pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="GnuPG is not installed")


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
def test_a_message_names_its_recipients_however_it_is_cut(two_subkeys: tuple[str, list[str]], step: int) -> None:
    armored, subkeys = two_subkeys
    message = read(encrypted([armored], subkeys=subkeys), step=step)
    assert sorted(message.recipients) == sorted(fingerprint[-16:] for fingerprint in subkeys)
    assert message.version == 1
    check_recipients(message, subkeys)


def test_it_is_encrypted_to_the_named_subkeys_alone(two_subkeys: tuple[str, list[str]], gpg: Path) -> None:
    armored, subkeys = two_subkeys
    sealed = encrypted([armored], subkeys=[subkeys[1]])
    check_recipients(read(sealed), [subkeys[1]])
    for wrong in ([subkeys[0]], subkeys, [*subkeys, "0" * 40], []):
        with pytest.raises(BadMessage):
            check_recipients(read(sealed), wrong)
    assert run_gpg(gpg, "--decrypt", stdin=sealed) == PLAIN


def test_a_certificate_without_the_named_subkey_is_refused(two_subkeys: tuple[str, list[str]]) -> None:
    with pytest.raises(UnusableCertificate):
        encrypted([two_subkeys[0]], subkeys=["0" * 40])


def test_a_key_that_announces_it_gets_authenticated_encryption_with_aes_256() -> None:
    key = Tsk.generate(user_id="Ada", cipher_suite=CipherSuite.Cv25519, profile=Profile.RFC9580)
    armored = str(key.extract_certificate())
    message = read(encrypted([armored], subkeys=subkeys_of(armored)))
    assert (message.version, message.cipher) == (2, 9)
    check_recipients(message, [fingerprint for fingerprint in subkeys_of(armored) if fingerprint in message.recipients])


def test_a_message_that_is_cut_off_continued_or_of_another_kind_is_refused(two_subkeys: tuple[str, list[str]]) -> None:
    armored, subkeys = two_subkeys
    sealed = encrypted([armored], subkeys=subkeys)
    for wrong in (b"", sealed[:-1], sealed[:100], sealed + b"\xcb\x01b", sealed + sealed, PLAIN, b"\xff" + sealed):
        with pytest.raises(BadMessage):
            read(wrong)
    with pytest.raises(BadMessage):
        read(sequoia_encrypt(PLAIN, recipients=[], passwords=["secret"], armor=False))
