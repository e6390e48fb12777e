"""Code that goes home: packages that run on Node.js alone, tested with what was recorded here."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from freehold.domain.connections import CONNECTIONS
from freehold.domain.extensions import (
    ACTION_MODULES,
    ACTIONS,
    HOOK_SECRETS,
    HOOKS,
    RULES,
    RULES_CONFIGS,
    action_modules,
    actions,
    bindings,
    databases,
    executions,
    oauth2,
    points,
    replays,
    taking_home,
)
from freehold.domain.extensions.post_login import run_post_login
from freehold.domain.users.databases import database_of, find_database
from freehold.kernel.declare import SYSTEM, documents
from tests.domain.extensions.conftest import Extended
from tests.support.programs import find_node

RULE = """function (user, context, callback) {
    const { Auth0RedirectRuleUtilities } = require('@auth0/rule-utilities@0.1.0');
    if (new Auth0RedirectRuleUtilities(user, context).isRedirectCallback) return callback();
    if (user.email === 'no@example.com') return callback(new UnauthorizedError('not you'));
    context.idToken['https://x.example/plan'] = configuration.PLAN + (_.size(user.identities));
    callback(null, user, context); }"""
HOOK = """module.exports = function (client, scope, audience, context, cb) {
    cb(null, { scope, 'https://x.example/team': context.webtask.secrets.TEAM }); };"""
MODULE = "exports.shout = (text) => `${text}${actions.secrets.MARK}`;"
ACTION = """const { shout } = require('actions:shouting');
exports.onExecutePostLogin = async (event, api) => {
    console.log('hello');
    api.idToken.setCustomClaim('https://x.example/key', shout(event.secrets.KEY));
    if (event.user.name === 'Eve') api.access.deny('no Eve'); };"""
LOGIN = """async function login(name, password, callback) {
    if (name !== 'ada') return callback(new WrongUsernameOrPasswordError(name, 'nobody ' + configuration.DB));
    callback(null, { user_id: 7, name: 'Ada', nickname: password.length > 3 ? 'long' : 'short' }); }"""
FETCH = "function (accessToken, ctx, callback) { callback(null, { user_id: 'grace', name: ctx.token_type }); }"


@pytest.fixture
async def filled(extended: Extended) -> Extended:
    """A tenant with code of each kind, that has run."""
    services, tenant = extended.services, extended.tenant
    store = services.store
    await extended.make(RULES, {"name": "Plan", "script": RULE.replace("_.size(user.identities)", "1")})
    await extended.make(RULES_CONFIGS, {"value": "very-gold"}, server={"key": "PLAN"})
    given = {"name": "Team", "script": HOOK, "triggerId": "credentials-exchange", "enabled": True}
    hook = await extended.make(HOOKS, given)
    await extended.make(HOOK_SECRETS, {"name": "TEAM", "value": "team-secret"}, parent=hook)
    async with store.transaction() as tx:
        module = await documents.create(
            tx, tenant, ACTION_MODULES,
            {"name": "shouting", "code": MODULE, "secrets": [{"name": "MARK", "value": "!!!!"}]},
        )  # fmt: skip
        await action_modules.publish(tx, tenant, module)
        action = await documents.create(tx, tenant, ACTIONS, {
            "name": "Add a key", "supported_triggers": [{"id": "post-login"}], "code": ACTION,
            "secrets": [{"name": "KEY", "value": "action-secret"}], "modules": [{"module_name": "shouting"}],
        })  # fmt: skip
        await actions.deploy_draft(tx, tenant, action)
        await bindings.replace(tx, tenant, "post-login", [(action.id, "x")], actor=SYSTEM)
    options = {"enabledDatabaseCustomization": True, "customScripts": {"login": LOGIN},
               "configuration": {"DB": "database-secret"}}  # fmt: skip
    await extended.make(CONNECTIONS, {"name": "legacy", "strategy": "auth0", "options": options})
    options = {"authorizationURL": "https://p.example/a", "tokenURL": "https://p.example/t", "client_id": "x",
               "scripts": {"fetchUserProfile": FETCH}}  # fmt: skip
    await extended.make(CONNECTIONS, {"name": "provider", "strategy": "oauth2", "options": options})
    await run_all(extended)
    return extended


async def run_all(extended: Extended) -> None:
    services, tenant = extended.services, extended.tenant
    store = services.store
    kept = []
    for changes in ({}, {"name": "Eve"}, {"email": "no@example.com"}):
        facts = extended.facts()
        facts.user.update(changes)
        kept += (await run_post_login(services, tenant, facts)).executions
    exchange = await points.run_credentials_exchange(
        services, tenant, client={"client_id": "app", "name": "App"}, audience="https://api.example", scopes=["a"],
        request={},
    )  # fmt: skip
    async with store.transaction() as tx:
        await executions.keep_all(tx, tenant, [*kept, *exchange.executions])
    database = await find_database(store, tenant, "legacy")
    assert database is not None
    assert await databases.log_in(services, tenant, database, "ada", "a long password") is not None
    assert await databases.log_in(services, tenant, database, "bob", "a long password") is None
    provider = await documents.find_by(store, tenant, CONNECTIONS, name="provider")
    assert provider is not None
    tokens = {"access_token": "a-token-of-theirs", "token_type": "Bearer"}
    await oauth2.fetch_profile(services, tenant, database_of(provider), tokens)


async def taken_home(extended: Extended, folder: Path) -> dict[str, taking_home.Package]:
    found = await taking_home.packages(extended.services.store, extended.tenant)
    taking_home.write(folder, found)
    return {package.place: package for package in found}


def node_test(folder: Path) -> subprocess.CompletedProcess[str]:
    """Node.js with nothing but the folder: no packages beside it, no environment."""
    return subprocess.run(
        [str(find_node()), "--test", "--test-reporter=tap"], cwd=folder, env={"PATH": ""}, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip


async def test_every_piece_runs_at_home_and_does_what_was_recorded(filled: Extended, tmp_path: Path) -> None:
    found = await taken_home(filled, tmp_path / "home")

    assert {place: package.executions for place, package in found.items()} == {
        "actions/add-a-key": 2, "connections/provider-fetchuserprofile": 1, "databases/legacy-login": 2,
        "hooks/team": 1, "rules/plan": 3,
    }  # fmt: skip
    for place, package in found.items():
        done = node_test(tmp_path / "home" / place)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"# pass {package.executions + 1}" in done.stdout
        assert "# skipped 0" in done.stdout


async def test_no_value_of_a_secret_goes_along(filled: Extended, tmp_path: Path) -> None:
    await taken_home(filled, tmp_path / "home")

    text = "".join(path.read_text() for path in (tmp_path / "home").rglob("*") if path.is_file())
    values = ("very-gold", "team-secret", "action-secret", "!!!!", "database-secret", "a long password", "of-theirs")
    assert [value for value in values if value in text] == []


async def test_a_package_that_does_something_else_fails_its_tests(filled: Extended, tmp_path: Path) -> None:
    await taken_home(filled, tmp_path / "home")
    code = tmp_path / "home" / "rules" / "plan" / "code.js"
    code.write_text(code.read_text().replace("/plan'", "/other'"))

    done = node_test(code.parent)

    assert done.returncode == 1
    assert "# fail 2" in done.stdout


async def test_a_package_names_its_packages_secrets_and_globals(extended: Extended, tmp_path: Path) -> None:
    code = "function (user, context, callback) { _.noop(); require('uuid@9.0.0'); callback(null, user, context); }"
    await extended.make(RULES, {"name": "Old", "script": code})
    await extended.make(RULES_CONFIGS, {"value": "x"}, server={"key": "KEY"})

    await taken_home(extended, tmp_path)

    package = json.loads((tmp_path / "rules" / "old" / "package.json").read_text())
    assert package["dependencies"] == {"lodash": "4.17.21", "uuid": "9.0.0"}
    assert package["freehold"]["globals"] == {"_": "lodash@4.17.21"}
    assert package["freehold"]["secrets"] == ["KEY"]


async def test_what_was_recorded_with_other_code_is_no_test(filled: Extended, tmp_path: Path) -> None:
    store, tenant = filled.services.store, filled.tenant
    (rule,) = await documents.select(store, tenant, RULES)
    async with store.transaction() as tx:
        await documents.update(tx, tenant, RULES, rule.id, {"script": RULE})

    assert (await taken_home(filled, tmp_path))["rules/plan"].executions == 0


async def test_a_recorded_execution_is_replayed_with_the_code_of_now(filled: Extended) -> None:
    services, tenant = filled.services, filled.tenant
    store = services.store
    recorded = await executions.records_of(store, tenant)
    for record in recorded:
        found = await replays.replay(services, tenant, record.id)
        assert [(each.same, each.changed) for each in found] == [(True, False)] * len(record.results), found

    (rule,) = await documents.select(store, tenant, RULES)
    async with store.transaction() as tx:
        await documents.update(tx, tenant, RULES, rule.id, {"script": "function (u, c, cb) { cb(null, u, c); }"})
    changed: list[Any] = []
    for record in await executions.records_of(store, tenant, trigger="rules"):
        changed += await replays.replay(services, tenant, record.id)
    assert [(each.same, each.changed) for each in changed] == [(False, True)] * 3
