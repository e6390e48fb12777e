"""The public gallery of rules and of database scripts, read from a folder that is no part of this project.

FREEHOLD_GALLERY names a folder with a copy of the repositories `auth0/rules` and `auth0/db-connections-templates`, each
in a folder of its name.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import find_gallery

REPORT = "FREEHOLD_GALLERY_REPORT"
"""Names a file into which the results are written as a table."""


@dataclass(frozen=True)
class Piece:
    """A rule, or a script of a database template, with the gallery's tests of it."""

    gallery: str
    name: str
    code: str
    tests: str
    """The path of the file of tests, '' where there is none."""

    def __str__(self) -> str:
        return self.name


def rules() -> list[Piece]:
    """Every rule, and every rule of an example with a redirect; none where there is no gallery."""
    folder = find_gallery()
    if folder is None:
        return []
    root = folder / "rules"
    sources = [*sorted((root / "src" / "rules").glob("*.js")), *sorted((root / "redirect-rules").glob("*/rule.js"))]
    return [_piece("rules", root, path, root / "src" / "rules", "test/rules") for path in sources]


def scripts() -> list[Piece]:
    """Every script of every database template."""
    folder = find_gallery()
    if folder is None:
        return []
    root = folder / "db-connections-templates"
    sources = sorted((root / "src" / "scripts").glob("*/*.js"))
    return [
        _piece("db-connections-templates", root, path, root / "src" / "scripts", "test/scripts") for path in sources
    ]


def texts(gallery: str) -> dict[str, str]:
    """The gallery's files of tests and what they require of each other, by path."""
    root = (find_gallery() or Path()) / gallery
    return {
        path.relative_to(root).as_posix(): path.read_text("utf-8") for path in sorted((root / "test").rglob("*.js"))
    }


def _piece(gallery: str, root: Path, path: Path, sources: Path, tests: str) -> Piece:
    inside = path.relative_to(sources) if path.is_relative_to(sources) else path.relative_to(root)
    name = inside.with_suffix("").as_posix()
    file = f"{tests}/{name}.test.js"
    return Piece(gallery, name, _without_comment(path.read_text("utf-8")), file if (root / file).exists() else "")


def _without_comment(text: str) -> str:
    """The gallery describes a rule in a comment before it, which the gallery's build leaves out."""
    return re.sub(r"\A\s*/\*.*?\*/", "", text, flags=re.DOTALL).strip()
