"""OpenPGP (RFC 4880, RFC 9580) for files: encrypt to recipients, decrypt with a secret key, read a certificate.

pysequoia does the work in a child process (`openpgp_worker.py`): it holds the GIL for as long as it runs, and what it
parses comes from strangers. The child makes no core dumps and has limits of its own; a passphrase reaches it through
a pipe.

A result appears under its name only when it is complete and its integrity was proven; a message that is cut short or
changed leaves nothing behind. These functions block: in a server call them in a thread.
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from freehold.kernel.errors import BadRequest, Unavailable

LONGEST_CERTIFICATE = 1 << 20
_CERTIFICATE_TIMEOUT_S = 20
_WORKER = Path(__file__).with_name("openpgp_worker.py")
_ARMOR = b"-----BEGIN PGP MESSAGE-----"
# What an encrypted message begins with, by packet type, and the versions there are (RFC 9580 section 5): a session key
# for a public key or for a passphrase, or the encrypted data itself.
_MESSAGE_VERSIONS = {1: b"\x03\x06", 3: b"\x04\x05\x06", 18: b"\x01\x02", 20: b"\x01"}


class OpenPGPError(BadRequest):
    """A file or a key cannot be used; `reason` is a word, the message says what to do."""

    code = "openpgp_error"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class NotOpenPGP(OpenPGPError):
    """The file is not an encrypted OpenPGP message."""


class CannotDecrypt(OpenPGPError):
    """Another key, a wrong passphrase, or a message that was cut short or changed."""


class UnusableCertificate(OpenPGPError):
    """A recipient's certificate cannot be read or has no subkey to encrypt to."""


class OpenPGPUnavailable(Unavailable):
    """The child process did not answer."""

    code = "openpgp_unavailable"


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What there is to know about a certificate; the fingerprint is the full one, in upper-case hexadecimal."""

    fingerprint: str
    user_ids: tuple[str, ...]
    emails: tuple[str, ...]
    expires_at: datetime | None
    is_revoked: bool


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """A key that signs and does nothing else; certificate and secret key are armored."""

    fingerprint: str
    certificate: str
    secret: str = field(repr=False)


def is_pgp_message(head: bytes) -> bool:
    """Whether a file that begins with these bytes (64 are enough) is an encrypted message, armored or binary."""
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_ARMOR):
        return True
    if len(head) < 8 or not head[0] & 0x80:
        return False
    if head[0] & 0x40:  # RFC 9580 section 4.2.1: lengths of one byte, two, or five
        tag = head[0] & 0x3F
        length_bytes = 5 if head[1] == 255 else 2 if 192 <= head[1] < 224 else 1
    else:  # section 4.2.2, what gpg still writes
        tag = head[0] >> 2 & 0x0F
        length_bytes = (1, 2, 4, 0)[head[0] & 3]
    return head[1 + length_bytes] in _MESSAGE_VERSIONS.get(tag, b"")


def encrypt_file(src: Path, dst: Path, recipients: Sequence[str], *, signer: str | None = None) -> None:
    """Encrypt a file to every one of the armored certificates. Raises UnusableCertificate.

    The output is binary, AES-256 with integrity protection, not compressed again, without the file's name. With
    `signer`, an armored secret key, it is signed inside.
    """
    with src.open("rb") as source, _result(dst) as draft:
        request = {"operation": "encrypt", "target": str(draft), "recipients": [*recipients], "signer": signer}
        _run(request, stdin=source)


@contextmanager
def encrypting(dst: Path, recipients: Sequence[str]) -> Iterator[IO[bytes]]:
    """A stream whose content ends up encrypted in `dst`, and never on disk in the clear. Raises UnusableCertificate.

    When the body raises, nothing is left behind.
    """
    with _result(dst) as draft:
        request = {"operation": "encrypt", "target": str(draft), "recipients": [*recipients]}
        worker = _start(request, stdin=subprocess.PIPE)
        assert worker.stdin is not None
        try:
            try:
                yield worker.stdin
                worker.stdin.close()
            except BrokenPipeError:
                pass  # the worker gave up early, and its answer says why
            _answer(worker)
        finally:
            _stop(worker)


@contextmanager
def encrypting_to_pipe(
    recipients: Sequence[str], *, subkeys: Sequence[str] | None = None, signer: str | None = None
) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Where plaintext goes in and where ciphertext comes out; nothing is on disk. Raises UnusableCertificate.

    Somebody else must read while the body writes, and the body closes what it writes to, or the reader waits for
    ever. With `subkeys`, fingerprints in hexadecimal, it is encrypted to those alone; with `signer`, an armored secret
    key, it is signed inside.
    """
    reading, writing = os.pipe()
    request = {
        "operation": "encrypt",
        "target": f"/dev/fd/{writing}",
        "recipients": [*recipients],
        "subkeys": None if subkeys is None else [fingerprint.upper() for fingerprint in subkeys],
        "signer": signer,
    }
    try:
        worker = _start(request, stdin=subprocess.PIPE, pass_fds=(writing,))
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)  # the worker has its own, so that its end is the end of the ciphertext
    assert worker.stdin is not None
    with os.fdopen(reading, "rb", buffering=0) as ciphertext:
        try:
            try:
                yield worker.stdin, ciphertext
                if not worker.stdin.closed:
                    worker.stdin.close()
            except BrokenPipeError:
                pass  # the worker gave up early, and its answer says why
            _answer(worker)
        finally:
            _stop(worker)


