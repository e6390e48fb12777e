"""Rules, hooks and actions through the Management API of a live server, as Auth0 answers (recorded)."""

import contextlib
import json
import sqlite3
import time
from typing import Any

import httpx
import jwt
import pytest

from tests.support.server import LiveServer

SCRIPT = "function (user, context, callback) { callback(null, user, context); }"
CODE = "exports.onExecutePostLogin = async (event, api) => {}"
ACTION = {"name": "My action", "supported_triggers": [{"id": "post-login", "version": "v3"}], "code": CODE}


@pytest.fixture
def api(tenant: LiveServer) -> httpx.Client:
    return tenant.management()


def make_action(api: httpx.Client, **members: Any) -> dict[str, Any]:
    answer = api.post("/actions/actions", json={**ACTION, **members})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


class TestRules:
    def test_a_rule_without_an_order_comes_last(self, api: httpx.Client) -> None:
        first = api.post("/rules", json={"name": "one", "script": SCRIPT, "order": 7}).json()
        second = api.post("/rules", json={"name": "two", "script": SCRIPT, "enabled": False}).json()

        assert first == {
            "id": first["id"], "name": "one", "script": SCRIPT, "order": 7, "enabled": True, "stage": "login_success",
        }  # fmt: skip
        assert second["order"] == 8
        assert [rule["id"] for rule in api.get("/rules?enabled=true").json()] == [first["id"]]

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"name": "one"}, "A rule with the same name already exists."),
            ({"order": 1}, "A rule with the same order already exists."),
        ],
    )
    def test_name_and_order_are_a_rule_s_own(self, api: httpx.Client, given: dict[str, Any], message: str) -> None:
        api.post("/rules", json={"name": "one", "script": SCRIPT, "order": 1})
        answer = api.post("/rules", json={"name": "two", "script": SCRIPT, "order": 2, **given})

        assert (answer.status_code, answer.json()["message"]) == (409, message)

    def test_a_rule_is_created_with_the_stage_it_was_listed_with_and_keeps_it(self, api: httpx.Client) -> None:
        made = api.post("/rules", json={"name": "one", "script": SCRIPT, "stage": "login_success"})
        assert (made.status_code, made.json()["stage"]) == (201, "login_success")

        assert api.patch(f"/rules/{made.json()['id']}", json={"stage": "login_success"}).status_code == 400
        refused = api.post("/rules", json={"name": "two", "script": SCRIPT, "stage": "elsewhere"})
        assert (refused.status_code, refused.json()["errorCode"]) == (400, "invalid_body")

    def test_all_rules_together_have_a_size(self, api: httpx.Client) -> None:
        api.post("/rules", json={"name": "one", "script": "x" * 60_000})
        answer = api.post("/rules", json={"name": "two", "script": "x" * 60_000})

        assert (answer.status_code, answer.json()["errorCode"]) == (400, "invalid_body")

    def test_a_rule_that_is_gone(self, api: httpx.Client) -> None:
        answer = api.get("/rules/rul_nothing")

        assert answer.json() == {
            "statusCode": 404, "error": "Not Found", "message": "The rule does not exist",
            "errorCode": "inexistent_rule",
        }  # fmt: skip
        assert api.delete("/rules/rul_nothing").status_code == 204

    def test_a_configuration_value_is_shown_once(self, api: httpx.Client) -> None:
        assert api.put("/rules-configs/API_KEY", json={"value": "s3cret"}).json() == {
            "key": "API_KEY",
            "value": "s3cret",
        }
        assert api.put("/rules-configs/API_KEY", json={"value": "other"}).status_code == 200
        assert api.get("/rules-configs").json() == [{"key": "API_KEY"}]
        assert api.delete("/rules-configs/API_KEY").status_code == 204
        assert api.get("/rules-configs").json() == []
        assert api.put("/rules-configs/no spaces", json={"value": "x"}).status_code == 400


