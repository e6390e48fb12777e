"""`/guardian/*` of the Management API, in the forms that were recorded."""

from typing import Any

import pytest

from tests.support.people import TenantUnderTest

pytestmark = pytest.mark.quick_on("sqlite")

NAMES = ["sms", "push-notification", "otp", "email", "duo", "webauthn-roaming", "webauthn-platform", "recovery-code"]


async def ask(people: TenantUnderTest, method: str, path: str, body: Any = None, *, expect: int = 200) -> Any:
    reply = await people.api(method, path, body)
    assert reply.status == expect, reply.body
    return reply.json() if reply.body else None


async def test_a_new_tenant_has_every_factor_off_and_no_policy(people: TenantUnderTest) -> None:
    factors = await ask(people, "GET", "guardian/factors")

    assert factors == [{"name": name, "enabled": False, "trial_expired": False} for name in NAMES]
    assert await ask(people, "GET", "guardian/policies") == []


@pytest.mark.parametrize("name", NAMES)
async def test_a_factor_is_switched_on_and_off(people: TenantUnderTest, name: str) -> None:
    assert await ask(people, "PUT", f"guardian/factors/{name}", {"enabled": True}) == {"enabled": True}
    on = {one["name"] for one in await ask(people, "GET", "guardian/factors") if one["enabled"]}
    assert on == {name}

    assert await ask(people, "PUT", f"guardian/factors/{name}", {"enabled": False}) == {"enabled": False}
    assert not any(one["enabled"] for one in await ask(people, "GET", "guardian/factors"))


async def test_what_is_no_factor_or_no_policy_is_refused(people: TenantUnderTest) -> None:
    refused = await ask(people, "PUT", "guardian/factors/horoscope", {"enabled": True}, expect=400)
    assert refused["message"] == "Path validation error: 'No enum match for: horoscope' on property name."
    for body in (["sometimes"], {"all-applications": True}, "all-applications"):
        await ask(people, "PUT", "guardian/policies", body, expect=400)
    assert await ask(people, "GET", "guardian/policies") == []


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_policies_are_replaced_as_a_whole(people: TenantUnderTest) -> None:
    for policies in (["all-applications"], ["confidence-score"], []):
        assert await ask(people, "PUT", "guardian/policies", policies) == policies
        assert await ask(people, "GET", "guardian/policies") == policies


async def test_factors_and_policies_have_scopes_of_their_own(people: TenantUnderTest) -> None:
    reads = {"read:guardian_factors"}
    assert (await people.api("GET", "guardian/factors", scopes=reads)).status == 200
    for method, path, body in (
        ("GET", "guardian/policies", None),
        ("PUT", "guardian/policies", []),
        ("PUT", "guardian/factors/otp", {"enabled": False}),
        ("GET", "guardian/enrollments/dev_0000000000000001", None),
    ):
        assert (await people.api(method, path, body, scopes=reads)).status == 403, path


SETTINGS = [
    ("phone/message-types", {"message_types": []}, {"message_types": ["voice"]}),
    ("phone/selected-provider", {"provider": "auth0"}, {"provider": "phone-message-hook"}),
    ("sms/selected-provider", {"provider": "auth0"}, {"provider": "twilio"}),
    ("phone/settings", {"otp_length": 6, "otp_expiration_time": 300}, {"otp_length": 8, "otp_expiration_time": 60}),
    ("phone/templates", None, {"enrollment_message": "enroll {{code}}", "verification_message": "verify {{code}}"}),
    ("sms/templates", None, {"enrollment_message": "enroll {{code}}", "verification_message": "verify {{code}}"}),
    ("duo/settings", None, {"ikey": "someKey", "skey": "someSecret", "host": "api-hostname"}),
    ("push-notification/selected-provider", {"provider": "guardian"}, {"provider": "sns"}),
    ("webauthn-platform/settings", {"overrideRelyingParty": False}, {"overrideRelyingParty": True}),
    (
        "webauthn-roaming/settings",
        {"userVerification": "preferred", "overrideRelyingParty": False},
        {"userVerification": "required", "overrideRelyingParty": False},
    ),
    (
        "sms/providers/twilio",
        {"auth_token": None, "sid": None, "from": None, "messaging_service_sid": None},
        {"auth_token": "bar", "sid": "foo", "from": "from bar", "messaging_service_sid": "foo"},
    ),
]


