"""The child process of `openpgp.py`: reads one request from a pipe, does it with pysequoia, prints one answer.

The file to work on is standard input, which may be a file or a pipe. What pysequoia says in sentences becomes a reason
here, a word that callers and tests can compare. Plaintext never leaves a core dump.
"""

import ctypes
import json
import os
import resource
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pysequoia import Cert, CipherSuite, Profile, Tsk
from pysequoia import decrypt_file as sequoia_decrypt
from pysequoia import encrypt_file as sequoia_encrypt
from pysequoia.packet import Packet, PacketPile, PublicKeyAlgorithm, SignatureType, Tag

_SOURCE = "/dev/stdin"
_CERTIFICATE_MEMORY_BYTES = 1 << 30
_MOST_USER_IDS = 200


class Refusal(Exception):
    """An expected failure: a reason and a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


def main() -> None:
    """Do the request that waits on the file descriptor named in the arguments."""
    with os.fdopen(int(sys.argv[1]), "rb") as pipe:
        request = json.load(pipe)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        pr_set_dumpable = 4
        ctypes.CDLL(None).prctl(pr_set_dumpable, 0)
    operations = {"encrypt": _encrypt, "decrypt": _decrypt, "inspect": _inspect, "generate": _generate}
    try:
        answer = operations[request["operation"]](request)
    except Refusal as refusal:
        answer = {"reason": refusal.reason, "message": refusal.message}
    sys.stdout.write(json.dumps(answer))


def _encrypt(request: dict[str, Any]) -> dict[str, Any]:
    only = request.get("subkeys")
    recipients = [_recipient(armored, only) for armored in request["recipients"]]
    if not recipients:
        raise Refusal("bad_certificate", "there is nobody to encrypt to")
    try:
        signer = Tsk.from_bytes(request["signer"].encode()).signer() if request.get("signer") else None
        sequoia_encrypt(_SOURCE, request["target"], recipients=recipients, signer=signer, armor=False)
    except RuntimeError as error:
        said = _said(error)
        if "No suitable encryption subkey" in said:
            raise _no_encryption_key(said.rsplit(" ", 1)[-1][:64]) from None
        raise
    return {}


def _recipient(armored: str, only: list[str] | None = None) -> Cert:
    """The certificate with only those subkeys that are valid now: pysequoia would encrypt to ended and revoked ones.

    With `only`, with those of them alone that are named there.
    """
    now = datetime.now(UTC)
    certificate = _public_certificate(armored)
    if certificate.is_revoked or (certificate.expiration is not None and certificate.expiration <= now):
        raise _no_encryption_key(certificate.fingerprint.upper())
    for primary, subkeys in _certificates(list(PacketPile.from_bytes(armored.encode()))):
        usable = [subkey for subkey in subkeys if _is_usable(subkey, now) and _is_named(subkey[0], only)]
        if only is not None and not usable:
            break
        return Cert.from_packets([*primary, *(packet for subkey in usable for packet in subkey)])
    raise _no_encryption_key(certificate.fingerprint.upper())


def _is_usable(subkey: list[Packet], now: datetime) -> bool:
    """Not revoked, and by its newest binding not ended. Whether the signatures are good is checked by pysequoia."""
    key, signatures = subkey[0], subkey[1:]
    if any(signature.signature_type == SignatureType.SubkeyRevocation for signature in signatures):
        return False
    bindings = [
        signature
        for signature in signatures
        if signature.signature_type == SignatureType.SubkeyBinding and signature.signature_created is not None
    ]
    newest = max(bindings, key=lambda binding: binding.signature_created or now, default=None)
    if newest is None or key.key_created is None:
        return False
    return newest.key_validity_period is None or key.key_created + newest.key_validity_period > now


def _is_named(key: Packet, only: list[str] | None) -> bool:
    return only is None or (key.fingerprint or "").upper() in only


def _no_encryption_key(fingerprint: str) -> Refusal:
    return Refusal(
        "no_encryption_key",
        f"the key {fingerprint} cannot be encrypted to: it has no encryption subkey, or it has expired or was revoked",
    )


def _decrypt(request: dict[str, Any]) -> dict[str, Any]:
    if request["max_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["max_bytes"], request["max_bytes"]))
    reasons = set()
    for key in _secret_keys(Path(request["secret_key"])):
        try:
            _decrypt_with(key, request["target"], request["passphrase"])
        except Refusal as refusal:
            if refusal.reason not in _NEXT_KEY_MAY_DO:
                raise
            reasons.add(refusal.reason)
        else:
            return {}
    raise next(Refusal(reason, message) for reason, message in _NEXT_KEY_MAY_DO.items() if reason in reasons)


# Reasons to try the next key, and what to say when there is none; the likeliest to help comes first.
_NEXT_KEY_MAY_DO = {
    "passphrase_needed": "the secret key is protected by a passphrase, and none was given",
    "wrong_passphrase": "the passphrase does not open the secret key",
    "no_key": "the file is not encrypted to this key, or to a subkey of it that has expired",
    "key_expired": "the secret key has no valid encryption subkey: if it has expired, extend it with"
    " `gpg --quick-set-expire FINGERPRINT 1y '*'` (and without the '*') and export it again",
}


def _decrypt_with(key: Tsk, target: str, passphrase: str | None) -> None:
    try:
        decryptor = key.decryptor(passphrase)
    except RuntimeError as error:
        said = _said(error)
        if "No suitable decryption subkey" in said:
            raise Refusal("key_expired", said) from None
        raise Refusal("passphrase_needed" if passphrase is None else "wrong_passphrase", said) from None
    try:
        sequoia_decrypt(_SOURCE, target, decryptor=decryptor)
    except OSError as error:
        if "large" in str(error) or error.errno is not None:
            raise Refusal("too_large", "the decrypted file is larger than it may be, or the disk is full") from None
        raise Refusal("damaged", "the encrypted file was cut short or changed") from None
    except RuntimeError as error:
        said = _said(error)
        if "No key to decrypt" in said:
            raise Refusal("no_key", said) from None
        if "EOF" in said or "Malformed" in said or "Unexpected" in said:
            raise Refusal("not_openpgp", "the file is not a complete encrypted OpenPGP message") from None
        raise Refusal("damaged", f"the encrypted file cannot be decrypted: {said[:100]}") from None


def _secret_keys(path: Path) -> Iterator[Tsk]:
    """Every encryption key of the file by itself, because pysequoia would use only the first of a certificate."""
    try:
        packets = list(PacketPile.from_bytes(path.read_bytes()))
    except OSError as error:
        raise Refusal("bad_secret_key", f"the secret key file {path} cannot be read: {error.strerror}") from None
    except RuntimeError:
        raise Refusal("bad_secret_key", "the secret key file is not an OpenPGP key") from None
    if not any(packet.tag in (Tag.SecretKey, Tag.SecretSubkey) for packet in packets):
        raise Refusal("bad_secret_key", "the file holds no secret key; export it with `gpg --export-secret-keys`")
    for primary, subkeys in _certificates(packets):
        for subkey in subkeys or [[]]:
            try:
                yield Tsk.from_packets([*primary, *subkey])
            except RuntimeError:
                continue


def _certificates(packets: list[Packet]) -> Iterator[tuple[list[Packet], list[list[Packet]]]]:
    """Primary key with its user ids, and each subkey with its signatures."""
    primary: list[Packet] = []
    subkeys: list[list[Packet]] = []
    for packet in packets:
        if packet.tag in (Tag.SecretKey, Tag.PublicKey):
            if primary:
                yield primary, subkeys
            primary, subkeys = [packet], []
        elif packet.tag in (Tag.SecretSubkey, Tag.PublicSubkey):
            subkeys.append([packet])
        else:
            (subkeys[-1] if subkeys else primary).append(packet)
    if primary:
        yield primary, subkeys


def _inspect(request: dict[str, Any]) -> dict[str, Any]:
    resource.setrlimit(resource.RLIMIT_AS, (_CERTIFICATE_MEMORY_BYTES, _CERTIFICATE_MEMORY_BYTES))
    armored = request["certificate"]
    certificate = _public_certificate(armored)
    user_ids = [str(user_id) for user_id in certificate.user_ids][:_MOST_USER_IDS]
    known = set(user_ids)
    emails = [
        packet.user_id_email
        for packet in PacketPile.from_bytes(armored.encode())
        if packet.tag == Tag.UserID and packet.user_id in known and packet.user_id_email
    ]
    return {
        "fingerprint": certificate.fingerprint.upper(),
        "user_ids": user_ids,
        "emails": list(dict.fromkeys(emails)),
        "expires_at": certificate.expiration.isoformat() if certificate.expiration else None,
        "is_revoked": certificate.is_revoked,
    }


def _generate(request: dict[str, Any]) -> dict[str, Any]:
    made = Tsk.generate(
        user_ids=[request["user_id"]], profile=Profile.RFC4880, cipher_suite=CipherSuite.Cv25519
    )  # fmt: skip
    ((primary, subkeys),) = _certificates(list(PacketPile.from_bytes(str(made).encode())))
    signing = [
        packet
        for subkey in subkeys
        if subkey[0].key_algorithm != PublicKeyAlgorithm.ECDH  # nobody is to encrypt to it
        for packet in subkey
    ]
    key = Tsk.from_packets([*primary, *signing])
    certificate = key.extract_certificate()
    return {"fingerprint": certificate.fingerprint.upper(), "certificate": str(certificate), "secret": str(key)}


def _public_certificate(armored: str) -> Cert:
    try:
        certificate = Cert.from_bytes(armored.encode())
    except (RuntimeError, UnicodeEncodeError):
        raise Refusal("bad_certificate", "this is not an OpenPGP public key") from None
    if certificate.has_secret_keys:
        raise Refusal("secret_key", "this is a secret key: it was not stored, and should be revoked now")
    return certificate


def _said(error: Exception) -> str:
    """The first line; after it comes a stack trace."""
    return str(error).strip().split("\n", 1)[0]


if __name__ == "__main__":
    main()
