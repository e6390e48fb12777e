"""The page of settings that are kept and not acted on names every one that nothing in the program reads."""

import re
from typing import Any, get_args

import msgspec
import pytest

from freehold.domain.access import CLIENT_GRANTS, RESOURCE_SERVERS
from freehold.domain.applications import CLIENTS
from freehold.domain.connections import CONNECTIONS, options
from freehold.domain.tenants.settings import IN_MINUTES, SETTINGS, Flag
from tests.architecture.project import ROOT, SOURCE

PAGE = (ROOT / "docs/kept-settings.md").read_text()
DECLARING = {
    "domain/access/documents.py",
    "domain/applications/defaults.py",
    "domain/applications/documents.py",
    "domain/connections/defaults.py",
    "domain/connections/documents.py",
    "domain/connections/options.py",
    "domain/tenants/settings.py",
}
TURNED_INTO_OTHERS = {*IN_MINUTES, "sandbox_versions_available"}
DOCUMENTS = (
    *(declaration.document for declaration in (SETTINGS, CLIENTS, RESOURCE_SERVERS, CLIENT_GRANTS, CONNECTIONS)),
    options.DatabaseOptions, options.Attributes, options.EmailAttribute, options.UsernameAttribute,
    options.UsernameValidation, options.PhoneAttribute, options.AttributeIdentifier, options.PasskeyOptions,
)  # fmt: skip
READ = {
    name
    for path in (SOURCE / "freehold").rglob("*.py")
    if path.relative_to(SOURCE / "freehold").as_posix() not in DECLARING
    for name in re.findall(r"""[.'"]\w+""", path.read_text())
}
"""Every name that the program says as an attribute or as a text, outside of the declarations."""


def members(document: type[Any]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(document)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.__name__)
def test_a_setting_that_nothing_reads_is_on_the_page(document: type[Any]) -> None:
    unread = {name for name in members(document) - TURNED_INTO_OTHERS if not READ & {f".{name}", f'"{name}'}}

    assert [name for name in sorted(unread) if f"`{name}`" not in PAGE] == []


def test_the_flags_that_act_are_the_ones_it_says() -> None:
    acting = {name for name in get_args(Flag) if f'"{name}' in READ and f".{name}" not in READ}
    sentence = PAGE.partition("these act: ")[2].partition(".")[0]

    assert set(re.findall(r"`(\w+)`", sentence)) == acting


def test_what_the_page_lists_is_declared() -> None:
    declared = set().union(*(members(document) for document in DOCUMENTS))
    first_cells = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    listed = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}

    assert len(listed) > 40
    assert sorted(listed - declared) == []
