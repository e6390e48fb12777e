"""QR codes as images inside a page: loaded from nowhere, and made of nothing but the text they say."""

from markupsafe import Markup


def qr_code(text: str) -> Markup:
    """An SVG element without a size of its own, dark on white whatever the page's colours are: cameras want that."""
    # Imported here because most processes never draw one, and all of them start.
    import segno

    svg: str = segno.make(text, error="m", micro=False).svg_inline(
        border=4, dark="#000", light="#fff", svgclass="qr", lineclass=None, omitsize=True
    )
    return Markup(svg.replace("<svg ", '<svg aria-hidden="true" ', 1))  # noqa: S704 - segno's own markup
