"""The key that an export is sealed to, made and used as docs/guides/pgp.md says: with GnuPG, in a home of its own.

Where GnuPG is not installed our own library takes its place, and `program` says so.
"""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from pysequoia import CipherSuite, Profile, Tsk, decrypt

from freehold.demo.steps import NotTrue

KEY = """\
Key-Type: RSA
Key-Length: 4096
Key-Usage: sign
Subkey-Type: RSA
Subkey-Length: 4096
Subkey-Usage: encrypt
Name-Real: {name}
Name-Email: {email}
Expire-Date: 60d
"""
PATIENCE_S = 300


class KeyHolder(Protocol):
    """Somebody with a key: its public half, and the way to open what is encrypted to it."""

    program: str
    fingerprint: str
    public_key: str

    def read(self, message: str) -> str:
        """The text in a message."""

    def open(self, source: Path, target: Path) -> None:
        """Decrypt a file."""


@contextmanager
def key_holder(name: str, email: str) -> Iterator[KeyHolder]:
    """A new key of this address, with GnuPG where there is one; it is gone afterwards."""
    if shutil.which("gpg") is None:
        yield Library(name, email)
        return
    # Its agent listens on a socket in its home, and the path of a socket is short.
    home = Path(tempfile.mkdtemp(prefix="g-"))
    try:
        yield GnuPG(home, name, email)
    finally:
        subprocess.run(  # noqa: S603 - nothing of it comes from outside
            ["gpgconf", "--homedir", str(home), "--kill", "all"],  # noqa: S607 - the system's
            capture_output=True, check=False,
        )  # fmt: skip
        shutil.rmtree(home, ignore_errors=True)


class GnuPG:
    """The real program, asked as a person asks it."""

    def __init__(self, home: Path, name: str, email: str) -> None:
        self._home = home
        self.program = self._run("--version").partition("\n")[0]
        passphrase, parameters = home / "passphrase.txt", home / "key.txt"
        passphrase.touch(0o600)
        passphrase.write_text(secrets.token_urlsafe(24))
        # In place of the window in which people type it.
        (home / "gpg.conf").write_text(f"pinentry-mode loopback\npassphrase-file {passphrase}\n")
        parameters.write_text(KEY.format(name=name, email=email))
        self._run("--generate-key", str(parameters))
        listed = self._run("--with-colons", "--list-keys", email)
        self.fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
        self.public_key = self._run("--armor", "--export-options", "export-minimal", "--export", self.fingerprint)

    def read(self, message: str) -> str:
        """The text in a message. Raises NotTrue."""
        return self._run("--quiet", "--decrypt", given=message).strip()

    def open(self, source: Path, target: Path) -> None:
        """Decrypt a file. Raises NotTrue."""
        self._run("--output", str(target), "--decrypt", str(source))

    def _run(self, *arguments: str, given: str = "") -> str:
        done = subprocess.run(  # noqa: S603 - arguments of ours
            ["gpg", "--batch", *arguments],  # noqa: S607 - the system's
            input=given, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
            env={**os.environ, "GNUPGHOME": str(self._home), "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        if done.returncode:
            raise NotTrue(f"gpg {' '.join(arguments[:2])}: {done.stderr.strip()[-1000:]}")
        return done.stdout


class Library:
    """Our own library in the place of GnuPG."""

    program = "NO gpg ON THIS MACHINE: Freehold's own library makes the key and opens the file"

    def __init__(self, name: str, email: str) -> None:
        self._key = Tsk.generate(
            user_id=f"{name} <{email}>", cipher_suite=CipherSuite.RSA4k, profile=Profile.RFC4880,
            validity_seconds=int(timedelta(days=60).total_seconds()),
        )  # fmt: skip
        certificate = self._key.extract_certificate()
        self.fingerprint = str(certificate.fingerprint).upper()
        self.public_key = str(certificate)

    def read(self, message: str) -> str:
        """The text in a message. Raises NotTrue."""
        return self._open(message.encode()).decode().strip()

    def open(self, source: Path, target: Path) -> None:
        """Decrypt a file. Raises NotTrue."""
        target.write_bytes(self._open(source.read_bytes()))

    def _open(self, message: bytes) -> bytes:
        opened = decrypt(message, decryptor=self._key.decryptor()).bytes
        if opened is None:
            raise NotTrue("the message is empty")
        return bytes(opened)
