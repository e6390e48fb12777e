"""Connections: recorded defaults and refusals, clients that may use them, secrets."""

import json
from typing import Any

import msgspec
import pytest

from freehold.domain.applications import CLIENTS
from freehold.domain.connections import CONNECTION_CLIENTS, CONNECTIONS, DEFAULT_CONNECTION
from freehold.domain.connections.connections import ClientSwitch, delete_connection, switch_clients
from freehold.kernel.declare import documents, relations
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import Conflict, NotFound
from tests.support.configuration import Configured
from tests.support.people import TenantUnderTest


async def clients_of(configured: Configured, connection: str) -> list[str]:
    return await relations.related_ids(configured.store, configured.tenant, CONNECTION_CLIENTS, connection)


async def test_a_new_tenant_has_a_database_for_its_default_app(configured: Configured) -> None:
    connection = await documents.find_by(configured.store, configured.tenant, CONNECTIONS, name=DEFAULT_CONNECTION)
    assert connection is not None

    names = [(await configured.read(CLIENTS, id_) or {})["name"] for id_ in await clients_of(configured, connection.id)]

    assert names == ["Default App"]


async def test_a_database_has_the_recorded_options(configured: Configured) -> None:
    made = await configured.create(CONNECTIONS, {"name": "db", "strategy": "auth0"})

    assert made["options"].keys() == {
        "mfa", "passwordPolicy", "password_options", "strategy_version", "authentication_methods", "passkey_options",
        "brute_force_protection",
    }  # fmt: skip
    assert made["options"]["passwordPolicy"] == "good"
    assert (made["realms"], made["is_domain_connection"]) == (["db"], False)
    assert (made["authentication"], made["connected_accounts"]) == ({"active": True}, {"active": False})


async def test_password_options_replace_the_older_policy_and_are_completed(configured: Configured) -> None:
    options = {"password_options": {"complexity": {"min_length": 20}}}

    made = await configured.create(CONNECTIONS, {"name": "db", "strategy": "auth0", "options": options})

    assert "passwordPolicy" not in made["options"]
    assert made["options"]["password_options"]["complexity"]["min_length"] == 20
    assert made["options"]["password_options"]["history"] == {"active": False, "size": 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"attributes": {"email": {"identifier": {"active": True}}}, "requires_username": True},
            "Cannot set both options.attributes and options.requires_username",
        ),
        (
            {
                "attributes": {"email": {"identifier": {"active": True}}},
                "validation": {"username": {"min": 1, "max": 5}},
            },
            "Cannot set both options.attributes and options.validation",
        ),
        (
            {"attributes": {"email": {"identifier": {"active": False}}}},
            "attributes must contain one active identifier",
        ),
        (
            {
                "attributes": {
                    "phone_number": {
                        "identifier": {"active": True},
                        "profile_required": True,
                        "signup": {"status": "inactive"},
                    }
                }
            },
            "attribute phone_number must also be required on signup",
        ),
    ],
)
async def test_options_that_exclude_each_other_are_refused_in_the_recorded_words(
    configured: Configured, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidBody) as refused:
        await configured.create(CONNECTIONS, {"name": "db", "strategy": "auth0", "options": options})

    assert refused.value.message == message


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"passwordPolicy": "perfect"}, "options.passwordPolicy"),
        ({"password_options": {"complexity": {"min_length": 100}}}, "options.password_options.complexity.min_length"),
        ({"password_history": {"enable": True, "size": 25}}, "options.password_history.size"),
        ({"passkey_options": {"challenge_ui": "loud"}}, "options.passkey_options.challenge_ui"),
        (
            {"authentication_methods": {"password": {"enabled": "yes"}}},
            "options.authentication_methods.password.enabled",
        ),
        ({"precedence": ["email"]}, "options.precedence"),
    ],
)
async def test_a_wrong_option_is_named(configured: Configured, options: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidBody, match=path):
        await configured.create(CONNECTIONS, {"name": "db", "strategy": "auth0", "options": options})


@pytest.mark.parametrize(
    ("strategy", "name"), [("oidc", "authorization_endpoint"), ("samlp", "signInEndpoint"), ("oauth2", "icon_url")]
)
async def test_a_url_that_runs_as_script_is_not_stored(configured: Configured, strategy: str, name: str) -> None:
    """Threats: stored URLs."""
    given = {"name": "x", "strategy": strategy, "options": {name: "javascript:alert(1)"}}

    with pytest.raises(InvalidBody, match=f"options.{name}"):
        await configured.create(CONNECTIONS, given)


async def test_options_that_nobody_knows_are_kept(configured: Configured) -> None:
    made = await configured.create(
        CONNECTIONS,
        {"name": "x", "strategy": "oauth2", "options": {"scripts": {"fetchUserProfile": "function(){}"}, "odd": [1]}},
    )

    assert made["options"] == {"scripts": {"fetchUserProfile": "function(){}"}, "odd": [1]}


async def test_an_okta_connection_knows_its_endpoints_without_asking(configured: Configured) -> None:
    options = {"client_id": "c", "client_secret": "canary", "domain": "acme.okta.com", "token_endpoint": None}

    made = await configured.create(CONNECTIONS, {"name": "okta", "strategy": "okta", "options": options})

    assert made["options"]["token_endpoint"] == "https://acme.okta.com/oauth2/v1/token"
    assert made["options"]["oidc_metadata"]["issuer"] == "https://acme.okta.com"
    assert (made["display_name"], made["show_as_button"]) == ("okta", False)
    with pytest.raises(InvalidBody, match=r"options\.domain"):
        bad = {**options, "domain": "acme.okta.com/@evil"}
        await configured.create(CONNECTIONS, {"name": "okta2", "strategy": "okta", "options": bad})


