"""User attribute profiles, as recorded."""

from typing import Any

import pytest

from tests.support.people import TenantUnderTest

pytestmark = pytest.mark.quick_on("sqlite")

EMAIL = {
    "description": "User's email address", "label": "Email", "profile_required": True, "auth0_mapping": "email",
    "oidc_mapping": {"mapping": "email"}, "scim_mapping": "emails[primary eq true].value",
    "saml_mapping": ["http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"],
}  # fmt: skip
NAME = {
    "description": "User's full name", "label": "Name", "profile_required": False, "auth0_mapping": "name",
    "strategy_overrides": {"oidc": {"scim_mapping": "name.givenName"}},
}  # fmt: skip
PATH = "user-attribute-profiles"


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_a_profile_comes_back_as_it_was_made(people: TenantUnderTest) -> None:
    body = {
        "name": "Staff",
        "user_id": {"oidc_mapping": "sub", "saml_mapping": ["urn:oid:0.9"], "scim_mapping": "userName"},
        "user_attributes": {"email": EMAIL, "name": NAME},
    }  # fmt: skip
    made = await people.api("POST", PATH, body)

    assert made.status == 201
    profile = made.json()
    assert profile["id"].startswith("uap_")
    assert profile == {"id": profile["id"], **body}
    assert (await people.api("GET", f"{PATH}/{profile['id']}")).json() == profile
    listed = (await people.api("GET", PATH)).json()
    assert listed["user_attribute_profiles"] == [profile]


async def test_without_a_user_id_the_recorded_one_is_filled_in(people: TenantUnderTest) -> None:
    made = await people.api("POST", PATH, {"name": "Staff", "user_attributes": {"email": EMAIL}})

    claims = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
    assert made.json()["user_id"] == {
        "oidc_mapping": "sub",
        "saml_mapping": [f"{claims}/nameidentifier", f"{claims}/upn", f"{claims}/name"],
        "scim_mapping": "externalId",
    }


async def test_a_profile_is_changed_and_removed(people: TenantUnderTest) -> None:
    id_ = (await people.api("POST", PATH, {"name": "Staff", "user_attributes": {"email": EMAIL}})).json()["id"]

    changed = await people.api("PATCH", f"{PATH}/{id_}", {"name": "People", "user_id": {"scim_mapping": "userName"}})

    assert changed.status == 200
    assert (changed.json()["name"], changed.json()["user_id"]) == ("People", {"scim_mapping": "userName"})
    assert (await people.api("DELETE", f"{PATH}/{id_}")).status == 204
    gone = await people.api("GET", f"{PATH}/{id_}")
    assert (gone.status, gone.json()["message"]) == (404, "User attribute profile not found.")
    assert (await people.api("DELETE", f"{PATH}/{id_}")).status == 204


@pytest.mark.parametrize(
    "change",
    [
        {"user_attributes": {}},
        {"user_attributes": {str(n): EMAIL for n in range(65)}},
        {"user_attributes": {"email": {**EMAIL, "label": ""}}},
        {"user_attributes": {"email": {name: EMAIL[name] for name in ("label", "description")}}},
        {"user_id": {"oidc_mapping": "email"}},
        {"user_id": {"strategy_overrides": {"carrier-pigeon": {"oidc_mapping": "sub"}}}},
        {"name": ""},
        {"colour": "red"},
    ],
)
async def test_what_is_no_profile_is_refused(people: TenantUnderTest, change: dict[str, Any]) -> None:
    body = {"name": "Staff", "user_attributes": {"email": EMAIL}, **change}

    assert (await people.api("POST", PATH, body)).status == 400
