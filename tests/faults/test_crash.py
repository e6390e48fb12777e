"""kill -9 while people work: what was acknowledged is there after the restart, and no refresh token counts twice."""

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.server import LiveServer, start_server

DATABASE = "Username-Password-Authentication"
PASSWORD = "Correct-Horse-Battery-9"
REALM = "http://auth0.com/oauth/grant-type/password-realm"


class Worker(threading.Thread):
    """Repeats a step until the server dies under it; what a step returns was acknowledged."""

    def __init__(self, live: LiveServer, step: Any) -> None:
        super().__init__(daemon=True)
        self.live, self.step = live, step
        self.acknowledged: list[Any] = []
        self.start()

    def run(self) -> None:
        with self.live.client() as http:
            while True:
                try:
                    self.acknowledged.append(self.step(http, self.acknowledged))
                except httpx.TransportError:
                    return


def make_application(live: LiveServer) -> dict[str, Any]:
    """A client with rotating refresh tokens and a user for it."""
    with live.management() as api:
        client: dict[str, Any] = api.post(
            "/clients",
            json={
                "name": "Rotating",
                "app_type": "regular_web",
                "grant_types": [REALM, "refresh_token"],
                "refresh_token": {"rotation_type": "rotating", "expiration_type": "expiring", "leeway": 0},
            },
        ).json()
        database = api.get("/connections", params={"name": DATABASE}).json()[0]
        api.patch(f"/connections/{database['id']}/clients", json=[{"client_id": client["client_id"], "status": True}])
        assert api.post(
            "/users", json={"connection": DATABASE, "email": "a@example.com", "password": PASSWORD}
        ).is_success
    return client


def refresh(http: httpx.Client, client: dict[str, Any], token: str) -> httpx.Response:
    asked = {"grant_type": "refresh_token", "client_id": client["client_id"], "client_secret": client["client_secret"]}
    return http.post("/oauth/token", data={**asked, "refresh_token": token})


def crash_once(data: Path, seed: int) -> None:
    chance = random.Random(seed)
    with start_server(data) as live:
        client = make_application(live)
        asked = {
            "grant_type": REALM,
            "realm": DATABASE,
            "username": "a@example.com",
            "password": PASSWORD,
            "scope": "openid offline_access",
            "client_id": client["client_id"],
            "client_secret": client["client_secret"],
        }
        with live.client() as http:
            first = http.post("/oauth/token", data=asked).json()["refresh_token"]
        token = live.management_token()

        def rotate(http: httpx.Client, before: list[str]) -> str:
            answer = refresh(http, client, before[-1] if before else first)
            assert answer.status_code == 200, answer.text
            return str(answer.json()["refresh_token"])

        def make_role(http: httpx.Client, before: list[str]) -> str:
            answer = http.post(
                "/api/v2/roles", json={"name": f"role {len(before)}"}, headers={"authorization": f"Bearer {token}"}
            )
            assert answer.status_code == 200, answer.text
            return str(answer.json()["id"])

        rotating, making = Worker(live, rotate), Worker(live, make_role)
        with live.management() as api:
            time.sleep(chance.uniform(0.3, 1.2))
            api.post("/keys/signing/rotate")
        time.sleep(chance.uniform(0.0, 0.6))
        os.kill(live.process.pid, signal.SIGKILL)
        rotating.join(30)
        making.join(30)
        assert rotating.acknowledged
        assert making.acknowledged
        port = live.base_url.rpartition(":")[2]

    with start_server(data, "--port", port) as live, live.management() as api, live.client() as http:
        found = {role["id"] for page in range(50) for role in api.get(f"/roles?per_page=100&page={page}").json()}
        assert set(making.acknowledged) <= found
        keys = api.get("/keys/signing").json()
        assert sorted((bool(k["current"]), bool(k["next"])) for k in keys if not k["previous"]) == [
            (False, True),
            (True, False),
        ]
        # The request that the crash cut off may or may not have been done: then the last acknowledged token is used up.
        last, older = rotating.acknowledged[-1], rotating.acknowledged[:-1]
        answer = refresh(http, client, last)
        assert answer.status_code in {200, 403}
        for used in older[-3:]:
            assert refresh(http, client, used).status_code == 403
        if answer.status_code == 200 and not older:
            assert refresh(http, client, str(answer.json()["refresh_token"])).status_code == 200


def test_a_killed_server_has_what_it_acknowledged(tmp_path: Path) -> None:
    crash_once(tmp_path / "data", seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 14))
def test_a_server_killed_at_any_moment_has_what_it_acknowledged(tmp_path: Path, seed: int) -> None:
    crash_once(tmp_path / "data", seed=seed)


def test_a_command_killed_while_it_writes_leaves_no_half_of_an_archive(tmp_path: Path) -> None:
    import subprocess
    import sys

    from tests.support.server import SOURCE

    with start_server(tmp_path / "data") as live:
        target = tmp_path / "out" / "tenant.tar.gz"
        target.parent.mkdir()
        command = [sys.executable, "-m", "freehold.cli", "export", "--data", str(live.data), "--output", str(target)]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(SOURCE)}, stdout=subprocess.DEVNULL)
        while process.poll() is None and not any(target.parent.iterdir()):
            time.sleep(0.001)
        process.kill()
        process.wait()
        if target.exists():  # it was quicker than we
            live.freehold("restore", str(target), "--data", str(tmp_path / "copy"))
        else:
            assert [path.suffix for path in target.parent.iterdir()] == [".partial"]
