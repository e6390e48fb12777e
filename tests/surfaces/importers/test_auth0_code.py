"""Custom code in a configuration that the deploy CLI wrote."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from freehold.domain.connections import CONNECTIONS, configuration
from freehold.domain.extensions import ACTIONS, HOOKS, RULES, actions, bindings, hooks, rules, running, secrets
from freehold.kernel.declare import SYSTEM, documents
from tests.surfaces.importers.conftest import Arriving

pytestmark = pytest.mark.quick_on("sqlite")

RULE = "function (user, context, callback) { callback(null, user, context); }"
HOOK = "module.exports = function (user, context, cb) { cb(); };"
ACTION = "exports.onExecutePostLogin = async (event, api) => {};"
MASKED = "_VALUE_NOT_SHOWN_"
ENCRYPTED = "2.0$" + "0123456789abcdef" * 4 + "$" + "ab" * 32
TRIGGERS = [{"id": "post-login", "version": "v3"}]
KINDS = "rules", "hooks", "action modules", "actions", "connections"
FILES: dict[str, Any] = {
    "rules/Enrich.json": {
        "name": "Enrich", "script": "./Enrich.js", "order": 2, "enabled": True, "stage": "login_success",
    },
    "rules/Enrich.js": RULE,
    "rules/First.json": {"name": "First", "script": "./First.js", "order": 1, "enabled": False},
    "rules/First.js": RULE,
    "rules-configs/KEY.json": {"key": "KEY", "value": MASKED},
    "hooks/welcome.json": {
        "name": "welcome", "script": "./welcome.js", "enabled": True, "triggerId": "post-user-registration",
        "dependencies": {}, "secrets": {"MAIL_KEY": MASKED},
    },
    "hooks/welcome.js": HOOK,
    "action-modules/greeting.json": {
        "name": "greeting", "code": "./action-modules/greeting/code.js", "dependencies": [],
        "all_changes_published": True, "secrets": [{"name": "WORD"}], "actions_using_module_total": 1,
        "latest_version_number": 3,
    },
    "action-modules/greeting/code.js": "exports.word = () => actions.secrets.WORD;",
    "actions/Greet.json": {
        "id": "0c7f3c5e-21a0-4a5c-8f3e-1a2b3c4d5e6f", "name": "Greet", "code": "./actions/Greet/code.js",
        "runtime": "node22", "status": "built", "dependencies": [], "secrets": [{"name": "TOKEN"}],
        "supported_triggers": TRIGGERS, "deployed": True,
        "modules": [{"module_name": "greeting", "module_version_number": 3}],
    },
    "actions/Greet/code.js": ACTION,
    "actions/Draft.json": {
        "name": "Draft", "code": "./actions/Draft/code.js", "runtime": "node22", "status": "built",
        "dependencies": [{"name": "lodash", "version": "4.17.21"}], "secrets": [{"name": "OTHER", "value": MASKED}],
        "supported_triggers": TRIGGERS, "deployed": False,
    },
    "actions/Draft/code.js": ACTION,
    "triggers/triggers.json": {"post-login": [{"action_name": "Greet", "display_name": "Says hello"}]},
    "database-connections/legacy/database.json": {
        "name": "legacy", "strategy": "auth0",
        "options": {
            "enabledDatabaseCustomization": True, "import_mode": True, "customScripts": {"login": "./login.js"},
            "configuration": {"DB_URL": ENCRYPTED},
        },
    },
    "database-connections/legacy/login.js": "function login(name, password, callback) { callback(null); }",
}  # fmt: skip


def write(folder: Path, changes: dict[str, Any] | None = None) -> Path:
    for name, content in {**FILES, **(changes or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path / "config")


async def test_code_arrives_and_runs_where_it_ran(arriving: Arriving, config: Path) -> None:
    report = await arriving.arrive(config=config)
    store, tenant = arriving.store, arriving.tenant

    assert set(report.found()) == {"masked_secret"}
    assert [rule.name for rule in await rules.rules_in_order(store, tenant)] == ["Enrich"]
    assert {rule.name: (rule.order, rule.script) for rule in await documents.find_all(store, tenant, RULES)} == {
        "First": (1, RULE), "Enrich": (2, RULE),
    }  # fmt: skip
    hook = await hooks.enabled_hook(store, tenant, "post-user-registration")
    assert hook is not None
    assert hook.script == HOOK
    bound = await bindings.bound_to(store, tenant, "post-login")
    assert [binding.display_name for binding in bound] == ["Says hello"]
    ((name, version),) = await running.deployed_at(store, tenant, "post-login")
    assert (name, version.document["code"], version.parent) == ("Greet", ACTION, FILES["actions/Greet.json"]["id"])
    (included,) = version.document["modules"]
    assert (included["module_name"], included["module_version_number"]) == ("greeting", 3)
    draft = await documents.find_by(store, tenant, ACTIONS, name="Draft")
    assert draft is not None
    assert (draft.all_changes_deployed, [each.name for each in draft.dependencies]) == (False, ["lodash"])
    database = await documents.find_by(store, tenant, CONNECTIONS, name="legacy")
    assert database is not None
    assert (database.options or {})["customScripts"] == {"login": FILES["database-connections/legacy/login.js"]}


async def test_the_report_names_every_secret_that_has_no_value(arriving: Arriving, config: Path) -> None:
    report = await arriving.arrive(config=config)

    found = {(each["where"], each["who"], each["detail"]) for each in report.findings("masked_secret")}
    assert found == {
        ("rules-configs/KEY.json", "KEY", "value"),
        ("hooks/welcome.json", "", "secrets.MAIL_KEY"),
        ("action-modules/greeting.json", "WORD", "secrets"),
        ("actions/Greet.json", "TOKEN", "secrets"),
        ("actions/Draft.json", "OTHER", "secrets[0].value"),
        ("database-connections/legacy/database.json", "", "options.configuration.DB_URL"),
    }
    store, tenant = arriving.store, arriving.tenant
    greet = await documents.find_by(store, tenant, ACTIONS, name="Greet")
    assert greet is not None
    assert [secret.name for secret in greet.secrets] == ["TOKEN"]
    (hook,) = await documents.select(store, tenant, HOOKS)
    assert await hooks.secrets_of(store, tenant, hook.id) == {"MAIL_KEY": ""}
    assert await rules.configuration(store, tenant) == {"KEY": ""}


async def test_a_second_run_changes_what_changed_and_no_value(arriving: Arriving, config: Path) -> None:
    await arriving.arrive(config=config)
    store, tenant = arriving.store, arriving.tenant
    greet = await documents.find_by(store, tenant, ACTIONS, name="Greet")
    legacy = await documents.find_by(store, tenant, CONNECTIONS, name="legacy")
    (hook,) = await documents.select(store, tenant, HOOKS)
    assert greet is not None
    assert legacy is not None
    async with store.transaction() as tx:
        given = {"secrets": [{"name": "TOKEN", "value": "set by hand"}]}
        await documents.update(tx, tenant, ACTIONS, greet.id, given)
        await documents.update(
            tx, tenant, CONNECTIONS, legacy.id,
            {"options": {**(legacy.options or {}), "configuration": {"DB_URL": "sql://db"}}},
        )  # fmt: skip
        await hooks.put_secrets(tx, tenant, hook.id, {"MAIL_KEY": "mail"}, actor=SYSTEM)
    write(config, {
        "rules/Enrich.json": {**FILES["rules/Enrich.json"], "order": 1},
        "rules/First.json": {**FILES["rules/First.json"], "order": 2},
        "actions/Greet/code.js": ACTION + "\n// changed",
    })  # fmt: skip

    report = await arriving.arrive(config=config)

    assert "resource_refused" not in report.found()
    assert [report.number(kind, "created") for kind in KINDS] == [0] * len(KINDS)
    assert {rule.name: rule.order for rule in await documents.find_all(store, tenant, RULES)} == {
        "Enrich": 1, "First": 2,
    }  # fmt: skip
    ((_, version),) = await running.deployed_at(store, tenant, "post-login")
    assert version.document["code"].endswith("// changed")
    assert await secrets.values_of(store, tenant, actions.owner(greet.id)) == {"TOKEN": "set by hand"}
    assert await hooks.secrets_of(store, tenant, hook.id) == {"MAIL_KEY": "mail"}
    assert await configuration.values(store, tenant, legacy.id) == {"DB_URL": "sql://db"}


async def test_the_yaml_format_says_the_same(arriving: Arriving, config: Path, tmp_path: Path) -> None:
    whole = {
        "rules": [{**FILES["rules/Enrich.json"], "script": "./rules/Enrich.js"}],
        "actionModules": [FILES["action-modules/greeting.json"]],
        "actions": [FILES["actions/Greet.json"]],
        "triggers": FILES["triggers/triggers.json"],
    }
    (config / "tenant.yaml").write_text(yaml.safe_dump(whole))

    report = await arriving.arrive(config=config)

    assert set(report.found()) == {"masked_secret"}
    assert [rule.script for rule in await rules.rules_in_order(arriving.store, arriving.tenant)] == [RULE]
    assert len(await running.deployed_at(arriving.store, arriving.tenant, "post-login")) == 1


async def test_what_cannot_be_taken_in_is_named_and_the_rest_is(arriving: Arriving, config: Path) -> None:
    write(config, {
        "rules/Lost.json": {"name": "Lost", "script": "../../../outside.js", "order": 9},
        "triggers/triggers.json": {"post-login": [{"action_name": "Nobody"}, {"action_name": "Greet"}]},
    })  # fmt: skip

    report = await arriving.arrive(config=config)

    assert [(each["where"], each["who"]) for each in report.findings("resource_refused")] == [
        ("rules/Lost.json", "Lost")
    ]
    assert [each["who"] for each in report.findings("field_without_place")] == ["Nobody"]
    assert len(await running.deployed_at(arriving.store, arriving.tenant, "post-login")) == 1
