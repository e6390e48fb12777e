"""Bulk exports through the API: both formats, chosen fields, and a link that lives a minute."""

import asyncio
import csv
import gzip
import io
import json
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from freehold.domain.jobs import add_routes
from freehold.domain.jobs.export_format import ExportField
from freehold.kernel.declare.validation import InvalidBody
from tests.support.asgi import Reply, http_scope
from tests.support.people import DATABASE, TenantUnderTest

pytestmark = pytest.mark.quick_on("sqlite")


async def start(people: TenantUnderTest, body: dict[str, Any] | None = None) -> dict[str, Any]:
    reply = await people.api("POST", "jobs/users-exports", body or {})
    assert reply.status == 200, reply.body
    await people.run_jobs()
    job: dict[str, Any] = (await people.api("GET", f"jobs/{reply.json()['id']}")).json()
    assert job["status"] == "completed", job
    return job


async def fetch(people: TenantUnderTest, location: str) -> Reply:
    if not any(route.name == "jobs.download" for route in people.app.router.routes()):
        add_routes(people.app.router)
    parts = urlsplit(location)
    reply = Reply()

    async def receive() -> dict[str, Any]:
        # The client stays until it has everything: a file is sent only as long as somebody listens.
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        return await future

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = [(name.decode(), value.decode()) for name, value in message["headers"]]
        reply.body += message.get("body", b"")

    await people.app(http_scope("GET", f"{parts.path}?{parts.query}", [("host", parts.netloc)]), receive, send)
    return reply


async def export(people: TenantUnderTest, body: dict[str, Any] | None = None) -> str:
    job = await start(people, body)
    reply = await fetch(people, job["location"])
    assert reply.status == 200, reply.body
    return gzip.decompress(reply.body).decode()


async def test_an_export_is_answered_as_recorded(people: TenantUnderTest) -> None:
    database = await people.database()
    body = {
        "connection_id": database.id,
        "format": "json",
        "limit": 5,
        "fields": [{"name": "name"}, {"name": "email"}, {"name": "identities[0].connection"}],
    }
    job = (await people.api("POST", "jobs/users-exports", body)).json()
    assert {name: job[name] for name in body} == body
    assert (job["type"], job["status"], job["connection"]) == ("users_export", "pending", DATABASE)


async def test_json_has_a_user_a_line_with_the_chosen_fields(people: TenantUnderTest) -> None:
    await people.add_user("ada@example.com", user_metadata={"colour": "blue", "deep": {"x": [1]}})
    await people.add_user("bob@example.com")
    fields = [
        {"name": "user_id"}, {"name": "email", "export_as": "mail"}, {"name": "identities[0].connection"},
        {"name": "user_metadata.deep.x"}, {"name": "user_metadata.colour", "export_as": "colour"},
    ]  # fmt: skip

    lines = [json.loads(line) for line in (await export(people, {"format": "json", "fields": fields})).splitlines()]

    assert lines[0]["user_id"].startswith("auth0|")
    assert {name: value for name, value in lines[0].items() if name != "user_id"} == {
        "mail": "ada@example.com",
        "identities[0].connection": DATABASE,
        "user_metadata.deep.x": [1],
        "colour": "blue",
    }
    assert set(lines[1]) == {"user_id", "mail", "identities[0].connection"}


async def test_without_fields_a_predefined_set_is_written(people: TenantUnderTest) -> None:
    await people.add_user("ada@example.com", user_metadata={"x": 1})
    [line] = [json.loads(line) for line in (await export(people)).splitlines()]
    assert set(line) == {"user_id", "nickname", "name", "email", "email_verified", "created_at", "updated_at"}


async def test_csv_runs_in_no_spreadsheet(people: TenantUnderTest) -> None:
    await people.add_user(
        "ada@example.com", name='=HYPERLINK("https://evil.test")', nickname="line\r\nbreak", email_verified=True
    )
    fields = [{"name": name} for name in ("email", "name", "nickname", "email_verified", "created_at", "logins_count")]
    fields[0]["export_as"] = "=cmd"

    text = await export(people, {"format": "csv", "fields": fields})

    head, row = list(csv.reader(io.StringIO(text, newline="")))
    assert head == ["'=cmd", "name", "nickname", "email_verified", "created_at", "logins_count"]
    assert row == [
        "'ada@example.com", "'=HYPERLINK(\"https://evil.test\")", "'line\r\nbreak", "true",
        "2026-01-01T00:00:00.000Z", "",
    ]  # fmt: skip


