"""Answers are built from values, and nothing in a value can become another header."""

import pytest

from freehold.kernel.http.response import Response, empty, encode_header, html, json, redirect, text


def test_json_is_encoded_or_passed_through() -> None:
    assert json({"a": "é"}).body == '{"a":"é"}'.encode()
    assert json(b'{"ready":true}').body == b'{"ready":true}'
    assert json([], 201).status == 201


def test_the_kinds_of_answers_say_their_type() -> None:
    assert [made.content_type for made in (json({}), html("<p>"), text("a"), empty())] == [
        "application/json; charset=utf-8",
        "text/html; charset=utf-8",
        "text/plain; charset=utf-8",
        None,
    ]


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://app.example.com/cb?code=a%2Fb&state=x", "https://app.example.com/cb?code=a%2Fb&state=x"),
        ("https://app.example.com/cb#access_token=a", "https://app.example.com/cb#access_token=a"),
        ("com.example.app://cb?x=1", "com.example.app://cb?x=1"),
        ("https://app.example.com/ü", "https://app.example.com/%C3%BC"),
        ("https://a/\r\nset-cookie: x=1", "https://a/%0D%0Aset-cookie:%20x=1"),
        ('https://a/"<script>', "https://a/%22%3Cscript%3E"),
        ("/u/login?state=1", "/u/login?state=1"),
        ("https://[::1]:3000/cb", "https://[::1]:3000/cb"),
    ],
)
def test_a_redirect_keeps_the_url_and_encodes_what_a_header_cannot_hold(url: str, location: str) -> None:
    response = redirect(url)

    assert response.status == 302
    assert response.headers == [("location", location)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", "a\r\nset-cookie: b=c"),
        ("x", "a\nb"),
        ("x", "a\rb"),
        ("x", "a\0b"),
        ("x", "€"),
        ("x y", "a"),
        ("x:", "a"),
        ("x\r\ny", "a"),
        ("", "a"),
    ],
)
def test_a_header_that_could_start_another_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError):
        encode_header(name, value)


def test_a_cookie_is_added_to_the_answer() -> None:
    response = Response()
    response.set_cookie("a", "1", max_age_s=5)
    response.set_cookie("b", "2", same_site="None")

    assert response.headers == [
        ("set-cookie", "a=1; Path=/; Max-Age=5; Secure; HttpOnly; SameSite=Lax"),
        ("set-cookie", "b=2; Path=/; Secure; HttpOnly; SameSite=None"),
    ]


def test_answers_do_not_share_their_headers() -> None:
    first, second = Response(), Response()
    first.headers.append(("x", "1"))

    assert second.headers == []
