"""Path segments, query strings and urlencoded forms are decoded once and read one way."""

import pytest

from freehold.kernel.errors import BadRequest, NotFound
from freehold.kernel.http.parameters import MAX_FIELDS, Parameters, decode_segment, parse_urlencoded
from freehold.kernel.http.refusals import DuplicateParameter
from freehold.kernel.http.router import split_path


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        ("auth0%7Cabc", "auth0|abc"),
        ("auth0|abc", "auth0|abc"),
        ("https%3A%2F%2Fapi.example.com%2F", "https://api.example.com/"),
        ("100%25", "100%"),
        ("%2541", "%41"),
        ("a+b", "a+b"),
        ("%C3%A9%F0%9F%94%91", "é🔑"),
        ("%e2%80%ae", "\u202e"),
        ("", ""),
    ],
)
def test_a_segment_is_decoded_exactly_once(raw: str, decoded: str) -> None:
    assert decode_segment(raw) == decoded


@pytest.mark.parametrize(
    "raw",
    [
        "%",
        "%4",
        "%zz",
        "%u0041",
        "a%",
        "%ff",
        "%c0%af",
        "%ed%a0%80",
        "%00",
        "%0a",
        "a%0d%0ab",
        "%7f",
        "%c2%85",
        "\x01",
        ".",
        "..",
        "%2e",
        "%2e%2E",
        ".%2e",
    ],
)
def test_a_malformed_segment_is_refused(raw: str) -> None:
    with pytest.raises(BadRequest):
        decode_segment(raw)


def test_a_path_is_split_before_it_is_decoded() -> None:
    assert split_path("/api/v2/resource-servers/https%3A%2F%2Fapi%2F") == [
        "api",
        "v2",
        "resource-servers",
        "https://api/",
    ]


def test_a_path_of_thousands_of_segments_is_not_walked() -> None:
    with pytest.raises(NotFound):
        split_path("/a" * 1000)


def test_parameters_keep_their_order_and_their_empty_values() -> None:
    found = parse_urlencoded(b"b=1&a=x+y%2Bz&c=&d&=e&a=2&&")

    assert list(found.pairs()) == [("b", "1"), ("a", "x y+z"), ("a", "2"), ("c", ""), ("d", ""), ("", "e")]


@pytest.mark.parametrize("read", [Parameters.one, Parameters.get])
def test_a_repeated_parameter_has_no_single_value(read) -> None:  # type: ignore[no-untyped-def]
    found = parse_urlencoded(b"state=1&client_id=a&client%5fid=a")

    assert read(found, "state") == "1"
    with pytest.raises(DuplicateParameter) as refused:
        read(found, "client_id")
    with pytest.raises(DuplicateParameter):
        found.single()
    assert refused.value.name == "client_id"
    assert refused.value.code == "invalid_request"
    assert found.all("client_id") == ["a", "a"]


def test_a_missing_parameter_is_none_or_the_default() -> None:
    found = parse_urlencoded(b"a=1")

    assert found.one("b") is None
    assert found.get("b") == ""
    assert found.get("b", "x") == "x"
    assert found.all("b") == []
    assert "a" in found
    assert "b" not in found


@pytest.mark.parametrize("raw", [b"a=%ff", b"%ff=a", b"a=%ed%a0%80", b"a=\xc3", b"a=b%00c", b"a%00=b", b"a=\x00"])
def test_text_that_is_not_utf8_or_holds_a_nul_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_urlencoded(raw)


def test_what_is_no_escape_stays_as_it_is() -> None:
    assert parse_urlencoded(b"q=100%&r=%zz").single() == {"q": "100%", "r": "%zz"}


def test_too_many_parameters_are_refused() -> None:
    assert len(parse_urlencoded(b"&".join(b"a%d=" % i for i in range(MAX_FIELDS)))) == MAX_FIELDS
    with pytest.raises(BadRequest):
        parse_urlencoded(b"&".join(b"a%d=" % i for i in range(MAX_FIELDS + 1)))


def test_values_do_not_appear_in_the_representation() -> None:
    assert "hunter2" not in repr(parse_urlencoded(b"password=hunter2"))