async def test_an_empty_table_has_its_head(people: TenantUnderTest) -> None:
    assert await export(people, {"format": "csv", "fields": [{"name": "email"}]}) == '"email"\r\n'
    assert await export(people, {"format": "json"}) == ""


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_limit_and_connection_narrow_an_export(people: TenantUnderTest) -> None:
    for number in range(3):
        await people.add_user(f"u{number}@example.com")
    assert len((await export(people, {"limit": 2})).splitlines()) == 2
    other = (await people.api("POST", "connections", {"name": "other", "strategy": "auth0"})).json()["id"]
    assert await export(people, {"connection_id": other}) == ""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"format": "xml"}, "No enum match"),
        ({"limit": 0}, "less than minimum"),
        ({"connection_id": "con_0000000000000000"}, "The connection does not exist."),
        ({"format": "csv", "fields": [{"name": f"f{n}"} for n in range(31)]}, "maximum 30"),
        ({"format": "csv", "fields": [{"name": "user_metadata"}]}, "as a whole"),
        ({"fields": [{"name": "x" * 101}]}, "too long"),
        ({"fields": [{"name": "a..b"}]}, "Invalid path"),
        ({"fields": [{"export_as": "x"}]}, "Missing required property: name"),
    ],
)
async def test_what_cannot_be_exported_is_said(people: TenantUnderTest, body: dict[str, Any], words: str) -> None:
    reply = await people.api("POST", "jobs/users-exports", body)
    assert reply.status == 400
    assert words in reply.json()["message"]


async def test_the_link_lives_a_minute_and_a_new_one_can_be_had(people: TenantUnderTest) -> None:
    job = await start(people)
    people.clock.advance(seconds=60)
    assert (await fetch(people, job["location"])).status == 403
    fresh = (await people.api("GET", f"jobs/{job['id']}")).json()["location"]
    assert fresh != job["location"]
    reply = await fetch(people, fresh)
    assert reply.status == 200
    assert reply.header("content-disposition") == 'attachment; filename="acme.json.gz"'


async def test_a_link_cannot_be_made_up(people: TenantUnderTest) -> None:
    location = (await start(people))["location"]
    base, _, signature = location.rpartition("Signature=")
    for forged in (
        base + "Signature=",
        base + "Signature=" + signature[:-2] + "AA",
        location.replace("Expires=", "Expires=9"),
    ):
        assert (await fetch(people, forged)).status == 403
    assert (await fetch(people, location.split("?")[0])).status == 403


async def test_exports_of_unchanged_users_are_the_same_bytes(people: TenantUnderTest) -> None:
    await people.add_user()
    first = await fetch(people, (await start(people))["location"])
    second = await fetch(people, (await start(people))["location"])
    assert first.body == second.body


async def test_no_hash_or_factor_is_in_an_export(people: TenantUnderTest) -> None:
    await people.add_user()
    fields = [{"name": name} for name in ("user_id", "password_hash", "passwordHash", "identities", "mfa_factors")]
    text = await export(people, {"fields": fields})
    assert "$2b$" not in text
    assert set(json.loads(text)) == {"user_id", "identities"}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("email", ("email",)),
        ("identities[0].connection", ("identities", 0, "connection")),
        ("user_metadata.a b.c", ("user_metadata", "a b", "c")),
        ("a[1][2]", ("a", 1, 2)),
    ],
)
def test_a_path_expression_is_read(name: str, path: tuple[str | int, ...]) -> None:
    assert ExportField.of(name).path == path


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b", "[0]", "a[", "a[x]", "a]", "a[-1]"])
def test_what_is_no_path_is_refused(name: str) -> None:
    with pytest.raises(InvalidBody):
        ExportField.of(name)
