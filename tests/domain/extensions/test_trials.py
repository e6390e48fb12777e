"""A draft that is tried through the Management API of a live server."""

from typing import Any

import httpx
import pytest

from tests.support.server import LiveServer


@pytest.fixture
def api(tenant: LiveServer) -> httpx.Client:
    return tenant.management()


def draft(api: httpx.Client, code: str, **members: Any) -> str:
    given = {"name": "tried", "supported_triggers": [{"id": "post-login"}], "code": code, **members}
    return str(api.post("/actions/actions", json=given).json()["id"])


def trial(api: httpx.Client, id_: str, event: Any) -> httpx.Response:
    return api.post(f"/actions/actions/{id_}/test", json={"payload": {"event": event}})


def test_a_trial_says_what_the_draft_asked_for_and_printed(api: httpx.Client) -> None:
    code = """exports.onExecutePostLogin = async (event, api) => {
        console.log('for', event.user.email, event.secrets.KEY);
        api.idToken.setCustomClaim('https://x.example/plan', event.user.plan); };"""
    id_ = draft(api, code, secrets=[{"name": "KEY", "value": "s3cret-value"}])

    answer = trial(api, id_, {"user": {"email": "ada@example.com", "plan": "gold"}})

    payload = answer.json()["payload"]
    assert answer.status_code == 200
    assert payload["commands"] == [{"type": "idToken.setCustomClaim", "params": ["https://x.example/plan", "gold"]}]
    assert payload["logs"] == "for ada@example.com [secret]"
    assert payload["stats"]["total_request_duration_ms"] >= payload["stats"]["action_duration_ms"] >= 0
    assert api.get(f"/actions/actions/{id_}").json()["all_changes_deployed"] is False


def test_a_trial_says_what_the_draft_threw(api: httpx.Client) -> None:
    id_ = draft(api, "exports.onExecutePostLogin = async (event) => event.user.identities[0];")

    payload = trial(api, id_, {"user": {}}).json()["payload"]

    assert payload["error"]["name"] == "TypeError"
    assert "undefined" in payload["error"]["message"]
    assert "commands" not in payload


@pytest.mark.parametrize("body", [{}, {"payload": 1}, {"payload": {"event": [1]}}])
def test_a_trial_needs_an_event(api: httpx.Client, body: dict[str, Any]) -> None:
    id_ = draft(api, "exports.onExecutePostLogin = async () => {};")

    assert api.post(f"/actions/actions/{id_}/test", json=body).status_code == 400


def test_there_is_no_trial_of_what_is_not_there(api: httpx.Client) -> None:
    assert trial(api, "00000000-0000-4000-8000-000000000000", {}).status_code == 404
