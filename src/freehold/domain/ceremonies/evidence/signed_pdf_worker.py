"""Checks a signed PDF or a detached CMS signature in a confined process, with pyHanko.

The request and the answer are JSON on standard input and output. A refusal is `{"refused": code, "message": sentence}`.
"""

import asyncio
import base64
import json
import logging
import sys
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from typing import Any

from asn1crypto import cms, pem
from asn1crypto import crl as asn1_crl
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import DEFAULT_DIFF_POLICY, ModificationLevel, SuspiciousModification
from pyhanko.sign.general import CMSExtractionError
from pyhanko.sign.validation import (
    DocumentSecurityStore,
    EmbeddedPdfSignature,
    KeyUsageConstraints,
    SignatureCoverageLevel,
    async_validate_detached_cms,
    async_validate_pdf_signature,
)
from pyhanko.sign.validation.errors import NoDSSFoundError, SignatureValidationError
from pyhanko_certvalidator import ValidationContext

MOST_REVISIONS = 12
MOST_OBJECTS = 4_000
DEEPEST = 60
GOOD_DIGESTS = {"sha256", "sha384", "sha512", "sha3_256", "sha3_384", "sha3_512", "shake256"}
ACTIVE = {
    "/JS", "/JavaScript", "/XFA", "/Launch", "/SubmitForm", "/ImportData", "/ResetForm", "/GoToR", "/GoToE", "/AA",
    "/EmbeddedFile", "/EmbeddedFiles", "/EF", "/AF", "/RichMedia", "/Rendition", "/Movie", "/Sound", "/Hide",
    "/NeedsRendering", "/OCProperties",
}  # fmt: skip
# What a certificate may say that it is for: e-mail, documents (also in the words of Adobe and Microsoft), or anything.
USAGES = {"email_protection", "document_signing", "1.3.6.1.5.5.7.3.36", "adobe_authentic_documents_trust",
          "1.2.840.113583.1.1.5", "microsoft_document_signing", "1.3.6.1.4.1.311.10.3.12",
          "any_extended_key_usage"}  # fmt: skip
UNREADABLE = (
    PdfError, CMSExtractionError, SignatureValidationError, ValueError, KeyError, IndexError, TypeError, AssertionError,
    AttributeError, RecursionError, NotImplementedError, OverflowError,
)  # fmt: skip


class Refusal(Exception):
    """A signature that is not taken: a code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def main() -> None:
    """Answer the request on standard input."""
    logging.disable()
    request = json.load(sys.stdin)
    try:
        answer = asyncio.run(check(request))
    except Refusal as refusal:
        answer = {"refused": refusal.code, "message": refusal.message}
    json.dump(answer, sys.stdout)


async def check(request: dict[str, Any]) -> dict[str, Any]:
    """What there is to say about the signature. Raises Refusal."""
    upload, issued = base64.b64decode(request["upload"]), base64.b64decode(request["issued"])
    return await (check_pdf if request["kind"] == "pdf" else check_cms)(upload, issued, request)


async def check_pdf(upload: bytes, issued: bytes, request: dict[str, Any]) -> dict[str, Any]:
    """The signature in the PDF's one field."""
    try:
        reader = PdfFileReader(BytesIO(upload), strict=True)
        base = PdfFileReader(BytesIO(issued), strict=True).xrefs.total_revisions - 1
        check_structure(reader)
        signature = the_signature(reader, request["field"])
        check_coverage(signature, upload, issued)
        check_revisions(reader, signature, base)
        check_end(reader, signature, upload)
    except UNREADABLE:
        raise damaged() from None
    revoked = revocation_data(reader, request)
    check_digests(signature.signed_data, signature.signer_info)
    try:
        status = await async_validate_pdf_signature(
            signature,
            signer_validation_context=context(request, signature.signer_cert, revoked),
            ts_validation_context=context(request, None, revoked),
            key_usage_settings=key_usage(),
        )
    except UNREADABLE:
        raise damaged() from None
    if not (status.intact and status.valid):
        raise Refusal("changed", "The form was changed after it was signed, or the signature is not over this form.")
    if (
        not status.docmdp_ok
        or status.modification_level is None
        or status.modification_level > ModificationLevel.LTA_UPDATES
    ):
        raise Refusal("changed_after_signing", "Something was added to the form after it was signed.")
    answer = check_signer(status, signature.signer_cert, signature.other_embedded_certs, revoked, request)
    stamped = answer["details"].get("time") == "timestamp"
    answer["details"]["level"] = "B-LT" if stamped and reader.root.get("/DSS") else "B-T" if stamped else "B-B"
    return answer


