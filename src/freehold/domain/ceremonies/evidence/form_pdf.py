"""Draws the form with fpdf2, to the rules of PDF/A-2u: fonts are embedded, and every character can be copied as text.

Names come from strangers and may be in any script. Characters that the font lacks, and those that are not seen or that
reorder others, are written as their code point, such as <U+202E>: a signer has to see what is there.
"""

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any

from fpdf import FPDF
from fpdf.annotations import PDFAnnotation
from fpdf.enums import AnnotationFlag, XPos, YPos
from fpdf.output import OutputProducer

from freehold.domain.ceremonies.evidence.form import SIGNATURE_FIELD, TERMS, FormContent, FormTexts

FONT = "Source Sans Pro"
LONGEST_VALUE = 600
_MODIFIED = re.compile(r'(xmp:(?:ModifyDate|MetadataDate))="[^"]*"')
_INK, _QUIET, _ACCENT, _PALE, _LINE = (26, 29, 36), (88, 95, 107), (11, 110, 95), (240, 246, 245), (205, 211, 216)
_MARGIN, _LABEL_WIDTH = 20, 46
_BOX_HEIGHT, _SIGNATURE_HEIGHT = 27, 25


def draw(content: FormContent, texts: FormTexts) -> bytes:
    """The form's bytes."""
    page = _Page(content, texts)
    page.head()
    page.request()
    page.facts()
    page.terms()
    page.signatory()
    return bytes(page.pdf.output(output_producer_class=_WithSignatureField) or b"")


class _Form(FPDF):
    """A page frame: what stands at the foot of each page."""

    footer_texts: tuple[str, str] = ("", "")

    def footer(self) -> None:
        self.set_y(-12)
        self.set_font(FONT, size=8)
        self.set_text_color(*_QUIET)
        left, right = self.footer_texts
        self.cell(0, 5, left)
        self.set_x(_MARGIN)
        self.cell(0, 5, right.replace("{page}", str(self.page_no())), align="R")


class _WithSignatureField(OutputProducer):
    """Enters the empty field into the document's form; fpdf2 itself does so for fields that it signs."""

    def _add_annotations_as_objects(self) -> PDFAnnotation | None:
        super()._add_annotations_as_objects()
        fields = [
            annotation
            for page in self.fpdf.pages.values()
            for annotation in page.annots or ()
            if isinstance(annotation, PDFAnnotation) and annotation.f_t is not None
        ]
        return fields[0]

    def _build_xmp_from_info(self) -> str:
        """The form is never modified; fpdf2 would write the time of drawing."""
        created = self.fpdf.creation_date.isoformat(timespec="seconds")
        return _MODIFIED.sub(lambda match: f'{match[1]}="{created}"', super()._build_xmp_from_info())


