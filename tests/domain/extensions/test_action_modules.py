"""Code that actions share: published, included by version, run with secrets of its own."""

from typing import Any

import httpx
import pytest

from freehold.domain.extensions import (
    ACTION_BINDINGS,
    ACTION_MODULES,
    ACTIONS,
    action_modules,
    actions,
    bindings,
    points,
    trials,
)
from freehold.kernel.declare import SYSTEM, documents
from tests.domain.extensions.conftest import Extended
from tests.support.in_process import Installation

GREETING = "let calls = 0; exports.greet = (name) => `${actions.secrets.WORD}, ${name} ${++calls}`;"
CODE = """const { greet } = require('actions:greeting');
exports.onExecuteCredentialsExchange = async (event, api) => {
    api.accessToken.setCustomClaim('https://x.example/greeting', greet(event.client.name));
    api.accessToken.setCustomClaim('https://x.example/own', JSON.stringify(event.secrets));
};"""


async def include(extended: Extended, code: str, **members: Any) -> tuple[str, str]:
    """A module that is published and an action that includes it, deployed and bound; their ids."""
    store, tenant = extended.services.store, extended.tenant
    async with store.transaction() as tx:
        given = {"name": "greeting", "code": GREETING, "secrets": [{"name": "WORD", "value": "Hello"}]}
        module = await documents.create(tx, tenant, ACTION_MODULES, given)
        await action_modules.publish(tx, tenant, module)
        action = await documents.create(tx, tenant, ACTIONS, {
            "name": "Greet", "supported_triggers": [{"id": "credentials-exchange"}], "code": code,
            "secrets": [{"name": "OWN", "value": "mine"}], "modules": [{"module_name": "greeting"}], **members,
        })  # fmt: skip
        await actions.deploy_draft(tx, tenant, action)
        await bindings.replace(tx, tenant, "credentials-exchange", [(action.id, "x")], actor=SYSTEM)
    return module.id, action.id


async def claims(extended: Extended) -> dict[str, Any]:
    client = {"client_id": "app", "name": "App", "metadata": {}}
    found = await points.run_credentials_exchange(
        extended.services, extended.tenant, client=client, audience="https://api.example", scopes=[], request={}
    )
    assert found.denied is None, found.executions[0].results
    return found.claims


async def test_an_action_uses_a_module_which_has_secrets_of_its_own(extended: Extended) -> None:
    await include(extended, CODE)

    assert await claims(extended) == {
        "https://x.example/greeting": "Hello, App 1", "https://x.example/own": '{"OWN":"mine"}',
    }  # fmt: skip


async def test_an_action_keeps_the_version_that_it_includes(extended: Extended) -> None:
    module_id, action_id = await include(extended, CODE)
    store, tenant = extended.services.store, extended.tenant
    async with store.transaction() as tx:
        changed = await documents.update(
            tx, tenant, ACTION_MODULES, module_id, {"code": "exports.greet = () => `Bye, ${actions.secrets.WORD}`;"}
        )
        await action_modules.publish(tx, tenant, changed)

    assert (await claims(extended))["https://x.example/greeting"] == "Hello, App 1"

    async with store.transaction() as tx:
        given = {"modules": [{"module_id": module_id, "module_version_number": 2}]}
        action = await documents.update(tx, tenant, ACTIONS, action_id, given)
        await actions.deploy_draft(tx, tenant, action)
    assert (await claims(extended))["https://x.example/greeting"] == "Bye, Hello"


async def test_a_module_that_is_not_included_is_not_there(extended: Extended) -> None:
    store, tenant = extended.services.store, extended.tenant
    await include(extended, CODE, modules=[])

    found = await points.run_credentials_exchange(
        extended.services, tenant, client={"client_id": "a", "name": "A"}, audience="x", scopes=[], request={}
    )

    assert found.denied == ("server_error", points.FAILED)
    assert "actions:greeting" in found.executions[0].results[0]["error"]["msg"]
    assert len(await documents.select(store, tenant, ACTION_BINDINGS)) == 1


async def test_the_secrets_of_a_module_are_not_recorded(extended: Extended) -> None:
    code = (
        "const m = require('actions:greeting'); exports.onExecuteCredentialsExchange = () => console.log(m.greet(''));"
    )
    await include(extended, code)

    found = await points.run_credentials_exchange(
        extended.services, extended.tenant, client={"client_id": "a", "name": "A"}, audience="x", scopes=[], request={}
    )

    (result,) = found.executions[0].results
    assert [line["text"] for line in result["logs"]] == ["[secret],  1"]
    assert "Hello" not in str(result)


async def test_a_module_fails_like_the_action_s_own_code(extended: Extended) -> None:
    module_id, action_id = await include(extended, CODE)
    store, tenant = extended.services.store, extended.tenant
    async with store.transaction() as tx:
        broken = await documents.update(tx, tenant, ACTION_MODULES, module_id, {"code": "throw new Error('broken');"})
        await action_modules.publish(tx, tenant, broken)
        action = await documents.update(tx, tenant, ACTIONS, action_id, {"modules": [{"module_id": module_id}]})
        await actions.deploy_draft(tx, tenant, action)

    found = await points.run_credentials_exchange(
        extended.services, tenant, client={"client_id": "a", "name": "A"}, audience="x", scopes=[], request={}
    )

    assert found.executions[0].results[0]["error"] == {"id": "load", "msg": "Error: broken", "url": ""}


