"""The scope list of the Management API against Auth0's contract and recordings."""

import json
from pathlib import Path

import pytest

from freehold.domain.access.management_scopes import MANAGEMENT_SCOPES
from tests.support.programs import find_shared

# Scopes of tokens that users hold about themselves; they are not granted to clients.
OF_USERS = "current_user"


def shared() -> Path:
    folder = find_shared()
    assert folder is not None
    return folder


def test_each_scope_has_a_verb_a_kind_and_a_description() -> None:
    for value, description in MANAGEMENT_SCOPES.items():
        verb, _, kind = value.partition(":")
        assert verb in {"read", "create", "update", "delete", "blacklist"}
        assert kind.replace("_", "").isalnum()
        assert description


@pytest.mark.shared
def test_no_scope_of_the_contract_is_missing() -> None:
    contract = json.loads((shared() / "reference/contracts/management-api.json").read_text())
    asked = {
        scope
        for path in contract["paths"].values()
        for operation in path.values()
        for way in operation.get("security", ())
        for scope in way.get("oAuth2ClientCredentials", ())
        if OF_USERS not in scope
    }

    assert asked - MANAGEMENT_SCOPES.keys() == set()


@pytest.mark.shared
def test_no_scope_of_a_recorded_tenant_is_missing() -> None:
    recorded: set[str] = set()
    for file in (shared() / "recordings").rglob("*.jsonl"):
        for line in file.read_text().splitlines():
            if '"/api/v2/resource-servers"' in line and '"GET"' in line:
                listing = json.loads(line)["response_body"]["resource_servers"]
                recorded.update(
                    scope["value"]
                    for api in listing
                    if api["identifier"].endswith("/api/v2/")
                    for scope in api["scopes"]
                )

    assert len(recorded) > 250
    assert recorded - MANAGEMENT_SCOPES.keys() == set()