@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        ("okta", "client_secret"),
        ("google-oauth2", "client_secret"),
        ("sms", "twilio_token"),
        ("oauth1", "consumer_secret"),
    ],
)
async def test_a_providers_secret_is_not_in_the_stored_text(configured: Configured, strategy: str, name: str) -> None:
    made = await configured.create(CONNECTIONS, {"name": "x", "strategy": strategy, "options": {name: "canary"}})

    row = await configured.store.one("select document from connections where id = :id", id=made["id"])

    assert row is not None
    assert "canary" not in row[0]
    assert made["options"][name] == "canary"


async def test_an_update_replaces_the_options(configured: Configured) -> None:
    made = await configured.create(
        CONNECTIONS, {"name": "db", "strategy": "auth0", "options": {"requires_username": True, "disable_signup": True}}
    )

    updated = await configured.update(CONNECTIONS, made["id"], {"options": {"requires_username": True}})

    assert "disable_signup" not in updated["options"]
    assert updated["options"]["brute_force_protection"] is True
    kept = await configured.update(CONNECTIONS, made["id"], {"display_name": "Database"})
    assert kept["options"] == updated["options"]


async def test_a_name_and_a_realm_mean_one_connection(configured: Configured) -> None:
    await configured.create(CONNECTIONS, {"name": "db", "strategy": "auth0", "realms": ["db", "people"]})

    with pytest.raises(Conflict, match="A connection with the same name already exists"):
        await configured.create(CONNECTIONS, {"name": "db", "strategy": "oidc", "realms": ["other"]})
    with pytest.raises(Conflict, match="another connection with some realms"):
        await configured.create(CONNECTIONS, {"name": "db2", "strategy": "auth0", "realms": ["people"]})


async def test_both_ways_to_enable_clients_agree(configured: Configured) -> None:
    """Client requirements: `enabled_clients` and `/connections/{id}/clients` must agree."""
    one, two = [(await configured.create(CLIENTS, {"name": name}))["client_id"] for name in ("one", "two")]
    made = await configured.create(CONNECTIONS, {"name": "db", "strategy": "auth0", "enabled_clients": [one]})
    assert await clients_of(configured, made["id"]) == [one]

    switches = [ClientSwitch(client_id=one, status=False), ClientSwitch(client_id=two, status=True)]
    await configured.call(switch_clients, params={"id": made["id"]}, body=switches)
    assert await clients_of(configured, made["id"]) == [two]

    await configured.update(CONNECTIONS, made["id"], {"enabled_clients": [one, two]})
    await configured.update(CONNECTIONS, made["id"], {"display_name": "untouched"})
    assert await clients_of(configured, made["id"]) == sorted([one, two])

    await configured.delete(CLIENTS, one)
    assert await clients_of(configured, made["id"]) == [two]


async def test_only_clients_that_exist_are_enabled(configured: Configured) -> None:
    made = await configured.create(CONNECTIONS, {"name": "db", "strategy": "auth0"})

    with pytest.raises(NotFound, match="The client does not exist"):
        await configured.update(CONNECTIONS, made["id"], {"enabled_clients": ["nobody"]})
    with pytest.raises(NotFound, match="The client does not exist"):
        await configured.call(switch_clients, params={"id": made["id"]}, body=[ClientSwitch("nobody", status=True)])
    with pytest.raises(NotFound, match="The connection does not exist"):
        await configured.call(switch_clients, params={"id": "con_none"}, body=[])


async def test_deleting_answers_the_time_and_then_nothing(configured: Configured) -> None:
    """Recorded: 202 `{deleted_at}`, then 204."""
    made = await configured.create(CONNECTIONS, {"name": "db", "strategy": "auth0"})

    first = await configured.call(delete_connection, params={"id": made["id"]})
    second = await configured.call(delete_connection, params={"id": made["id"]})

    assert (first.status, json.loads(first.body)) == (202, {"deleted_at": "2026-01-01T00:00:00.000Z"})
    assert second is None


async def test_a_certificate_is_described_beside_itself(configured: Configured) -> None:
    from tests.domain.applications.test_credentials import certificate_pem

    made = await configured.create(
        CONNECTIONS, {"name": "saml", "strategy": "samlp", "options": {"signingCert": certificate_pem()}}
    )

    options = made["options"]
    assert options["subject"] == {"countryName": "JP", "organizationName": "Client", "commonName": "client.example.org"}
    assert options["expires"] == "2030-05-06T07:08:09.000Z"
    assert len(options["thumbprints"][0]) == 40


@pytest.mark.parametrize(
    "xml", ["<no", '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "<x/>"], ids=["malformed", "entities", "empty"]
)
async def test_odd_federation_metadata_is_kept_and_not_believed(configured: Configured, xml: str) -> None:
    made = await configured.create(
        CONNECTIONS, {"name": "adfs", "strategy": "adfs", "options": {"fedMetadataXml": xml}}
    )

    assert "signInEndpoint" not in made["options"]


def test_the_body_of_a_switch_is_strict() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"client_id": "x", "status": True, "more": 1}, ClientSwitch)


async def test_only_a_connection_with_an_agent_elsewhere_can_be_away(people: TenantUnderTest) -> None:
    made = await people.api("POST", "connections", {"name": "company", "strategy": "ad"})
    database = await people.database()

    away = await people.api("GET", f"connections/{made.json()['id']}/status")

    assert (away.status, away.json()["message"]) == (404, "not connected to any node")
    assert (await people.api("GET", f"connections/{database.id}/status")).status == 200
    unknown = await people.api("GET", "connections/con_0000000000000000/status")
    assert (unknown.status, unknown.json()["errorCode"]) == (404, "inexistent_connection")
