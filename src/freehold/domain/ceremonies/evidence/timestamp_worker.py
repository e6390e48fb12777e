"""Writes questions to a time stamp authority and reads its answers (RFC 3161), in a confined process, with pyHanko.

The request and the answer are JSON on standard input and output. A refusal is `{"refused": sentence}`.
"""

import asyncio
import base64
import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from asn1crypto import algos, cms, pem, tsp, x509

DIGEST = "sha256"
GRANTED = {"granted", "granted_with_mods"}


class Refusal(Exception):
    """A time stamp that is none; the message says why."""


def main() -> None:
    """Answer the request on standard input."""
    logging.disable()
    request = json.load(sys.stdin)
    try:
        if request["operation"] == "ask":
            answer = {"question": base64.b64encode(question(request)).decode()}
        else:
            answer = asyncio.run(check(request))
    except Refusal as refusal:
        answer = {"refused": str(refusal)}
    json.dump(answer, sys.stdout)


def imprint_of(request: dict[str, Any]) -> tsp.MessageImprint:
    """What is stamped: the digest of the content."""
    return tsp.MessageImprint(
        {
            "hash_algorithm": algos.DigestAlgorithm({"algorithm": DIGEST}),
            "hashed_message": bytes.fromhex(request["sha256"]),
        }
    )


def question(request: dict[str, Any]) -> bytes:
    """RFC 3161 section 2.4.1, with a nonce, and asking for the authority's certificate."""
    asked = tsp.TimeStampReq(
        {
            "version": "v1",
            "message_imprint": imprint_of(request),
            "nonce": int(request["nonce"]),
            "cert_req": True,
        }
    )
    return bytes(asked.dump())


async def check(request: dict[str, Any]) -> dict[str, Any]:
    """The token, in the answer to a question or by itself: when, and by whom. Raises Refusal."""
    raw = base64.b64decode(request["data"])
    try:
        token = token_in(raw) if request["is_answer"] else cms.ContentInfo.load(raw, strict=True)
        if token["content_type"].native != "signed_data":
            raise Refusal("it is no signed data")
        signed = token["content"]
        said = signed["encap_content_info"]["content"].parsed
        if not isinstance(said, tsp.TSTInfo):
            raise Refusal("it holds no time")
        if said["message_imprint"].dump() != imprint_of(request).dump():
            raise Refusal("it is of something else")
        if request["nonce"] is not None and said["nonce"].native != int(request["nonce"]):
            raise Refusal("it answers another question")
        at = said["gen_time"].native.astimezone(UTC)
        signer = await signer_of(signed, said, request)
    except Refusal:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, OverflowError):
        raise Refusal("it cannot be read") from None
    return {
        "token": base64.b64encode(token.dump()).decode(),
        "at": at.isoformat(),
        "authority": signer.subject.human_friendly[:300],
        "serial": format(said["serial_number"].native, "x"),
    }


def token_in(raw: bytes) -> cms.ContentInfo:
    """The token in an authority's answer (section 2.4.2)."""
    answer = tsp.TimeStampResp.load(raw, strict=True)
    if answer["status"]["status"].native not in GRANTED:
        raise Refusal(f"the authority said {answer['status']['status'].native}")
    return answer["time_stamp_token"]


async def signer_of(signed: cms.SignedData, said: tsp.TSTInfo, request: dict[str, Any]) -> x509.Certificate:
    """The certificate that signed, if it may stamp times and leads to one of the authorities. Raises Refusal."""
    from pyhanko.sign.validation.errors import SignatureValidationError
    from pyhanko.sign.validation.generic_cms import validate_tst_signed_data
    from pyhanko.sign.validation.status import TimestampSignatureStatus
    from pyhanko_certvalidator import ValidationContext

    context = ValidationContext(
        trust_roots=roots_in(request["authorities"]),
        moment=datetime.fromtimestamp(request["now"], UTC),
        allow_fetching=False,
        revocation_mode="soft-fail",
        weak_hash_algos={"md2", "md5", "sha1"},
    )
    expected = bytes(said["message_imprint"]["hashed_message"].native)
    try:
        found = await validate_tst_signed_data(signed, context, lambda _: expected)
    except SignatureValidationError:
        raise Refusal("its signature cannot be read") from None
    status = TimestampSignatureStatus(**found)
    if not (status.intact and status.valid):
        raise Refusal("its signature does not hold")
    if not status.trusted:
        raise Refusal("it is signed by none of the authorities that are trusted")
    if not is_for_time(status.signing_cert):
        raise Refusal("its certificate is not for time stamps alone")
    return status.signing_cert


def is_for_time(certificate: x509.Certificate) -> bool:
    """Whether the certificate's one purpose is time stamping, critically so (RFC 3161 section 2.3)."""
    return any(
        extension["critical"].native and extension["extn_value"].native == ["time_stamping"]
        for extension in certificate["tbs_certificate"]["extensions"]
        if extension["extn_id"].native == "extended_key_usage"
    )


def roots_in(texts: Sequence[str]) -> list[x509.Certificate]:
    """The authorities' certificates."""
    return [
        x509.Certificate.load(der)
        for text in texts
        for kind, _, der in pem.unarmor(text.encode(), multiple=True)
        if kind == "CERTIFICATE"
    ]


if __name__ == "__main__":
    main()