def decrypt_file(
    src: Path, dst: Path, secret_key_path: Path, passphrase: str | None = None, *, max_bytes: int | None = None
) -> None:
    """Decrypt a file, armored or binary, with any of the keys in an exported secret key file.

    `max_bytes` bounds what may come out: a message can be compressed. Raises NotOpenPGP, CannotDecrypt.
    """
    with src.open("rb") as source, _result(dst) as draft:
        _run(
            {
                "operation": "decrypt",
                "target": str(draft),
                "secret_key": str(secret_key_path),
                "passphrase": passphrase,
                "max_bytes": max_bytes,
            },
            stdin=source,
        )


def read_certificate(armored: str) -> Certificate:
    """The facts of one armored public key. Raises UnusableCertificate, also when it is a secret key."""
    if len(armored) > LONGEST_CERTIFICATE:
        raise UnusableCertificate("bad_certificate", "the certificate is too large")
    answer = _run({"operation": "inspect", "certificate": armored}, timeout_s=_CERTIFICATE_TIMEOUT_S)
    return Certificate(
        fingerprint=answer["fingerprint"],
        user_ids=tuple(answer["user_ids"]),
        emails=tuple(answer["emails"]),
        expires_at=datetime.fromisoformat(answer["expires_at"]) if answer["expires_at"] else None,
        is_revoked=answer["is_revoked"],
    )


def new_signing_key(user_id: str) -> SigningKey:
    """A new key of version 4 on Ed25519, which every current program reads; it does not expire."""
    return SigningKey(**_run({"operation": "generate", "user_id": user_id}, timeout_s=_CERTIFICATE_TIMEOUT_S))


@contextmanager
def _result(dst: Path) -> Iterator[Path]:
    """A private file to write to, which becomes `dst` if all goes well."""
    draft = dst.with_name(f".{dst.name}.{secrets.token_hex(8)}")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(dst)
    finally:
        draft.unlink(missing_ok=True)


def _run(
    request: dict[str, Any], *, stdin: int | IO[bytes] = subprocess.DEVNULL, timeout_s: float | None = None
) -> dict[str, Any]:
    worker = _start(request, stdin=stdin)
    try:
        return _answer(worker, timeout_s=timeout_s)
    finally:
        _stop(worker)


def _start(
    request: dict[str, Any], *, stdin: int | IO[bytes], pass_fds: tuple[int, ...] = ()
) -> "subprocess.Popen[bytes]":
    """The worker with its request on a pipe of its own: neither arguments nor environment show a passphrase."""
    reading, writing = os.pipe()
    try:
        # By its path, because the child needs nothing of this package; -P, because what lies beside the file or in the
        # current folder is not to be imported by accident. Nothing in the arguments comes from a user.
        worker = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", str(_WORKER), str(reading)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(reading, *pass_fds),
        )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    with suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe:  # a worker that is gone is reported by `_answer`
        pipe.write(json.dumps(request).encode())
    return worker


def _answer(worker: "subprocess.Popen[bytes]", *, timeout_s: float | None = None) -> dict[str, Any]:
    assert worker.stdout is not None
    try:
        worker.wait(timeout_s)  # an answer is smaller than a pipe's buffer, so waiting first cannot block it
    except subprocess.TimeoutExpired:
        raise OpenPGPUnavailable("OpenPGP took too long") from None
    try:
        answer: dict[str, Any] = json.loads(worker.stdout.read())
    except ValueError:
        raise OpenPGPUnavailable(f"OpenPGP stopped with status {worker.returncode}") from None
    if "reason" in answer:
        raise _ERRORS.get(answer["reason"], OpenPGPError)(answer["reason"], answer["message"])
    return answer


def _stop(worker: "subprocess.Popen[bytes]") -> None:
    """Leave no child behind, whatever happened."""
    if worker.poll() is None:
        worker.kill()
    for stream in (worker.stdin, worker.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()
    worker.wait()


_ERRORS: dict[str, type[OpenPGPError]] = {
    "not_openpgp": NotOpenPGP,
    "no_key": CannotDecrypt,
    "bad_secret_key": CannotDecrypt,
    "key_expired": CannotDecrypt,
    "passphrase_needed": CannotDecrypt,
    "wrong_passphrase": CannotDecrypt,
    "damaged": CannotDecrypt,
    "too_large": CannotDecrypt,
    "bad_certificate": UnusableCertificate,
    "secret_key": UnusableCertificate,
    "no_encryption_key": UnusableCertificate,
}
