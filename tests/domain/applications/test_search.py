"""GET clients?q=: applications by what their client grants allow to organizations."""

from typing import Any

import pytest

from tests.support.people import TenantUnderTest


async def test_applications_are_found_by_grants_for_any_organization(people: TenantUnderTest) -> None:
    api = {"identifier": "https://orders.example.com/", "name": "Orders"}
    assert (await people.api("POST", "resource-servers", api)).status == 201
    clients = []
    for name, anyone in (("open", True), ("closed", False), ("none", None)):
        client = (await people.api("POST", "clients", {"name": name, "app_type": "non_interactive"})).json()
        clients.append(client["client_id"])
        if anyone is not None:
            grant = {
                "client_id": client["client_id"], "audience": api["identifier"], "scope": [],
                "organization_usage": "allow", "allow_any_organization": anyone,
            }  # fmt: skip
            assert (await people.api("POST", "client-grants", grant)).status == 201

    found = await people.api("GET", "clients", q="client_grant.allow_any_organization:true", take=50)
    nobody = await people.api("GET", "clients", q="client_grant.organization_id:org_JC81qAq0i8CjdaxY", take=50)

    assert [client["client_id"] for client in found.json()["clients"]] == [clients[0]]
    assert (nobody.status, nobody.json()["clients"]) == (200, [])


@pytest.mark.parametrize(
    "query",
    [
        {"q": "client_grant.allow_any_organization:true"},
        {"q": "client_grant.allow_any_organization:true", "take": "5", "is_global": "false"},
        {"q": "client_grant.allow_any_organization:false", "take": "5"},
        {"q": "name:orders", "take": "5"},
        {"q": "client_grant.organization_id:a OR name:b", "take": "5"},
    ],
)
async def test_any_other_query_is_refused(people: TenantUnderTest, query: dict[str, Any]) -> None:
    reply = await people.api("GET", "clients", **query)

    assert (reply.status, reply.json()["errorCode"]) == (400, "invalid_query_string")
