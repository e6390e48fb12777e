"""Whether an uploaded form was signed by the executive it was made for, unchanged.

The issued bytes decide: a signed PDF has to begin with exactly these, and other kinds of signature are checked over
them. So there is nothing to interpret in what somebody else drew. Everything that a signature is compared with is
passed in, and the same arguments give the same answer years later.
"""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import msgspec

from freehold.domain.ceremonies.evidence.confined import Bounds, ask_worker
from freehold.domain.ceremonies.evidence.form import SIGNATURE_FIELD, statement
from freehold.domain.ceremonies.evidence.signatories import (
    Executive,
    FormSignature,
    SignatureKind,
    SignaturePolicy,
    TrustAnchor,
)
from freehold.kernel.errors import BadRequest

LONGEST_UPLOAD = 10 << 20
LONGEST_TEXT = 64 << 10
_X509_WORKER = Path(__file__).with_name("signed_pdf_worker.py")
_TEXT_WORKER = Path(__file__).with_name("signed_text_worker.py")
_BOUNDS = Bounds(memory_bytes=1 << 30, cpu_s=8)
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\x00", b"MM\x00*", b"BM")


class FormRefused(BadRequest):
    """An upload that does not count as a signature; the code is a word, the message says what to do."""

    code = "form_refused"
    subject = "form"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code=code)


async def verify_signed_form(
    upload: bytes,
    *,
    kind: SignatureKind,
    issued: bytes,
    digest: bytes,
    executive: Executive,
    anchors: Sequence[TrustAnchor],
    now: datetime,
    policy: SignaturePolicy = SignaturePolicy(),  # noqa: B008
    not_before: datetime | None = None,
    verifier: str = "",
    kinds: Sequence[str] = (),
) -> FormSignature:
    """The signature, if it is the executive's over exactly the issued form. Raises FormRefused.

    `digest` is the request's. `not_before` is when the form was issued: nobody signed it earlier. `verifier` names the
    administrator who looked at a scan, which only an explicit policy accepts; `kinds` are the request's.
    """
    if kind not in get_args(SignatureKind):
        raise FormRefused("unknown_kind", "This is not one of the ways in which a form can be signed.")
    if not upload:
        raise FormRefused("empty", "The file is empty.")
    if len(upload) > (LONGEST_UPLOAD if kind in ("pdf", "scan") else LONGEST_TEXT):
        raise FormRefused("too_large", "The file is larger than a signed form can be.")
    if kind == "scan":
        if "private_keys" in kinds and not policy.allow_scan_for_private_keys:
            raise FormRefused("scan_not_allowed", "A scanned signature is not accepted for private keys.")
        return _scan(upload, issued=issued, executive=executive, now=now, policy=policy, verifier=verifier)
    request: dict[str, Any] = {
        "kind": kind,
        "upload": base64.b64encode(upload).decode(),
        "issued": base64.b64encode(issued).decode(),
        "executive": msgspec.to_builtins(executive),
        "policy": msgspec.to_builtins(policy),
        "now": now.timestamp(),
        "not_before": not_before.timestamp() if not_before else None,
    }
    if kind in ("pdf", "cms"):
        if kind == "pdf":
            _check_pdf(upload, issued)
        request |= {"anchors": msgspec.to_builtins([*anchors]), "field": SIGNATURE_FIELD}
        answer = await ask_worker(_X509_WORKER, request, bounds=_BOUNDS)
    else:
        request["statement"] = statement(issued, digest)
        answer = await ask_worker(_TEXT_WORKER, request, bounds=_BOUNDS)
    if "refused" in answer:
        raise FormRefused(answer["refused"], answer["message"])
    signed_at = answer["signed_at"]
    return FormSignature(
        kind=kind,
        signer=answer["signer"],
        fingerprint=answer["fingerprint"],
        signed_at=datetime.fromtimestamp(signed_at, UTC) if signed_at is not None else None,
        assurance=answer["assurance"],
        details=answer["details"] | {"form_sha256": sha256(issued).hexdigest(), "request": digest.hex()},
    )


def _check_pdf(upload: bytes, issued: bytes) -> None:
    """What can be said of a PDF before anybody reads it."""
    if upload.startswith(_PICTURES):
        raise FormRefused("picture", "This is a picture. Sign the PDF itself, digitally.")
    if not upload.startswith(b"%PDF-"):
        raise FormRefused("not_pdf", "This is not a PDF. Sign the form that was issued, and upload the signed PDF.")
    if upload.rstrip(b"\r\n\0 ") == issued.rstrip(b"\r\n\0 "):
        raise FormRefused("not_signed", "The form is not signed: its signature field is empty.")
    if not upload.startswith(issued):
        raise FormRefused(
            "not_the_issued_form",
            "This is not the form that was issued, or a program wrote it anew instead of adding a signature. Download "
            "the form again and sign it, without printing, filling in or saving it otherwise.",
        )


def _scan(
    upload: bytes, *, issued: bytes, executive: Executive, now: datetime, policy: SignaturePolicy, verifier: str
) -> FormSignature:
    """A scan proves nothing by itself: a named person says whose signature it shows. It is not read here."""
    if not policy.allow_scan:
        raise FormRefused("scan_not_allowed", "A scanned signature is not accepted. Sign the form digitally.")
    if not verifier.strip():
        raise FormRefused(
            "no_verifier", "A scan needs a named administrator who compared the signature with the person."
        )
    if upload == issued:
        raise FormRefused("not_signed", "The form is not signed: this is the form as it was issued.")
    if not upload.startswith((b"%PDF-", b"\x89PNG", b"\xff\xd8\xff")):
        raise FormRefused("not_a_scan", "A scan has to be a PDF, PNG or JPEG file.")
    return FormSignature(
        kind="scan",
        signer=executive.name,
        fingerprint=sha256(upload).hexdigest(),
        signed_at=now,
        assurance="low",
        details={"verified_by": verifier.strip()[:200]},
    )
