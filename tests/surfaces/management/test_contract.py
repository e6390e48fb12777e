"""The generated API beside Auth0's contract: operations, scopes and statuses of every resource that is declared.

What is missing stands in MISSING with the reason; the list shrinks. A recorded status wins over the contract.
"""

import csv
import os
import re
from pathlib import Path

import jsonschema
import msgspec
import pytest

from freehold.registry import REGISTRY
from freehold.surfaces.management.openapi import describe
from freehold.surfaces.management.routes import Endpoint, endpoints

SHARED = Path(os.environ.get("FREEHOLD_SHARED", Path(__file__).parents[4] / "shared"))
GROUPS = frozenset({
    "clients", "client-grants", "connections", "resource-servers", "roles", "users", "users-by-email", "tenants",
    "keys", "logs", "jobs", "tickets", "grants", "device-credentials", "sessions", "refresh-tokens", "guardian",
    "user-blocks", "rules", "rules-configs", "hooks", "actions",
})  # fmt: skip
MISSING = {
    "organizations come later": (r"/organizations$",),
    "groups come later": (r"/groups(/|$)", r"synchronized-groups"),
    "provisioning from directories comes later": (r"/directory-provisioning", r"/scim-configuration"),
    "customer-managed encryption keys come later": (r"^/keys/encryption", r"^/keys/custom-signing"),
    "federated connections come later": (
        r"/federated-connections-tokensets", r"/connected-accounts$",
    ),
    "newer views of what the ordinary ones answer": (r"/effective-(roles|permissions)",),
    "needs fetching documents from the internet": (r"^/clients/cimd/",),
    "needs risk assessment": (r"/risk-assessments/",),
}  # fmt: skip
OTHER_STATUS = {
    ("PATCH", "/clients/{}/credentials/{}"),
    ("PATCH", "/resource-servers/{}"),
    ("DELETE", "/roles/{}/permissions"),
    ("PATCH", "/hooks/{}"),
    ("POST", "/actions/actions/{}/deploy"),
    ("POST", "/actions/actions/{}/versions/{}/deploy"),
}
"""Where a recording shows another status than the contract."""


def shape(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "{}", path)


OURS: dict[tuple[str, str], Endpoint] = {(e.method, f"/{shape(e.path)}"): e for e in endpoints(REGISTRY)}


def contract() -> list[dict[str, str]]:
    with (SHARED / "reference" / "contracts" / "management-operations.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [row for row in rows if row["path"].split("/")[1] in GROUPS]


@pytest.mark.shared
def test_every_operation_is_there_or_missing_for_a_reason() -> None:
    known = {(row["method"], shape(row["path"])) for row in contract()}
    reasons = [pattern for patterns in MISSING.values() for pattern in patterns]
    absent = sorted(key for key in known - OURS.keys() if not any(re.search(pattern, key[1]) for pattern in reasons))
    assert absent == []


@pytest.mark.shared
def test_no_reason_is_out_of_date() -> None:
    known = {(row["method"], shape(row["path"])) for row in contract()}
    for patterns in MISSING.values():
        for pattern in patterns:
            assert any(re.search(pattern, path) for method, path in known - OURS.keys()), pattern


@pytest.mark.shared
def test_operations_ask_for_the_scopes_of_the_contract() -> None:
    other = {}
    for row in contract():
        ours = OURS.get((row["method"], shape(row["path"])))
        wanted = set(row["scopes"].replace(",", " ").split())
        if ours is not None and not set(ours.scopes) & wanted:
            other[ours.name] = (sorted(wanted), sorted(ours.scopes))
    assert other == {}


@pytest.mark.shared
def test_operations_succeed_with_the_status_of_the_contract() -> None:
    other = {}
    for row in contract():
        key = (row["method"], shape(row["path"]))
        ours = OURS.get(key)
        if ours is not None and key not in OTHER_STATUS and str(ours.status) not in re.split(r"[/ ]", row["success"]):
            other[ours.name] = (row["success"], ours.status)
    assert other == {}


def test_the_description_is_complete_and_consistent() -> None:
    description = describe(REGISTRY)
    text = msgspec.json.encode(description).decode()
    referred = set(re.findall(r'"\$ref":"#/components/schemas/([^"]+)"', text))
    assert referred <= description["components"]["schemas"].keys()
    operations = [operation for path in description["paths"].values() for operation in path.values()]
    assert len(operations) == len(OURS)
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for schema in description["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