class TestHooks:
    HOOK = {"name": "test-hook983", "script": SCRIPT, "triggerId": "pre-user-registration"}

    def test_a_hook_has_its_name_in_kebab_case(self, api: httpx.Client) -> None:
        made = api.post("/hooks", json=self.HOOK).json()

        assert made == {**self.HOOK, "id": made["id"], "name": "test-hook-983", "enabled": False, "dependencies": {}}
        assert len(made["id"]) == 26

    def test_one_hook_is_enabled_at_each_point(self, api: httpx.Client) -> None:
        first = api.post("/hooks", json={**self.HOOK, "enabled": True}).json()
        other = api.post("/hooks", json={**self.HOOK, "triggerId": "post-change-password", "enabled": True}).json()
        second = api.post("/hooks", json={**self.HOOK, "enabled": True}).json()

        enabled = {hook["id"] for hook in api.get("/hooks?enabled=true").json()}
        assert enabled == {second["id"], other["id"]}
        assert first["id"] not in enabled

    def test_secrets_are_added_replaced_and_removed_by_name(self, api: httpx.Client) -> None:
        path = f"/hooks/{api.post('/hooks', json=self.HOOK).json()['id']}/secrets"

        assert (api.post(path, json={"A": "1", "B": "2"}).status_code, api.patch(path, json={"A": "3"}).json()) == (
            201,
            {},
        )
        assert api.request("DELETE", path, json=["B"]).status_code == 204
        assert api.get(path).json() == {"A": "_VALUE_NOT_SHOWN_"}

    def test_what_is_not_there(self, api: httpx.Client) -> None:
        for answer in (api.get("/hooks/x"), api.delete("/hooks/x"), api.get("/hooks/x/secrets")):
            assert (answer.status_code, answer.json()["errorCode"]) == (404, "HookDoesNotExist")


class TestActions:
    def test_a_draft_is_built_and_deployed_as_a_version(self, api: httpx.Client) -> None:
        made = make_action(api, secrets=[{"name": "KEY", "value": "s3cret"}])
        path = f"/actions/actions/{made['id']}"
        assert (made["status"], made["all_changes_deployed"]) == ("pending", False)
        assert made["secrets"] == [{"name": "KEY", "updated_at": made["secrets"][0]["updated_at"]}]
        assert "deployed_version" not in made

        assert api.get(path).json()["status"] == "built"
        version = api.post(f"{path}/deploy").json()
        assert (version["number"], version["action"]["id"]) == (1, made["id"])

        shown = api.get(path).json()
        assert shown["all_changes_deployed"] is True
        assert shown["deployed_version"]["id"] == shown["current_version"]["id"] == version["id"]
        assert (shown["deployed_version"]["status"], shown["current_version"]["status"]) == ("built", "BUILT")
        assert api.get(f"{path}/versions/{version['id']}").json()["deployed"] is True

    def test_deploying_at_once(self, api: httpx.Client) -> None:
        made = make_action(api, deploy=True)

        assert made["deployed_version"]["number"] == 1

    def test_a_changed_draft_leaves_what_runs_alone(self, api: httpx.Client) -> None:
        made = make_action(api, deploy=True)
        path = f"/actions/actions/{made['id']}"

        api.patch(path, json={"code": "exports.changed = 1"})

        shown = api.get(path).json()
        assert (shown["code"], shown["deployed_version"]["code"]) == ("exports.changed = 1", CODE)
        assert shown["all_changes_deployed"] is False

    @pytest.mark.parametrize("update_draft", [False, True])
    def test_rolling_back_deploys_an_old_version_as_a_new_one(self, api: httpx.Client, update_draft: bool) -> None:
        path = f"/actions/actions/{make_action(api, deploy=True)['id']}"
        first = api.get(path).json()["deployed_version"]["id"]
        api.patch(path, json={"code": "exports.changed = 1"})
        api.post(f"{path}/deploy")

        answer = api.post(f"{path}/versions/{first}/deploy", json={"update_draft": update_draft})

        assert (answer.json()["number"], answer.json()["code"]) == (3, CODE)
        shown = api.get(path).json()
        assert shown["code"] == (CODE if update_draft else "exports.changed = 1")
        assert [each["deployed"] for each in api.get(f"{path}/versions").json()["versions"]] == [True, False, False]

    def test_secrets_are_replaced_as_a_whole_and_kept_where_only_named(self, api: httpx.Client) -> None:
        made = make_action(api, secrets=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])
        path = f"/actions/actions/{made['id']}"

        answer = api.patch(path, json={"secrets": [{"name": "A"}, {"name": "C", "value": "3"}]})
        assert [secret["name"] for secret in answer.json()["secrets"]] == ["A", "C"]
        refused = api.patch(path, json={"secrets": [{"name": "B"}]})
        assert (refused.status_code, refused.json()["errorCode"]) == (400, "invalid_body")

    def test_bindings_are_a_list_that_is_replaced(self, api: httpx.Client) -> None:
        one, two = (make_action(api, name=name, deploy=True) for name in ("one", "two"))
        path = "/actions/triggers/post-login/bindings"

        def bind(*values: str) -> list[dict[str, Any]]:
            wanted = [{"ref": {"type": "action_name", "value": value}, "display_name": value} for value in values]
            answer = api.patch(path, json={"bindings": wanted})
            assert answer.status_code == 200, answer.text
            found: list[dict[str, Any]] = answer.json()["bindings"]
            return found

        first = bind("one", "two")
        second = bind("two", "one")
        assert {each["id"] for each in first} == {each["id"] for each in second}
        assert [each["action"]["id"] for each in api.get(path).json()["bindings"]] == [two["id"], one["id"]]
        assert api.get(path).json()["total"] == 2

        refused = api.delete(f"/actions/actions/{one['id']}")
        assert refused.status_code == 400
        assert api.delete(f"/actions/actions/{one['id']}?force=true").status_code == 204
        assert [each["display_name"] for each in api.get(path).json()["bindings"]] == ["two"]

    def test_only_a_deployed_action_of_that_trigger_is_bound(self, api: httpx.Client) -> None:
        draft, other = (
            make_action(api, name="draft"),
            make_action(api, name="other", deploy=True, supported_triggers=[{"id": "credentials-exchange"}]),
        )
        for action in (draft, other):
            wanted = {"bindings": [{"ref": {"type": "action_id", "value": action["id"]}}]}
            assert api.patch("/actions/triggers/post-login/bindings", json=wanted).status_code == 400
        assert api.get("/actions/triggers/nonsense/bindings").status_code == 400

    def test_a_listing_always_has_totals(self, api: httpx.Client) -> None:
        make_action(api, deploy=True)
        make_action(api, name="Other", supported_triggers=[{"id": "credentials-exchange"}])

        def names(query: str) -> list[str]:
            found = api.get(f"/actions/actions?{query}").json()
            assert found["total"] == len(found["actions"])
            return [action["name"] for action in found["actions"]]

        assert names("") == ["My action", "Other"]
        assert names("triggerId=credentials-exchange") == ["Other"]
        assert names("deployed=true") == names("actionName=my") == ["My action"]
        assert names("installed=true") == []

    def test_the_catalogue_of_triggers(self, api: httpx.Client) -> None:
        found = api.get("/actions/triggers").json()["triggers"]

        current = {trigger["id"]: trigger for trigger in found if trigger["status"] == "CURRENT"}
        assert current["post-login"]["version"] == "v3"
        assert {"post-login", "credentials-exchange", "custom-token-exchange"} <= current.keys()

    def test_what_is_not_there(self, api: httpx.Client) -> None:
        missing = {"statusCode": 404, "error": "Not Found", "message": "That action does not exist."}

        assert api.get("/actions/actions/x").json() == missing
        assert api.delete("/actions/actions/x").json() == missing
        assert api.post("/actions/actions/x/deploy").status_code == 404