async def check_cms(upload: bytes, issued: bytes, request: dict[str, Any]) -> dict[str, Any]:
    """A signature in a file beside the form."""
    try:
        raw = pem.unarmor(upload)[2] if pem.detect(upload) else upload
        message = cms.ContentInfo.load(raw, strict=True)
        if message["content_type"].native != "signed_data":
            raise damaged()
        signed_data = message["content"]
        if len(signed_data["signer_infos"]) != 1:
            raise Refusal("several_signatures", "The file has to hold exactly one signature.")
        if signed_data["encap_content_info"]["content"].native is not None:
            raise Refusal("not_detached", "The file holds a document too. Make a detached signature of the form.")
        signer_info = signed_data["signer_infos"][0]
        certificates = [choice.chosen for choice in signed_data["certificates"] if choice.name == "certificate"]
        signer = next((one for one in certificates if names(signer_info["sid"], one)), None)
        if signer is None:
            raise Refusal("no_certificate", "The signature does not carry its signer's certificate.")
    except UNREADABLE:
        raise damaged() from None
    check_digests(signed_data, signer_info)
    revoked = revocation_data(None, request)
    try:
        status = await async_validate_detached_cms(
            issued, signed_data, signer_validation_context=context(request, signer, revoked),
            ts_validation_context=context(request, None, revoked), key_usage_settings=key_usage(),
        )  # fmt: skip
    except UNREADABLE:
        raise damaged() from None
    if not (status.intact and status.valid):
        raise Refusal("changed", "The signature is not over the form that was issued.")
    others = [one for one in certificates if one is not signer]
    return check_signer(status, signer, others, revoked, request)


def names(identifier: cms.SignerIdentifier, certificate: asn1_x509.Certificate) -> bool:
    """Whether a signer's identifier means this certificate."""
    if identifier.name == "issuer_and_serial_number":
        chosen = identifier.chosen
        same_issuer: bool = chosen["issuer"] == certificate.issuer
        return same_issuer and int(chosen["serial_number"].native) == certificate.serial_number
    return bool(identifier.chosen.native == certificate.key_identifier)


def check_structure(reader: PdfFileReader) -> None:
    """Refuse a PDF that is encrypted, or whose additions do more than lie there."""
    if reader.encrypted:
        raise Refusal("encrypted", "The PDF is encrypted. Sign the form as it was issued, without a password.")
    revisions = reader.xrefs.total_revisions
    if revisions > MOST_REVISIONS:
        raise Refusal("too_many_revisions", "The PDF was saved too often. Download the form again and sign it once.")
    seen = 0
    for revision in range(revisions):
        for reference in reader.xrefs.explicit_refs_in_revision(revision):
            seen += 1
            if seen > MOST_OBJECTS:
                raise Refusal("too_complex", "The PDF holds more than a signed form does.")
            found = reader.get_object(reference, revision=revision, never_decrypt=True)
            for name in names_in(found, 0):
                if name in ACTIVE:
                    raise Refusal(
                        "active_content", f"The PDF holds active content ({name[1:]}), which a form never has."
                    )


def names_in(value: Any, depth: int) -> Iterator[str]:
    """Every name and key in an object, without following references: each object is looked at by itself."""
    if depth > DEEPEST:
        raise Refusal("too_complex", "The PDF holds more than a signed form does.")
    if isinstance(value, generic.NameObject):
        yield str(value)
    elif isinstance(value, generic.DictionaryObject):
        for key in value:
            yield str(key)
            yield from names_in(value.raw_get(key), depth + 1)
    elif isinstance(value, generic.ArrayObject):
        for index in range(len(value)):
            yield from names_in(value.raw_get(index), depth + 1)


def the_signature(reader: PdfFileReader, field: str) -> EmbeddedPdfSignature:
    """The one signature of a person; timestamps of the whole document may follow it."""
    found = list(reader.embedded_regular_signatures)
    if not found:
        raise Refusal("not_signed", "The form is not signed digitally. A typed name or a picture is not a signature.")
    if len(found) != 1:
        raise Refusal("several_signatures", "The form has to carry exactly one signature.")
    if found[0].field_name != field:
        raise Refusal(
            "other_field", "The signature is not in the form's own signature field. Click into that field to sign."
        )
    return found[0]


