"""Auth0's deploy CLI takes a tenant's code and configuration out, and puts it into an empty one, where it is the same.

The files never hold the value of a secret; what is taken out again names the same secrets.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.programs import JS_CLIENTS, find_node
from tests.support.server import LiveServer

pytestmark = [pytest.mark.node, pytest.mark.slow]

KINDS = "rules", "rulesConfigs", "hooks", "actionModules", "actions", "triggers", "databases"
SCRIPTS = "login", "get_user", "create", "verify", "change_password", "delete"
RULE = "function (user, context, callback) { callback(null, user, context); }"
SECRETS = (
    "rule-secret-value",
    "hook-secret-value",
    "action-secret-value",
    "database-secret-value",
    "module-secret-value",
)


def a0deploy(tenant: LiveServer, *arguments: str) -> None:
    node, program = find_node(), JS_CLIENTS / "node_modules" / "auth0-deploy-cli" / "lib" / "index.js"
    assert node is not None
    environment = os.environ | {
        "NODE_EXTRA_CA_CERTS": tenant.ca_file, "AUTH0_DOMAIN": tenant.base_url.removeprefix("https://"),
        "AUTH0_ACCESS_TOKEN": tenant.management_token(), "AUTH0_INCLUDED_ONLY": str(list(KINDS)).replace("'", '"'),
    }  # fmt: skip
    done = subprocess.run(
        [str(node), str(program), *arguments], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def taken_out(tenant: LiveServer, folder: Path) -> dict[str, Any]:
    a0deploy(tenant, "export", "-f", "yaml", "-o", str(folder))
    found: dict[str, Any] = yaml.safe_load((folder / "tenant.yaml").read_text())
    # The database that every tenant begins with is enabled for the tenant's own client.
    found["databases"] = [each for each in found["databases"] if each["name"] == "legacy-db"]
    return found


def files_of(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.js")}


def fill(tenant: LiveServer) -> None:
    with tenant.management() as api:

        def send(method: str, path: str, body: Any = None) -> Any:
            answer = api.request(method, path, json=body)
            assert answer.status_code < 300, answer.text
            return answer.json() if answer.content else None

        send("POST", "/rules", {"name": "enrich", "script": RULE, "order": 1})
        send("POST", "/rules", {"name": "second-rule", "script": RULE, "order": 2, "enabled": False})
        send("PUT", "/rules-configs/API_KEY", {"value": SECRETS[0]})
        script = "module.exports = function (user, context, cb) { cb(); };"
        hook = send("POST", "/hooks", {"name": "welcome", "triggerId": "post-user-registration", "script": script})
        send("PATCH", f"/hooks/{hook['id']}", {"enabled": True})
        send("POST", f"/hooks/{hook['id']}/secrets", {"HOOK_SECRET": SECRETS[1]})
        module = send("POST", "/actions/modules", {
            "name": "shared", "code": "exports.one = 1;", "publish": True,
            "secrets": [{"name": "MODULE_SECRET", "value": SECRETS[4]}],
        })  # fmt: skip
        action = send("POST", "/actions/actions", {
            "name": "Add claims", "supported_triggers": [{"id": "post-login", "version": "v3"}],
            "code": "exports.onExecutePostLogin = async (event, api) => {};",
            "secrets": [{"name": "ACTION_SECRET", "value": SECRETS[2]}], "modules": [{"module_id": module["id"]}],
        })  # fmt: skip
        send("POST", f"/actions/actions/{action['id']}/deploy")
        bound = {"ref": {"type": "action_name", "value": "Add claims"}, "display_name": "Shown as"}
        send("PATCH", "/actions/triggers/post-login/bindings", {"bindings": [bound]})
        scripts = {name: f"function {name}(x, callback) {{ callback(null); }}" for name in SCRIPTS}
        send("POST", "/connections", {"name": "legacy-db", "strategy": "auth0", "options": {
            "enabledDatabaseCustomization": True, "import_mode": True, "customScripts": scripts,
            "configuration": {"DB_URL": SECRETS[3]},
        }})  # fmt: skip


def test_code_survives_the_way_through_the_deploy_cli(tenant: LiveServer, tmp_path: Path) -> None:
    fill(tenant)
    before = taken_out(tenant, tmp_path / "before")
    assert len(files_of(tmp_path / "before")) == 5 + len(SCRIPTS)
    written = "".join(path.read_text() for path in (tmp_path / "before").rglob("*") if path.is_file())
    assert not [value for value in SECRETS if value in written]

    tenant.freehold("tenants", "reset", str(tenant.facts["tenant"]), "--yes")
    tenant.forget_tokens()
    changed = yaml.safe_load((tmp_path / "before" / "tenant.yaml").read_text())
    # Whoever deploys supplies the values; the CLI reads no keys of the rules' configuration, and writes them.
    changed["databases"] = before["databases"]
    changed["actions"][0]["secrets"][0]["value"] = SECRETS[2]
    changed["actionModules"][0]["secrets"][0]["value"] = SECRETS[4]
    changed["rulesConfigs"] = [{"key": "API_KEY", "value": SECRETS[0]}]
    (tmp_path / "before" / "tenant.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
    a0deploy(tenant, "import", "-i", str(tmp_path / "before" / "tenant.yaml"))

    after = taken_out(tenant, tmp_path / "after")
    # The CLI adds this option to every database that it creates.
    for each in (*before["databases"], *after["databases"]):
        each["options"].pop("disable_self_service_change_password", None)
    assert after == before
    assert files_of(tmp_path / "after") == files_of(tmp_path / "before")
    with tenant.management() as api:
        assert api.get("/rules-configs").json() == [{"key": "API_KEY"}]
