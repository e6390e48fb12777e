"""Checks an OpenPGP signature or a passkey's assertion over a form, in a confined process.

The request and the answer are JSON on standard input and output. A refusal is `{"refused": code, "message": sentence}`.
"""

import base64
import json
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from pysequoia import Cert, Sig, verify
from pysequoia.packet import HashAlgorithm, Packet, PacketPile, PublicKeyAlgorithm, SignatureType, Tag

BEGIN_TEXT = b"-----BEGIN PGP SIGNED MESSAGE-----"
BEGIN_SIGNATURE, END_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----", b"-----END PGP SIGNATURE-----"
GOOD_HASHES = (
    HashAlgorithm.SHA256, HashAlgorithm.SHA384, HashAlgorithm.SHA512, HashAlgorithm.SHA3_256, HashAlgorithm.SHA3_512,
)  # fmt: skip


MODERN = (PublicKeyAlgorithm.EdDSA, PublicKeyAlgorithm.Ed25519, PublicKeyAlgorithm.Ed448)


class Refusal(Exception):
    """A signature that is not taken: a code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def main() -> None:
    """Answer the request on standard input."""
    request = json.load(sys.stdin)
    upload, issued = base64.b64decode(request["upload"]), base64.b64decode(request["issued"])
    try:
        answer = (check_openpgp if request["kind"] == "openpgp" else check_passkey)(upload, issued, request)
    except Refusal as refusal:
        answer = {"refused": refusal.code, "message": refusal.message}
    json.dump(answer, sys.stdout)


def check_openpgp(upload: bytes, issued: bytes, request: dict[str, Any]) -> dict[str, Any]:
    """A clear-signed statement, or a signature in a file of its own over the form or the statement."""
    executive = request["executive"]
    if not executive["openpgp_key"]:
        raise Refusal("not_enrolled", "No OpenPGP key is enrolled for this executive.")
    now = datetime.fromtimestamp(request["now"], UTC)
    key = Cert.from_bytes(executive["openpgp_key"].encode())
    if key.is_revoked:
        raise Refusal("revoked", "The executive's key has been revoked.")
    if key.expiration is not None and key.expiration <= now:
        raise Refusal("key_expired", "The executive's key has expired.")
    text = upload.replace(b"\r\n", b"\n").strip()
    if text.startswith(BEGIN_TEXT):
        form = "clear-signed statement"
        packet = the_signature(signature_block(text))
        signer = signer_of_text(text, key, request["statement"])
    else:
        packet = the_signature(signature_block(text) if text.startswith(BEGIN_SIGNATURE) else binary(upload))
        form, signer = signer_of_file(packet, key, {"form": issued, "statement": request["statement"].encode()})
    check_packet(packet, now, request)
    check_key(executive["openpgp_key"], signer, request["policy"])
    return {
        "signer": executive["name"],
        "fingerprint": signer,
        "signed_at": packet.signature_created.timestamp() if packet.signature_created else None,
        "assurance": "substantial",
        "details": {"over": form, "key": str(key.fingerprint).upper(), "time": "signer's clock"},
    }


def signature_block(text: bytes) -> bytes:
    """The one armored signature, with nothing after it."""
    if text.count(BEGIN_SIGNATURE) != 1 or text.count(END_SIGNATURE) != 1 or not text.endswith(END_SIGNATURE):
        raise Refusal("several_signatures", "The file has to hold exactly one signature, and nothing after it.")
    return text[text.index(BEGIN_SIGNATURE) :]


def binary(upload: bytes) -> bytes:
    """A signature that is not armored: its first bit is set, so that it is no text either."""
    if not upload[0] & 0x80:
        raise Refusal("damaged", "This is not an OpenPGP signature, or something stands before it.")
    return upload


def the_signature(raw: bytes) -> Packet:
    """The one packet."""
    try:
        packets: list[Packet] = list(PacketPile.from_bytes(raw))
    except RuntimeError:
        raise Refusal("damaged", "This is not an OpenPGP signature, or it was damaged on its way.") from None
    if len(packets) != 1 or packets[0].tag != Tag.Signature:
        raise Refusal("several_signatures", "The file has to hold exactly one signature.")
    return packets[0]


def signer_of_text(text: bytes, key: Cert, statement: str) -> str:
    """The fingerprint of the key that signed, if the text is the statement."""
    try:
        result = verify(text + b"\n", lambda _ids: [key])
    except RuntimeError:
        raise bad_signature() from None
    said = (result.bytes or b"").replace(b"\r\n", b"\n").decode("utf-8", "replace")
    if said.strip("\n") != statement.strip("\n"):
        raise Refusal(
            "other_text", "Another text was signed than the statement for this form. Copy it without changes."
        )
    return the_signer(result.valid_sigs, key)


def signer_of_file(packet: Packet, key: Cert, documents: dict[str, bytes]) -> tuple[str, str]:
    """What was signed, and the fingerprint of the key that did."""
    signature = Sig.from_bytes(bytes(packet))
    for name, content in documents.items():
        try:
            result = verify(content, lambda _ids: [key], signature=signature)
        except RuntimeError:
            continue
        return f"detached, over the {name}", the_signer(result.valid_sigs, key)
    raise bad_signature()


def the_signer(signatures: list[Any], key: Cert) -> str:
    """The fingerprint of the one good signature's key, which has to be the enrolled one's."""
    if len(signatures) != 1 or signatures[0].certificate != str(key.fingerprint):
        raise bad_signature()
    return str(signatures[0].signing_key).upper()


def bad_signature() -> Refusal:
    """What to say of a signature that does not fit."""
    return Refusal(
        "bad_signature", "The signature is not the enrolled key's over this form, or form or signature was changed."
    )


def check_packet(packet: Packet, now: datetime, request: dict[str, Any]) -> None:
    """Refuse weak digests, signatures on something else than documents, and impossible times."""
    if packet.hash_algorithm not in GOOD_HASHES:
        raise Refusal("weak_digest", "The signature uses SHA-1 or another weak digest.")
    if packet.signature_type not in (SignatureType.Binary, SignatureType.Text):
        raise Refusal("damaged", "This is not a signature on a document.")
    made = packet.signature_created
    if made is None:
        raise Refusal("no_time", "The signature does not say when it was made.")
    skew = timedelta(seconds=request["policy"]["clock_skew_s"])
    if made > now + skew:
        raise Refusal(
            "signed_in_future", "The signature says that it was made in the future: check the signer's clock."
        )
    if request["not_before"] is not None and made < datetime.fromtimestamp(request["not_before"], UTC) - skew:
        raise Refusal("signed_too_early", "The signature says that it was made before the form was issued.")
    end = packet.signature_expiration_time
    if end is not None and end <= now:
        raise Refusal("signature_expired", "The signature is not valid any more.")


def check_key(armored: str, fingerprint: str, policy: dict[str, Any]) -> None:
    """Refuse a signature by a key of the executive that is weaker than a recipient's may be."""
    keys = [packet for packet in PacketPile.from_bytes(armored.encode()) if packet.fingerprint]
    key = next(packet for packet in keys if packet.fingerprint.upper() == fingerprint)
    if key.key_algorithm in (PublicKeyAlgorithm.RSAEncryptSign, PublicKeyAlgorithm.RSASign):
        number = key.body[6 if key.body[0] == 4 else 10 :]
        good = int.from_bytes(number[:2], "big") >= policy["minimum_rsa_bits"]
    else:
        good = policy["allow_modern_keys"] and key.key_algorithm in MODERN
    if not good:
        raise Refusal("weak_key", "The executive's signing key is not one that this server takes: RSA with 4096 bits.")


