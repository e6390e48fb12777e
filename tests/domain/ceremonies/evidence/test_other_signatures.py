"""Signatures beside the form: CMS, OpenPGP and passkeys."""

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from pysequoia import CipherSuite, SignatureMode, Tsk, sign

from freehold.domain.ceremonies.evidence.form import statement
from freehold.domain.ceremonies.evidence.signatories import FormSignature, SignaturePolicy
from freehold.domain.ceremonies.evidence.signed_form import FormRefused, verify_signed_form
from tests.support.signers import DIGEST, GRACE, Authority, SoftPasskey, b64, issued_form, sign_cms

NOW = datetime.now(UTC).replace(microsecond=0)
# The files are signed at the time of the run, which may come long after this module was read.
LATER = NOW + timedelta(hours=1)
AUTHORITY = Authority(NOW)
CERTIFICATE = AUTHORITY.issue()
KEY = Tsk.generate(user_id="Grace Hopper <grace@example.com>")
EVES = Tsk.generate(user_id="Eve <eve@example.com>")
PASSKEY = SoftPasskey("acme.example.com", "https://acme.example.com")
PAGES = SignaturePolicy(rp_id=PASSKEY.rp_id, origins=(PASSKEY.origin,), allow_modern_keys=True)
ENROLLED = msgspec.structs.replace(GRACE, openpgp_key=str(KEY.extract_certificate()), passkeys=(PASSKEY.public,))


@cache
def stated() -> str:
    return statement(issued_form(), DIGEST)


@cache
def challenge() -> bytes:
    return sha256(issued_form()).digest()


async def verify(kind: str, upload: bytes, **changes: Any) -> FormSignature:
    arguments: dict[str, Any] = {
        "kind": kind, "issued": issued_form(), "digest": DIGEST, "executive": ENROLLED,
        "anchors": [AUTHORITY.anchor()], "now": LATER, "policy": PAGES,
    }  # fmt: skip
    return await verify_signed_form(upload, **arguments | changes)


async def refusal(kind: str, upload: bytes, **changes: Any) -> str:
    with pytest.raises(FormRefused) as refused:
        await verify(kind, upload, **changes)
    assert len(refused.value.message) > 15
    return refused.value.code


def pgp(
    text: str | bytes, *, key: Tsk = KEY, mode: SignatureMode = SignatureMode.DETACHED, armor: bool = True
) -> bytes:
    content = text.encode() if isinstance(text, str) else text
    return bytes(sign(key.signer(), content, mode=mode, armor=armor))


async def test_a_file_beside_the_form_counts() -> None:
    result = await verify("cms", sign_cms(issued_form(), CERTIFICATE))

    assert (result.kind, result.signer, result.fingerprint) == ("cms", GRACE.name, CERTIFICATE.fingerprint)


async def test_a_file_over_another_form_or_by_another_person_is_refused() -> None:
    assert await refusal("cms", sign_cms(issued_form() + b" ", CERTIFICATE)) == "changed"
    assert await refusal("cms", sign_cms(b"another", CERTIFICATE, attached=True)) == "not_detached"
    assert await refusal("cms", sign_cms(issued_form(), Authority(NOW).issue())) == "untrusted"
    assert await refusal("cms", sign_cms(issued_form(), AUTHORITY.issue(email="eve@example.com"))) == "other_person"
    assert await refusal("cms", sign_cms(issued_form(), CERTIFICATE, digest="sha1")) == "weak_digest"
    assert (
        await refusal("cms", sign_cms(issued_form(), CERTIFICATE), now=NOW - timedelta(hours=1)) == "signed_in_future"
    )


@pytest.mark.parametrize("upload", [b"Grace Hopper", b"\x30\x80", b"\x30\x03\x02\x01\x01", None], ids=repr)
async def test_a_file_that_is_no_signature_is_refused(upload: bytes | None) -> None:
    assert await refusal("cms", upload or issued_form()[:1000]) == "damaged"


async def test_openpgp_counts_over_the_statement_and_over_the_form() -> None:
    clear = await verify("openpgp", pgp(stated(), mode=SignatureMode.CLEAR))
    detached = await verify("openpgp", pgp(issued_form()))
    binary = await verify("openpgp", pgp(issued_form(), armor=False))
    over_text = await verify("openpgp", pgp(stated()))

    assert clear.details["over"] == "clear-signed statement"
    assert detached.details["over"] == binary.details["over"] == "detached, over the form"
    assert over_text.details["over"] == "detached, over the statement"
    assert {one.details["key"] for one in (clear, detached, binary)} == {KEY.extract_certificate().fingerprint.upper()}
    assert clear.signed_at is not None


