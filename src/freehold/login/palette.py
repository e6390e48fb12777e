"""The colours of a tenant's pages, computed from its branding so that text stays readable on any of them.

A tenant chooses a primary colour and a page background without thinking of contrast or of dark screens. Here they
become the few custom properties `static/page.css` paints with: what is written on the primary colour is black or white,
whichever can be read, and where the colour itself is text, link or focus ring it is darkened (or lightened, on dark)
until WCAG 2.2 level AA holds (4.5:1, section 1.4.3). The neutral colours are in the stylesheet; a test measures them.
"""

import re
from functools import lru_cache
from typing import NamedTuple

DEFAULT_PRIMARY = "#0b6e5f"
READABLE = 4.5
QUIET = 5.5

# The surfaces of page.css that the computed colours are laid on; a test compares them with the stylesheet.
LIGHT_CARD, LIGHT_PAGE = "#ffffff", "#f3f4f6"
DARK_CARD, DARK_PAGE = "#17191e", "#0c0d10"

_HEX = re.compile(r"#(?:[0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})\Z")


class Colour(NamedTuple):
    """An opaque sRGB colour, 0 to 255 each."""

    red: int
    green: int
    blue: int

    def __str__(self) -> str:
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x}"


BLACK, WHITE = Colour(0, 0, 0), Colour(255, 255, 255)


def parse_colour(text: str | None) -> Colour | None:
    """Return the colour of `#rgb`, `#rgba`, `#rrggbb` or `#rrggbbaa`, or None for anything else.

    A translucent colour is returned as it looks on white. Nothing that comes from a tenant reaches a stylesheet
    except through this function.
    """
    if text is None or not _HEX.match(text):
        return None
    digits = text[1:]
    if len(digits) <= 4:
        digits = "".join(digit * 2 for digit in digits)
    colour = Colour(*(int(digits[i : i + 2], 16) for i in (0, 2, 4)))
    if len(digits) == 8:
        return mix(colour, WHITE, 1 - int(digits[6:], 16) / 255)
    return colour


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """Return `colour` with `share` (0 to 1) of it replaced by `other`."""
    return Colour(*(round(a + (b - a) * share) for a, b in zip(colour, other, strict=True)))


def luminance(colour: Colour) -> float:
    """Return the relative luminance, 0 to 1 (WCAG 2.2, definition of relative luminance)."""

    def linear(channel: int) -> float:
        value = channel / 255
        return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)

    return 0.2126 * linear(colour.red) + 0.7152 * linear(colour.green) + 0.0722 * linear(colour.blue)


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast ratio, 1 to 21 (WCAG 2.2, definition of contrast ratio)."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def ink_on(background: Colour) -> Colour:
    """Return black or white, whichever reads better; the better one always reaches 4.5:1."""
    return max(WHITE, BLACK, key=lambda ink: contrast(ink, background))


def quiet_ink_on(background: Colour) -> Colour:
    """Return a softer ink for what is not important, as soft as it may be with room for the glow behind it."""
    return readable_on(mix(ink_on(background), background, 0.4), background, at_least=QUIET)


def readable_on(colour: Colour, background: Colour, *, at_least: float = READABLE) -> Colour:
    """Return `colour`, darkened or lightened no more than it needs to be text on `background`."""
    target = ink_on(background)
    for step in range(25):
        candidate = mix(colour, target, step / 25)
        if contrast(candidate, background) >= at_least:
            return candidate
    return target


@lru_cache(maxsize=1024)
def tenant_style(primary_hex: str | None, page_background_hex: str | None) -> str:
    """Return the CSS custom properties of a tenant, for light and dark; unreadable values fall back to the defaults."""
    primary = parse_colour(primary_hex) or parse_colour(DEFAULT_PRIMARY)
    assert primary is not None
    background = parse_colour(page_background_hex)
    light_page = background or parse_colour(LIGHT_PAGE)
    # A tenant has one page background. It serves the dark theme too when it is dark itself.
    dark_page = background if background and ink_on(background) == WHITE else parse_colour(DARK_PAGE)
    light_card, dark_card = parse_colour(LIGHT_CARD), parse_colour(DARK_CARD)
    assert light_page and dark_page and light_card and dark_card  # noqa: PT018
    ink = ink_on(primary)
    shared = f"--primary:{primary};--on-primary:{ink};--primary-hover:{mix(primary, _opposite(ink), 0.14)};"
    light = f"--accent:{readable_on(primary, light_card)};--page:{light_page};--on-page:{quiet_ink_on(light_page)};"
    dark = f"--accent:{readable_on(primary, dark_card)};--page:{dark_page};--on-page:{quiet_ink_on(dark_page)};"
    return f":root{{{shared}{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def _opposite(ink: Colour) -> Colour:
    return BLACK if ink == WHITE else WHITE