def check_passkey(upload: bytes, issued: bytes, request: dict[str, Any]) -> dict[str, Any]:
    """A passkey's assertion whose challenge is the SHA-256 of the form."""
    # Here, because the other kind of signature does not need it.
    from webauthn import base64url_to_bytes, verify_authentication_response
    from webauthn.helpers.exceptions import WebAuthnException

    executive, policy = request["executive"], request["policy"]
    if not executive["passkeys"]:
        raise Refusal("not_enrolled", "No passkey is enrolled for this executive.")
    try:
        response = json.loads(upload)
        credential_id = response["id"]
        passkey = next((one for one in executive["passkeys"] if one["credential_id"] == credential_id), None)
        if passkey is None:
            raise Refusal("other_passkey", "The form was signed with another passkey than the enrolled one.")
        verified = verify_authentication_response(
            credential=response,
            expected_challenge=sha256(issued).digest(),
            expected_rp_id=policy["rp_id"],
            expected_origin=policy["origins"],
            credential_public_key=base64url_to_bytes(passkey["public_key"]),
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError, AttributeError):
        raise Refusal("bad_signature", "The passkey did not sign this form, or not on this server's page.") from None
    return {
        "signer": executive["name"],
        "fingerprint": sha256(verified.credential_id).hexdigest(),
        "signed_at": None,
        "assurance": "substantial",
        "details": {"credential_id": credential_id, "user_verified": "yes"},
    }


if __name__ == "__main__":
    main()
