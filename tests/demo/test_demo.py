"""The demonstration itself, smaller."""

import json
from pathlib import Path

import pytest

from freehold.demo.auth0_export import write_export
from freehold.demo.servers import freehold
from freehold.demo.steps import NotTrue, Step
from freehold.demo.story import Story


def test_everything_comes_out_as_it_should(tmp_path: Path) -> None:
    told: list[Step] = []
    story = Story(tmp_path, 250, told.append)

    story.run()

    assert [step.title for step in told][-2:] == ["Use the refresh token from before", "Compare the signing keys"]
    assert story.facts["import"]["counts"]["users"]["inserted"] == 250
    assert json.loads((tmp_path / "import-report.json").read_text())["found"]["hash_without_user"] == 1


def test_a_step_that_is_not_true_says_which(tmp_path: Path) -> None:
    story = Story(tmp_path, 1, lambda _step: None)

    with pytest.raises(NotTrue, match="Compare: two and two"), story.step("Compare"):
        raise NotTrue("two and two")
    assert story.steps == []


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(NotTrue, match="freehold restore"):
        freehold("restore", "--data", str(tmp_path / "data"), str(tmp_path / "none.tar.gz"))


def test_the_same_seed_gives_the_same_people(tmp_path: Path) -> None:
    first, second = (
        write_export(tmp_path / name, users=300, callback="https://a.example/", cost=4) for name in ("one", "two")
    )

    def people(path: Path) -> list[str]:
        import gzip

        with gzip.open(path, "rt") as file:
            return file.readlines()

    assert people(first.users) == people(second.users)
    assert first.person == second.person
