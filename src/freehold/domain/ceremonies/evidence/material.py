"""Certificates and revocation lists that an administrator brings for enrolment, read in a confined process."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from freehold.domain.ceremonies.evidence.confined import Bounds, ask_worker
from freehold.kernel.errors import BadRequest

LONGEST_PEM = 64 << 10
LONGEST_CRL = 4 << 20
_WORKER = Path(__file__).with_name("material_worker.py")
_BOUNDS = Bounds(memory_bytes=512 << 20, cpu_s=10)


class MaterialRefused(BadRequest):
    """A certificate or list that is not enrolled; the code is a word, the message says why."""

    code = "material_refused"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code=code)


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate's facts; `fingerprint` is its SHA-256 in hexadecimal, `certificate` its PEM, written anew."""

    fingerprint: str
    certificate: str
    subject: str
    issuer: str
    emails: tuple[str, ...]
    expires_at: datetime


async def check_certificate(pem: str, *, use: Literal["person", "authority"], now: datetime) -> Certificate:
    """The certificate, if it can sign forms, or other certificates. Raises MaterialRefused."""
    answer = await _ask({"operation": "certificate", "pem": pem, "use": use, "now": now.timestamp()}, LONGEST_PEM)
    return Certificate(
        fingerprint=answer["fingerprint"],
        certificate=answer["certificate"],
        subject=answer["subject"],
        issuer=answer["issuer"],
        emails=tuple(answer["emails"]),
        expires_at=datetime.fromisoformat(answer["expires_at"]),
    )


async def check_crls(crls: Sequence[str], *, certificate: str, now: datetime) -> tuple[str, ...]:
    """The lists in PEM, if this authority signed each and they are in force. Raises MaterialRefused."""
    if not crls:
        return ()
    request = {"operation": "crls", "crls": [*crls], "certificate": certificate, "now": now.timestamp()}
    return tuple((await _ask(request, LONGEST_CRL))["crls"])


async def _ask(request: dict[str, Any], longest: int) -> dict[str, Any]:
    texts = [request.get("pem", ""), *request.get("crls", [])]
    if sum(map(len, texts)) > longest:
        raise MaterialRefused("too_long", "The file is too large.")
    if any("PRIVATE KEY" in text for text in texts):
        raise MaterialRefused(
            "private_key", "This holds a private key, which was not stored. Replace it, and send the certificate only."
        )
    answer = await ask_worker(_WORKER, request, bounds=_BOUNDS)
    if "refused" in answer:
        raise MaterialRefused(answer["refused"], answer["message"])
    return answer
