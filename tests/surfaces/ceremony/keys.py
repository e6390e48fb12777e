"""OpenPGP keys for tests of the ceremony: made by GnuPG, which also decrypts."""

from dataclasses import dataclass
from pathlib import Path

from pysequoia.packet import PacketPile, Tag

from tests.support.gnupg_homes import run_gpg


@dataclass(frozen=True)
class Recipient:
    """A key in a GnuPG home of its own."""

    home: Path
    certificate: str
    subkeys: tuple[str, ...]

    def decrypt(self, message: Path, target: Path) -> None:
        run_gpg(self.home, "--output", str(target), "--decrypt", str(message))


def new_recipient(home: Path, user_id: str = "Ada <ada@example.com>", *, bits: int = 2048) -> Recipient:
    """An RSA key, by default short because tests have no time."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    run_gpg(home, "--quick-generate-key", user_id, f"rsa{bits}", "cert,sign", "1y")
    listed = run_gpg(home, "--with-colons", "--list-keys", user_id).decode().splitlines()
    primary = next(line.split(":")[9] for line in listed if line.startswith("fpr"))
    run_gpg(home, "--quick-add-key", primary, f"rsa{bits}", "encr", "1y")
    certificate = run_gpg(home, "--armor", "--export", primary).decode()
    return Recipient(home, certificate, tuple(subkeys_of(certificate)))


def subkeys_of(certificate: str) -> list[str]:
    packets = PacketPile.from_bytes(certificate.encode())
    return [str(packet.fingerprint).upper() for packet in packets if packet.tag == Tag.PublicSubkey]