def check_coverage(signature: EmbeddedPdfSignature, upload: bytes, issued: bytes) -> None:
    """Refuse a signature that leaves out more than itself: what it leaves out, anybody can write."""
    parts = [int(part) for part in signature.byte_range]
    if len(parts) != 4:
        raise not_covered()
    start, first, second, rest = parts
    gap = upload[first:second]
    whole = (
        start == 0
        and len(issued) < first < second
        and second + rest <= len(upload)
        and gap[:1] == b"<"
        and gap[-1:] == b">"
        and all(byte in b"0123456789abcdefABCDEF" for byte in gap[1:-1])
        and bytes.fromhex(gap[1:-1].decode("ascii")) == bytes(signature.pkcs7_content)
    )
    if not whole or signature.evaluate_signature_coverage() < SignatureCoverageLevel.ENTIRE_REVISION:
        raise not_covered()


def not_covered() -> Refusal:
    """What to say of a signature that covers a part."""
    return Refusal("not_covered", "The signature does not cover the whole form.")


def check_revisions(reader: PdfFileReader, signature: EmbeddedPdfSignature, base: int) -> None:
    """Refuse any addition to the issued form other than the signature itself and what long-term archiving adds."""
    if "/Perms" in reader.root:
        raise Refusal("certified", "The form was certified, which changes it. Sign it without certifying it.")
    result = DEFAULT_DIFF_POLICY.review_file(reader, base)
    if isinstance(result, SuspiciousModification) or result.modification_level > ModificationLevel.FORM_FILLING:
        code = "changed_after_signing" if has_later_change(reader, signature) else "changed_before_signing"
        raise Refusal(code, "Besides the signature, something else was changed in the form.")
    if signature.signed_revision <= base:
        raise damaged()


def check_end(reader: PdfFileReader, signature: EmbeddedPdfSignature, upload: bytes) -> None:
    """Refuse bytes after the signature that belong to no revision: some programs would read them all the same."""
    is_last = signature.signed_revision == reader.xrefs.total_revisions - 1
    if is_last:
        whole = signature.evaluate_signature_coverage() == SignatureCoverageLevel.ENTIRE_FILE
    else:
        whole = upload.rstrip(b"\r\n").endswith(b"%%EOF")
    if not whole:
        raise Refusal("changed_after_signing", "Something was added to the form after it was signed.")


def has_later_change(reader: PdfFileReader, signature: EmbeddedPdfSignature) -> bool:
    """Whether the change came after the signature."""
    result = DEFAULT_DIFF_POLICY.review_file(reader, signature.signed_revision)
    return isinstance(result, SuspiciousModification) or result.modification_level > ModificationLevel.LTA_UPDATES


def check_digests(signed_data: cms.SignedData, signer_info: cms.SignerInfo) -> None:
    """Refuse SHA-1, MD5 and what nobody knows, in the signature itself."""
    try:
        digests = {signer_info["digest_algorithm"]["algorithm"].native}
        scheme = signer_info["signature_algorithm"]
        if scheme.signature_algo not in ("ed25519", "ed448"):
            digests.add(scheme.hash_algo)
    except ValueError:
        return  # A signature algorithm that does not name a digest uses the one above.
    finally:
        if not digests <= GOOD_DIGESTS:
            raise weak()


def weak() -> Refusal:
    """What to say of an old digest."""
    return Refusal("weak_digest", "The signature uses SHA-1 or another weak digest. Sign with SHA-256 or better.")


def damaged() -> Refusal:
    """What to say of a file that cannot be read as what it claims to be."""
    return Refusal("damaged", "The signature cannot be read: the file is damaged, or was made to deceive.")


def key_usage() -> KeyUsageConstraints:
    """For documents: either of the two bits for signatures."""
    return KeyUsageConstraints(key_usage={"digital_signature", "non_repudiation"}, match_all_key_usages=False)


class Revocation:
    """Lists and answers about revoked certificates: the tenant's own, and those in the PDF."""

    def __init__(self) -> None:
        self.configured: list[bytes] = []
        self.crls: list[bytes] = []
        self.ocsps: list[bytes] = []


def revocation_data(reader: PdfFileReader | None, request: dict[str, Any]) -> Revocation:
    """What there is; nothing is fetched."""
    found = Revocation()
    for anchor in request["anchors"]:
        found.configured += [pem.unarmor(text.encode())[2] for text in anchor["crls"]]
    if reader is not None:
        try:
            store = DocumentSecurityStore.read_dss(reader)
            found.crls = [reference.get_object().data for reference in store.crls]
            found.ocsps = [reference.get_object().data for reference in store.ocsps]
        except NoDSSFoundError:
            pass
        except UNREADABLE:
            raise damaged() from None
    return found