class TestTokensOfClients:
    """Hooks and actions at `credentials-exchange`, through the token endpoint."""

    def token(self, tenant: LiveServer, **members: Any) -> httpx.Response:
        with tenant.client() as http:
            known = tenant.facts["management"]
            return http.post("/oauth/token", json={"grant_type": "client_credentials", **known, **members})

    def deploy(self, api: httpx.Client, code: str) -> None:
        trigger = "credentials-exchange"
        made = make_action(api, name="exchange", code=code, supported_triggers=[{"id": trigger}], deploy=True)
        wanted = {"bindings": [{"ref": {"type": "action_id", "value": made["id"]}}]}
        assert api.patch(f"/actions/triggers/{trigger}/bindings", json=wanted).status_code == 200

    def test_code_adds_claims_and_leaves_a_record(self, tenant: LiveServer, api: httpx.Client) -> None:
        self.deploy(api, """exports.onExecuteCredentialsExchange = async (event, api) => {
            if (event.request.body.client_secret) throw new Error('a secret was shown');
            api.accessToken.setCustomClaim('https://acme.example/who', event.client.name);
            api.accessToken.setCustomClaim('sub', 'somebody else');
            api.accessToken.setCustomClaim('plain', 'not in a token of the Management API');
        };""")  # fmt: skip

        answer = self.token(tenant)

        assert answer.status_code == 200, answer.text
        claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
        assert "https://acme.example/who" in claims
        assert claims["sub"].endswith("@clients")
        assert "plain" not in claims
        entry = next(each for each in api.get("/logs?sort=date:-1").json() if each["type"] == "seccft")
        ran = api.get(f"/actions/executions/{entry['details']['actions']['executions'][0]}").json()
        assert (ran["trigger_id"], ran["status"]) == ("credentials-exchange", "final")
        assert [result["action_name"] for result in ran["results"]] == ["exchange"]

    @pytest.mark.parametrize(
        ("code", "status", "error"),
        [
            ("api.access.deny('invalid_scope', 'Not this one.')", 400, "invalid_scope"),
            ("throw new Error('secret detail')", 500, "server_error"),
        ],
    )
    def test_code_refuses(self, tenant: LiveServer, api: httpx.Client, code: str, status: int, error: str) -> None:
        self.deploy(api, f"exports.onExecuteCredentialsExchange = async (event, api) => {{ {code} }};")

        answer = self.token(tenant)

        assert (answer.status_code, answer.json()["error"]) == (status, error)
        assert "secret detail" not in answer.text


