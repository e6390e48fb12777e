"""A strict little HTML reader for tests: a page that does not nest properly is an error, not a guess."""

from collections.abc import Iterator
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "input", "img", "br", "hr", "base"})


class Element:
    """An element with its attributes, its children and its text."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[Element | str] = []

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    def get(self, name: str) -> str | None:
        return self.attributes.get(name)

    def all(self, *tags: str, **attributes: str) -> list["Element"]:
        """Return the descendants with one of the tags and all of the attributes (`aria_x` for `aria-x`)."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            element
            for element in self.walk()
            if (not tags or element.tag in tags) and all(element.get(name) == value for name, value in wanted.items())
        ]

    def one(self, *tags: str, **attributes: str) -> "Element":
        found = self.all(*tags, **attributes)
        assert len(found) == 1, f"{len(found)} elements {tags} {attributes}"
        return found[0]

    def walk(self) -> Iterator["Element"]:
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child.walk()

    @property
    def text(self) -> str:
        pieces = (child if isinstance(child, str) else child.text for child in self.children)
        return " ".join("".join(pieces).split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("document", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute of {tag} is repeated: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_html(body: bytes) -> Element:
    """Return the document; AssertionError when it does not nest."""
    text = body.decode()
    assert text.startswith("<!doctype html>\n<html ")
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert len(reader.open) == 1, f"<{reader.open[-1].tag}> is not closed"
    return reader.open[0]
