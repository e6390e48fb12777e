"""Cookies are set safely or not at all."""

import pytest

from freehold.kernel.http.cookies import format_cookie, parse_cookies


def test_a_cookie_is_secure_hidden_from_scripts_and_first_party_unless_said_otherwise() -> None:
    assert format_cookie("a", "b") == "a=b; Path=/; Secure; HttpOnly; SameSite=Lax"


def test_every_attribute_can_be_said() -> None:
    text = format_cookie("a", "b", max_age_s=60, path="/login", domain="example.com", same_site=None)

    assert text == "a=b; Path=/login; Domain=example.com; Max-Age=60; Secure; HttpOnly"


@pytest.mark.parametrize(
    "attributes",
    [
        {"name": "__Host-a", "secure": False},
        {"name": "__Host-a", "path": "/login"},
        {"name": "__Host-a", "domain": "example.com"},
        {"name": "__Secure-a", "secure": False},
        {"name": "a", "secure": False, "same_site": "None"},
        {"name": "a b"},
        {"name": ""},
        {"name": "a\r\nset-cookie: b"},
        {"name": "a", "value": "x; Domain=evil.test"},
        {"name": "a", "value": "x\r\nlocation: https://evil.test"},
        {"name": "a", "value": 'x"y'},
        {"name": "a", "value": "é"},
        {"name": "a", "path": "/; Domain=evil.test"},
        {"name": "a", "domain": "evil.test; Path=/"},
    ],
)
def test_what_a_browser_would_refuse_or_read_differently_is_a_mistake(attributes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        format_cookie(**{"value": "x", **attributes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "cookies"),
    [
        ("a=1; b=2", {"a": "1", "b": "2"}),
        ("a=1;b=2;", {"a": "1", "b": "2"}),
        ("a=b=c", {"a": "b=c"}),
        ('a="1"', {"a": "1"}),
        ("a=1; a=2", {"a": "1"}),
        ("a; b=2", {"b": "2"}),
        ("", {}),
        ("=1", {"": "1"}),
    ],
)
def test_the_cookie_header_is_read(header: str, cookies: dict[str, str]) -> None:
    assert parse_cookies(header) == cookies
