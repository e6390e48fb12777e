"""Running the server: several processes on PostgreSQL, changes at once, a stop under load, two starts, monitoring."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.databases import create_database, drop_database, with_database
from tests.support.server import LiveServer, run_freehold, start_server

DATABASE = "Username-Password-Authentication"
PASSWORD = "Correct-Horse-Battery-9"
REALM = "http://auth0.com/oauth/grant-type/password-realm"


def started_on(database: str, folder: Path, request: pytest.FixtureRequest, *options: str) -> Iterator[LiveServer]:
    if database == "sqlite":
        with start_server(folder / "data", *options) as live:
            yield live
        return
    server = request.getfixturevalue("postgresql_server")
    name = create_database(server)
    with start_server(folder / "data", "--database", with_database(server, name), *options) as live:
        yield live
    drop_database(server, name)


@pytest.fixture(scope="module")
def either(
    database: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A server on SQLite, and one of two processes on PostgreSQL."""
    workers = ("--workers", "2") if database == "postgresql" else ()
    yield from started_on(database, tmp_path_factory.mktemp(database), request, *workers)


def at_once(live: LiveServer, count: int, ask: Callable[[httpx.Client, int], httpx.Response]) -> list[httpx.Response]:
    """The answers to requests sent at the same time, each on a connection of its own."""
    token = live.management_token()
    start = threading.Barrier(count)

    def one(number: int) -> httpx.Response:
        with live.client(headers={"authorization": f"Bearer {token}"}) as http:
            http.get("/health")
            start.wait()
            return ask(http, number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_every_process_sees_a_change_at_once(either: LiveServer) -> None:
    with either.management() as api:
        client = api.post("/clients", json={"name": "changing", "app_type": "non_interactive"}).json()
    for number in range(5):
        with either.management() as api:
            changed = api.patch(f"/clients/{client['client_id']}", json={"name": f"changed {number}"})
            assert changed.status_code == 200, changed.text
        # New connections go to whichever process takes them; one that lags has 200 ms for hearing of it.
        deadline = time.monotonic() + 5
        while True:
            answers = at_once(either, 8, lambda http, _: http.get(f"/api/v2/clients/{client['client_id']}"))
            names = {answer.json()["name"] for answer in answers}
            if names == {f"changed {number}"}:
                break
            assert time.monotonic() < deadline, names


def test_changes_of_one_object_at_once_lose_nothing(either: LiveServer) -> None:
    """Each sets a member of its own. Who is answered 200 finds it there afterwards; a conflict is said, not hidden."""
    with either.management() as api:
        client = api.post("/clients", json={"name": "many hands", "app_type": "spa"}).json()
        user = api.post(
            "/users", json={"connection": DATABASE, "email": "hands@example.com", "password": PASSWORD}
        ).json()
    addresses = (f"/api/v2/clients/{client['client_id']}", f"/api/v2/users/{user['user_id'].replace('|', '%7C')}")
    for address, member in zip(addresses, ("client_metadata", "user_metadata"), strict=True):

        def change(http: httpx.Client, number: int, address: str = address, member: str = member) -> httpx.Response:
            return http.patch(address, json={member: {f"hand{number}": "was here"}})

        answers = at_once(either, 8, change)
        statuses = {answer.status_code for answer in answers}
        assert statuses <= {200, 409}
        assert 200 in statuses
        with either.management() as api:
            kept = api.get(either.base_url + address).json()[member]
        assert {f"hand{n}" for n, answer in enumerate(answers) if answer.status_code == 200} == set(kept)


def test_one_of_many_makes_what_there_can_be_one_of(either: LiveServer) -> None:
    body = {"name": "only one", "identifier": "urn:only-one"}
    answers = at_once(either, 6, lambda http, _: http.post("/api/v2/resource-servers", json=body))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
    account = {"connection": DATABASE, "email": "one@example.com", "password": PASSWORD}
    answers = at_once(either, 6, lambda http, _: http.post("/api/v2/users", json=account))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]


def test_a_refresh_token_used_by_many_at_once_is_used_once(either: LiveServer) -> None:
    with either.management() as api:
        client = api.post(
            "/clients",
            json={
                "name": "rotating",
                "app_type": "regular_web",
                "grant_types": [REALM, "refresh_token"],
                "refresh_token": {"rotation_type": "rotating", "expiration_type": "expiring", "leeway": 0},
            },
        ).json()
        account = {"connection": DATABASE, "email": "rotating@example.com", "password": PASSWORD}
        assert api.post("/users", json=account).status_code == 201
    known = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
    asked = {"grant_type": REALM, "realm": DATABASE, "username": "rotating@example.com", "password": PASSWORD, **known}
    with either.client() as http:
        token = http.post("/oauth/token", data={**asked, "scope": "openid offline_access"}).json()["refresh_token"]
    body = {"grant_type": "refresh_token", "refresh_token": token, **known}
    answers = at_once(either, 6, lambda http, _: http.post("/oauth/token", data=body))
    assert sorted(answer.status_code for answer in answers) == [200, 403, 403, 403, 403, 403]


