"""Files are named for what they do; a drawer for leftovers has no name that helps to find anything."""

from tests.architecture.project import Module, project_modules, sample

DRAWERS = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc", "data", "info"}


def drawers(modules: list[Module]) -> list[str]:
    return [
        f"{module.path}: name it for what it does"
        for module in modules
        if DRAWERS.intersection(word for part in module.path.removesuffix(".py").split("/") for word in part.split("_"))
    ]


def test_no_module_is_a_drawer() -> None:
    assert drawers(project_modules()) == []


def test_a_drawer_is_found_as_file_folder_and_part_of_a_name() -> None:
    names = ["freehold.domain.utils", "freehold.common.ids", "freehold.login.form_helpers", "freehold.login.uncommon"]

    assert drawers([sample("", name=name) for name in names]) == [
        "src/freehold/domain/utils.py: name it for what it does",
        "src/freehold/common/ids.py: name it for what it does",
        "src/freehold/login/form_helpers.py: name it for what it does",
    ]
