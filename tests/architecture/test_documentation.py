"""Documents say what is there: links lead somewhere, commands exist, examples can be read by a program."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

from freehold.cli.commands import COMMANDS
from tests.architecture.project import ROOT, project_files

LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MAKE = re.compile(r"(?:^|[`;&(]|\s)make +((?:[A-Z]+=\S+ +)*)([a-z][a-z-]*)")
COMMAND = re.compile(r"(?:^|[`;&(]|\s)(?:\.venv/bin/)?freehold +([a-z][a-z-]*)")
SECTIONS = ["Context", "Decision", "Consequences", "Rejected"]


def documents() -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in project_files() if path.suffix == ".md"}


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield the language and content of each code block."""
    for match in BLOCK.finditer(text):
        yield match.group(1), match.group(2)


def broken_links(text: str, folder: Path) -> list[str]:
    return [target for target in LINK.findall(BLOCK.sub("", text)) if not (folder / target).exists()]


def unreadable_blocks(text: str) -> list[str]:
    """Return the first line of each example that its language's reader refuses."""
    refused = []
    for language, content in blocks(text):
        try:
            if language == "python":
                ast.parse(content)
            elif language == "json":
                json.loads(content)
        except (SyntaxError, ValueError):
            refused.append(content.split("\n")[0])
    return refused


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def unknown_targets(text: str) -> list[str]:
    """Return what code blocks and code words call with make and the Makefile does not have."""
    code = [content for _, content in blocks(text)] + re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    called = [target for part in code for _, target in MAKE.findall(part)]
    return [target for target in called if target not in make_targets()]


def unknown_commands(text: str) -> list[str]:
    """Return what shell examples and code words call and the freehold command does not have."""
    shell = [content for language, content in blocks(text) if language in {"sh", "bash", "shell", "console"}]
    words = [word for word in re.findall(r"`([^`\n]+)`", BLOCK.sub("", text)) if word.startswith("freehold ")]
    return [name for part in shell + words for name in COMMAND.findall(part) if name not in COMMANDS]


def records() -> dict[str, str]:
    folder = ROOT / "docs" / "decisions"
    return {path.name: path.read_text() for path in sorted(folder.glob("[0-9]*.md"))}


def test_links_lead_somewhere() -> None:
    assert {
        str(path): broken for path, text in documents().items() if (broken := broken_links(text, path.parent))
    } == {}


def test_examples_can_be_read_by_a_program() -> None:
    assert {str(path): refused for path, text in documents().items() if (refused := unreadable_blocks(text))} == {}


def test_every_make_target_that_a_document_names_exists() -> None:
    assert {str(path): names for path, text in documents().items() if (names := unknown_targets(text))} == {}


def test_every_command_that_a_document_names_exists() -> None:
    assert {str(path): names for path, text in documents().items() if (names := unknown_commands(text))} == {}


def test_the_makefile_explains_what_people_call() -> None:
    makefile = (ROOT / "Makefile").read_text()

    for target in ("demo", "up", "test", "test-all", "check", "bench", "lock", "clean", "help"):
        assert re.search(rf"^{target}:.* ## \w", makefile, re.MULTILINE), target


def test_ci_calls_what_the_documents_say() -> None:
    ci = (ROOT / ".ci" / "run").read_text()

    assert re.search(r"^make .*\bcheck$", ci, re.MULTILINE)
    assert re.search(r"^make .*\btest$", ci, re.MULTILINE)


def test_the_changelog_has_a_place_for_the_next_line() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()

    assert changelog.startswith("# Changelog\n")
    assert re.search(r"^## \[?Unreleased\]?$", changelog, re.MULTILINE)


def test_decision_records_are_numbered_complete_and_listed() -> None:
    found = records()
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()

    assert [int(name[:4]) for name in found] == list(range(len(found)))
    for name, text in found.items():
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS, name
        assert f"]({name})" in index, f"docs/decisions/README.md does not list {name}"


def test_a_broken_document_is_found() -> None:
    text = (
        "See [this](nowhere.md), [that](README.md#status), [web](https://example.com).\n"
        "Run `make nothing` or `make up`.\n"
        "```sh\nmake dem ARGS=1\nmake PYTHON=python3 test\nfreehold upp --port 1\n```\n"
        "The `freehold down` command, the `freehold up --port 1` command, freehold in general.\n"
        "```python\nif:\n```\n"
        "```json\n{'a': 1}\n```\n"
        "```json\n{}\n```\n"
    )

    assert broken_links(text, ROOT) == ["nowhere.md"]
    assert unknown_targets(text) == ["dem", "nothing"]
    assert unknown_commands(text) == ["upp", "down"]
    assert unreadable_blocks(text) == ["if:", "{'a': 1}"]
