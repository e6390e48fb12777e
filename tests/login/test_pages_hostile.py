"""Nothing a stranger may choose becomes markup, script, style or a place to go that nobody meant."""

import json
import re

import msgspec
import pytest

from freehold.login import views
from freehold.login.pages import render, web_origin
from freehold.login.views import Brand, Problem, Scope
from tests.login.examples import EXAMPLES, FORM, context
from tests.login.html_tree import read_html

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}${clientName}</title></style><!--"
# Of these the type or `render` itself says what they may be.
CHECKED = {"identifiers", "required", "optional", "password", "reason", "outcome", "target_origin", "redirect_uri"}
KNOWN_SCRIPTS = re.compile(r"/u/assets/page\.[0-9a-f]{12}\.js\Z")


def poisoned(value: object) -> object:
    """Return a view with every text in it replaced, as far as its type lets a stranger choose."""
    if isinstance(value, msgspec.Struct):
        changes = {name: poisoned(getattr(value, name)) for name in value.__struct_fields__ if name not in CHECKED}
        return msgspec.structs.replace(value, **changes)
    if isinstance(value, tuple):
        return tuple(poisoned(item) for item in value)
    if isinstance(value, dict):
        return {key: poisoned(item) for key, item in value.items()}
    return HOSTILE if isinstance(value, str) and value else value


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_value_becomes_markup(name: str) -> None:
    brand = Brand(name=HOSTILE, logo_url=HOSTILE, favicon_url=HOSTILE, primary=HOSTILE, page_background=HOSTILE)
    texts = {prompt: {prompt: {"title": HOSTILE, "description": HOSTILE}} for prompt in ("login", "signup", "consent")}
    view = poisoned(EXAMPLES[name])

    answer = render(view, context(brand=brand, client_name=HOSTILE, custom_texts=texts))  # type: ignore[arg-type]

    document = read_html(answer.body)
    clean = read_html(render(EXAMPLES[name], context()).body)
    for tag in ("script", "style", "title", "form", "link", "h1"):
        assert len(document.all(tag)) == len(clean.all(tag))
    assert not document.all("img", "iframe")
    for element in document.walk():
        assert not [attribute for attribute in element.attributes if attribute.startswith("on")]
        if element.tag == "script" and element.get("src") is not None:
            assert KNOWN_SCRIPTS.match(element["src"])
    assert all("alert" not in style.text for style in document.all("style"))
    assert b"<script>alert" not in answer.body


def test_a_state_and_a_token_cannot_leave_their_attributes() -> None:
    form = views.Form(action="/u/login", state=HOSTILE, csrf_token=HOSTILE)

    document = read_html(render(views.Login(form=form), context()).body)

    assert document.one("input", name="state")["value"] == HOSTILE


def test_a_hostile_application_name_is_shown_as_text_on_the_consent_page() -> None:
    """Doorkeeper CVE-2018-1000088"""
    view = views.Consent(form=FORM, scopes=(Scope(HOSTILE, HOSTILE),), user_name=HOSTILE, client_logo_url=HOSTILE)

    document = read_html(render(view, context(client_name=HOSTILE)).body)

    assert HOSTILE in document.one("h1").text
    assert document.one("li").text == HOSTILE


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "\\\\evil.example",
        "https://app.example.com@evil.example/",
        "https:\\\\evil.example",
        "https://",
        "https://a b.example/",
        "https://[::1",
        "https://x:99999/",
        "file:///etc/passwd",
        "evil.example",
    ],
)
def test_a_stored_address_with_an_unexpected_scheme_or_shape_is_not_linked(url: str) -> None:
    """Zitadel CVE-2026-29192"""
    brand = Brand(name="Northwind", support_url=url, logo_url=url)

    for view in (views.LoggedOut(login_url=url), views.ResetPasswordSuccess(continue_url=url)):
        document = read_html(render(view, context(brand=brand)).body)
        assert not document.all("a")
        assert not document.all("img")


@pytest.mark.parametrize(
    "url", ["/path?x=1#y", "https://app.example.com/a?b=c", "http://localhost:3000/", "mailto:a@b.example"]
)
def test_an_ordinary_address_is_linked(url: str) -> None:
    document = read_html(render(views.LoggedOut(login_url=url), context()).body)

    assert document.one("main").one("a")["href"] == url


@pytest.mark.parametrize(
    "value", ["</script><script>alert(1)</script>", "<!--<script>", "\u2028\u2029", "\"'\\", "&lt;/script&gt;", "]]>"]
)
def test_a_web_message_is_safe_inside_its_script(value: str) -> None:
    view = views.WebMessage(target_origin="https://app.example.com", response={"state": value, value: "x", "n": 1})

    body = render(view, context()).body
    document = read_html(body)

    data = document.one("script", id="answer")
    assert json.loads("".join(str(child) for child in data.children)) == {
        "origin": "https://app.example.com",
        "message": {"type": "authorization_response", "response": {"state": value, value: "x", "n": 1}},
    }
    raw = body.split(b'id="answer">')[1].split(b"</script>")[0]
    assert not re.search(rb"[<>&]|\xe2\x80[\xa8\xa9]", raw)


@pytest.mark.parametrize(
    "origin", ["*", "/", "null", "", "https://app.example.com/", "https://app.example.com/cb", "https://u@app.example.com",
               "https://APP.example.com", "https://app.example.com:443", "javascript:alert(1)", "app://x"]
)  # fmt: skip
def test_a_web_message_goes_to_one_web_origin_or_nowhere(origin: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        render(views.WebMessage(target_origin=origin, response={}), context())


@pytest.mark.parametrize("uri", ["javascript:alert(1)", "data:text/html,x", "com.example.app://cb", "/callback", ""])
def test_a_form_is_posted_to_web_addresses_only(uri: str) -> None:
    """Zitadel CVE-2026-29191; crewjam CVE-2023-45683"""
    with pytest.raises(ValueError, match="redirect_uri"):
        render(views.FormPost(redirect_uri=uri, fields=()), context())


def test_origins_are_written_as_browsers_write_them() -> None:
    assert web_origin("https://App.Example.com:443/cb?x") == "https://app.example.com"
    assert web_origin("http://localhost:3000") == "http://localhost:3000"
    assert web_origin("http://[::1]:8080/cb") == "http://[::1]:8080"


def test_texts_by_an_action_are_escaped() -> None:
    view = views.Login(form=FORM, problems=(Problem("x", "password", text=HOSTILE), Problem("y", text=HOSTILE)))

    document = read_html(render(view, context()).body)

    assert document.one("p", id="password-error").text == HOSTILE
    assert document.one("div", role="alert").text == HOSTILE