class TestRegistering:
    """Code around a registration, through the database endpoints and the Management API."""

    CONNECTION = "Username-Password-Authentication"

    def sign_up(self, tenant: LiveServer, email: str) -> httpx.Response:
        client_id = tenant.facts["management"]["client_id"]
        with tenant.client() as http:
            return http.post("/dbconnections/signup", json={
                "client_id": client_id, "connection": self.CONNECTION, "email": email, "password": "Correct-Horse-7!",
            })  # fmt: skip

    def enable(self, tenant: LiveServer, api: httpx.Client) -> None:
        connection = next(each for each in api.get("/connections").json() if each["name"] == self.CONNECTION)
        wanted = [{"client_id": tenant.facts["management"]["client_id"], "status": True}]
        assert api.patch(f"/connections/{connection['id']}/clients", json=wanted).status_code == 204

    def bind(self, api: httpx.Client, trigger: str, code: str) -> None:
        made = make_action(api, name=trigger, code=code, supported_triggers=[{"id": trigger}], deploy=True)
        wanted = {"bindings": [{"ref": {"type": "action_id", "value": made["id"]}}]}
        assert api.patch(f"/actions/triggers/{trigger}/bindings", json=wanted).status_code == 200

    def test_code_decides_who_registers_and_with_what(self, tenant: LiveServer, api: httpx.Client) -> None:
        self.enable(tenant, api)
        self.bind(api, "pre-user-registration", """exports.onExecutePreUserRegistration = async (event, api) => {
            if (event.user.email.endsWith('@evil.example')) api.access.deny('evil', 'Not from there.');
            api.user.setAppMetadata('from', event.connection.name); };""")  # fmt: skip

        refused = self.sign_up(tenant, "eve@evil.example")
        assert (refused.status_code, refused.json()["description"]) == (400, "Not from there.")
        assert self.sign_up(tenant, "ada@example.com").status_code == 200
        found = api.get("/users", params={"q": "email:*example*", "search_engine": "v3"}).json()
        assert [(user["email"], user["app_metadata"]) for user in found] == [
            ("ada@example.com", {"from": self.CONNECTION})
        ]

    def test_code_is_told_afterwards(self, tenant: LiveServer, api: httpx.Client) -> None:
        self.enable(tenant, api)
        hook = {
            "name": "told", "triggerId": "post-change-password", "enabled": True,
            "script": "module.exports = function (user, context, cb) { console.log(user.email); cb(); };",
        }  # fmt: skip
        assert api.post("/hooks", json=hook).status_code == 201
        self.sign_up(tenant, "ada@example.com")
        user = api.get("/users-by-email", params={"email": "ada@example.com"}).json()[0]

        assert api.patch(f"/users/{user['user_id']}", json={"password": "Another-Horse-8!"}).status_code == 200

        deadline = time.monotonic() + 20
        while not (found := self.executions(tenant)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert [(trigger, json.loads(results)[0]["logs"]) for trigger, results in found] == [
            ("post-change-password", [{"level": "log", "text": "ada@example.com"}])
        ]

    def executions(self, tenant: LiveServer) -> list[tuple[str, str]]:
        with contextlib.closing(sqlite3.connect(tenant.data / "freehold.db")) as database:
            return database.execute("select trigger_id, results from executions").fetchall()
