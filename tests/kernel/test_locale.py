"""Choosing a language: the visitor's wish, as far as the tenant goes along with it."""

import pytest

from freehold.kernel.locale import accepted_languages, choose_language, direction

OURS = ("en", "de")


def choose(ui_locales: str | None = None, accept: str | None = None, enabled: tuple[str, ...] = ("en", "de")) -> str:
    return choose_language(ui_locales=ui_locales, accept_language=accept, enabled=enabled, supported=OURS)


def test_ui_locales_comes_before_the_browser_and_the_browser_before_the_tenant() -> None:
    assert choose("de", "en") == "de"
    assert choose(None, "de;q=0.9, en;q=0.1") == "de"
    assert choose(None, None, ("de", "en")) == "de"


def test_a_wish_that_cannot_be_met_gives_way_to_the_next() -> None:
    assert choose("fr it", "de") == "de"
    assert choose("fr", "ja, de;q=0.2, en;q=0") == "de"


@pytest.mark.parametrize(
    ("wanted", "enabled", "chosen"),
    [
        ("de-AT", ("en", "de"), "de"),
        ("de-Latn-AT", ("en", "de-AT", "de"), "de"),
        ("DE_at", ("en", "de"), "de"),
        ("de", ("en", "de-CH"), "de-CH"),
        ("de-AT", ("en", "de-CH", "de-AT"), "de-AT"),
    ],
)
def test_a_region_is_met_exactly_or_by_its_language_or_by_another_region(
    wanted: str, enabled: tuple[str, ...], chosen: str
) -> None:
    """RFC 4647 section 3.4, and one step more"""
    assert choose(wanted, None, enabled) == chosen


def test_a_language_without_texts_is_never_chosen() -> None:
    assert choose("fr", "fr", ("fr", "de")) == "de"
    assert choose("fr", "fr", ("fr",)) == "en"
    assert choose("de", "de", ()) == "en"


def test_the_weights_of_accept_language_are_respected() -> None:
    """RFC 9110 section 12.5.4"""
    assert accepted_languages("da, en-gb;q=0.8, en;q=0.7, fr;q=0, *;q=0.5") == ["da", "en-gb", "en"]
    assert accepted_languages("a;q=0.1, b ; Q=1, c; q=0.5") == ["b", "c", "a"]


@pytest.mark.parametrize(
    "header", [None, "", ";;;,,,", "de;q=x", "de;q=nan", "de;q=-1", "de;q=2", "*", ",".join(["x"] * 9)]
)
def test_a_strange_header_is_no_reason_to_fail(header: str | None) -> None:
    assert choose(None, header) == "en"


def test_only_the_beginning_of_a_long_header_is_read() -> None:
    assert len(accepted_languages("de," * 100_000)) == 20


def test_direction_follows_the_language() -> None:
    assert [direction(tag) for tag in ("ar-EG", "he", "fa", "ur", "de", "en-CA")] == ["rtl"] * 4 + ["ltr"] * 2
