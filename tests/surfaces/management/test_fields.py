"""`fields` of lists, documents and settings: what is chosen must be something that such a document can have."""

from typing import Any

import pytest

from tests.support.in_process import Installation

PATHS = ("/clients", "/connections", "/resource-servers", "/roles", "/client-grants", "/tenants/settings")


def ask(installation: Installation, path: str, **query: str) -> tuple[int, Any]:
    with installation.management() as api:
        answer = api.get(path, params=query)
    return answer.status_code, answer.json()


def test_chosen_members_are_shown(installation: Installation) -> None:
    status, found = ask(installation, "/connections", fields="id,name")
    assert status == 200
    assert [{"id", "name"} <= set(one) and "options" not in one for one in found] == [True]
    status, settings = ask(installation, "/tenants/settings", fields="flags.enable_sso,session_lifetime")
    assert (status, settings) == (200, {"flags": {"enable_sso": True}, "session_lifetime": 168})


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("include", ["true", "false"])
def test_a_member_that_nothing_has_is_refused_with_those_there_are(
    installation: Installation, path: str, include: str
) -> None:
    status, refused = ask(installation, path, fields="nmae", include_fields=include)

    assert (status, refused["errorCode"]) == (400, "invalid_query_string")
    assert "String 'nmae' does not match pattern. Must be a comma separated list" in refused["message"]


def test_profiles_have_members_that_nobody_knows_beforehand(installation: Installation) -> None:
    assert ask(installation, "/users", fields="shoe_size")[0] == 200
