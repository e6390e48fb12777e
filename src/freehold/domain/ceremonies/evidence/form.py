"""The *Hashed Password and MFA Secret Export Acknowledgement*: what an executive signs.

The same content always gives the same bytes, so that a signed form is compared with the issued one byte for byte.
Besides the PDF there is a short statement with the form's digest, for those who sign text with OpenPGP.
"""

from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from string import Template

import msgspec

from freehold.kernel.locale import FALLBACK, primary_subtag

LANGUAGES = ("en", "de")
TERMS = ("authority", "contents", "key", "responsibility", "law", "incident", "record")
SIGNATURE_FIELD = "signature"


class FormContent(msgspec.Struct, frozen=True, kw_only=True):
    """What a form says. `digest` and `groups` are those of the request; nothing here is secret."""

    tenant: str
    domain: str
    ceremony_id: str
    digest: str
    groups: str
    kinds: tuple[str, ...]
    connections: tuple[str, ...] = ()
    requester_name: str
    requester_email: str
    fingerprint: str
    further_fingerprints: tuple[str, ...] = ()
    purpose: str
    created_at: datetime
    retention_days: int
    approvals_needed: int = 1
    executive_name: str
    executive_title: str
    executive_email: str
    language: str = FALLBACK


def render_form(content: FormContent) -> bytes:
    """The form as PDF, with an empty signature field. The same content gives the same bytes."""
    # Here, because a server draws a form now and then, and starts every day.
    from freehold.domain.ceremonies.evidence.form_pdf import draw

    return draw(content, FormTexts(content.language))


def statement(issued: bytes, digest: bytes) -> str:
    """What is signed as text: the issued form and the request, by their digests."""
    return (
        "Hashed Password and MFA Secret Export Acknowledgement\n"
        "\n"
        "I have read the form whose SHA-256 is below, and sign what it says.\n"
        "\n"
        f"Form:    {sha256(issued).hexdigest()}\n"
        f"Request: {digest.hex()}\n"
    )


class FormTexts:
    """The form's texts in one language."""

    __slots__ = ("_texts", "language")

    def __init__(self, language: str) -> None:
        self.language = primary_subtag(language) if primary_subtag(language) in LANGUAGES else FALLBACK
        self._texts = _read(self.language)

    def __call__(self, key: str, **values: str) -> str:
        """A text with its variables filled in."""
        text = self._texts[key]
        return Template(text).substitute(values) if values else text

    def kind(self, kind: str) -> str:
        """The name of a kind of secrets; one without a name of its own stays as it is."""
        return self._texts.get(f"kind.{kind}", kind)


@lru_cache
def _read(language: str) -> dict[str, str]:
    text = (files(__package__) / "locales" / f"{language}.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, str])
