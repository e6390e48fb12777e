"""Imports go down only: surfaces and protocols, login, domain, kernel.

import-linter holds the same contracts for whole packages (pyproject.toml); here every line that breaks one is named.
"""

import ast
from collections.abc import Iterator

from tests.architecture.project import Module, sample, source_modules

TIERS = {
    "kernel": 0,
    "domain": 1,
    "login": 2,
    "protocols": 3,
    "surfaces": 3,
    "registry": 4,
    "app": 5,
    "demo": 6,
    "cli": 7,
    "__main__": 8,
}
# Computed from declarations that are handed to them: they name no resource.
DERIVED = ("freehold.surfaces.management", "freehold.surfaces.transfer", "freehold.surfaces.admin")


def imports(module: Module) -> Iterator[tuple[ast.stmt, str]]:
    """Yield every imported name of freehold, wherever in the module the import stands."""
    for node in module.nodes:
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                is_package = module.path.endswith("__init__.py")
                parent = module.name.split(".")[: None if is_package and node.level == 1 else -node.level + is_package]
                base = ".".join([*parent, *([node.module] if node.module else [])])
            targets = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((node, target) for target in targets if target.startswith("freehold."))


def tier(name: str) -> str | None:
    """Return the tier of a module or of a name in it; None for the package itself."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in TIERS else None


def upward_imports(modules: list[Module]) -> list[str]:
    findings = []
    for module in modules:
        own = tier(module.name)
        for node, target in imports(module):
            other = tier(target)
            if own is None or other is None or own == other:
                continue
            if TIERS[other] >= TIERS[own]:
                findings.append(module.at(node, f"{own} may not import {target}"))
    return findings


def named_resources(modules: list[Module]) -> list[str]:
    return [
        module.at(node, f"a derived surface may not import {target}")
        for module in modules
        if module.name.startswith(DERIVED)
        for node, target in imports(module)
        if tier(target) == "domain"
    ]


def unplaced(modules: list[Module]) -> list[str]:
    return [module.path for module in modules if module.name.count(".") and tier(module.name) is None]


def test_nothing_imports_upward() -> None:
    assert upward_imports(source_modules()) == []


def test_derived_surfaces_import_no_domain_package() -> None:
    assert named_resources(source_modules()) == []


def test_every_module_stands_in_a_tier() -> None:
    assert unplaced(source_modules()) == []


def test_upward_imports_are_found_in_every_form() -> None:
    kernel = sample(
        '"""A sample."""\n'
        "from typing import TYPE_CHECKING\n"
        "import freehold.domain.users\n"
        "if TYPE_CHECKING:\n"
        "    from freehold import login\n"
        "def late():\n"
        "    from ..surfaces.management import routes\n"
        "    from .clock import Clock\n",
        name="freehold.kernel.sample",
    )

    assert upward_imports([kernel]) == [
        "src/freehold/kernel/sample.py:3: kernel may not import freehold.domain.users",
        "src/freehold/kernel/sample.py:5: kernel may not import freehold.login",
        "src/freehold/kernel/sample.py:7: kernel may not import freehold.surfaces.management.routes",
    ]


def test_protocols_and_surfaces_do_not_know_each_other() -> None:
    protocol = sample("from freehold.surfaces import management\n", name="freehold.protocols.oauth.token")
    surface = sample("from freehold.protocols import oauth\n", name="freehold.surfaces.importers.auth0")

    assert len(upward_imports([protocol, surface])) == 2


def test_downward_imports_are_fine() -> None:
    login = sample("from freehold.domain.users import USERS\nfrom freehold.kernel.clock import Clock\n")

    assert upward_imports([login]) == []


def test_a_resource_named_in_a_derived_surface_is_found() -> None:
    admin = sample("from freehold.domain.users import USERS\n", name="freehold.surfaces.admin.users")
    importer = sample("from freehold.domain.users import USERS\n", name="freehold.surfaces.importers.auth0")

    assert named_resources([admin, importer]) == [
        "src/freehold/surfaces/admin/users.py:1: a derived surface may not import freehold.domain.users.USERS"
    ]


def test_a_module_outside_of_the_tiers_is_found() -> None:
    assert unplaced([sample("", name="freehold.extras.thing"), sample("", name="freehold")]) == [
        "src/freehold/extras/thing.py"
    ]
