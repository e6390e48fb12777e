"""From a mail template and its variables to a mail's subject, HTML and text.

Templates are Liquid, as in Auth0's `/api/v2/email-templates`: a subject and an HTML body, with the variables `user`,
`application`, `tenant`, `friendly_name`, `support_email`, `support_url`, `url` and so on. A tenant's own templates have
no text part, so it is taken from the HTML. The mails in `mails/` are what is sent where a tenant has not written its
own; they name the account by its address and never by the name somebody chose when signing up: mails to strangers must
not carry an attacker's words.

What bounds a template's work is in `kernel/liquid.py`.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files

from msgspec import Struct, json

from freehold.kernel.locale import primary_subtag

LANGUAGES = ("en", "de")
MAILS = (
    "verify_email", "reset_email", "welcome_email", "blocked_account", "password_changed", "enrollment_email",
    "too_many_codes",
    "admin_ceremony",
    "admin_invitation",
    "admin_new_password", "admin_new_device", "admin_factor_changed", "admin_password_changed", "admin_blocked_sign_in",
    "admin_export_access",
    "executive_passkey", "executive_signature",
)  # fmt: skip
"""The mails with a template of our own, named as at Auth0 (which has no `too_many_codes`, no `password_changed`, no
`admin_...` and no `executive_...`)."""

_LONGEST_SUBJECT = 250


class MailTemplate(Struct, frozen=True):
    """The sources of a mail. Without `text`, the text part is made from the rendered HTML."""

    subject: str
    html: str
    text: str = ""


class Mail(Struct, frozen=True):
    """A rendered mail; the subject is one line."""

    subject: str
    html: str
    text: str


def render(template: MailTemplate, variables: Mapping[str, object], *, now: datetime) -> Mail:
    """Return the mail, or raise BadTemplate (kernel/liquid.py) with the line that is wrong.

    Values are escaped for HTML in the body, and nowhere else; `variables` are plain JSON values.
    """
    # Imported here because it takes a noticeable part of the start, and most processes never send a mail.
    from freehold.domain.messaging.plain_text import plain_text
    from freehold.kernel.liquid import parse_template

    body = parse_template(template.html, escape=True).render(variables, now=now)
    text = parse_template(template.text, escape=False).render(variables, now=now) if template.text else plain_text(body)
    return Mail(render_line(template.subject, variables, now=now), body, text.strip() + "\n")


def render_line(source: str, variables: Mapping[str, object], *, now: datetime) -> str:
    """Return a rendered subject or sender: one line of bounded length, so that no value can add a header."""
    from freehold.kernel.liquid import parse_template

    line = parse_template(source, escape=False).render(variables, now=now)
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", line).split())[:_LONGEST_SUBJECT]


def check_template(template: MailTemplate) -> None:
    """Raise BadTemplate for a template that could not be rendered with any variables."""
    from freehold.kernel.liquid import parse_template

    parse_template(template.subject, escape=False)
    parse_template(template.html, escape=True)
    parse_template(template.text, escape=False)


def default_template(name: str, language: str = "en") -> MailTemplate:
    """Return our own template for one of MAILS, in the nearest language there is.

    Raises KeyError for a mail that has none.
    """
    for candidate in (language, primary_subtag(language)):
        if candidate in LANGUAGES:
            return _default_templates(candidate)[name]
    return _default_templates("en")[name]


class _Wording(Struct, frozen=True):
    subject: str
    title: str
    before: list[str]
    button: str
    after: list[str]


class _LayoutTexts(Struct, frozen=True):
    support: str
    link_hint: str


class _Language(Struct, frozen=True):
    layout: _LayoutTexts
    mails: dict[str, _Wording]


@cache
def _default_templates(language: str) -> dict[str, MailTemplate]:
    folder = files("freehold.domain.messaging") / "mails"
    texts = json.decode((folder / f"{language}.json").read_bytes(), type=_Language)
    layout = (folder / "layout.html").read_text(encoding="utf-8")
    return {name: _compose(wording, texts.layout, layout, language) for name, wording in texts.mails.items()}


def _compose(wording: _Wording, shared: _LayoutTexts, layout: str, language: str) -> MailTemplate:
    """Put a mail's wording into the layout: what comes out is an ordinary template, as a tenant would write it."""
    parts = {
        "language": language,
        "subject": wording.subject,
        "title": wording.title,
        "support": shared.support,
        "body": _html_body(wording, shared.link_hint),
    }
    page = re.sub(r"\[\[(\w+)\]\]", lambda match: parts[match[1]], layout)
    return MailTemplate(wording.subject, page, _text_body(wording, shared.support))


def _html_body(wording: _Wording, link_hint: str) -> str:
    text_style = "margin: 0 0 16px; color: #14171c;"
    button_style = (
        "display: inline-block; padding: 12px 22px; border-radius: 10px; background: #14171c; color: #ffffff; "
        "font-weight: 600; text-decoration: none;"
    )
    hint_style = "margin: 0 0 16px; color: #545b68; font-size: 13px; word-break: break-all;"
    paragraphs = [f'<p class="text" style="{text_style}">{paragraph}</p>' for paragraph in wording.before]
    if wording.button:
        paragraphs += [
            f'<p style="margin: 24px 0;"><a class="button" href="{{{{ url }}}}" style="{button_style}">'
            f"{wording.button}</a></p>",
            f'<p class="muted" style="{hint_style}">{link_hint}<br>{{{{ url }}}}</p>',
        ]
    paragraphs += [f'<p class="text" style="{text_style}">{paragraph}</p>' for paragraph in wording.after]
    return "\n".join(paragraphs)


def _text_body(wording: _Wording, support: str) -> str:
    paragraphs = [wording.title, *wording.before]
    if wording.button:
        paragraphs.append("{{ url }}")
    paragraphs += wording.after
    paragraphs.append("{{ friendly_name }}{% if support_email %}\n" + support + " {{ support_email }}{% endif %}")
    return "\n\n".join(paragraphs)
