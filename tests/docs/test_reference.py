"""The committed reference says what the program does."""

from pathlib import Path

from freehold.cli.reference import pages
from freehold.domain.access import ROLES
from freehold.kernel.config import documentation
from tests.architecture.project import ROOT

DOCS = ROOT / "docs"
PAGES = dict(pages())


def generated_files() -> set[Path]:
    return {path for name in ("reference", "schemas") for path in (DOCS / name).iterdir()}


def test_every_page_is_up_to_date() -> None:
    """After a change: freehold dev reference"""
    stale = [path for path, content in PAGES.items() if (DOCS / path).read_bytes() != content]

    assert stale == [], "run: freehold dev reference"


def test_nothing_else_lies_among_them() -> None:
    assert generated_files() == {DOCS / path for path in PAGES}


def test_the_pages_say_what_can_be_looked_up_in_them() -> None:
    def page(name: str) -> str:
        return PAGES[f"reference/{name}.md"].decode()

    assert all(f"`{setting.env}`" in page("configuration") for setting in documentation())
    assert f"| `POST` | `/{ROLES.path}` | `create:roles` | 200 | Create a role |" in page("management-api")
    assert "| `roles` | collection | `/roles` |  | yes |" in page("declarations")
    assert "| `seccft` | " in page("events")
    assert "### freehold vault export" in page("commands")
