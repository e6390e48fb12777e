"""JSON that two readers could understand differently is refused, and nothing sent as JSON is a server error."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.kernel.errors import BadRequest
from freehold.kernel.http.strict_json import MAX_DEPTH, decode_json

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=30,
)


@given(JSON_VALUES)
def test_any_value_is_read_as_it_was_written(value: Any) -> None:
    assert decode_json(json.dumps(value).encode()) == value
    assert decode_json(json.dumps(value, ensure_ascii=False, indent=1).encode()) == value


@given(st.dictionaries(st.text(), JSON_VALUES, min_size=1, max_size=4), JSON_VALUES)
def test_a_member_written_twice_is_refused_at_any_depth(members: dict[str, Any], other: Any) -> None:
    name = next(iter(members))
    twice = json.dumps(members)[:-1] + f", {json.dumps(name)}: {json.dumps(other)}}}"

    for text in (twice, f"[{twice}]", f'{{"outer": [1, {twice}]}}'):
        with pytest.raises(BadRequest):
            decode_json(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "a": 1}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"a:": "::", "b": {"c": 1, "c": 2}}',
        b'{"a":1,"a":{"b":2}}',
    ],
)
def test_a_member_spelled_differently_is_still_the_same_member(text: bytes) -> None:
    with pytest.raises(BadRequest):
        decode_json(text)


def test_colons_in_text_are_not_members() -> None:
    assert decode_json(b'{"a": "b:c", "d\\":": ["e:", ":", "\\\\"]}') == {"a": "b:c", 'd":': ["e:", ":", "\\"]}


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":['])
@pytest.mark.parametrize("closed", [True, False])
def test_a_hundred_thousand_levels_are_refused(opening: bytes, closed: bool) -> None:
    closing = opening.replace(b"[", b"]").replace(b'{"a":', b"}")[::-1].replace(b'"a":', b"")
    text = opening * 100_000 + (b"1" + closing * 100_000 if closed else b"")

    with pytest.raises(BadRequest):
        decode_json(text)


def test_nesting_is_read_to_the_documented_depth() -> None:
    assert decode_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(BadRequest):
        decode_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"{",
        b'{"a":1}}',
        b"{}{}",
        b"{'a':1}",
        b"[1,]",
        b'{"a":1,}',
        b"NaN",
        b"[Infinity]",
        b"1e400",
        b"-1e400",
        b"01",
        b"+1",
        b"1.",
        b"tru",
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'{"\\ud800": 1}',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        b'"\\x41"',
        b'"a\nb"',
        b'{"a":1} // no',
        b"1" * 5_000,
        "{}".encode("utf-16"),
    ],
)
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        decode_json(text)

    assert refused.value.code == "invalid_body"


def test_prototype_names_are_names_like_others() -> None:
    assert decode_json(b'{"__proto__": {"admin": true}, "constructor": 1}') == {
        "__proto__": {"admin": True},
        "constructor": 1,
    }


def test_a_nul_character_is_refused_and_an_escaped_backslash_is_none() -> None:
    assert decode_json(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}
    for text in (b'{"a": "x\\u0000"}', b'{"a": [{"\\u0000": 1}]}', b'"\\u0000"'):
        with pytest.raises(BadRequest, match=r"U\+0000"):
            decode_json(text)