async def test_packages_are_those_of_the_action_and_of_its_modules(extended: Extended) -> None:
    store, tenant = extended.services.store, extended.tenant
    async with store.transaction() as tx:
        packages = [{"name": "lodash", "version": "4.17.21"}, {"name": "uuid", "version": "9.0.0"}]
        module = await documents.create(tx, tenant, ACTION_MODULES, {"name": "m", "code": "", "dependencies": packages})
        await action_modules.publish(tx, tenant, module)
        action = await documents.create(tx, tenant, ACTIONS, {
            "name": "a", "supported_triggers": [{"id": "post-login"}], "modules": [{"module_id": module.id}],
            "dependencies": [{"name": "lodash", "version": "3.0.0"}],
        })  # fmt: skip

    found = await action_modules.packages_of(store, tenant, action.document)
    assert found == [("lodash", "3.0.0"), ("uuid", "9.0.0")]
    assert action.document["status"] == "pending"
    assert trials.handler_of("post-login") == "onExecutePostLogin"


class TestManagement:
    @pytest.fixture
    def api(self, installation: Installation) -> httpx.Client:
        return installation.management()

    def make(self, api: httpx.Client, name: str, **members: Any) -> dict[str, Any]:
        answer = api.post("/actions/modules", json={"name": name, "code": "exports.x = 1;", **members})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def test_a_module_is_drafted_published_changed_and_rolled_back(self, api: httpx.Client) -> None:
        made = self.make(api, "first", secrets=[{"name": "KEY", "value": "the value"}])
        path = f"/actions/modules/{made['id']}"
        assert (made["all_changes_published"], made["latest_version_number"]) == (False, 0)
        assert [sorted(secret) for secret in made["secrets"]] == [["name", "updated_at"]]

        one = api.post(f"{path}/versions").json()
        assert (one["version_number"], one["module_id"], one["code"]) == (1, made["id"], "exports.x = 1;")
        assert api.post(f"{path}/versions").status_code == 409
        assert api.patch(path, json={"code": "exports.x = 2;"}).json()["all_changes_published"] is False
        two = api.post(f"{path}/versions").json()
        shown = api.get(path).json()
        assert (shown["latest_version_number"], shown["latest_version"]["id"]) == (2, two["id"])

        back = api.post(f"{path}/rollback", json={"module_version_id": one["id"]})
        assert (back.status_code, back.json()["code"], back.json()["all_changes_published"]) == (
            200, "exports.x = 1;", False,
        )  # fmt: skip
        assert api.post(f"{path}/rollback", json={"module_version_id": one["id"]}).status_code == 409
        assert [each["id"] for each in api.get(f"{path}/versions").json()["versions"]] == [two["id"], one["id"]]
        assert api.get(f"{path}/versions/{one['id']}").json() == one
        assert "the value" not in api.get("/actions/modules").text

    def test_names_are_a_module_s_own_and_stay(self, api: httpx.Client) -> None:
        made = self.make(api, "named", publish=True)
        assert made["latest_version"]["version_number"] == 1

        again = api.post("/actions/modules", json={"name": "named", "code": ""})
        assert (again.status_code, again.json()["message"]) == (
            409, "An action module with the same name already exists.",
        )  # fmt: skip
        assert api.patch(f"/actions/modules/{made['id']}", json={"name": "other"}).status_code == 400

    def test_a_module_in_use_stays(self, api: httpx.Client) -> None:
        made = self.make(api, "used", publish=True)
        action = api.post("/actions/actions", json={
            "name": "user", "supported_triggers": [{"id": "post-login"}], "modules": [{"module_id": made["id"]}],
        }).json()  # fmt: skip
        path = f"/actions/modules/{made['id']}"
        reference = {
            "module_id": made["id"], "module_name": "used", "module_version_number": 1,
            "module_version_id": made["latest_version"]["id"],
        }  # fmt: skip
        assert action["modules"] == [reference]

        (user,) = api.get(f"{path}/actions").json()["actions"]
        assert (user["action_id"], user["action_name"], user["module_version_number"]) == (action["id"], "user", 1)
        assert api.get(path).json()["actions_using_module_total"] == 1
        assert api.delete(path).status_code == 412
        assert api.delete(f"/actions/actions/{action['id']}").status_code == 204
        assert api.delete(path).status_code == 204
        assert api.get(path).status_code == 404

    @pytest.mark.parametrize("reference", [
        {"module_id": "nothing"}, {"module_name": "nothing"}, {},
        {"module_name": "drafted"}, {"module_name": "drafted", "module_version_number": 1},
    ])  # fmt: skip
    def test_an_action_includes_what_is_published(self, api: httpx.Client, reference: dict[str, Any]) -> None:
        if not any(each["name"] == "drafted" for each in api.get("/actions/modules").json()["modules"]):
            self.make(api, "drafted")
        given = {"name": "x", "supported_triggers": [{"id": "post-login"}], "modules": [reference]}

        assert api.post("/actions/actions", json=given).status_code == 400

    @pytest.mark.parametrize(("method", "path"), [
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/actions"), ("GET", "/versions"), ("POST", "/versions"),
        ("GET", "/versions/x"), ("POST", "/rollback"),
    ])  # fmt: skip
    def test_what_is_not_there(self, api: httpx.Client, method: str, path: str) -> None:
        body = {"module_version_id": "x"} if path == "/rollback" else {}
        answer = api.request(method, f"/actions/modules/nothing{path}", json=body if method != "GET" else None)

        assert answer.status_code == 404
