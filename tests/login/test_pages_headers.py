"""The headers of the pages: who may frame them, what may run in them, where their forms may go."""

from typing import Any

import pytest

from freehold.login import assets, views
from freehold.login.pages import content_security_policy, form_destinations, mail_document, render
from freehold.login.views import Brand
from tests.login.examples import EXAMPLES, FORM, NONCE, context


def headers(name: str, **changes: Any) -> dict[str, str]:
    answer = render(EXAMPLES[name], context(**changes))
    assert len(dict(answer.headers)) == len(answer.headers)
    return dict(answer.headers)


def directives(policy: str) -> dict[str, str]:
    return dict(part.split(" ", 1) for part in policy.split("; "))


def policy(name: str, **changes: Any) -> dict[str, str]:
    return directives(headers(name, **changes)["content-security-policy"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_scripts_and_styles_run_by_nonce_only(name: str) -> None:
    assert {key: policy(name)[key] for key in ("default-src", "script-src", "style-src", "base-uri", "img-src")} == {
        "default-src": "'none'",
        "script-src": f"'nonce-{NONCE}'",
        "style-src": f"'nonce-{NONCE}'",
        "base-uri": "'none'",
        "img-src": "'self'",
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_only_the_answer_for_a_frame_may_be_framed(name: str) -> None:
    if name == "web-message":
        assert "frame-ancestors" not in policy(name)
        assert "x-frame-options" not in headers(name)
    else:
        assert policy(name)["frame-ancestors"] == "'none'"
        assert headers(name)["x-frame-options"] == "DENY"


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_page_is_kept_or_guessed_at(name: str) -> None:
    answer = headers(name)

    assert answer["cache-control"] == "no-store"
    assert answer["x-content-type-options"] == "nosniff"
    assert answer["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_window_that_opened_the_page_keeps_hold_of_it(name: str) -> None:
    """A popup sign-in answers to window.opener."""
    assert "cross-origin-opener-policy" not in headers(name)


def test_our_own_forms_are_sent_with_their_origin() -> None:
    """With no-referrer a browser sends `Origin: null`, and a check against request forgery would refuse it."""
    assert headers("login")["referrer-policy"] == "same-origin"
    assert headers("form-post")["referrer-policy"] == "origin"


def test_too_many_requests_says_when_to_come_back() -> None:
    assert headers("too-many-requests")["retry-after"] == "7"


def test_pictures_may_come_from_where_the_tenant_keeps_them_and_nowhere_else() -> None:
    brand = Brand(name="x", logo_url="https://cdn.example.com/a.png", favicon_url="https://cdn.example.com/b.ico")
    consent = views.Consent(form=FORM, scopes=(), user_name="", client_logo_url="http://app.example.com:8080/x.png")

    assert policy("login", brand=brand)["img-src"] == "'self' https://cdn.example.com"
    sources = directives(dict(render(consent, context(brand=brand)).headers)["content-security-policy"])["img-src"]
    assert sources == "'self' https://cdn.example.com http://app.example.com:8080"


@pytest.mark.parametrize(
    "url",
    ["https://x.example;script-src *", "https://x.example,*", "https://x.example *", "https://*", "javascript:x", "*"],
)
def test_an_address_cannot_add_to_the_policy(url: str) -> None:
    assert policy("login", brand=Brand(name="x", logo_url=url))["img-src"] == "'self'"
    assert ";" not in policy("login", redirect_uri=url)["form-action"]


def test_an_image_inside_its_address_is_allowed() -> None:
    brand = Brand(name="x", logo_url="data:image/svg+xml;base64,PHN2Zy8+")

    assert policy("login", brand=brand)["img-src"] == "'self' data:"
    assert policy("login", brand=Brand(name="x", logo_url="data:text/html,x"))["img-src"] == "'self'"


@pytest.mark.parametrize("nonce", ["", "short", "x" * 20 + "'", "x" * 20 + "; script-src *", "x" * 20 + "\n"])
def test_a_nonce_is_a_nonce(nonce: str) -> None:
    with pytest.raises(ValueError, match="nonce"):
        content_security_policy(nonce)


@pytest.mark.parametrize(
    ("redirect_uri", "destinations"),
    [
        ("", ("'self'",)),
        ("https://app.example.com/cb", ("'self'", "https:")),
        ("http://localhost:3000/cb", ("'self'", "https:", "http:")),
        ("com.example.App://cb", ("'self'", "https:", "com.example.app:")),
        ("javascript:alert(1)", ("'self'",)),
        ("/relative", ("'self'",)),
    ],
)
def test_a_form_may_lead_to_the_application_and_on_from_there(redirect_uri: str, destinations: tuple[str, ...]) -> None:
    assert form_destinations(redirect_uri) == destinations
    assert policy("login", redirect_uri=redirect_uri)["form-action"] == " ".join(destinations)


def test_no_destination_means_none() -> None:
    assert directives(content_security_policy(NONCE, form_action=()))["form-action"] == "'none'"


def test_a_mail_gets_no_script_no_form_and_no_origin() -> None:
    answer = dict(mail_document("<form><script>alert(1)</script>").headers)

    policy = directives(answer["content-security-policy"])
    assert policy["sandbox"] == "allow-popups allow-popups-to-escape-sandbox"
    assert (policy["default-src"], policy["form-action"]) == ("'none'", "'none'")
    assert policy["frame-ancestors"] == "'self'"
    assert "script-src" not in policy
    assert answer["cache-control"] == "no-store"


def test_assets_are_found_under_the_digest_of_their_content_and_kept_for_good() -> None:
    for asset in (assets.STYLESHEET, assets.SCRIPT, assets.ICON):
        assert assets.find_asset(asset.path.removeprefix(assets.PREFIX)) is asset
        assert dict(asset.headers)["cache-control"] == "public, max-age=31536000, immutable"
    assert assets.find_asset("page.css") is None
    assert assets.find_asset("../pages.py") is None
    assert assets.find_asset("page.000000000000.css") is None
