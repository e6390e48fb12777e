"""The page of threats names a test for every row, and each of them exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/ceremony-threats.md").read_text()
ROWS = {
    "Faults and attacks": 21,
    "Approval and delivery": 10,
    "OpenPGP keys and output": 8,
    "The signed acknowledgement": 8,
    "Invariants": 16,
}


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    section = re.split(r"^## ", PAGE.split(f"## {title}\n")[1], flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


@cache
def named_in(path: str) -> set[str]:
    """Classes, tests and tests in classes of a file."""
    found = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.ClassDef):
            found |= {node.name} | {
                f"{node.name}::{inner.name}"
                for inner in node.body
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
            }
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
    return {name for name in found if name.startswith("Test") or "test_" in name}


@pytest.mark.parametrize("title", ROWS)
def test_every_row_names_tests_that_exist(title: str) -> None:
    table = rows(title)
    assert len(table) == ROWS[title]
    for name, *cells in table:
        for cell in cells:
            named = re.findall(r"`(tests/[^`]+)`", cell)
            assert named, name
            for test in named:
                path, _, inner = test.partition("::")
                assert inner in named_in(path), test


def test_each_invariant_is_there_with_a_property_and_a_fault() -> None:
    table = rows("Invariants")
    assert [row[0].split()[0] for row in table] == [f"I{number}" for number in range(1, 17)]
    assert {len(row) for row in table} == {3}