@pytest.mark.parametrize(
    ("path", "before", "given"), SETTINGS, ids=lambda value: value if "/" in str(value)[:30] else ""
)
async def test_settings_are_kept_as_they_are_given(
    people: TenantUnderTest, path: str, before: dict[str, Any] | None, given: dict[str, Any]
) -> None:
    first = await ask(people, "GET", f"guardian/factors/{path}")
    assert before is None or first == before
    assert await ask(people, "PUT", f"guardian/factors/{path}", given) == given
    assert await ask(people, "GET", f"guardian/factors/{path}") == given


async def test_what_is_known_under_two_names_is_one_thing(people: TenantUnderTest) -> None:
    given = {"from": "123456789", "auth_token": "test_token", "sid": "test_sid"}
    await ask(people, "PUT", "guardian/factors/sms/providers/twilio", given)

    assert await ask(people, "GET", "guardian/factors/phone/providers/twilio") == {
        **given,
        "messaging_service_sid": None,
    }


async def test_keys_of_push_services_go_in_and_never_come_out(people: TenantUnderTest) -> None:
    sns = {"aws_access_key_id": "test", "aws_secret_access_key": "very-secret", "aws_region": "us-west-1"}
    root = "guardian/factors/push-notification/providers"
    await ask(people, "PUT", f"{root}/sns", sns)
    assert await ask(people, "PUT", f"{root}/apns", {"sandbox": False, "bundle_id": "com.my.app", "p12": "cDEy"}) == {
        "sandbox": False,
        "bundle_id": "com.my.app",
    }
    assert await ask(people, "PUT", f"{root}/fcm", {"server_key": "abc123"}) == {}
    assert await ask(people, "PATCH", f"{root}/fcmv1", {"server_credentials": "{}"}) == {}

    assert await ask(people, "GET", f"{root}/apns") == {"bundle_id": "com.my.app", "sandbox": False, "enabled": True}
    assert await ask(people, "GET", f"{root}/sns") == {
        "aws_access_key_id": "test",
        "aws_region": "us-west-1",
        "sns_apns_platform_application_arn": None,
        "sns_gcm_platform_application_arn": None,
    }
    await ask(people, "PATCH", f"{root}/sns", {"aws_region": "eu-west-1"})
    shown = await ask(people, "GET", f"{root}/sns")
    assert (shown["aws_region"], shown["aws_access_key_id"]) == ("eu-west-1", "test")


async def test_how_browsers_are_remembered_is_a_setting(people: TenantUnderTest) -> None:
    given = {
        "display_remember_me_checkbox": True,
        "remember_me_default_value": True,
        "mfa_session_inactivity_timeout": 3_600,
        "mfa_session_overall_timeout": 7_200,
    }
    before = await ask(people, "GET", "guardian/settings")
    assert before["mfa_session_inactivity_timeout"] == 30 * 86_400

    assert await ask(people, "PUT", "guardian/settings", given) == given
    assert await ask(people, "GET", "guardian/settings") == given
    await ask(people, "PUT", "guardian/settings", {**given, "mfa_session_inactivity_timeout": 10}, expect=400)


async def test_an_enrollment_that_is_none_is_not_found(people: TenantUnderTest) -> None:
    for method in ("GET", "DELETE"):
        refused = await ask(people, method, "guardian/enrollments/dev_0000000000000001", expect=404)
        assert refused == {
            "statusCode": 404,
            "error": "Not Found",
            "message": "Enrollment not found",
            "errorCode": "enrollment_not_found",
        }


async def test_a_ticket_is_a_link_to_our_page_and_mailed_when_asked_for(people: TenantUnderTest) -> None:
    user = await people.add_user()
    ticket = await ask(people, "POST", "guardian/enrollments/ticket", {"user_id": user["user_id"]})

    assert ticket["ticket_url"] == f"https://acme.example.com/u/mfa-enrollment?ticket={ticket['ticket_id']}"
    mailed = {"user_id": user["user_id"], "send_mail": True, "factor": "otp"}
    await ask(people, "POST", "guardian/enrollments/ticket", mailed)
    await people.run_jobs()
    mails = await people.store.all("select recipient, body from mails")
    assert [(to, "u/mfa-enrollment?ticket=" in body) for to, body in mails] == [("ada@example.com", True)]


async def test_no_ticket_for_nobody_and_for_no_factor_of_ours(people: TenantUnderTest) -> None:
    user = await people.add_user()
    await ask(people, "POST", "guardian/enrollments/ticket", {"user_id": "auth0|nobody"}, expect=404)
    sms = {"user_id": user["user_id"], "factor": "phone"}
    assert (await ask(people, "POST", "guardian/enrollments/ticket", sms, expect=400))["errorCode"]
