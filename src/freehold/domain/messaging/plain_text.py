"""The text part of a mail whose author wrote HTML only."""

import re
from html.parser import HTMLParser


def plain_text(source: str) -> str:
    """Return an HTML mail as plain text: blocks as paragraphs, links followed by their address."""
    reader = _TextReader()
    reader.feed(source)
    reader.close()
    return reader.text()


_BLOCKS = frozenset(
    {"p", "div", "table", "tr", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "section", "header", "hr"}
)
_UNSEEN = frozenset({"head", "style", "script", "title"})


class _TextReader(HTMLParser):
    """Collects what a reader of the HTML would see."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._unseen = 0
        self._href = ""
        self._link_from = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag == "a":
            self._href = next((value or "" for name, value in attrs if name == "href"), "")
            self._link_from = len(self._pieces)
        elif tag == "br":
            self._pieces.append("\n")
        elif tag == "li":
            self._pieces.append("\n- ")
        elif tag in _BLOCKS:
            self._pieces.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag == "a":
            label = " ".join("".join(self._pieces[self._link_from :]).split())
            if self._href.startswith(("http://", "https://")) and self._href != label:
                self._pieces.append(f" ({self._href})" if label else self._href)
            self._href = ""
        elif tag in _BLOCKS:
            self._pieces.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._pieces.append(re.sub(r"\s+", " ", data))

    def text(self) -> str:
        lines = [" ".join(line.split()) for line in "".join(self._pieces).split("\n")]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
