"""The OpenPGP guide as a page: the same text as in the documentation, with nothing but text, tables and commands."""

import re
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from freehold.domain.administrators import require_admin
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.surfaces.ceremony.pages.frame import SCREENS

_OWN_SITE = re.compile(r"https://|#")


async def show_pgp(request: Request) -> Response:
    """GET /admin/guide/pgp."""
    acting = await require_admin(request)
    title, body = pgp_guide()
    return await SCREENS.render(request, acting, "guide.html", active="exports", title=title, body=body)


@cache
def pgp_guide() -> tuple[str, Markup]:
    """The guide's title, and the rest of it as HTML."""
    return rendered((files("freehold.surfaces.ceremony") / "guides" / "pgp.md").read_text(encoding="utf-8"))


def rendered(source: str) -> tuple[str, Markup]:
    """A text in Markdown as its title and HTML. Raw HTML is left out, and links that lead nowhere from here."""
    # Here, because few visitors read it and every process starts.
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    tokens = [token for token in parser.parse(source) if token.type != "html_block"]
    title = ""
    if tokens and tokens[0].type == "heading_open":
        title, tokens = tokens[1].content, tokens[3:]
    for before, token in pairwise(tokens):
        if token.children:
            token.children = [child for child in _without_dead_links(token.children) if child.type != "html_inline"]
        if before.type == "heading_open":
            before.attrSet("id", _anchor(token.content))
        if token.type == "fence":
            token.info = ""
    html = parser.renderer.render(tokens, parser.options, {})
    html = html.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    return title, Markup(html)  # noqa: S704 - made of text, and of what the parser makes of it


def _without_dead_links(children: list[Any]) -> list[Any]:
    kept, dead = [], False
    for child in children:
        if child.type == "link_open":
            dead = not _OWN_SITE.match(str(child.attrGet("href") or ""))
        if not (dead and child.type in {"link_open", "link_close"}) and child.type != "image":
            kept.append(child)
    return kept


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