def context(request: dict[str, Any], signer: asn1_x509.Certificate | None, revoked: Revocation) -> ValidationContext:
    """What a path is built with: the tenant's authorities, or the enrolled certificate itself. Nothing is fetched."""
    roots = [
        asn1_x509.Certificate.load(pem.unarmor(anchor["certificate"].encode())[2]) for anchor in request["anchors"]
    ]
    if signer is not None and request["executive"]["certificates"]:
        roots = [signer] if is_enrolled(signer, request) else []
    return ValidationContext(
        trust_roots=roots,
        allow_fetching=False,
        moment=datetime.fromtimestamp(request["now"], UTC),
        crls=[asn1_crl.CertificateList.load(raw) for raw in (*revoked.configured, *revoked.crls)],
        ocsps=revoked.ocsps,
        revocation_mode="soft-fail",
        weak_hash_algos={"md2", "md5", "sha1"},
    )


def is_enrolled(signer: asn1_x509.Certificate, request: dict[str, Any]) -> bool:
    """Whether the certificate is one of those that were enrolled for the executive."""
    enrolled = {fingerprint.replace(":", "").lower() for fingerprint in request["executive"]["certificates"]}
    return sha256(signer.dump()).hexdigest() in enrolled


def check_signer(
    status: Any,
    signer: asn1_x509.Certificate,
    others: list[asn1_x509.Certificate],
    revoked: Revocation,
    request: dict[str, Any],
) -> dict[str, Any]:
    """Whose signature it is, by a certificate that was good when it was made and still is. Raises Refusal."""
    now = datetime.fromtimestamp(request["now"], UTC)
    certificate = x509.load_der_x509_certificate(signer.dump())
    signed_at, stamped = moment_of(status)
    check_moment(signed_at, now, request)
    for moment in (now, signed_at):
        if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
            raise Refusal("certificate_expired", "The certificate was not valid when it signed, or is not valid now.")
    if request["policy"]["require_timestamp"] and not stamped:
        raise Refusal(
            "no_timestamp", "The signature has no timestamp of a trusted authority, which the policy asks for."
        )
    if request["executive"]["certificates"] and not is_enrolled(signer, request):
        raise Refusal("other_certificate", "The form was signed with another certificate than the enrolled one.")
    check_key(certificate)
    check_usage(signer)
    path = [x509.load_der_x509_certificate(one.dump()) for one in status.validation_path or () if hasattr(one, "dump")]
    checked = check_revocation([certificate, *path], others, revoked, request, now)
    if status.revoked:
        raise Refusal("revoked", "The certificate has been revoked.")
    if not status.trusted:
        raise Refusal(
            "untrusted",
            "The certificate does not lead to an authority that this tenant trusts, or one on the way is not good.",
        )
    check_name(signer, request["executive"])
    return {
        "signer": str(signer.subject.native.get("common_name") or request["executive"]["name"]),
        "fingerprint": sha256(signer.dump()).hexdigest(),
        "signed_at": signed_at.timestamp(),
        "assurance": "high" if stamped and checked else "substantial",
        "details": {
            "issuer": signer.issuer.human_friendly[:300],
            "serial": f"{signer.serial_number:x}",
            "trust": "enrolled certificate" if request["executive"]["certificates"] else "authority",
            "time": "timestamp" if stamped else "signer's clock",
            "revocation": "checked" if checked else "not known",
        },
    }


def moment_of(status: Any) -> tuple[datetime, bool]:
    """When it was signed, and whether somebody else says so."""
    stamp = status.timestamp_validity
    if stamp is not None:
        if not (stamp.intact and stamp.valid):
            raise Refusal("bad_timestamp", "The timestamp in the signature is damaged.")
        if stamp.trusted:
            return stamp.timestamp, True
    if status.signer_reported_dt is None:
        raise Refusal("no_time", "The signature does not say when it was made.")
    reported: datetime = status.signer_reported_dt
    return (reported if reported.tzinfo else reported.replace(tzinfo=UTC)), False


