"""Links into a document lead to a heading of it. That files exist, tests/architecture sees to."""

import re
from pathlib import Path

from tests.architecture.project import ROOT, project_files
from tests.architecture.test_documentation import BLOCK

LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = HEADING.findall(BLOCK.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def lost_anchors(text: str, path: Path) -> list[str]:
    return [
        f"{target}#{anchor}"
        for target, anchor in LINK.findall(BLOCK.sub("", text))
        if anchor not in anchors((path.parent / target if target else path).read_text())
    ]


def test_links_to_headings_lead_to_headings() -> None:
    documents = {path: path.read_text() for path in project_files() if path.suffix == ".md"}

    assert {str(path): lost for path, text in documents.items() if (lost := lost_anchors(text, path))} == {}


def test_a_lost_heading_is_found() -> None:
    assert lost_anchors("[a](README.md#status) [b](README.md#no-such)", ROOT / "x.md") == ["README.md#no-such"]


def test_every_document_can_be_reached_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in seen or path.suffix != ".md" or not path.is_file():
            continue
        seen.add(path)
        targets = re.findall(r"\]\((?!https?:)([^)#\s]+)", BLOCK.sub("", path.read_text()))
        waiting += [(path.parent / target).resolve() for target in targets]

    assert set((ROOT / "docs").rglob("*.md")) - seen == set()