class _Page:
    def __init__(self, content: FormContent, texts: FormTexts) -> None:
        self.content, self.texts = content, texts
        self.pdf = pdf = _Form(format="A4", enforce_compliance="PDF/A-2U")
        pdf.creation_date = content.created_at.astimezone(UTC)
        pdf.set_title(texts("title"))
        pdf.set_author("Freehold")
        pdf.set_subject(f"{content.ceremony_id} {content.digest}")
        pdf.set_lang(texts.language)
        pdf.set_margins(_MARGIN, 14, _MARGIN)
        pdf.set_auto_page_break(True, 16)
        for style, name in (("", "Regular"), ("B", "Semibold")):
            pdf.add_font(FONT, style, str(_font_file(name)))
        pdf.footer_texts = (
            texts("footer", ceremony=_shown(content.ceremony_id), groups=content.groups),
            texts("page", page="{page}", pages="{nb}"),
        )
        pdf.add_page()

    def head(self) -> None:
        pdf, content = self.pdf, self.content
        pdf.set_fill_color(*_ACCENT)
        pdf.rect(0, 0, pdf.w, 4, style="F")
        self.text(self.texts("title"), size=16, style="B", height=7)
        kinds = ", ".join(self.texts.kind(kind) for kind in content.kinds)
        self.text(self.texts("subtitle", kinds=kinds, tenant=_shown(content.tenant)), size=11, color=_QUIET, height=5.5)
        pdf.ln(2.5)

    def request(self) -> None:
        """The digest in a box, for comparing with the screen."""
        pdf = self.pdf
        top = pdf.get_y()
        pdf.set_fill_color(*_PALE)
        pdf.rect(_MARGIN, top, pdf.epw, _BOX_HEIGHT, style="F")
        pdf.set_fill_color(*_ACCENT)
        pdf.rect(_MARGIN, top, 1.2, _BOX_HEIGHT, style="F")
        pdf.set_xy(_MARGIN + 5, top + 3)
        pdf.set_left_margin(_MARGIN + 5)
        pdf.set_right_margin(_MARGIN + 5)
        self.text(self.texts("request"), size=9, color=_QUIET, height=4.5)
        pdf.set_char_spacing(1)
        self.text(self.content.groups, size=18, style="B", height=8)
        pdf.set_char_spacing(0)
        self.text(self.texts("request-note"), size=8.5, color=_QUIET, height=4)
        self.text(f"{self.texts('full-digest')}: {self.content.digest}", size=7.5, color=_QUIET, height=4.5)
        pdf.set_left_margin(_MARGIN)
        pdf.set_right_margin(_MARGIN)
        pdf.set_y(top + _BOX_HEIGHT + 3)

    def facts(self) -> None:
        content, texts = self.content, self.texts
        self.heading(texts("what"))
        names = ", ".join(content.connections)
        for label, value in (
            (texts("tenant"), f"{content.tenant} ({content.domain})"),
            (texts("ceremony"), content.ceremony_id),
            (texts("kinds"), ", ".join(texts.kind(kind) for kind in content.kinds)),
            (texts("connections"), names or texts("all-connections")),
            (texts("purpose"), content.purpose),
            (texts("requester"), f"{content.requester_name} <{content.requester_email}>"),
            (texts("approvals"), texts("approvals-value", count=str(content.approvals_needed))),
            (texts("created"), _moment(content.created_at)),
            (texts("retention"), texts("retention-value", days=str(content.retention_days))),
            *(
                (texts("key"), _grouped(fingerprint))
                for fingerprint in (content.fingerprint, *content.further_fingerprints)
            ),
        ):
            self.fact(label, value)
        self.pdf.ln(2)

    def terms(self) -> None:
        pdf = self.pdf
        self.heading(self.texts("acknowledge"))
        for number, term in enumerate(TERMS, 1):
            pdf.set_font(FONT, "B", 9.5)
            pdf.set_text_color(*_ACCENT)
            pdf.cell(6, 4.6, f"{number}.")
            pdf.set_left_margin(_MARGIN + 6)
            self.text(self.texts(f"term.{term}"), size=9.5, height=4.6)
            pdf.set_left_margin(_MARGIN)
            pdf.set_x(_MARGIN)
            pdf.ln(0.6)
        pdf.ln(1.5)

    def signatory(self) -> None:
        pdf, content, texts = self.pdf, self.content, self.texts
        if pdf.will_page_break(_SIGNATURE_HEIGHT + 42):
            pdf.add_page()
        self.heading(texts("signatory"))
        self.fact(texts("name"), content.executive_name)
        self.fact(texts("position"), content.executive_title)
        self.fact(texts("email"), content.executive_email)
        pdf.ln(2)
        self.text(texts("signature"), size=9.5, style="B", height=5)
        top = pdf.get_y()
        pdf.set_draw_color(*_ACCENT)
        pdf.set_line_width(0.3)
        pdf.rect(_MARGIN, top, pdf.epw, _SIGNATURE_HEIGHT)
        self.field(top)
        pdf.set_y(top + _SIGNATURE_HEIGHT + 1.5)
        self.text(texts("signature-note"), size=8.5, color=_QUIET, height=4)

    def field(self, top: float) -> None:
        """The empty field, as large as the frame around it."""
        pdf = self.pdf
        annotation = PDFAnnotation(
            "Widget",
            field_type="Sig",
            x=_MARGIN * pdf.k,
            y=(pdf.h - top) * pdf.k,
            width=pdf.epw * pdf.k,
            height=_SIGNATURE_HEIGHT * pdf.k,
            flags=(AnnotationFlag.PRINT,),
            title=SIGNATURE_FIELD,
            appearance_stream=b"q Q",
        )
        pdf.pages[pdf.page].add_annotation(annotation)

    def heading(self, text: str) -> None:
        self.text(text, size=12, style="B", color=_ACCENT, height=6)
        self.pdf.ln(0.8)

    def fact(self, label: str, value: str) -> None:
        pdf = self.pdf
        top = pdf.get_y()
        pdf.set_font(FONT, size=9)
        pdf.set_text_color(*_QUIET)
        pdf.multi_cell(_LABEL_WIDTH - 2, 4.8, label, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        below = pdf.get_y()
        pdf.set_xy(_MARGIN + _LABEL_WIDTH, top)
        pdf.set_left_margin(_MARGIN + _LABEL_WIDTH)
        self.text(_shown(value), size=10, height=4.8)
        pdf.set_left_margin(_MARGIN)
        bottom = max(below, pdf.get_y()) + 0.7
        pdf.set_draw_color(*_LINE)
        pdf.set_line_width(0.1)
        pdf.line(_MARGIN, bottom, pdf.w - _MARGIN, bottom)
        pdf.set_y(bottom + 0.7)

    def text(self, text: str, *, size: float, height: float, style: str = "", color: Sequence[int] = _INK) -> None:
        pdf = self.pdf
        pdf.set_font(FONT, style, size)
        pdf.set_text_color(*color)
        options: dict[str, Any] = {"new_x": XPos.LMARGIN, "new_y": YPos.NEXT}
        pdf.multi_cell(0, height, text, align="L", **options)


def _shown(text: str) -> str:
    """A value from outside in one line, with nothing in it that is not seen."""
    known = _known_characters()
    clear = unicodedata.normalize("NFC", text[:LONGEST_VALUE])
    parts = [
        character
        if ord(character) in known
        and character.isprintable()
        and unicodedata.bidirectional(character) not in ("R", "AL")
        else f"<U+{ord(character):04X}>"
        for character in clear
    ]
    return "".join(parts) + ("..." if len(text) > LONGEST_VALUE else "")


@lru_cache
def _known_characters() -> frozenset[int]:
    from fontTools.ttLib import TTFont

    with TTFont(_font_file("Regular"), lazy=True) as font:
        return frozenset(font.getBestCmap())


def _font_file(name: str) -> Any:
    return files("font_source_sans_pro") / "files" / f"SourceSansPro-{name}.ttf"


def _grouped(fingerprint: str) -> str:
    return " ".join(fingerprint[start : start + 4] for start in range(0, len(fingerprint), 4))


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
