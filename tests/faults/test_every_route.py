"""What holds for every route of the server, made over the router's own list.

No token: 401. A token without the scope: 403. Rubbish in the body, path or query: a refusal in the protocol's shape,
never a 500. Another tenant's objects: as if they were not there.
"""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from freehold.app import build_router
from freehold.kernel.http.router import Route
from tests.support.server import LiveServer

ROUTES = build_router().routes()
MANAGEMENT = [route for route in ROUTES if route.family == "management"]
WRITES = [route for route in MANAGEMENT if route.method in {"POST", "PUT", "PATCH", "DELETE"}]

DEEP = b"[" * 100_000
BODIES: dict[str, bytes] = {
    "no JSON": b"{",
    "bad UTF-8": b'{"name": "\xff\xfe"}',
    "depth 100,000": b'{"a": ' + DEEP + b"}",
    "the same member twice": b'{"name": "a", "name": "b"}',
    "lone surrogate": b'{"name": "\\ud800"}',
    "number too large": b'{"name": 1e400}',
    "NaN": b'{"name": NaN}',
    "an array": b"[1, 2]",
    "a string": b'"name"',
    "null": b"null",
    "unknown member": b'{"no_such_member_exists": 1}',
    "prototype": b'{"__proto__": {"admin": true}}',
    "NUL": b'{"name": "a\\u0000b", "identifier": "\\u0000"}',
    "wrong types": json.dumps(
        {
            name: [{"x": 1}]
            for name in (
                "name", "identifier", "email", "user_id", "client_id", "audience", "scope", "connection", "strategy",
                "options", "roles", "users", "permissions", "fields", "format", "pem", "credential_type", "provider",
            )
        }
    ).encode(),
}  # fmt: skip


def path_of(route: Route, value: str = "zzz") -> str:
    return re.sub(r"\{[^}]+\}", value, route.pattern)


@pytest.fixture(autouse=True)
def new_token(server: LiveServer) -> None:
    """A token of its own for each test: rotating the signing keys twice, as some do, ends the older ones."""
    server.forget_tokens()


@pytest.fixture
def powerless(server: LiveServer) -> Iterator[dict[str, str]]:
    """The header of a valid Management token whose only scope opens nothing."""
    with server.management() as api:
        client = api.post("/clients", json={"name": "powerless", "app_type": "non_interactive"}).json()
        audience = server.facts["management"]["audience"]
        grant = {"client_id": client["client_id"], "audience": audience, "scope": ["read:insights"]}
        assert api.post("/client-grants", json=grant).status_code == 201
        with server.client() as http:
            asked = {
                "grant_type": "client_credentials",
                "client_id": client["client_id"],
                "client_secret": client["client_secret"],
                "audience": audience,
            }
            token = http.post("/oauth/token", json=asked).json()["access_token"]
        yield {"authorization": f"Bearer {token}"}


def assert_envelope(answer: httpx.Response, status: int | None = None) -> dict[str, Any]:
    """Auth0's error shape, and nothing of ours in it."""
    assert status is None or answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body["statusCode"] == answer.status_code
    assert body["error"]
    assert body["message"]
    assert "Traceback" not in answer.text
    assert "msgspec" not in answer.text
    return body


def test_no_management_route_answers_without_a_token(server: LiveServer) -> None:
    with server.client() as http:
        for route in MANAGEMENT:
            assert_envelope(http.request(route.method, path_of(route)), 401)


def test_no_management_route_takes_a_token_of_another_kind(server: LiveServer) -> None:
    forged = ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode()
        for part in (b'{"alg":"none"}', b'{"scope":"read:users"}', b"")
    )
    with server.client(headers={"authorization": f"Bearer {forged}"}) as http:
        for route in MANAGEMENT:
            assert_envelope(http.request(route.method, path_of(route)), 401)


def test_every_management_route_asks_for_its_scope(server: LiveServer, powerless: dict[str, str]) -> None:
    with server.client(headers=powerless) as http:
        for route in MANAGEMENT:
            assert route.meta["scopes"], f"{route.name} asks for no scope"
            body = assert_envelope(http.request(route.method, path_of(route)), 403)
            assert body["errorCode"] == "insufficient_scope", route.name


