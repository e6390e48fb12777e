"""Applications: recorded defaults, the URLs that may be stored, and who may change what."""

import json
from typing import Any

import pytest

from freehold.domain.access import CLIENT_GRANTS, RESOURCE_SERVERS
from freehold.domain.applications import CLIENTS
from freehold.domain.applications.clients import rotate_secret
from freehold.kernel.declare import Actor, documents
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import BadRequest, Forbidden
from tests.support.configuration import Configured

REFRESH_TOKEN = {
    "rotation_type": "non-rotating",
    "expiration_type": "non-expiring",
    "leeway": 0,
    "token_lifetime": 2_592_000,
    "infinite_token_lifetime": True,
    "idle_token_lifetime": 1_296_000,
    "infinite_idle_token_lifetime": True,
}
EDITOR = Actor("api", scopes=frozenset({"create:clients", "update:clients", "delete:clients"}))
KEEPER = Actor("api", scopes=frozenset({"update:clients", "update:client_keys"}))


async def test_a_new_client_has_the_recorded_defaults(configured: Configured) -> None:
    made = await configured.create(CLIENTS, {"name": "app"}, actor=EDITOR)

    assert len(made.pop("client_id")) == 32
    assert len(made.pop("client_secret")) == 64
    assert made == {
        "name": "app",
        "global": False,
        "is_first_party": True,
        "oidc_conformant": False,
        "is_token_endpoint_ip_header_trusted": False,
        "sso_disabled": False,
        "cross_origin_authentication": False,
        "cross_origin_auth": False,
        "custom_login_page_on": True,
        "callback_url_template": False,
        "grant_types": ["authorization_code", "implicit", "refresh_token", "client_credentials"],
        "jwt_configuration": {"lifetime_in_seconds": 36_000, "secret_encoded": False},
        "refresh_token": REFRESH_TOKEN,
        "async_approval_notification_channels": ["guardian-push"],
        "encrypted": True,
    }


async def test_only_the_answer_that_creates_a_client_says_encrypted(configured: Configured) -> None:
    made = await configured.create(CLIENTS, {"name": "app"})

    stored = await configured.read(CLIENTS, made["client_id"])

    assert stored is not None
    assert "encrypted" not in stored


@pytest.mark.parametrize(
    ("given", "grants"),
    [
        ({"app_type": "spa"}, ["authorization_code", "implicit", "refresh_token"]),
        ({"app_type": "native"}, ["authorization_code", "implicit", "refresh_token"]),
        ({"app_type": "spa", "grant_types": []}, []),
        ({"app_type": "resource_server", "resource_server_identifier": "https://api.example.com/"}, []),
        ({"app_type": "express_configuration"}, ["authorization_code", "client_credentials"]),
        (
            {"app_type": "regular_web", "token_endpoint_auth_method": "none"},
            ["authorization_code", "implicit", "refresh_token"],
        ),
    ],
)
async def test_the_kind_decides_what_was_not_given(
    configured: Configured, given: dict[str, Any], grants: list[str]
) -> None:
    await configured.create(RESOURCE_SERVERS, {"identifier": "https://api.example.com/"})

    made = await configured.create(CLIENTS, {"name": "app", **given})

    assert made["grant_types"] == grants
    if given["app_type"] in {"spa", "native"}:
        assert made["token_endpoint_auth_method"] == "none"


async def test_a_part_that_is_replaced_is_completed(configured: Configured) -> None:
    """Recorded: PATCH replaces nested objects, and what they lack comes from the defaults."""
    made = await configured.create(CLIENTS, {"name": "app", "jwt_configuration": {"alg": "PS256"}})
    expiring = {"rotation_type": "rotating", "expiration_type": "expiring", "leeway": 10}

    updated = await configured.update(
        CLIENTS, made["client_id"], {"jwt_configuration": {"alg": "RS256"}, "refresh_token": expiring}
    )

    assert made["jwt_configuration"] == {"alg": "PS256", "secret_encoded": False}
    assert updated["jwt_configuration"] == {"alg": "RS256", "secret_encoded": False}
    assert updated["refresh_token"] == {
        **REFRESH_TOKEN, **expiring, "infinite_token_lifetime": False, "infinite_idle_token_lifetime": False,
    }  # fmt: skip


async def test_null_takes_a_member_away(configured: Configured) -> None:
    made = await configured.create(CLIENTS, {"name": "app", "session_transfer": {"allow_refresh_token": True}})

    updated = await configured.update(CLIENTS, made["client_id"], {"session_transfer": None})

    assert "session_transfer" not in updated


async def test_metadata_merges_and_has_a_limit(configured: Configured) -> None:
    made = await configured.create(CLIENTS, {"name": "app", "client_metadata": {"a": "1", "b": "2"}})

    updated = await configured.update(CLIENTS, made["client_id"], {"client_metadata": {"a": None, "c": "3"}})

    assert updated["client_metadata"] == {"b": "2", "c": "3"}
    for bad in ({str(number): "x" for number in range(11)}, {"a": 1}, {"a": "x" * 256}):
        with pytest.raises(InvalidBody, match="client_metadata"):
            await configured.create(CLIENTS, {"name": "app", "client_metadata": bad})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("callbacks", ["https://app.example.com/cb", "https://app.example.com/cb#x"]),
        ("callbacks", ["javascript:alert(1)"]),
        ("callbacks", ["https://app.example.com*"]),
        ("allowed_logout_urls", ["//evil.example"]),
        ("web_origins", ["https://*.com"]),
        ("allowed_origins", ["data:text/html,x"]),
        ("initiate_login_uri", "http://app.example.com/login"),
        ("logo_uri", "javascript:alert(1)"),
        ("oidc_logout", {"backchannel_logout_urls": ["http://app.example.com"]}),
    ],
)
async def test_a_url_that_nobody_should_be_sent_to_is_not_stored(configured: Configured, name: str, value: Any) -> None:
    """Threats: redirect targets, stored URLs."""
    with pytest.raises(InvalidBody, match=f"on property {name}"):
        await configured.create(CLIENTS, {"name": "app", name: value})


