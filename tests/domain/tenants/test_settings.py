"""Tenant settings: what a new tenant has, and how a PATCH changes it."""

from typing import Any

import pytest

from freehold.domain.tenants.settings import SETTINGS
from freehold.kernel.declare import documents
from freehold.kernel.declare.validation import InvalidBody
from tests.support.configuration import Configured

ID = documents.SINGLETON_ID


async def test_a_new_tenant_has_the_recorded_settings(configured: Configured) -> None:
    settings = await documents.singleton(configured.store, configured.tenant, SETTINGS)

    assert (settings.session_lifetime, settings.idle_session_lifetime) == (168, 72)
    assert settings.enabled_locales == ["en"]
    assert settings.flags["enable_public_signup_user_exists_error"] is True
    assert settings.flags["enable_dynamic_client_registration"] is False


async def test_flags_merge_and_the_rest_replaces(configured: Configured) -> None:
    await configured.update(SETTINGS, ID, {"flags": {"enable_sso": False}, "friendly_name": "Acme"})

    updated = await configured.update(SETTINGS, ID, {"flags": {"revoke_refresh_token_grant": True}})

    assert updated["flags"]["enable_sso"] is False
    assert updated["flags"]["revoke_refresh_token_grant"] is True
    assert updated["flags"]["universal_login"] is True
    assert updated["friendly_name"] == "Acme"


async def test_minutes_are_shown_as_hours(configured: Configured) -> None:
    """Recorded: 181 minutes are 3.0166666666666666 hours, 60 are 1, 15 are 0.25."""
    updated = await configured.update(
        SETTINGS,
        ID,
        {
            "session_lifetime_in_minutes": 181,
            "idle_session_lifetime_in_minutes": 60,
            "idle_ephemeral_session_lifetime_in_minutes": 15,
        },
    )

    assert updated["session_lifetime"] == 3.0166666666666666
    assert updated["idle_session_lifetime"] == 1
    assert updated["idle_ephemeral_session_lifetime"] == 0.25
    assert "session_lifetime_in_minutes" not in updated
    assert (await configured.update(SETTINGS, ID, {"friendly_name": "x"}))["session_lifetime"] == 3.0166666666666666


async def test_null_takes_a_member_away(configured: Configured) -> None:
    quota = {"clients": {"client_credentials": {"enforce": True, "per_day": 100}}}
    await configured.update(SETTINGS, ID, {"acr_values_supported": ["foo"], "default_token_quota": quota})

    updated = await configured.update(SETTINGS, ID, {"acr_values_supported": None, "default_token_quota": None})

    assert not {"acr_values_supported", "default_token_quota"} & updated.keys()


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"session_lifetime": 1.5}, "session_lifetime"),
        ({"session_lifetime": 0}, "session_lifetime"),
        ({"enabled_locales": []}, "enabled_locales"),
        ({"enabled_locales": ["xx"]}, "enabled_locales"),
        ({"flags": {"no_such_flag": True}}, "flags"),
        ({"allowed_logout_urls": ["https://app.example.com/#x"]}, "allowed_logout_urls"),
        ({"default_redirection_uri": "javascript:alert(1)"}, "default_redirection_uri"),
        ({"default_redirection_uri": "http://app.example.com"}, "default_redirection_uri"),
        ({"picture_url": "data:image/png;base64,x"}, "picture_url"),
        ({"support_url": "javascript:alert(1)"}, "support_url"),
        ({"support_email": "nobody"}, "support_email"),
        ({"error_page": {"url": "javascript:alert(1)"}}, "error_page.url"),
        ({"country_codes": {"list": ["usa"], "mode": "allow"}}, "country_codes.list"),
        ({"device_flow": {"mask": "<b>"}}, "device_flow.mask"),
    ],
)
async def test_what_would_be_shown_or_redirected_to_is_checked(
    configured: Configured, given: dict[str, Any], path: str
) -> None:
    with pytest.raises(InvalidBody, match=path):
        await configured.update(SETTINGS, ID, given)


async def test_a_setting_that_does_not_exist_is_refused(configured: Configured) -> None:
    with pytest.raises(InvalidBody, match="Additional properties not allowed: tenant_id"):
        await configured.update(SETTINGS, ID, {"tenant_id": "t2"})