def check_moment(signed_at: datetime, now: datetime, request: dict[str, Any]) -> None:
    """Refuse a signature of tomorrow, and one that is older than the form."""
    skew = timedelta(seconds=request["policy"]["clock_skew_s"])
    if signed_at > now + skew:
        raise Refusal(
            "signed_in_future", "The signature says that it was made in the future: check the signer's clock."
        )
    if request["not_before"] is not None and signed_at < datetime.fromtimestamp(request["not_before"], UTC) - skew:
        raise Refusal("signed_too_early", "The signature says that it was made before the form was issued.")


def check_key(certificate: x509.Certificate) -> None:
    """Refuse short and unusual keys."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        good = key.key_size >= 2048
    elif isinstance(key, ec.EllipticCurvePublicKey):
        good = key.curve.key_size >= 256
    else:
        good = isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
    if not good:
        raise Refusal("weak_key", "The certificate's key is too short.")


def check_usage(signer: asn1_x509.Certificate) -> None:
    """Refuse a certificate that is for something else."""
    if signer.ca:
        raise Refusal("wrong_usage", "This is the certificate of an authority, not of a person.")
    usage = signer.key_usage_value
    if usage is not None and not {"digital_signature", "non_repudiation"} & usage.native:
        raise Refusal("wrong_usage", "The certificate is not for signatures.")
    extended = signer.extended_key_usage_value
    if extended is not None and not USAGES & {item if isinstance(item, str) else str(item) for item in extended.native}:
        raise Refusal("wrong_usage", "The certificate is for something else than signing documents or mail.")


def check_revocation(
    path: list[x509.Certificate],
    others: list[asn1_x509.Certificate],
    revoked: Revocation,
    request: dict[str, Any],
    now: datetime,
) -> bool:
    """Whether each certificate has a fresh list that does not name it. Raises Refusal for one that is named."""
    anchors = [x509.load_pem_x509_certificate(anchor["certificate"].encode()) for anchor in request["anchors"]]
    authorities = [*anchors, *path, *(x509.load_der_x509_certificate(one.dump()) for one in others)]
    unknown = False
    for certificate in {one.public_bytes(Encoding.DER): one for one in path}.values():
        if certificate.issuer == certificate.subject:
            continue
        configured, embedded = (
            list(signed_lists(lists, certificate, authorities)) for lists in (revoked.configured, revoked.crls)
        )
        fresh = False
        for listed in (*configured, *embedded):
            entry = listed.get_revoked_certificate_by_serial_number(certificate.serial_number)
            if entry is not None and entry.revocation_date_utc <= now:
                raise Refusal("revoked", "The certificate has been revoked.")
            fresh = fresh or (
                listed.last_update_utc <= now and listed.next_update_utc is not None and now <= listed.next_update_utc
            )
        if configured and not fresh:
            raise Refusal(
                "revocation_unknown",
                "The authority's revocation list is out of date. An administrator has to renew it.",
            )
        unknown = unknown or not fresh
    if unknown and request["policy"]["require_revocation"]:
        raise Refusal(
            "revocation_unknown", "It is not known whether the certificate was revoked; the policy asks for it."
        )
    return not unknown


def signed_lists(
    lists: list[bytes], certificate: x509.Certificate, authorities: list[x509.Certificate]
) -> Iterator[x509.CertificateRevocationList]:
    """The lists that the certificate's issuer signed."""
    for raw in lists:
        try:
            listed = x509.load_der_x509_crl(raw)
            issuers = [one for one in authorities if one.subject == certificate.issuer == listed.issuer]
            if any(signed_by(listed, issuer) for issuer in issuers):
                yield listed
        except (ValueError, UnsupportedAlgorithm):
            continue


def signed_by(listed: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """Whether an authority signed the list."""
    try:
        return listed.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (InvalidSignature, TypeError):
        return False


def check_name(signer: asn1_x509.Certificate, executive: dict[str, Any]) -> None:
    """Refuse another person's certificate: its e-mail decides, and only where it has none, the name."""
    emails = set(signer.subject_alt_name_value.native or ()) if signer.subject_alt_name_value else set()
    emails = {plain(item) for item in emails if isinstance(item, str) and "@" in item}
    address = signer.subject.native.get("email_address")
    emails |= {plain(item) for item in (address if isinstance(address, list) else [address]) if item}
    if emails:
        if plain(executive["email"]) not in emails:
            raise Refusal("other_person", "The certificate's e-mail is not the executive's.")
        return
    if plain(str(signer.subject.native.get("common_name") or "")) != plain(executive["name"]):
        raise Refusal("other_person", "The certificate's name is not the executive's.")


def plain(text: str) -> str:
    """A name or address for comparing."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


if __name__ == "__main__":
    main()
