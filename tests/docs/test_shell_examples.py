"""What the README and the guides tell people to type works."""

from pathlib import Path

import pytest

from tests.architecture.project import ROOT
from tests.docs.shell_examples import Block, escaping_blocks, read_blocks, reader_environment, run_blocks, script_of
from tests.support.programs import MARKERS

SLOW = {"leave.md", "operate.md"}
"""Long ones: they start servers one after the other, and make keys."""
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = {path: blocks for path in DOCUMENTS if (blocks := read_blocks(path.read_text()))}


def runnable() -> list[object]:
    parameters: list[object] = []
    for path, blocks in BLOCKS.items():
        run = [block for block in blocks if not block.not_run]
        if run:
            needs = {need for block in run for need in block.needs}
            marks = [getattr(pytest.mark, need) for need in sorted(needs)]
            if path.name in SLOW:
                marks.append(pytest.mark.slow)
            parameters.append(pytest.param(path, marks=marks, id=str(path.relative_to(ROOT))))
    return parameters


@pytest.mark.parametrize("document", runnable())
def test_the_examples_of_a_document_work(document: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    with reader_environment(tmp_path / "reader") as env:
        if any("postgres" in block.needs for block in BLOCKS[document]):
            env["DATABASE_URL"] = request.getfixturevalue("own_postgresql_database")

        outcome = run_blocks(BLOCKS[document], folder, env=env)

    assert outcome.status == 0, f"{document.relative_to(ROOT)}\n{outcome.output[-4000:]}"


def test_what_is_not_run_says_why() -> None:
    reasons = [block.not_run for blocks in BLOCKS.values() for block in blocks if block.not_run]

    assert all(len(reason) > 8 for reason in reasons), reasons


def test_what_is_needed_is_a_marker() -> None:
    needs = {need for blocks in BLOCKS.values() for block in blocks for need in block.needs}

    assert needs <= set(MARKERS)


def test_a_failing_example_is_found_and_what_follows_is_not_run(tmp_path: Path) -> None:
    blocks = read_blocks("```sh\nfalse\n```\n\n```sh\ntouch made\n```\n")
    folder = tmp_path / "here"
    folder.mkdir()

    with reader_environment(tmp_path / "reader") as env:
        outcome = run_blocks(blocks, folder, env=env)

    assert outcome.status != 0
    assert "--- line 2" in outcome.output
    assert not (folder / "made").exists()


def test_remarks_before_a_block_are_read() -> None:
    text = (
        "<!-- not run: takes a week -->\n```sh\na\n```\n<!-- needs: gnupg, node -->\n```sh\nb\n```\n```json\n{}\n```\n"
    )
    first, second = read_blocks(text)

    assert first == Block(line=3, text="a\n", not_run="takes a week")
    assert second == Block(line=7, text="b\n", needs=("gnupg", "node"))
    assert "\na" not in script_of([first, second])


def test_every_shell_example_is_one_that_is_run() -> None:
    """Written as ```sh at the start of a line."""
    found = {str(path): lines for path in DOCUMENTS if (lines := escaping_blocks(path.read_text()))}

    assert found == {}


@pytest.mark.parametrize("fence", ["```bash", "```console", "  ```sh"])
def test_a_block_cannot_hide_behind_another_name(fence: str) -> None:
    assert escaping_blocks(f"{fence}\nfreehold up\n```\n") == [1]
