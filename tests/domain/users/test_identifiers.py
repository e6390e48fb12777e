"""Which addresses and names are the same, and which only look so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.users.identifiers import (
    canonical_email,
    canonical_username,
    fold_case,
    is_email,
    is_phone_number,
    is_username,
    stored_email,
)
from freehold.kernel.declare.validation import InvalidBody


@pytest.mark.parametrize(
    "address",
    [
        "a@b", "ada@example.com", "ADA+tag@Example.co.uk", "o'neil@example.com", "ü@exämple.com",
        "ada@xn--mller-kva.de", "x" * 64 + "@example.com",
    ],
)  # fmt: skip
def test_what_mail_can_be_sent_to_is_an_address(address: str) -> None:
    assert is_email(address)
    assert is_email(stored_email(address))


@pytest.mark.parametrize(
    "text",
    [
        "", "@", "a@", "@b", "a b@c", "a@b c", "a@@b", "a@b@c", "<a@b>", '"a"@b', "a@-b", "a@b-", "a@b..c", "a@b.",
        "a\r\n@b", "a\0@b", "a@b\n", "x" * 65 + "@b", "a@" + "b" * 64, "a@" + "ü" * 5000, "a\u200b@b",
        "a@b\u202e", "ａ＠b",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    assert not is_email(text)
    with pytest.raises(InvalidBody):
        stored_email(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("ada@MÜLLER.example", "ada@xn--mller-kva.example"),
        ("É@example.com", "e\u0301@example.com"),
    ],
)
def test_the_same_address_in_two_spellings(one: str, other: str) -> None:
    assert canonical_email(one) == canonical_email(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mi\u212ae@example.com", "mike@example.com"),  # Kelvin sign
        ("m\u0131ke@example.com", "mike@example.com"),  # dotless i
        ("\u017fam@example.com", "sam@example.com"),  # long s
        ("\u0430da@example.com", "ada@example.com"),  # Cyrillic a
        ("ada@\u0430.example", "ada@a.example"),
        ("stra\u00dfe@example.com", "strasse@example.com"),
    ],
)
def test_look_alikes_are_different_addresses(one: str, other: str) -> None:
    assert canonical_email(one) != canonical_email(other)


@pytest.mark.parametrize(
    ("one", "other"), [("Ada", "ａｄａ"), ("\u212aim", "kim"), ("straße", "STRASSE"), ("ﬁn", "FIN")]
)
def test_names_that_look_alike_clash(one: str, other: str) -> None:
    assert canonical_username(one) == canonical_username(other)


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a\u200bb", "a\u202eb", "a\tb", "\u3164", "a\ufe0f", "x" * 129, "\ud800"]
)
def test_names_with_what_nobody_sees_are_refused(name: str) -> None:
    assert not is_username(name)


@pytest.mark.parametrize("number", ["+1", "+15550100", "+123456789012345"])
def test_phone_numbers_are_international(number: str) -> None:
    assert is_phone_number(number)


@pytest.mark.parametrize("text", ["", "+", "15550100", "+1 555", "+1234567890123456", "+１", "+1\n"])
def test_what_is_no_phone_number(text: str) -> None:
    assert not is_phone_number(text)


@given(st.text(max_size=40))
def test_canonical_forms_never_fail_and_are_stable(text: str) -> None:
    for canonical in (canonical_email, canonical_username):
        once = canonical(text)
        assert canonical(once) == once


@given(st.text(max_size=40))
def test_case_folding_makes_no_ascii_out_of_anything_else(text: str) -> None:
    folded = fold_case(text)
    assert len(folded) == len(text)
    assert all(a.isascii() == b.isascii() for a, b in zip(text, folded, strict=True))
