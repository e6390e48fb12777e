"""Reads a certificate or revocation lists in a confined process.

The request and the answer are JSON on standard input and output. A refusal is `{"refused": code, "message": sentence}`.
"""

import json
import sys
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding


class Refusal(Exception):
    """What is not enrolled: a code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def main() -> None:
    """Answer the request on standard input."""
    request = json.load(sys.stdin)
    try:
        answer = (check_certificate if request["operation"] == "certificate" else check_crls)(request)
    except Refusal as refusal:
        answer = {"refused": refusal.code, "message": refusal.message}
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension):
        answer = {"refused": "not_readable", "message": "This cannot be read: send one certificate, or lists, in PEM."}
    json.dump(answer, sys.stdout)


def check_certificate(request: dict[str, Any]) -> dict[str, Any]:
    """The facts of one certificate. Raises Refusal."""
    now = datetime.fromtimestamp(request["now"], UTC)
    found = x509.load_pem_x509_certificates(request["pem"].encode())
    if len(found) != 1:
        raise Refusal("several", "Send exactly one certificate.")
    certificate = found[0]
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise Refusal("expired", "The certificate is not valid now.")
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        strong = key.key_size >= 2048
    elif isinstance(key, ec.EllipticCurvePublicKey):
        strong = key.curve.key_size >= 256
    else:
        strong = isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
    if not strong:
        raise Refusal("weak_key", "The certificate's key is too short.")
    digest = certificate.signature_hash_algorithm
    if digest is not None and digest.name in ("md5", "sha1") and certificate.issuer != certificate.subject:
        raise Refusal("weak_digest", "The certificate is signed with SHA-1 or MD5.")
    check_use(certificate, request["use"])
    return {
        "fingerprint": certificate.fingerprint(hashes.SHA256()).hex(),
        "certificate": certificate.public_bytes(Encoding.PEM).decode(),
        "subject": certificate.subject.rfc4514_string()[:300],
        "issuer": certificate.issuer.rfc4514_string()[:300],
        "emails": emails_of(certificate),
        "expires_at": certificate.not_valid_after_utc.isoformat(),
    }


def check_use(certificate: x509.Certificate, use: str) -> None:
    """Refuse an authority's certificate for a person, and the other way round."""
    constraints = extension(certificate, x509.BasicConstraints)
    usage = extension(certificate, x509.KeyUsage)
    is_authority = constraints is not None and constraints.ca
    if use == "authority" and not (is_authority and (usage is None or usage.key_cert_sign)):
        raise Refusal("wrong_use", "This is not the certificate of an authority.")
    if use == "person" and (
        is_authority or (usage is not None and not (usage.digital_signature or usage.content_commitment))
    ):
        raise Refusal("wrong_use", "This is not a certificate with which a person signs.")


def emails_of(certificate: x509.Certificate) -> list[str]:
    """The e-mail addresses in a certificate."""
    names = extension(certificate, x509.SubjectAlternativeName)
    subject = certificate.subject.get_attributes_for_oid(x509.NameOID.EMAIL_ADDRESS)
    listed = names.get_values_for_type(x509.RFC822Name) if names is not None else []
    return list(dict.fromkeys([*listed, *(str(one.value) for one in subject)]))[:20]


def extension(certificate: x509.Certificate, kind: Any) -> Any:
    """An extension's value, or None."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def check_crls(request: dict[str, Any]) -> dict[str, Any]:
    """The lists, each signed by the authority and in force. Raises Refusal."""
    now = datetime.fromtimestamp(request["now"], UTC)
    authority = x509.load_pem_x509_certificate(request["certificate"].encode())
    found = [x509.load_pem_x509_crl(text.encode()) for text in request["crls"]]
    for listed in found:
        if listed.issuer != authority.subject or not signed_by(listed, authority):
            raise Refusal("other_authority", "A revocation list was not signed by this authority.")
        if listed.next_update_utc is None or not listed.last_update_utc <= now <= listed.next_update_utc:
            raise Refusal("expired", "A revocation list is not in force now.")
    return {"crls": [listed.public_bytes(Encoding.PEM).decode() for listed in found]}


def signed_by(listed: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    """Whether the authority signed the list."""
    try:
        return listed.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except (InvalidSignature, TypeError):
        return False


if __name__ == "__main__":
    main()
