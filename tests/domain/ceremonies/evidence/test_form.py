"""The acknowledgement form: the same bytes each time, bound to its request, readable, with one empty field."""

import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import msgspec
import pytest
from pyhanko.pdf_utils.reader import PdfFileReader

from freehold.domain.ceremonies.evidence.form import LANGUAGES, TERMS, FormTexts, render_form, statement
from tests.support.programs import MARKERS, find_poppler
from tests.support.signers import form_content


@dataclass
class Read:
    text: str
    pages: int


def read(form: bytes, folder: Path) -> Read:
    program = find_poppler()
    if program is None:
        pytest.skip(MARKERS["poppler"].missing)
    (folder / "form.pdf").write_bytes(form)
    done = subprocess.run([program, "-layout", str(folder / "form.pdf"), "-"], capture_output=True, check=True)
    return Read(" ".join(done.stdout.decode().split()), done.stdout.count(b"\f"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_content_gives_the_same_bytes(language: str) -> None:
    content = form_content(language=language)
    first = render_form(content)

    assert render_form(msgspec.structs.replace(content)) == first
    assert set(re.findall(rb"20\d\d-\d\d-\d\dT[^\"]*", first)) == {b"2026-03-01T12:00:00+00:00"}


@pytest.mark.poppler
@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_of_the_request_can_be_read(language: str, tmp_path: Path) -> None:
    content = form_content(language=language)
    seen = read(render_form(content), tmp_path)

    texts = FormTexts(language)
    for value in (
        content.tenant, content.domain, content.ceremony_id, content.digest, content.groups, content.requester_name,
        content.requester_email, content.purpose, content.executive_name, content.executive_title,
        content.executive_email, "2026-03-01 12:00:00 UTC", *content.connections,
        *(texts.kind(kind) for kind in content.kinds), *(texts(f"term.{term}") for term in TERMS),
        " ".join(content.fingerprint[start : start + 4] for start in range(0, 40, 4)),
    ):  # fmt: skip
        assert value in seen.text
    assert seen.pages == (1 if language == "en" else seen.pages)


@pytest.mark.poppler
def test_a_name_cannot_hide_or_reorder_what_is_read(tmp_path: Path) -> None:
    names = "Grace \u202eopper \u200b \u5c71"
    seen = read(render_form(form_content(executive_name=names, purpose="long " * 4000)), tmp_path)

    assert "Grace <U+202E>opper <U+200B> <U+5C71>" in seen.text
    assert seen.pages <= 3


def test_each_part_of_the_request_changes_the_bytes() -> None:
    issued = render_form(form_content())
    changes = {
        "tenant": "other", "ceremony_id": "cer_other", "digest": "00" * 32, "groups": "0000 0000",
        "kinds": ("private_keys",), "connections": (), "requester_email": "eve@example.com", "fingerprint": "AB" * 20,
        "further_fingerprints": ("CD" * 20,), "purpose": "another", "retention_days": 8, "executive_name": "Eve",
        "executive_title": "Intern", "executive_email": "eve@example.com", "language": "de",
        "created_at": datetime(2026, 3, 2, tzinfo=UTC),
    }  # fmt: skip
    for name, value in changes.items():
        assert render_form(form_content(**{name: value})) != issued, name


def test_there_is_one_empty_signature_field_and_nothing_active() -> None:
    issued = render_form(form_content())
    reader = PdfFileReader(BytesIO(issued))
    form = reader.root["/AcroForm"]

    field = form["/Fields"][0].get_object()
    assert len(form["/Fields"]) == 1
    assert (field["/FT"], field["/T"], "/V" in field) == ("/Sig", "signature", False)
    assert list(reader.embedded_signatures) == []
    for name in (b"/JavaScript", b"/JS", b"/Launch", b"/EmbeddedFile", b"/XFA", b"/Encrypt"):
        assert name not in issued


def test_both_languages_have_the_same_texts() -> None:
    english, german = (FormTexts(language)._texts for language in LANGUAGES)

    assert english.keys() == german.keys()
    assert all(english[key] != german[key] for key in english if key.startswith("term."))


def test_the_statement_names_form_and_request() -> None:
    text = statement(b"a form", bytes(32))

    assert "00" * 32 in text
    assert statement(b"another", bytes(32)) != text != statement(b"a form", bytes(31) + b"\1")
