"""A configuration that the deploy CLI wrote."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from freehold.demo import auth0_export
from freehold.demo.auth0_export import API_CLIENT, API_SECRET, AUDIENCE, MAIN, STAFF, WEB_CLIENT, write_configuration
from freehold.domain.access import CLIENT_GRANTS, ROLES
from freehold.domain.applications import CLIENTS
from freehold.domain.connections import CONNECTION_CLIENTS, CONNECTIONS
from freehold.domain.keys.rotation import all_keys
from freehold.domain.protection import BRUTE_FORCE, SUSPICIOUS_ADDRESSES
from freehold.domain.tenants.settings import SETTINGS
from freehold.kernel.declare import documents, relations
from freehold.surfaces.importers.auth0_files import read_configuration
from freehold.surfaces.importers.lines import BadFile
from freehold.surfaces.importers.report import Report
from tests.surfaces.importers.conftest import CALLBACK, Arriving

pytestmark = pytest.mark.quick_on("sqlite")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_configuration(tmp_path / "config", CALLBACK)
    return tmp_path / "config"


def add(config: Path, path: str, content: Any) -> None:
    file = config / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def details(report: Report, kind: str) -> list[str]:
    return [finding["detail"] for finding in report.findings(kind)]


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_what_was_configured_is_configured_here(arriving: Arriving, config: Path) -> None:
    report = await arriving.arrive(config=config)
    store, tenant = arriving.store, arriving.tenant

    assert "resource_refused" not in report.found()
    assert "field_without_place" not in report.found()
    client = await documents.get(store, tenant, CLIENTS, API_CLIENT)
    assert (client.name, client.client_secret) == ("Nightly report", API_SECRET)
    for name in (MAIN, STAFF):
        connection = await documents.find_by(store, tenant, CONNECTIONS, name=name)
        assert connection is not None
        assert WEB_CLIENT in await relations.related_ids(store, tenant, CONNECTION_CLIENTS, connection.id)
    grant = await documents.find_by(store, tenant, CLIENT_GRANTS, client_id=API_CLIENT, audience=AUDIENCE)
    assert grant is not None
    assert grant.scope == ["read:orders"]
    assert await documents.find_by(store, tenant, ROLES, name="Clerk") is not None
    assert await arriving.count("role_permissions") == 2
    assert (await documents.singleton(store, tenant, SETTINGS)).friendly_name == "Acme"


async def test_a_second_run_makes_nothing_twice(arriving: Arriving, config: Path) -> None:
    await arriving.arrive(config=config)
    tables = ("clients", "connections", "client_grants", "roles", "resource_servers", "role_permissions")
    before = [await arriving.count(table) for table in tables]

    report = await arriving.arrive(config=config)

    assert report.number("clients", "created") == 0
    assert [await arriving.count(table) for table in tables] == before


async def test_both_formats_say_the_same(config: Path, tmp_path: Path) -> None:
    folders = read_configuration(config, {})
    whole = {"tenant": folders.tenant}
    whole |= {kind: [item for _, item in items] for kind, items in folders.items.items()}  # type: ignore[misc]
    add(tmp_path / "yaml", "tenant.yaml", yaml.safe_dump(whole, allow_unicode=True))

    found = read_configuration(tmp_path / "yaml", {})

    assert found.tenant == folders.tenant
    assert {kind: [i for _, i in items] for kind, items in found.items.items()} == {
        kind: [i for _, i in items] for kind, items in folders.items.items()
    }


@pytest.mark.parametrize("format_", ["folders", "yaml"])
async def test_attack_protection_is_configured_here(
    arriving: Arriving, config: Path, tmp_path: Path, format_: str
) -> None:
    said = {
        "brute-force-protection": {"enabled": True, "max_attempts": 4, "shields": ["block"]},
        "suspicious-ip-throttling": {"stage": {"pre-login": {"max_attempts": 9, "rate": 60000}}},
        "captcha": {"active_provider_id": "auth_challenge"},
    }
    if format_ == "folders":
        for name, values in said.items():
            add(config, f"attack-protection/{name}.json", values)
    else:
        config = tmp_path / "yaml"
        named = {"bruteForceProtection": 0, "suspiciousIpThrottling": 1, "captcha": 2}
        whole = {name: list(said.values())[place] for name, place in named.items()}
        add(config, "tenant.yaml", yaml.safe_dump({"attackProtection": whole}))

    report = await arriving.arrive(config=config)

    brute_force = await documents.singleton(arriving.store, arriving.tenant, BRUTE_FORCE)
    assert (brute_force.max_attempts, brute_force.shields) == (4, ["block"])
    addresses = await documents.singleton(arriving.store, arriving.tenant, SUSPICIOUS_ADDRESSES)
    assert addresses.stage.pre_login.max_attempts == 9
    assert [finding["who"] for finding in report.findings("resource_unknown")] == ["captcha"]
    assert report.number("attack protection", "refused") == 0


async def test_masks_and_placeholders_are_not_taken_for_secrets(arriving: Arriving, config: Path) -> None:
    add(config, "clients/Masked.json", {"name": "Masked", "client_secret": "*****", "client_id": "c" * 32})
    add(config, "clients/Placed.json", {"name": "Placed", "client_secret": "##SECRET##", "client_id": "d" * 32})

    report = await arriving.arrive(config=config)

    assert sorted(details(report, "masked_secret")) == ["client_secret", "client_secret", "options.client_secret"]
    for client_id in ("c" * 32, "d" * 32):
        secret = (await documents.get(arriving.store, arriving.tenant, CLIENTS, client_id)).client_secret
        assert isinstance(secret, str)
        assert len(secret) == 64


async def test_keywords_take_the_place_of_placeholders(arriving: Arriving, config: Path) -> None:
    text = '{"name": "Placed", "client_id": "' + "d" * 32 + '", "client_secret": "##SECRET##", "callbacks": @@URLS@@}'
    add(config, "clients/Placed.json", text)

    await arriving.arrive(config=config, keywords={"SECRET": 'a "quoted" one', "URLS": ["https://a.example/cb"]})

    client = await documents.get(arriving.store, arriving.tenant, CLIENTS, "d" * 32)
    assert (client.client_secret, client.callbacks) == ('a "quoted" one', ["https://a.example/cb"])


async def test_what_has_no_place_is_named(arriving: Arriving, config: Path) -> None:
    add(config, "clients/New.json", {"name": "New", "client_id": "e" * 32, "of_the_future": True})
    add(config, "clients/Bad.json", {"name": "Bad", "client_id": "f" * 32, "callbacks": "no list"})
    add(config, "themes/theme.json", {})
    add(config, "grants/Lost.json", {"client_id": "Nobody", "audience": AUDIENCE, "scope": []})

    report = await arriving.arrive(config=config)

    assert details(report, "field_without_place") == ["clients.of_the_future"]
    assert [f["where"] for f in report.findings("resource_refused")] == ["clients/Bad.json", "grants/Lost.json"]
    assert [f["where"] for f in report.findings("resource_unknown")] == ["themes"]
    assert await documents.find(arriving.store, arriving.tenant, CLIENTS, "e" * 32) is not None
    assert await documents.find(arriving.store, arriving.tenant, CLIENTS, "f" * 32) is None


async def test_a_grant_for_the_old_management_api_is_one_for_ours(arriving: Arriving, config: Path) -> None:
    old = {"client_id": "Nightly report", "audience": "https://acme.eu.auth0.com/api/v2/", "scope": ["read:users"]}
    add(config, "grants/Management.json", {**old, "scope": ["read:users", "read:weather"]})

    report = await arriving.arrive(config=config)

    audience = arriving.tenant.management_audience
    grant = await documents.find_by(
        arriving.store, arriving.tenant, CLIENT_GRANTS, client_id=API_CLIENT, audience=audience
    )
    assert grant is not None
    assert grant.scope == ["read:users"]
    assert details(report, "field_without_place") == ["scope read:weather of the Management API"]


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("clients/Broken.json", '{\n"name": \n', "Broken.json line 3: not JSON"),
        ("clients/List.json", "[]", "List.json: an object is expected"),
        ("tenant.yaml", "a: [\nb", "tenant.yaml line"),
    ],
)
async def test_a_damaged_file_is_refused_by_name_and_line(
    arriving: Arriving, config: Path, path: str, content: str, words: str
) -> None:
    add(config, path, content)

    with pytest.raises(BadFile) as refusal:
        await arriving.arrive(config=config)

    assert words in str(refusal.value)
    assert await arriving.count("roles") == 0


async def test_a_signing_key_keeps_its_kid_and_signs_on(arriving: Arriving, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    for _ in range(2):
        await arriving.arrive(signing_keys={"the-old-kid": tmp_path / "key.pem"})

    current = (await all_keys(arriving.store, arriving.tenant))[0]
    assert (current.kid, current.current) == ("the-old-kid", True)


async def test_scripts_are_read_only_from_inside_the_directory(arriving: Arriving, config: Path) -> None:
    (config.parent / "outside.js").write_text("secret of the machine")
    database = auth0_export._database(STAFF, [])
    database["options"]["customScripts"] = {"login": "./login.js", "verify": "../../../outside.js"}
    add(config, f"database-connections/{STAFF}/database.json", database)
    add(config, f"database-connections/{STAFF}/login.js", "function login() {}")

    report = await arriving.arrive(config=config)

    assert details(report, "field_without_place") == ["options.customScripts.verify: its file is not in the directory"]
    connection = await documents.find_by(arriving.store, arriving.tenant, CONNECTIONS, name=STAFF)
    assert connection is not None
    assert connection.options is not None
    assert connection.options["customScripts"] == {"login": "function login() {}"}
