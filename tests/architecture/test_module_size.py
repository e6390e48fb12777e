"""A long file is asked whether it is still one idea.

Above 500 lines the run says so and passes; above 900 it fails, unless the file is named here with its one idea.
"""

import warnings

from tests.architecture.project import Module, sample, source_modules

NOTICE = 500
LIMIT = 900
LONG_FOR_A_REASON: dict[str, str] = {}


def longer_than(lines: int, modules: list[Module]) -> list[str]:
    lengths = [(module.path, module.text.count("\n")) for module in modules]
    return [f"{path}: {length} lines" for path, length in lengths if length > lines and path not in LONG_FOR_A_REASON]


def test_no_module_is_a_book() -> None:
    modules = source_modules()
    for finding in longer_than(NOTICE, modules):
        warnings.warn(f"{finding}; is it still one idea?", stacklevel=1)

    assert longer_than(LIMIT, modules) == []


def test_a_long_module_is_found() -> None:
    short, long = sample("x\n" * 500), sample("x\n" * 501, name="freehold.domain.long")

    assert longer_than(NOTICE, [short, long]) == ["src/freehold/domain/long.py: 501 lines"]