@pytest.mark.parametrize("kind", BODIES)
def test_rubbish_in_a_body_is_refused_politely_everywhere(server: LiveServer, kind: str) -> None:
    send_everywhere(server, BODIES[kind], "application/json")


@pytest.mark.parametrize(
    "kind", [kind if kind == "no JSON" else pytest.param(kind, marks=pytest.mark.slow) for kind in BODIES]
)
def test_rubbish_in_a_form_is_refused_politely_everywhere(server: LiveServer, kind: str) -> None:
    send_everywhere(server, BODIES[kind], "application/x-www-form-urlencoded", "multipart/form-data")


def send_everywhere(server: LiveServer, content: bytes, *content_types: str) -> None:
    with server.management() as api:
        for route in WRITES:
            for content_type in content_types:
                answer = api.request(
                    route.method,
                    str(server.base_url) + path_of(route),
                    content=content,
                    headers={"content-type": content_type},
                )
                assert answer.status_code < 500, f"{route.name} {content_type}: {answer.text}"
                if answer.status_code >= 400:
                    assert_envelope(answer)


@pytest.mark.parametrize(
    "value",
    ["%00", "%ff", "%2e%2e%2f", "a" * 5000, "auth0%7C%E2%80%AE", "';drop table users;--", "%F0%9F%A6%8A", "%25"],
)
def test_rubbish_in_a_path_is_refused_politely_everywhere(server: LiveServer, value: str) -> None:
    with server.management() as api:
        for route in MANAGEMENT:
            if "{" in route.pattern:
                answer = api.request(route.method, str(server.base_url) + path_of(route, value))
                assert answer.status_code < 500, f"{route.name}: {answer.text}"


@pytest.mark.parametrize(
    "query",
    [
        "page=x", "per_page=101", "per_page=-1", "page=99999999999999999999", "take=0", "from=%00", "from=AAAA&take=5",
        "include_totals=maybe", "fields=%00,..,a.b.c", "include_fields=1", "page=1&page=2", "q=((((((((((",
        "q=" + "a%20OR%20" * 400, "sort=%27:1", "search_engine=v2", "q=name:*",
    ],
)  # fmt: skip
def test_rubbish_in_a_query_is_refused_politely_everywhere(server: LiveServer, query: str) -> None:
    with server.management() as api:
        for route in MANAGEMENT:
            if route.method == "GET":
                answer = api.get(f"{server.base_url}{path_of(route)}?{query}")
                assert answer.status_code < 500, f"{route.name}?{query[:40]}: {answer.text}"


def test_an_oversized_body_is_refused_with_the_limit(server: LiveServer) -> None:
    with server.management() as api:
        answer = api.post("/roles", content=b'{"name": "' + b"x" * 600_000 + b'"}')
    assert_envelope(answer, 413)
    assert answer.json()["message"] == "Payload content length greater than maximum allowed: 512000."


def test_an_unknown_host_gets_nothing(server: LiveServer) -> None:
    with server.client() as http:
        for route in ROUTES:
            if route.tenant:
                answer = http.request(route.method, path_of(route), headers={"host": "evil.example"})
                assert answer.status_code == 404, route.name
                assert "evil" not in answer.text


def test_another_tenants_objects_are_as_if_they_were_not_there(server: LiveServer, tmp_path_factory: Any) -> None:
    ready = tmp_path_factory.mktemp("second") / "ready.json"
    server.freehold("tenants", "create", "second", "--domain", "127.0.0.1:1", "--ready-file", str(ready))
    other = json.loads(ready.read_text())
    try:
        context = server.client(headers={"host": "127.0.0.1:1"})
        with context as http, server.management() as api:
            asked = {"grant_type": "client_credentials", **other["management"]}
            foreign = http.post("/oauth/token", json=asked).json()["access_token"]
            role = api.post("/roles", json={"name": "only here"}).json()
            crossing = http.get("/api/v2/roles", headers={"authorization": f"Bearer {server.management_token()}"})
            own = http.get(f"/api/v2/roles/{role['id']}", headers={"authorization": f"Bearer {foreign}"})
            listed = http.get("/api/v2/roles", headers={"authorization": f"Bearer {foreign}"})
        assert_envelope(crossing, 401)
        assert_envelope(own, 404)
        assert listed.json() == []
    finally:
        server.freehold("tenants", "delete", "second", "--yes")
