"""A signed form: the executive's own signature counts, and nothing that looks like one."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name
from pyhanko.sign.fields import MDPPerm

from freehold.domain.ceremonies.evidence import signed_form
from freehold.domain.ceremonies.evidence.confined import TooCostly
from freehold.domain.ceremonies.evidence.form import render_form
from freehold.domain.ceremonies.evidence.signatories import FormSignature, SignaturePolicy
from freehold.domain.ceremonies.evidence.signed_form import LONGEST_UPLOAD, FormRefused, verify_signed_form
from tests.support import signers
from tests.support.signers import DIGEST, FORGERIES, GRACE, Authority, Person, changed, forged, issued_form, sign_pdf

NOW = datetime.now(UTC).replace(microsecond=0)
AUTHORITY = Authority(NOW)
CERTIFICATE = AUTHORITY.issue()
# The files are signed at the time of the run, which may come long after this module was read.
LATER = NOW + timedelta(hours=1)


async def verify(upload: bytes, **changes: Any) -> FormSignature:
    arguments: dict[str, Any] = {
        "kind": "pdf", "issued": issued_form(), "digest": DIGEST, "executive": GRACE, "anchors": [AUTHORITY.anchor()],
        "now": LATER,
    }  # fmt: skip
    return await verify_signed_form(upload, **arguments | changes)


async def refusal(upload: bytes, **changes: Any) -> str:
    with pytest.raises(FormRefused) as refused:
        await verify(upload, **changes)
    assert len(refused.value.message) > 15
    return refused.value.code


@cache
def signed(person: Person = CERTIFICATE, **options: Any) -> bytes:
    return sign_pdf(issued_form(), person, **options)


@pytest.mark.whole_reader
async def test_the_executives_signature_counts() -> None:
    result = await verify(signed())

    assert (result.kind, result.signer, result.fingerprint) == ("pdf", GRACE.name, CERTIFICATE.fingerprint)
    assert result.assurance == "substantial"
    assert result.details["level"] == "B-B"
    assert result.details["request"] == DIGEST.hex()
    assert result.signed_at is not None
    assert abs(result.signed_at - NOW) < timedelta(hours=1)


async def test_the_same_arguments_give_the_same_answer() -> None:
    upload = signed()

    assert await verify(upload) == await verify(upload)


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("pades", [True, False])
async def test_what_programs_write_is_read(digest: str, pades: bool) -> None:
    assert (await verify(signed(digest=digest, pades=pades))).signer == GRACE.name


async def test_timestamps_and_revocation_data_make_it_stronger() -> None:
    stamped = await verify(signed(authority=AUTHORITY))
    lasting = await verify(signed(authority=AUTHORITY, long_term=True))

    assert (stamped.details["level"], stamped.details["time"], stamped.assurance) == (
        "B-T", "timestamp", "substantial")  # fmt: skip
    assert (lasting.details["level"], lasting.details["revocation"], lasting.assurance) == ("B-LT", "checked", "high")


async def test_a_form_is_signed_and_not_certified() -> None:
    """What a certified form allows later is what evil annotations use."""
    assert await refusal(signed(docmdp=MDPPerm.ANNOTATE)) == "certified"


async def test_an_enrolled_certificate_needs_no_authority() -> None:
    person = AUTHORITY.issue(self_signed=True)
    grace = msgspec.structs.replace(GRACE, certificates=(person.fingerprint.upper(),))

    result = await verify(signed(person), executive=grace, anchors=[])
    assert result.details["trust"] == "enrolled certificate"
    assert await refusal(signed(person), anchors=[]) == "untrusted"
    assert await refusal(signed(), executive=grace) == "other_certificate"


async def test_the_name_decides_where_the_certificate_has_no_email() -> None:
    assert (await verify(signed(AUTHORITY.issue(email=None)))).signer == GRACE.name
    assert await refusal(signed(AUTHORITY.issue("Eve Hopper", email=None))) == "other_person"
    assert await refusal(signed(AUTHORITY.issue(email="eve@example.com"))) == "other_person"


def rsa_person(bits: int) -> Person:
    return AUTHORITY.issue(key=rsa.generate_private_key(public_exponent=65537, key_size=bits))


PEOPLE: dict[str, tuple[str, Callable[[], Person]]] = {
    "another authority": ("untrusted", lambda: Authority(NOW).issue()),
    "self-signed": ("untrusted", lambda: AUTHORITY.issue(self_signed=True)),
    "expired": ("certificate_expired", lambda: AUTHORITY.issue(lasts=timedelta(days=9))),
    "not yet valid": ("certificate_expired", lambda: AUTHORITY.issue(begins=timedelta(days=1))),
    "for encryption": ("wrong_usage", lambda: AUTHORITY.issue(usage=signers.key_usage(signatures=False))),
    "for servers": ("wrong_usage", lambda: AUTHORITY.issue(purposes=(ExtendedKeyUsageOID.SERVER_AUTH,))),
    "an authority's": ("wrong_usage", lambda: AUTHORITY.issue(ca=True, usage=None)),
    "a short key": ("weak_key", lambda: rsa_person(1024)),
}


@pytest.mark.parametrize("name", PEOPLE)
async def test_a_certificate_that_is_not_good_is_refused(name: str) -> None:
    code, make = PEOPLE[name]

    assert await refusal(signed(make())) == code


async def test_weak_digests_are_refused() -> None:
    assert await refusal(signed(digest="sha1")) == "weak_digest"


async def test_a_revoked_certificate_is_refused_by_the_tenants_list() -> None:
    other = AUTHORITY.issue()
    anchor = AUTHORITY.anchor(AUTHORITY.crl(other))

    assert (await verify(signed(), anchors=[anchor])).details["revocation"] == "checked"
    assert await refusal(signed(other), anchors=[anchor]) == "revoked"


async def test_a_list_that_is_out_of_date_or_not_the_authoritys_proves_nothing() -> None:
    old = AUTHORITY.anchor(AUTHORITY.crl(age=timedelta(days=10)))
    foreign = AUTHORITY.anchor(Authority(NOW).crl())
    required = SignaturePolicy(require_revocation=True)

    assert await refusal(signed(), anchors=[old]) == "revocation_unknown"
    assert await refusal(signed(), anchors=[foreign], policy=required) == "revocation_unknown"
    assert await refusal(signed(), policy=required) == "revocation_unknown"
    assert await verify(signed(authority=AUTHORITY, long_term=True), policy=required)


async def test_times_have_to_be_possible() -> None:
    assert await refusal(signed(), now=NOW - timedelta(hours=1)) == "signed_in_future"
    assert await refusal(signed(), not_before=NOW + timedelta(hours=1)) == "signed_too_early"
    assert await refusal(signed(), policy=SignaturePolicy(require_timestamp=True)) == "no_timestamp"
    assert await verify(signed(authority=AUTHORITY), policy=SignaturePolicy(require_timestamp=True))
    assert await refusal(signed(), now=NOW + timedelta(days=500)) == "certificate_expired"


async def test_only_the_form_of_this_request_counts() -> None:
    other = sign_pdf(render_form(signers.form_content(purpose="another")), CERTIFICATE)

    assert await refusal(other) == "not_the_issued_form"
    assert await refusal(issued_form()) == "not_signed"
    assert await refusal(issued_form() + b"\n") == "not_signed"


@pytest.mark.parametrize("name", FORGERIES)
async def test_universal_forgery_is_refused(name: str) -> None:
    upload = forged(signed(), name)

    assert upload != signed()
    assert await refusal(upload) in {"damaged", "not_covered", "not_signed", "changed"}


async def test_wrapping_is_refused() -> None:
    upload = signers.wrapped(signed(reserved=20_000))

    assert await refusal(upload) == "not_covered"


LATER_CHANGES = {
    "overlay": signers.overlay,
    "swapped page": signers.swap_page,
    "annotation": signers.annotate,
}


@pytest.mark.parametrize("name", LATER_CHANGES)
async def test_incremental_saving_and_evil_annotations_are_refused(name: str) -> None:
    certified = changed(signed(docmdp=MDPPerm.ANNOTATE), LATER_CHANGES[name])

    assert await refusal(changed(signed(), LATER_CHANGES[name])) == "changed_after_signing"
    assert await refusal(certified) == "certified"


@pytest.mark.parametrize("name", LATER_CHANGES)
async def test_shadows_that_were_prepared_before_signing_are_refused(name: str) -> None:
    prepared = changed(issued_form(), LATER_CHANGES[name])
    upload = sign_pdf(prepared, CERTIFICATE)

    assert await refusal(upload) == "changed_before_signing"
    assert await refusal(changed(upload, signers.overlay)) in {"changed_before_signing", "changed_after_signing"}


async def test_a_shadow_in_a_rewritten_form_is_refused() -> None:
    hidden = issued_form().replace(b"Freehold", b"Freehord")

    assert hidden != issued_form()

    assert await refusal(sign_pdf(hidden, CERTIFICATE)) == "not_the_issued_form"


async def test_a_second_signature_that_covers_the_page_is_refused() -> None:
    added = changed(signed(), signers.add_field)

    assert await refusal(sign_pdf(added, AUTHORITY.issue(), field_name="Signature1")) in {
        "several_signatures", "changed_after_signing"}  # fmt: skip
    elsewhere = changed(issued_form(), signers.add_field)
    assert await refusal(sign_pdf(elsewhere, CERTIFICATE, field_name="Signature1")) in {
        "other_field", "changed_before_signing"}  # fmt: skip


@pytest.mark.parametrize(
    "tail", [b"\n% more", b"\nstartxref\n0\n%%EOF\n", b"\n1 0 obj<</Type/Catalog>>endobj\n%%EOF\n"]
)
async def test_bytes_after_the_signature_are_refused(tail: bytes) -> None:
    assert await refusal(signed() + tail) in {"changed_after_signing", "damaged", "not_covered"}


ACTIVE: dict[str, signers.Change] = {
    "javascript": signers.act(
        "/OpenAction",
        signers.dictionary(S=pdf_name("/JavaScript"), JS=generic.TextStringObject("app.alert(1)"))),
    "launch": signers.act("/OpenAction", signers.dictionary(S=pdf_name("/Launch"), F=generic.TextStringObject("x"))),
    "attachment": signers.act("/Names", signers.dictionary(EmbeddedFiles=signers.dictionary())),
    "additional action": signers.act("/AA", signers.dictionary(WC=signers.dictionary(S=pdf_name("/GoToE")))),
    "layers": signers.act("/OCProperties", signers.dictionary()),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVE)
@pytest.mark.parametrize("before", [True, False])
async def test_active_content_is_refused(name: str, before: bool) -> None:
    upload = sign_pdf(changed(issued_form(), ACTIVE[name]), CERTIFICATE) if before else changed(signed(), ACTIVE[name])

    assert await refusal(upload) == "active_content"


async def test_xfa_and_encryption_are_refused() -> None:
    def xfa(writer: Any) -> None:
        writer.root["/AcroForm"][pdf_name("/XFA")] = generic.TextStringObject("<xdp/>")
        writer.update_container(writer.root["/AcroForm"])

    assert await refusal(sign_pdf(changed(issued_form(), xfa), CERTIFICATE)) == "active_content"
    locked = signed().replace(b"/Root ", b"/Encrypt<</Filter/Standard/V 1/R 2/O<00>/U<00>/P -1>> /Root ")
    assert await refusal(locked) in {"encrypted", "damaged", "not_the_issued_form"}


@pytest.mark.parametrize(
    ("upload", "code"),
    [
        (b"\x89PNG\r\n\x1a\n", "picture"),
        (b"\xff\xd8\xff\xe0", "picture"),
        (b"Grace Hopper, CISO", "not_pdf"),
        (b"/s/ Grace Hopper", "not_pdf"),
        (b"PK\x03\x04", "not_pdf"),
        (b"", "empty"),
        (b"%PDF-1.7\n", "not_the_issued_form"),
        (b"%PDF-" + bytes(LONGEST_UPLOAD), "too_large"),
    ],
)
async def test_typed_names_and_pictures_are_refused(upload: bytes, code: str) -> None:
    assert await refusal(upload) == code


async def test_a_scan_counts_only_by_policy_and_with_a_named_verifier() -> None:
    scan = b"%PDF-1.4 a scan"
    allowing = SignaturePolicy(allow_scan=True)

    assert await refusal(scan, kind="scan") == "scan_not_allowed"
    assert await refusal(scan, kind="scan", policy=allowing) == "no_verifier"
    assert await refusal(issued_form(), kind="scan", policy=allowing, verifier="Ada") == "not_signed"
    assert await refusal(b"Grace", kind="scan", policy=allowing, verifier="Ada") == "not_a_scan"
    result = await verify(scan, kind="scan", policy=allowing, verifier="Ada Lovelace <ada@example.com>")
    assert (
        await refusal(scan, kind="scan", policy=allowing, verifier="Ada", kinds=("private_keys",)) == "scan_not_allowed"
    )
    assert (result.assurance, result.details["verified_by"]) == ("low", "Ada Lovelace <ada@example.com>")
    assert await refusal(scan, kind="typed", policy=allowing) == "unknown_kind"


async def test_a_certificate_signed_with_sha1_is_refused() -> None:
    authority = Authority(NOW, key=rsa.generate_private_key(public_exponent=65537, key_size=2048))

    assert await verify(signed(authority.issue()), anchors=[authority.anchor()])
    assert await refusal(signed(authority.issue_with_sha1()), anchors=[authority.anchor()]) == "untrusted"


async def test_garbage_in_a_revision_is_refused_within_bounds() -> None:
    bomb = issued_form() + b"\n9 0 obj\n" + b"<<" * 200_000 + b"\nendobj\nxref\n0 1\n0000000000 65535 f \ntrailer\n<<"
    start = str(len(issued_form()) + 1).encode()

    assert await refusal(bomb + b"/Prev 0>>\nstartxref\n" + start + b"\n%%EOF") == "damaged"


def revision(body: bytes, trailer: bytes, *, xref: bytes = b"xref\n0 1\n0000000000 65535 f \n") -> bytes:
    """The issued form with a revision written by hand."""
    start = len(issued_form()) + len(body)
    return issued_form() + body + xref + b"trailer\n<<" + trailer + b">>\nstartxref\n%d\n%%%%EOF\n" % start


def xref_stream(raw: bytes) -> bytes:
    """The issued form with a compressed cross-reference table."""
    packed = zlib.compress(raw, 9)
    begin = b"9000 0 obj\n<</Type/XRef/Filter/FlateDecode/W[1 4 2]/Size 30000000/Root 3 0 R/Length %d>>\nstream\n"
    stream = begin % len(packed) + packed + b"\nendstream\nendobj\n"
    return issued_form() + stream + b"startxref\n%d\n%%%%EOF\n" % len(issued_form())


HOSTILE: dict[str, Callable[[], bytes]] = {
    "a table that leads to itself": lambda: revision(b"", b"/Root 3 0 R/Size 50/Prev %d" % len(issued_form())),
    "many objects": lambda: revision(
        b"", b"/Root 3 0 R/Size 400000", xref=b"xref\n0 400000\n" + b"0000000015 00000 n \n" * 400_000),
    "more objects than there are": lambda: revision(b"", b"/Root 3 0 R/Size 2", xref=b"xref\n0 2000000000\n"),
    "a catalog that holds itself": lambda: revision(
        b"", b"/Root 3 0 R/Size 50", xref=b"xref\n3 1\n0000000003 00000 n \n"),
    "a bomb in the table": lambda: xref_stream(bytes(200 << 20)),
    "a deep array": lambda: revision(b"8000 0 obj\n" + b"[" * 500_000 + b"\nendobj\n", b"/Root 3 0 R/Size 8001"),
}  # fmt: skip


@pytest.mark.whole_reader
@pytest.mark.parametrize("name", HOSTILE)
async def test_files_that_are_made_to_exhaust_a_reader_are_refused_within_bounds(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_form, "_BOUNDS", replace(signed_form._BOUNDS, cpu_s=3))
    upload = HOSTILE[name]()
    assert len(upload) < LONGEST_UPLOAD

    with pytest.raises((FormRefused, TooCostly)):
        await verify(upload)