async def test_what_mail_programs_do_to_line_ends_does_no_harm() -> None:
    clear = pgp(stated(), mode=SignatureMode.CLEAR)

    assert await verify("openpgp", clear.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


async def test_openpgp_over_something_else_is_refused() -> None:
    clear = SignatureMode.CLEAR
    other = statement(issued_form() + b" ", DIGEST)

    assert await refusal("openpgp", pgp(other, mode=clear)) == "other_text"
    assert await refusal("openpgp", pgp(stated() + "not really\n", mode=clear)) == "other_text"
    assert await refusal("openpgp", pgp(statement(issued_form(), bytes(32)), mode=clear)) == "other_text"
    assert await refusal("openpgp", pgp(other)) == "bad_signature"
    assert await refusal("openpgp", pgp(stated(), key=EVES, mode=clear)) == "bad_signature"
    assert await refusal("openpgp", pgp(issued_form(), key=EVES)) == "bad_signature"
    changed = pgp(stated(), mode=clear).replace(b"what it says", b"what I like!")
    assert await refusal("openpgp", changed) == "bad_signature"


async def test_exactly_one_signature_and_no_text_around_it() -> None:
    clear, one = pgp(stated(), mode=SignatureMode.CLEAR), pgp(issued_form(), armor=False)

    assert await refusal("openpgp", clear + b"\nPS: not really\n") == "several_signatures"
    assert await refusal("openpgp", clear + clear) == "several_signatures"
    assert await refusal("openpgp", one + one) == "several_signatures"
    assert await refusal("openpgp", b"I agree.\n" + clear) == "damaged"
    assert await refusal("openpgp", b"Grace Hopper, CISO") == "damaged"
    assert await refusal("openpgp", str(KEY.extract_certificate()).encode()) == "damaged"


async def test_only_an_enrolled_key_that_still_holds() -> None:
    upload = pgp(stated(), mode=SignatureMode.CLEAR)
    certificate = KEY.extract_certificate()
    revoked = msgspec.structs.replace(ENROLLED, openpgp_key=str(certificate.merge(revoke(KEY))))

    assert await refusal("openpgp", upload, executive=GRACE) == "not_enrolled"
    assert await refusal("openpgp", upload, now=NOW - timedelta(hours=1)) == "signed_in_future"
    assert await refusal("openpgp", upload, not_before=NOW + timedelta(hours=1)) == "signed_too_early"
    assert await refusal("openpgp", upload, executive=revoked) == "revoked"


def revoke(key: Tsk) -> Any:
    from pysequoia import Cert
    from pysequoia.packet import PacketPile

    certificate = key.extract_certificate()
    revocation = list(PacketPile.from_bytes(bytes(certificate.revoke(key.certifier()))))
    return Cert.from_packets([*PacketPile.from_bytes(bytes(certificate)), *revocation])


async def test_a_weaker_key_than_a_recipients_is_refused() -> None:
    upload = pgp(stated(), mode=SignatureMode.CLEAR)
    weak = Tsk.generate(user_id="Grace <grace@example.com>", cipher_suite=CipherSuite.RSA2k)
    enrolled = msgspec.structs.replace(ENROLLED, openpgp_key=str(weak.extract_certificate()))

    assert await refusal("openpgp", upload, policy=SignaturePolicy()) == "weak_key"
    assert await refusal("openpgp", pgp(stated(), key=weak, mode=SignatureMode.CLEAR), executive=enrolled) == "weak_key"


async def test_an_expired_key_is_refused() -> None:
    short = Tsk.generate(user_id="Grace Hopper <grace@example.com>", validity_seconds=3600)
    enrolled = msgspec.structs.replace(ENROLLED, openpgp_key=str(short.extract_certificate()))
    upload = pgp(stated(), key=short, mode=SignatureMode.CLEAR)

    at = datetime.now(UTC)
    assert await verify("openpgp", upload, executive=enrolled, now=at)
    assert await refusal("openpgp", upload, executive=enrolled, now=at + timedelta(hours=2)) == "key_expired"


async def test_a_passkey_counts() -> None:
    result = await verify("webauthn", json.dumps(PASSKEY.sign(challenge())).encode())

    assert (result.signer, result.assurance) == (GRACE.name, "substantial")
    assert result.fingerprint == sha256(PASSKEY.credential_id).hexdigest()


async def test_a_passkey_over_something_else_is_refused() -> None:
    other = SoftPasskey(PASSKEY.rp_id, PASSKEY.origin)
    unknown = SoftPasskey(PASSKEY.rp_id, PASSKEY.origin, credential_id=b"another")
    elsewhere = SoftPasskey("evil.example", "https://evil.example", key=PASSKEY.key)
    answers = {
        "another form": (PASSKEY.sign(sha256(b"another").digest()), "bad_signature"),
        "another key": (other.sign(challenge()), "bad_signature"),
        "another passkey": (unknown.sign(challenge()), "other_passkey"),
        "another site": (elsewhere.sign(challenge()), "bad_signature"),
        "without a finger": (PASSKEY.sign(challenge(), verified=False), "bad_signature"),
        "a registration": (PASSKEY.register(challenge()), "bad_signature"),
    }
    for name, (answer, code) in answers.items():
        assert await refusal("webauthn", json.dumps(answer).encode()) == code, name
    for junk in (
        b"{}",
        b"[]",
        b"null",
        b"Grace",
        b'{"id": 1}',
        json.dumps({"id": b64(PASSKEY.credential_id)}).encode(),
    ):
        assert await refusal("webauthn", junk) in {"bad_signature", "other_passkey"}
    assert await refusal("webauthn", json.dumps(PASSKEY.sign(challenge())).encode(), executive=GRACE) == "not_enrolled"
