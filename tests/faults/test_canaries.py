"""Secrets stay where they are: canaries in every secret and sealed member, and everything that answers is searched.

A tenant with everything in it is served by a real server, and every GET of the Management API is asked, by ids found in
its own lists. Then people type secrets into everything that takes one, and both logs are read.
"""

import asyncio
import gzip
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from freehold.app import build_router
from freehold.kernel import vault
from freehold.kernel.clock import SystemClock
from freehold.kernel.config import Settings
from freehold.kernel.crypto.sealing import MasterKey
from freehold.kernel.declare.compile import hidden_paths, project
from freehold.kernel.store import migrate, open_store
from freehold.registry import REGISTRY
from tests.support.full_tenant import SEALED, SECRET, directory, make_full_tenant
from tests.support.server import LiveServer, start_server

TYPED = "canary-Typed-by-somebody-9"
DATABASE = "Username-Password-Authentication"
READS = sorted(
    {route.pattern for route in build_router().routes() if route.family == "management" and route.method == "GET"}
)
ID_MEMBERS = ("id", "client_id", "user_id", "kid", "_id")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose only tenant has everything in it."""
    data = tmp_path_factory.mktemp("canaries") / "data"

    async def fill() -> None:
        settings = Settings(data_dir=data)
        settings.data.prepare()
        store = open_store(settings.store_url, clock=SystemClock())
        await migrate(store)
        await make_full_tenant(store, REGISTRY, MasterKey.load_or_create(settings.data.master_key))
        await store.close()

    asyncio.run(fill())
    with start_server(data, env={"FREEHOLD_LOG_LEVEL": "debug", "FREEHOLD_ACCESS_LOG": "true"}) as running:
        yield running


@pytest.fixture(scope="module")
def without_secrets(live: LiveServer) -> Iterator[httpx.Client]:
    """A Management API client with every scope but those that show secrets."""
    showing = {
        scope
        for declaration in REGISTRY.holding_documents()
        for shown in secret_markers(declaration)
        for scope in shown.readable_with
    } - {"read:clients", "update:clients"}  # these show an application's add-ons, and nothing else that is secret
    with live.management() as api:
        grant = next(
            grant
            for grant in api.get("/client-grants").json()
            if grant["client_id"] == live.facts["management"]["client_id"]
        )
        client = api.post("/clients", json={"name": "sees no secrets", "app_type": "non_interactive"}).json()
        scopes = [scope for scope in grant["scope"] if scope not in showing]
        asked = {"client_id": client["client_id"], "audience": grant["audience"], "scope": scopes}
        assert api.post("/client-grants", json=asked).status_code == 201
    with live.client() as http:
        credentials = {
            "grant_type": "client_credentials",
            "client_id": client["client_id"],
            "client_secret": client["client_secret"],
            "audience": grant["audience"],
        }
        token = http.post("/oauth/token", json=credentials).json()["access_token"]
    with live.client(headers={"authorization": f"Bearer {token}"}) as http:
        yield http


def secret_markers(declaration: Any) -> Iterator[Any]:
    projection = project(declaration.document)
    strategies = [shape for variant in projection.variants.values() for shape in variant.shapes]
    for strategy in strategies or [""]:
        secrets, _ = hidden_paths(projection, {"strategy": strategy, "options": {}})
        yield from secrets.values()


def ids_of(body: Any) -> list[str]:
    """Ids in a list, or in the list that an object wraps."""
    items = body if isinstance(body, list) else next((v for v in body.values() if isinstance(v, list)), [])
    return [
        str(item[member]) for item in items if isinstance(item, dict) for member in ID_MEMBERS[:4] if item.get(member)
    ]


def every_address(http: httpx.Client, pattern: str) -> list[str]:
    """The pattern with ids that the lists above it give, up to forty of each."""
    addresses = [""]
    for segment in pattern.strip("/").split("/"):
        if not segment.startswith("{"):
            addresses = [f"{address}/{segment}" for address in addresses]
            continue
        found = []
        for address in addresses:
            answer = http.get(address, params={"per_page": 40} if address.count("/") == 3 else {})
            ids = ids_of(answer.json()) if answer.status_code == 200 else []
            found += [f"{address}/{id_.replace('|', '%7C')}" for id_ in dict.fromkeys(ids)]
        addresses = found[:40]
    return addresses


def everything(http: httpx.Client) -> dict[str, str]:
    """The answers to all GETs, by address."""
    answers = {}
    for pattern in READS:
        for address in every_address(http, pattern):
            answers[address] = http.get(address).text
            answers[f"{address}?fields"] = asked_by_name(http, address)
    return answers


def asked_by_name(http: httpx.Client, address: str) -> str:
    """The answer to who names all that may be secret, as far as the members of such a document are known."""
    names = ["client_secret", "signing_secret", "options", "pem", "password"]
    answer = http.get(address, params={"fields": ",".join(names), "include_fields": "true"})
    _, _, known = answer.text.partition("following values: ")
    if answer.status_code == 400 and known:
        names = [name for name in names if name in known.partition("'")[0].split(",")]
        answer = http.get(address, params={"fields": ",".join(names), "include_fields": "true"})
    return answer.text


def without_addons(text: str) -> str:
    def cut(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: cut(member) for name, member in value.items() if name != "addons"}
        return [cut(item) for item in value] if isinstance(value, list) else value

    try:
        return json.dumps(cut(json.loads(text)))
    except ValueError:
        return text


def test_secrets_are_shown_to_their_scopes_only_and_sealed_things_to_nobody(
    live: LiveServer, without_secrets: httpx.Client
) -> None:
    with live.client(headers={"authorization": f"Bearer {live.management_token()}"}) as http:
        all_scopes = everything(http)
    some = everything(without_secrets)

    assert len(all_scopes) > 100
    assert sum(SECRET in text for text in all_scopes.values()) > 5
    assert [address for address, text in all_scopes.items() if SEALED in text] == []
    assert [address for address, text in some.items() if SEALED in text or SECRET in without_addons(text)] == []


def test_a_search_does_not_tell_what_it_may_not_show(without_secrets: httpx.Client) -> None:
    for query in (f"client_secret:{SECRET}*", f"password:{SEALED}*", '_exists_:"password"', "identities.password:*"):
        for path in ("users", "logs", "clients", "connections"):
            answer = without_secrets.get(f"/api/v2/{path}", params={"q": query})
            assert SEALED not in answer.text
            assert SECRET not in without_addons(answer.text)


def test_what_people_type_is_in_no_log(live: LiveServer) -> None:
    with live.management() as api, live.client() as http:
        user = api.post("/users", json={"connection": DATABASE, "email": "eve@example.com", "password": TYPED}).json()
        address = "/users/" + user["user_id"].replace("|", "%7C")
        assert api.patch(address, json={"password": f"{TYPED}-new", "connection": DATABASE}).status_code == 200
        api.patch(address, json={"password": TYPED, "email": "both@example.com", "no_such": 1})
        api.post("/users", json={"connection": DATABASE, "email": "not an address", "password": TYPED})
        client = api.post("/clients", json={"name": "typed", "app_type": "regular_web"}).json()
        api.patch(f"/clients/{client['client_id']}", json={"client_secret": f"{TYPED}-of-a-client-long-enough-for-it"})
        options = {"client_id": "x", "client_secret": TYPED}
        api.post("/connections", json={"name": "typed", "strategy": "github", "options": options})
        api.post("/connections", json={"name": "typed", "strategy": "no such", "options": options})
        api.post("/users", content=f'{{"password": "{TYPED}"'.encode(), headers={"content-type": "application/json"})
        asked = {"client_id": client["client_id"], "username": "eve@example.com", "password": TYPED}
        for grant, more in (
            ("password", {"client_secret": TYPED}),
            ("client_credentials", {"client_secret": TYPED}),
            ("refresh_token", {"refresh_token": TYPED, "client_secret": client["client_secret"]}),
            ("authorization_code", {"code": TYPED, "code_verifier": TYPED}),
            (TYPED, {}),
        ):
            http.post("/oauth/token", data={"grant_type": grant, **asked, **more})
        for path in ("signup", "change_password"):
            for email in ("new@example.com", "eve@example.com"):
                body = {"client_id": client["client_id"], "connection": DATABASE, "email": email, "password": TYPED}
                http.post(f"/dbconnections/{path}", json=body)
        http.post("/oauth/revoke", data={"client_id": TYPED, "token": TYPED})
        for query in (
            f"client_id={TYPED}",
            f"client_id={client['client_id']}&redirect_uri=https://{TYPED}/&state={TYPED}",
        ):
            http.get(f"/authorize?{query}")
        for header in (f"Bearer {TYPED}", f"Basic {TYPED}"):
            http.get("/userinfo", headers={"authorization": header, "cookie": f"auth0={TYPED}"})
        http.get(f"/u/reset-password?ticket={TYPED}")
        http.get(f"/no-such-page/{TYPED}?token={TYPED}")
        tenant_log = "".join(api.get("/logs", params={"per_page": 100, "page": page}).text for page in range(3))

    operator_log = live.log.read_text()
    assert operator_log.count('"request"') > 20
    assert "sapi" in tenant_log
    for canary in (TYPED, SEALED, SECRET):
        assert canary not in tenant_log, surroundings(tenant_log, canary)
        assert canary not in operator_log, surroundings(operator_log, canary)


GREEDY: dict[str, Any] = {
    "fields": [
        {"name": name, "export_as": name}
        for name in (
            "user_id", "password", "password_hash", "passwordHash", "custom_password_hash", "mfa_factors",
            "totp_secret",
            "recovery_code", "identities[0].password", "vault", "sealed", "otp", "private_key",
        )
    ],
    "format": "json",
    "include_fields": True,
}  # fmt: skip
WRITES = sorted(
    {
        (route.method, route.pattern)
        for route in build_router().routes()
        if route.family == "management" and route.method in {"POST", "PATCH", "PUT"}
        # These make new keys, or end the token that asks.
        if not route.pattern.endswith(("/rotate", "/revoke", "/rotate-secret"))
    }
)


async def sealed_values(data: Path) -> set[str]:
    """Every value of the vault as text would show it; of keys a line from the middle."""
    store = open_store(Settings(data_dir=data).store_url, clock=SystemClock())
    tenants = directory(store, REGISTRY, MasterKey.load(Settings(data_dir=data).data.master_key))
    found = {SEALED}
    for tenant in await tenants.all():
        for kind, owner, name in await store.all(
            "select kind, owner, name from vault where tenant_id = :id", id=tenant.id
        ):
            value = await vault.open_one(store, tenant, kind, owner, name=name)
            lines = (value or b"").decode("latin-1").splitlines()
            found.add(max(lines, key=len) if len(lines) < 3 else lines[len(lines) // 2])
    await store.close()
    return {value for value in found if len(value) >= 12 and not value.startswith(SECRET)}


def test_no_operation_gives_a_value_of_the_vault_to_a_token_with_every_scope(live: LiveServer) -> None:
    """Written to as it stands, with nothing, and with a wish for everything; then asked for what that made."""
    sealed = asyncio.run(sealed_values(live.data))
    assert len(sealed) > 10, "hashes, factors, keys, write-only secrets, administrators, the audit key"
    shown, answered = {}, 0
    with live.client(headers={"authorization": f"Bearer {live.management_token()}"}) as http:
        for method, pattern in WRITES:
            for address in every_address(http, pattern)[:3] or [re.sub(r"{[^}]+}", "canary", pattern)]:
                known = http.get(address)
                own = known.json() if known.status_code == 200 and isinstance(known.json(), dict) else {}
                for body in ({}, own, GREEDY, {**own, **GREEDY}):
                    answer = http.request(method, address, json=body)
                    answered += answer.is_success
                    assert answer.status_code < 500, (method, address, answer.text)
                    shown[f"{method} {address}"] = answer.text
        asked = {"fields": GREEDY["fields"], "format": "json"}
        job = http.post("/api/v2/jobs/users-exports", json=asked).json()
        assert "id" in job, job
        for _ in range(900):
            done = http.get(f"/api/v2/jobs/{job['id']}").json()
            if done["status"] in {"completed", "failed"}:
                break
            time.sleep(0.1)
        assert done["status"] == "completed", done
        content = http.get(done["location"]).content
        shown["the export of users"] = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()
        shown |= everything(http)
        for path in ("administrators", "audit", "sessions", "me", "ceremonies", "executives", "trust-anchors"):
            answer = http.get(f"/admin/api/{path}")
            assert answer.status_code == (200 if path == "ceremonies" else 401), path
            shown[path] = answer.text
    assert answered > 20
    assert "user_id" in shown["the export of users"]
    assert [place for place, text in shown.items() if any(value in text for value in sealed)] == []


def surroundings(text: str, canary: str) -> list[str]:
    return [text[max(0, match.start() - 200) : match.end() + 80] for match in re.finditer(canary, text)][:3]


def test_nothing_secret_lies_in_the_clear_in_the_data_folder(live: LiveServer) -> None:
    for file in Path(live.data).rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            for canary in (TYPED, SEALED, SECRET):
                assert canary.encode() not in content, file.name