def test_a_reset_keeps_credentials_and_tokens(either: LiveServer) -> None:
    token, facts = either.management_token(), either.facts
    with either.client(headers={"authorization": f"Bearer {token}"}) as http:
        keys = http.get("/.well-known/jwks.json").json()
        role = http.post("/api/v2/roles", json={"name": "gone"}).json()
        done = either.freehold("tenants", "reset", facts["tenant"], "--yes")
        assert done.stderr == ""
        assert http.get("/api/v2/roles").json() == []
        assert http.get(f"/api/v2/roles/{role['id']}").status_code == 404
        assert http.get("/.well-known/jwks.json").json() == keys
        again = http.post("/oauth/token", json={"grant_type": "client_credentials", **facts["management"]})
        assert again.status_code == 200
        names = {client["name"] for client in http.get("/api/v2/clients").json()}
        assert {"Management Client", "Default App"} <= names
    refused = either.freehold("tenants", "reset", "nobody", "--yes", check=False)
    assert (refused.returncode, refused.stderr) == (1, "freehold: There is no tenant called nobody.\n")


def test_health_readiness_and_metrics(either: LiveServer) -> None:
    with either.client() as http:
        assert http.get("/health").json() == {"status": "ok"}
        assert http.get("/ready").json() == {"status": "ready"}
        http.get("/api/v2/roles")
        page = http.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    for line in page.text.splitlines():
        assert line.startswith("#") or " " in line
    assert "freehold_password_queue_depth" in page.text
    assert "roles.list" in page.text
    assert either.facts["management"]["client_secret"] not in page.text


def test_a_stop_answers_what_has_begun(tmp_path: Path) -> None:
    """People sign in without a pause while the server stops: everyone gets a whole answer or none, never half a one."""
    with start_server(tmp_path / "data") as live:
        token = live.management_token()
        answered: list[int] = []
        failures: list[str] = []

        def work() -> None:
            with live.client(headers={"authorization": f"Bearer {token}"}) as http:
                while True:
                    try:
                        answer = http.post(
                            "/api/v2/users",
                            json={
                                "connection": DATABASE,
                                "email": f"u{time.time_ns()}@example.com",
                                "password": PASSWORD,
                            },
                        )
                    except httpx.ConnectError:
                        return
                    except httpx.TransportError as error:
                        # Between two requests the server may close a connection; within one it may not.
                        if "disconnected without" not in str(error) and "broken pipe" not in str(error).lower():
                            failures.append(repr(error))
                        return
                    answered.append(answer.status_code)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(answered) < 8:
            time.sleep(0.02)
        live.process.terminate()
        assert live.process.wait(timeout=30) == 0
        for thread in threads:
            thread.join(30)
        assert failures == []
        assert set(answered) == {201}
        assert not (live.data / "control.sock").exists()
    with (
        start_server(tmp_path / "data", "--port", live.base_url.rpartition(":")[2]) as again,
        again.management() as api,
    ):
        assert api.get("/users", params={"include_totals": True}).json()["total"] >= len(answered)
        assert '"level":"error"' not in live.log.read_text()


def test_two_servers_on_one_folder_serve_one_tenant_and_two_starts_on_one_port_do_not(tmp_path: Path) -> None:
    with start_server(tmp_path / "data") as first:
        port = first.base_url.rpartition(":")[2]
        second = run_freehold("up", "--data", str(tmp_path / "data"), "--port", port, "--quiet", check=False)
        assert second.returncode == 1
        assert f"Port {port}" in second.stderr
        with first.management() as api:
            assert api.post("/roles", json={"name": "still here"}).status_code == 200


def test_a_server_started_again_is_the_same_server(tmp_path: Path) -> None:
    facts: list[dict[str, Any]] = []
    keys: list[Any] = []
    port = "0"
    for _ in range(3):
        with start_server(tmp_path / "data", "--port", port) as live:
            port = live.base_url.rpartition(":")[2]
            # The invitation of a first administrator holds for one start.
            facts.append({**live.facts, "dashboard": live.facts["dashboard"]["url"]})
            with live.client() as http, live.management() as api:
                keys.append(http.get("/.well-known/jwks.json").json())
                assert len(api.get("/clients").json()) == len(facts) + 2
                assert api.post("/clients", json={"name": f"run {len(facts)}"}).status_code == 201
    assert facts[0] == facts[1] == facts[2]
    assert keys[0] == keys[1] == keys[2]
