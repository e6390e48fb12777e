"""Whatever colours a tenant chooses, the text on its pages can be read (WCAG 2.2 AA)."""

import re
from importlib.resources import files
from itertools import product

import pytest

from freehold.login.palette import (
    BLACK,
    DARK_CARD,
    DARK_PAGE,
    DEFAULT_PRIMARY,
    LIGHT_CARD,
    LIGHT_PAGE,
    WHITE,
    Colour,
    contrast,
    parse_colour,
    tenant_style,
)

TEXT, PART_OF_A_CONTROL = 4.5, 3.0
STYLESHEET = (files("freehold.login") / "static" / "page.css").read_text()


def properties(css: str) -> tuple[dict[str, Colour], dict[str, Colour]]:
    """Return the custom properties that are colours, for light and for dark."""
    light, dark = re.findall(r":root\s*\{([^}]*)\}", css)[:2]
    found = [
        {
            name: colour
            for name, value in re.findall(r"--([\w-]+):\s*([^;]+);", block)
            if (colour := parse_colour(value))
        }
        for block in (light, dark)
    ]
    return found[0], {**found[0], **found[1]}


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "background", "least"),
    [
        ("text", "card", TEXT),
        ("text", "quiet", TEXT),
        ("text", "field", TEXT),
        ("muted", "card", TEXT),
        ("muted", "quiet", TEXT),
        ("bad", "card", TEXT),
        ("bad", "bad-soft", TEXT),
        ("good", "quiet", TEXT),
        ("good", "good-soft", TEXT),
        ("good", "card", TEXT),
        ("note", "note-soft", TEXT),
        ("accent", "card", TEXT),
        ("on-primary", "primary", TEXT),
        ("on-primary", "primary-hover", TEXT),
        ("on-page", "page", TEXT),
        ("field-edge", "card", PART_OF_A_CONTROL),
        ("field-edge", "field", PART_OF_A_CONTROL),
        ("bad", "field", PART_OF_A_CONTROL),
        ("accent", "field", PART_OF_A_CONTROL),
        ("accent", "quiet", PART_OF_A_CONTROL),
    ],
)
def test_the_stylesheets_own_colours_have_enough_contrast(ink: str, background: str, least: float, theme: int) -> None:
    colours = properties(STYLESHEET)[theme]

    assert contrast(colours[ink], colours[background]) >= least


def test_the_palette_knows_the_surfaces_of_the_stylesheet() -> None:
    light, dark = properties(STYLESHEET)

    assert [str(light["card"]), str(light["page"])] == [LIGHT_CARD, LIGHT_PAGE]
    assert [str(dark["card"]), str(dark["page"])] == [DARK_CARD, DARK_PAGE]
    assert str(light["primary"]) == str(dark["primary"]) == DEFAULT_PRIMARY


def test_the_stylesheet_loads_nothing() -> None:
    assert "url(" not in STYLESHEET
    assert "@import" not in STYLESHEET
    assert "@font-face" not in STYLESHEET


LEVELS = (0, 51, 102, 128, 153, 204, 255)


@pytest.mark.parametrize("background", [None, "#000000", "#ffffff", "#777777", "#1b1035", "#ffd60a", "#635dff"])
def test_any_primary_and_any_background_give_readable_text(background: str | None) -> None:
    for primary in (Colour(*levels) for levels in product(LEVELS, repeat=3)):
        for colours, card in zip(
            properties(tenant_style(str(primary), background)), (LIGHT_CARD, DARK_CARD), strict=True
        ):
            surface = parse_colour(card)
            assert surface is not None
            assert contrast(colours["on-primary"], colours["primary"]) >= TEXT
            assert contrast(colours["on-primary"], colours["primary-hover"]) >= TEXT
            assert contrast(colours["accent"], surface) >= TEXT
            assert contrast(colours["on-page"], colours["page"]) >= TEXT


def test_a_readable_primary_stays_what_it_is() -> None:
    light, dark = properties(tenant_style("#0059d6", None))

    assert str(light["accent"]) == str(light["primary"]) == "#0059d6"
    assert contrast(dark["accent"], WHITE) < contrast(light["accent"], WHITE)


def test_a_light_background_serves_the_light_theme_only_and_a_dark_one_both() -> None:
    for chosen, in_dark in (("#fff7e0", DARK_PAGE), ("#1b1035", "#1b1035")):
        light, dark = properties(tenant_style(None, chosen))
        assert (str(light["page"]), str(dark["page"])) == (chosen, in_dark)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "red",
        "0059d6",
        "#12",
        "#12345",
        "#1234567",
        "#gggggg",
        "#fff;}",
        "#fff\n",
        " #fff",
        "#ffffff}body{x:y",
    ],
)
def test_anything_but_a_hex_colour_counts_as_none(text: str | None) -> None:
    assert parse_colour(text) is None
    assert tenant_style(text, text) == tenant_style(None, None)


def test_all_hex_forms_are_understood() -> None:
    assert parse_colour("#f80") == parse_colour("#ff8800") == parse_colour("#FF8800FF") == Colour(255, 136, 0)
    assert parse_colour("#0000") == WHITE
    assert parse_colour("#00000080") == Colour(127, 127, 127)


def test_contrast_is_the_one_of_the_guidelines() -> None:
    assert contrast(BLACK, WHITE) == pytest.approx(21)
    assert contrast(WHITE, WHITE) == pytest.approx(1)
    assert contrast(Colour(118, 118, 118), WHITE) == pytest.approx(4.54, abs=0.01)
