"""A module opens by saying what it owns."""

import ast

from tests.architecture.project import Module, sample, source_modules


def missing_docstrings(modules: list[Module]) -> list[str]:
    return [
        f"{module.path}:1: no docstring" for module in modules if not (ast.get_docstring(module.tree) or "").strip()
    ]


def test_every_module_has_a_docstring() -> None:
    assert missing_docstrings(source_modules()) == []


def test_a_module_without_words_is_found() -> None:
    empty = sample("x = 1\n")
    blank = sample('"""  """\n', name="freehold.domain.blank")
    good = sample('"""Counts."""\n', name="freehold.domain.good")

    assert missing_docstrings([empty, blank, good]) == [
        "src/freehold/domain/sample.py:1: no docstring",
        "src/freehold/domain/blank.py:1: no docstring",
    ]
