"""Verification mails through the API: who gets one, and what is said when nobody can."""

from typing import Any

import pytest

from freehold.domain.messaging import latest
from tests.support.people import TenantUnderTest

pytestmark = pytest.mark.quick_on("sqlite")


async def test_a_verification_mail_is_sent_to_the_stored_address(people: TenantUnderTest) -> None:
    user = await people.add_user("ada@example.com")
    own_id = user["user_id"].removeprefix("auth0|")

    reply = await people.api(
        "POST",
        "jobs/verification-email",
        {"user_id": user["user_id"], "identity": {"user_id": own_id, "provider": "auth0"}},
    )

    assert reply.status == 201
    job = reply.json()
    assert (job["type"], job["status"], set(job)) == (
        "verification_email", "pending", {"type", "status", "created_at", "id"},
    )  # fmt: skip
    await people.run_jobs()
    assert (await people.api("GET", f"jobs/{job['id']}")).json()["status"] == "completed"
    [mail] = await latest(people.store, people.tenant)
    assert mail.recipient == "ada@example.com"
    assert f"{people.tenant.issuer}u/email-verification?ticket=" in mail.body


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"user_id": "auth0|nobody"}, 404, "The user does not exist."),
        ({"identity": {"user_id": "x", "provider": "auth0"}}, 400,
         "The user exists, but does not contain the given identity."),
        ({"organization_id": "org_1"}, 400, "The organization does not exist"),
        ({"user_id": ""}, 400, "Payload validation error: 'String is too short, minimum 1' on property user_id."),
    ],
)  # fmt: skip
async def test_why_no_mail_can_be_sent_is_said(
    people: TenantUnderTest, change: dict[str, Any], status: int, message: str
) -> None:
    user = await people.add_user()
    reply = await people.api("POST", "jobs/verification-email", {"user_id": user["user_id"], **change})
    assert (reply.status, reply.json()["message"]) == (status, message)


async def test_a_user_without_an_address_gets_no_mail(people: TenantUnderTest) -> None:
    attributes = {"username": {"identifier": {"active": True}, "signup": {"status": "required"}}}
    await people.configure(attributes={**attributes, "email": {"identifier": {"active": False}}})
    user = await people.add_user(None, username="ada")
    reply = await people.api("POST", "jobs/verification-email", {"user_id": user["user_id"]})
    assert (reply.status, reply.json()["message"]) == (400, "User does not have an email address.")
