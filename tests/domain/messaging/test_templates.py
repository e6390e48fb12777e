"""Mails: ours are complete in every language, a tenant's are rendered safely."""

from datetime import UTC, datetime

import pytest

from freehold.domain.messaging.plain_text import plain_text
from freehold.domain.messaging.templates import (
    LANGUAGES,
    MAILS,
    MailTemplate,
    check_template,
    default_template,
    render,
    render_line,
)
from freehold.kernel.liquid import BadTemplate

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LINK = "https://login.example.com/u/reset-verify?ticket=Zx81&x=1"
VARIABLES = {
    "friendly_name": "Northwind",
    "url": LINK,
    "user": {"email": "ada@example.com", "name": "Ada", "source_ip": "192.0.2.1", "city": "Ulm", "country": "Germany"},
    "application": {"name": "Orders"},
    "support_email": "help@example.com",
}
EVERY_MAIL = [(name, language) for name in MAILS for language in LANGUAGES]


@pytest.mark.parametrize(("name", "language"), EVERY_MAIL)
def test_our_mails_are_whole(name: str, language: str) -> None:
    mail = render(default_template(name, language), VARIABLES, now=NOW)

    assert mail.subject
    assert f'<html lang="{language}">' in mail.html
    for part in (mail.html, mail.text):
        assert "Northwind" in part
        assert "help@example.com" in part
        assert not any(rest in part for rest in ("{{", "{%", "[[", "None"))


@pytest.mark.parametrize(("name", "language"), EVERY_MAIL)
def test_our_mails_load_nothing(name: str, language: str) -> None:
    page = render(default_template(name, language), {**VARIABLES, "url": "/x"}, now=NOW).html

    assert not any(word in page for word in ("http:", "https:", "src=", "url(", "<script", "@import"))


@pytest.mark.parametrize("name", ["verify_email", "reset_email", "blocked_account"])
def test_a_mail_that_asks_for_something_carries_the_link_in_both_parts(name: str) -> None:
    mail = render(default_template(name), VARIABLES, now=NOW)

    assert mail.html.count("https://login.example.com/u/reset-verify?ticket=Zx81&amp;x=1") == 2
    assert LINK in mail.text


@pytest.mark.parametrize(("name", "language"), EVERY_MAIL)
def test_our_mails_never_carry_a_name_that_somebody_chose(name: str, language: str) -> None:
    """Signing up with another one's address must not send them the words of whoever signed up."""
    user = {"email": "victim@example.com", "name": "You won! https://evil.example", "nickname": "evil.example"}

    mail = render(default_template(name, language), {**VARIABLES, "user": user}, now=NOW)

    assert "evil.example" not in mail.subject + mail.html + mail.text


@pytest.mark.parametrize("name", MAILS)
def test_the_languages_are_really_different(name: str) -> None:
    assert default_template(name, "de").subject != default_template(name, "en").subject


def test_a_language_without_mails_gets_the_nearest_one() -> None:
    assert default_template("reset_email", "de-AT") == default_template("reset_email", "de")
    assert default_template("reset_email", "fr") == default_template("reset_email", "en")


def test_an_unknown_mail_has_no_template() -> None:
    with pytest.raises(KeyError):
        default_template("no_such_mail")


def test_values_are_escaped_in_the_html_and_only_there() -> None:
    template = MailTemplate(subject="Hi {{ user.name }}", html="<p>{{ user.name }}</p>", text="{{ user.name }}")

    mail = render(template, {"user": {"name": "<b>Ada</b> & co"}}, now=NOW)

    assert mail.html == "<p>&lt;b&gt;Ada&lt;/b&gt; &amp; co</p>"
    assert mail.subject == "Hi <b>Ada</b> & co"
    assert mail.text == "<b>Ada</b> & co\n"


def test_a_value_cannot_add_a_header() -> None:
    line = render_line("Hi {{ name }}", {"name": "Ada\r\nBcc: all@example.com\x00\u2028x" + "y" * 1000}, now=NOW)

    assert line.startswith("Hi Ada Bcc: all@example.com x")
    assert line.isprintable()
    assert len(line) == 250


def test_the_text_part_of_a_tenants_template_comes_from_its_html() -> None:
    source = """<html><head><title>T</title><style>p{}</style></head><body>
      <h1>Hello&nbsp;{{ user.name }}</h1><p>Please
      <a href="{{ url }}">confirm</a> or write to <a href="mailto:x@y">us</a>.</p><ul><li>one</li><li>two</li></ul>
      <a href="{{ url }}">{{ url }}</a><script>evil()</script></body></html>"""

    mail = render(MailTemplate("S", source), {"user": {"name": "Ada & Bob"}, "url": LINK}, now=NOW)

    assert mail.text == (f"Hello Ada & Bob\n\nPlease confirm ({LINK}) or write to us.\n\n- one\n- two\n\n{LINK}\n")


@pytest.mark.parametrize("source", ["", "<", "<a href", "<p><p></p></p></a></style>", "&#xffffffff;", "<![CDATA[x"])
def test_broken_html_still_becomes_text(source: str) -> None:
    assert isinstance(plain_text(source), str)


def test_a_bad_template_is_refused_when_it_is_stored_with_its_line() -> None:
    check_template(MailTemplate("{{ a }}", "{% if a %}x{% endif %}"))
    with pytest.raises(BadTemplate, match="line 2"):
        check_template(MailTemplate("ok", "<p>\n{% nonsense %}"))
    with pytest.raises(BadTemplate):
        check_template(MailTemplate("{{ a | nonsense", "ok"))
