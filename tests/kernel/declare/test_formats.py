"""Stored URLs: what may be redirected to later (threats: redirect targets, stored script schemes)."""

import pytest

from freehold.kernel.declare.formats import check_format, is_callback_url, is_host_name
from freehold.kernel.declare.validation import InvalidBody


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.com/callback",
        "http://localhost:3000",
        "http://127.0.0.1:8080/cb?tenant=a",
        "http://[::1]:3000/cb",
        "https://*.example.com/cb",
        "https://*.preview.example.co.uk",
        "https://{organization_name}.example.com/cb",
        "com.example.app://acme.test/android/com.example.app/callback",
        "com.example.app:/callback",
        "https://bücher.example/cb",
    ],
)
def test_a_callback_is_an_absolute_uri(url: str) -> None:
    assert is_callback_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/callback",
        "//evil.example/cb",
        "localhost:3000/cb",
        "https://",
        "https:///cb",
        "https://app.example.com/cb#fragment",
        "https://app.example.com\\@evil.example/",
        "https://user:password@app.example.com/cb",
        "https://app.example.com/a b",
        "https://app.example.com/\x00",
        "https://app.example.com:99999/",
        "https://app..example.com/",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "https://app.example.com*",
        "https://*.com/cb",
        "https://*.co.uk/cb",
        "https://*/cb",
        "https://a*.example.com/cb",
        "https://app.*.example.com/cb",
        "https://**.example.com/cb",
        "https://" + "a" * 3000 + ".example.com",
    ],
)
def test_what_leads_elsewhere_or_runs_as_script_is_no_callback(url: str) -> None:
    assert not is_callback_url(url)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("absolute-uri-or-empty", ["", "https://example.com/logo.png", "http://example.com"], ["x", "https://*.a.com"]),
        ("absolute-https-uri-or-empty", ["", "https://example.com/login"], ["http://example.com", "https://a.com/#x"]),
        ("url", ["https://example.com"], ["", "ftp://example.com"]),
        ("email-or-empty", ["", "ada@example.com"], ["ada", "a b@example.com"]),
    ],
)
def test_each_format_names_the_property_it_refuses(name: str, good: list[str], bad: list[str]) -> None:
    for value in good:
        check_format(name, value, "p")
    for value in bad:
        with pytest.raises(InvalidBody, match=rf"format {name}: .* on property p\."):
            check_format(name, value, "p")


def test_a_host_name_has_neither_port_nor_path() -> None:
    assert is_host_name("acme.okta.com")
    assert not any(is_host_name(text) for text in ("", "acme.okta.com:8443", "acme.okta.com/x", "[::1]", "a b"))