@pytest.mark.parametrize("name", ["client_id", "tenant", "global", "signing_keys", "owners", "client_secret"])
async def test_what_the_server_sets_is_refused(configured: Configured, name: str) -> None:
    """Threats: mass assignment."""
    with pytest.raises(InvalidBody, match=f"Additional properties not allowed: {name}"):
        await configured.create(CLIENTS, {"name": "app", name: "x"}, actor=EDITOR)


async def test_back_channel_logout_is_shown_under_both_names(configured: Configured) -> None:
    logout = {
        "backchannel_logout_urls": ["https://app.example.com/logout"],
        "backchannel_logout_initiators": {"mode": "all"},
    }

    made = await configured.create(CLIENTS, {"name": "app", "oidc_logout": logout})

    assert made["oidc_logout"] == logout
    assert made["oidc_backchannel_logout"] == {"backchannel_logout_urls": ["https://app.example.com/logout"]}


async def test_secrets_are_not_in_the_stored_text(configured: Configured) -> None:
    made = await configured.create(CLIENTS, {"name": "app", "addons": {"firebase": {"private_key": "canary"}}})

    row = await configured.store.one("select document from clients where id = :id", id=made["client_id"])

    assert row is not None
    assert not {"client_secret", "addons"} & json.loads(row[0]).keys()


async def test_rotation_makes_another_secret(configured: Configured) -> None:
    made = await configured.create(CLIENTS, {"name": "app"})

    rotated = await configured.call(rotate_secret, params={"id": made["client_id"]}, actor=KEEPER)

    assert rotated["client_secret"] != made["client_secret"]
    assert (await configured.read(CLIENTS, made["client_id"]) or {})["client_secret"] == rotated["client_secret"]


async def test_a_secret_is_changed_only_with_a_scope_for_secrets(configured: Configured) -> None:
    made = await configured.create(CLIENTS, {"name": "app"})

    with pytest.raises(Forbidden, match="Insufficient scope, expected any of: update:client_keys"):
        await configured.update(CLIENTS, made["client_id"], {"client_secret": "known"}, actor=EDITOR)
    with pytest.raises(Forbidden, match="Insufficient scope, expected any of: update:clients"):
        only_keys = Actor("api", scopes=frozenset({"update:client_keys"}))
        await configured.update(CLIENTS, made["client_id"], {"name": "other"}, actor=only_keys)


async def test_nobody_takes_over_a_client_that_can_do_more_than_they(configured: Configured) -> None:
    """Threats: a token cannot edit anything above itself (keys)."""
    powerful = await configured.create(CLIENTS, {"name": "powerful"})
    grant = {"client_id": powerful["client_id"], "audience": "https://acme.test/api/v2/", "scope": ["delete:users"]}
    await configured.create(CLIENT_GRANTS, grant)

    with pytest.raises(Forbidden):
        await configured.call(rotate_secret, params={"id": powerful["client_id"]}, actor=KEEPER)
    with pytest.raises(Forbidden):
        await configured.update(CLIENTS, powerful["client_id"], {"client_secret": "known"}, actor=KEEPER)
    with pytest.raises(Forbidden):
        await configured.update(CLIENTS, powerful["client_id"], {"token_endpoint_auth_method": "none"}, actor=KEEPER)


async def test_the_global_client_stays(configured: Configured) -> None:
    clients = await documents.select(configured.store, configured.tenant, CLIENTS)
    everyone = next(client for client in clients if client.document["global"])

    with pytest.raises(BadRequest, match=r"Global client cannot be deleted\."):
        await configured.delete(CLIENTS, everyone.id, actor=EDITOR)
    changed = await configured.update(CLIENTS, everyone.id, {"custom_login_page": "<html>"}, actor=EDITOR)

    assert everyone.document["name"] == "All Applications"
    assert changed["custom_login_page"] == "<html>"


async def test_third_party_clients_have_no_organizations(configured: Configured) -> None:
    with pytest.raises(Forbidden, match="Organizations are only available to first party clients"):
        await configured.create(CLIENTS, {"name": "app", "is_first_party": False, "organization_usage": "allow"})


async def test_an_api_names_the_client_that_stands_for_it(configured: Configured) -> None:
    """Recorded: resource server with `client_id` after a client of type resource_server is made."""
    api = await configured.create(RESOURCE_SERVERS, {"identifier": "https://api.example.com/"})
    given = {"name": "app", "app_type": "resource_server", "resource_server_identifier": "https://api.example.com/"}

    made = await configured.create(CLIENTS, given)
    linked = await configured.read(RESOURCE_SERVERS, api["id"])
    await configured.delete(CLIENTS, made["client_id"])
    unlinked = await configured.read(RESOURCE_SERVERS, api["id"])

    assert (linked or {})["client_id"] == made["client_id"]
    assert "client_id" not in (unlinked or {})
