"""The public galleries of customers' code, read from a folder that is no part of this project.

FREEHOLD_GALLERY names a folder with a copy of the repositories `auth0/rules`, `auth0/db-connections-templates`,
`auth0/opensource-marketplace` (templates of actions) and `auth0/docs-v2` (its pages hold the documented examples of
actions), each in a folder of its name. Packages that were installed once are kept in `.npm` beside them.
"""

import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.programs import find_gallery

REPORT = "FREEHOLD_GALLERY_REPORT"
"""Names a file into which the results are written as a table."""


# What a script would throw for something that the sandbox lacks, and not for what it was told by others.
LACKING = re.compile(
    r"Cannot find module|is not available in the sandbox|is not defined|is not a function|is not a constructor"
)


@dataclass
class Row:
    """A line of the table of results."""

    gallery: str
    name: str
    ran: str = ""
    held: int = 0
    tests: int = 0
    failed: list[str] = field(default_factory=list)


class Table(dict[str, Row]):
    """The results, by piece."""

    def of(self, piece: "Piece") -> Row:
        """The line of a piece."""
        return self.setdefault(f"{piece.gallery}/{piece.name}", Row(piece.gallery, piece.name))

    def text(self) -> str:
        """All lines as Markdown."""
        rows = self.values()
        held, tests = sum(row.held for row in rows), sum(row.tests for row in rows)
        lines = [f"{len(rows)} pieces; {held} of {tests} of the galleries' own tests hold.", "",
                 "| piece | came to | own tests | what failed |", "|---|---|---|---|"]  # fmt: skip
        for row in sorted(rows, key=lambda row: (row.gallery, row.name)):
            own = f"{row.held}/{row.tests}" if row.tests else ""
            cells = [f"{row.gallery}/{row.name}", row.ran, own, "; ".join(row.failed)]
            lines.append("| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |")
        return "\n".join(lines) + "\n"


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


@dataclass(frozen=True)
class Example(Piece):
    """An action of the marketplace, or one that a page of the documentation shows."""

    trigger: str = ""
    dependencies: tuple[tuple[str, str], ...] = ()


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


TRIGGERS = {
    "PostLogin": "post-login", "CredentialsExchange": "credentials-exchange", "EventStream": "event-stream",
    "PreUserRegistration": "pre-user-registration", "PostUserRegistration": "post-user-registration",
    "PostChangePassword": "post-change-password", "SendPhoneMessage": "send-phone-message",
    "PostChallenge": "password-reset-post-challenge", "CustomTokenExchange": "custom-token-exchange",
    "CustomPhoneProvider": "custom-phone-provider", "CustomEmailProvider": "custom-email-provider",
}  # fmt: skip
"""By what the name of a handler says after `onExecute`."""
_HANDLER = re.compile(r"exports\.on(?:Execute|Continue)(\w+)\s*=")
_FENCE = re.compile(r"^([ \t]*)```[^\n]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(r"export const \w+ = `(.*?)(?<!\\)`;", re.DOTALL)


def examples() -> list[Example]:
    """Every template of an action, and every example of one in the documentation in English."""
    folder = find_gallery()
    if folder is None:
        return []
    return [*_templates(folder / "opensource-marketplace" / "templates"), *_documented(folder / "docs-v2")]


def _templates(root: Path) -> list[Example]:
    found = []
    for path in sorted(root.glob("*/code.js")):
        code, manifest = path.read_text("utf-8"), (path.parent / "manifest.yaml").read_text("utf-8")
        modules = re.findall(r"- name: '?([\w@/.-]+)'?\n\s+version: '?([\w.^~-]+)'?", manifest)
        found.append(Example("opensource-marketplace", path.parent.name, code, "", _trigger_of(code), tuple(modules)))
    return found


def _documented(root: Path) -> list[Example]:
    found = []
    for path in sorted((root / "main" / "docs").rglob("*.mdx")):
        page = path.relative_to(root / "main" / "docs").with_suffix("").as_posix()
        text = path.read_text("utf-8")
        blocks = [each[1] for each in _FENCE.findall(text)] + [each.replace("\\", "") for each in _QUOTED.findall(text)]
        actions = [textwrap.dedent(each).strip() for each in blocks if _HANDLER.search(each)]
        if not page.startswith(("fr-ca/", "ja-jp/")):
            found += [
                Example("docs-v2", f"{page}-{number}", code, "", _trigger_of(code))
                for number, code in enumerate(dict.fromkeys(actions), 1)
            ]
    return found


def _trigger_of(code: str) -> str:
    named = _HANDLER.search(code)
    return TRIGGERS.get(named[1], "") if named else ""


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
