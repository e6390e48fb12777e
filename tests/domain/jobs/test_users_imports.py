"""Bulk imports through the API: the schema, every row error, upsert, limits, and what survives a crash."""

import asyncio
import json
from typing import Any

import pytest

from freehold.domain.jobs import users_import
from freehold.domain.jobs.jobs import ApiJob, load_job
from freehold.domain.users import find_for_login, record_login, verify_password
from freehold.domain.users.importing import place_users
from freehold.kernel import vault
from freehold.kernel.store.bulk import open_bulk
from tests.support.asgi import Reply
from tests.support.people import DATABASE, PASSWORD, TenantUnderTest

pytestmark = pytest.mark.quick_on("sqlite")

IMPORTED = "Freehold-Passw0rd!"
BCRYPT = "$2b$10$abcdefghijklmnopqrstuuGZUIpbfRKhanNRKUby/Zwgr56ll91z2"
SHA1 = {
    "algorithm": "sha1",
    "hash": {"value": "e358121f34d76c946034452e9b53dadb2cea34d6", "encoding": "hex"},
    "salt": {"value": "abc123", "encoding": "utf8", "position": "suffix"},
}
BOUNDARY = "b0undary"


def multipart(**parts: str | bytes | None) -> bytes:
    body = b""
    for name, value in parts.items():
        if value is None:
            continue
        file = '; filename="users.json"\r\nContent-Type: application/json' if name == "users" else ""
        content = value if isinstance(value, bytes) else value.encode()
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


async def post(people: TenantUnderTest, users: Any, **parts: Any) -> Reply:
    content = users if isinstance(users, bytes) else json.dumps(users).encode()
    parts = {"connection_id": (await people.database()).id, **parts}
    raw = multipart(users=content, **parts)
    return await people.api(
        "POST", "jobs/users-imports", raw=raw, content_type=f"multipart/form-data; boundary={BOUNDARY}"
    )


async def run(people: TenantUnderTest, users: Any, **parts: Any) -> dict[str, Any]:
    reply = await post(people, users, **parts)
    assert reply.status == 202, reply.body
    await people.run_jobs()
    job: dict[str, Any] = (await people.api("GET", f"jobs/{reply.json()['id']}")).json()
    return job


async def errors(people: TenantUnderTest, job: dict[str, Any]) -> list[dict[str, Any]]:
    reply = await people.api("GET", f"jobs/{job['id']}/errors")
    found: list[dict[str, Any]] = reply.json() if reply.status == 200 else []
    return found


async def signs_in(people: TenantUnderTest, email: str, password: str = IMPORTED) -> bool:
    found = await find_for_login(people.store, people.tenant, await people.database(), email)
    done = await verify_password(people.store, people.tenant, people.services.passwords, found, password)
    if done.ok and found is not None:
        async with people.store.transaction() as tx:
            await record_login(tx, people.tenant, found, ip="192.0.2.1", verification=done)
    return done.ok


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_an_import_is_answered_and_finished_as_recorded(people: TenantUnderTest) -> None:
    reply = await post(people, [{"email": "auzironian@example.com", "email_verified": True}], upsert="true")

    assert reply.status == 202
    job = reply.json()
    assert job["id"].startswith("job_")
    assert (job["status"], job["type"], job["connection"]) == ("pending", "users_import", DATABASE)
    await people.run_jobs()
    done = (await people.api("GET", f"jobs/{job['id']}")).json()
    assert done["status"] == "completed"
    assert done["summary"] == {"failed": 0, "updated": 0, "inserted": 1, "total": 1}
    assert (await people.api("GET", f"jobs/{job['id']}/errors")).status == 204
    [user] = (await people.api("GET", "users-by-email", email="auzironian@example.com")).json()
    assert (user["email_verified"], user["nickname"]) == (True, "auzironian")
    assert user["identities"][0]["connection"] == DATABASE
    assert "sui" in await people.log_types()


async def test_every_member_of_the_schema_arrives(people: TenantUnderTest) -> None:
    await people.with_usernames()
    row = {
        "email": "Ada@Example.com", "email_verified": True, "user_id": "abc", "username": "ada",
        "phone_number": "+15550100", "phone_verified": True, "given_name": "Ada", "family_name": "L", "name": "Ada L",
        "nickname": "A", "picture": "https://x.test/p.png", "blocked": True, "password_hash": BCRYPT,
        "app_metadata": {"plan": "pro"}, "user_metadata": {"theme": "dark"},
        "mfa_factors": [{"totp": {"secret": "JBSWY3DPEHPK3PXP"}}, {"phone": {"value": "+15550100"}},
                        {"email": {"value": "second@example.com"}}],
    }  # fmt: skip

    job = await run(people, [row])

    assert job["summary"] == {"failed": 0, "updated": 0, "inserted": 1, "total": 1}
    user = (await people.api("GET", "users/auth0|abc")).json()
    kept = {name: value for name, value in row.items() if name not in {"user_id", "password_hash", "mfa_factors"}}
    assert {name: user[name] for name in kept} == {**kept, "email": "ada@example.com"}
    factors = await vault.open_owned(people.store, people.tenant, "mfa_secrets", "auth0|abc")
    assert sorted(factors) == ["email", "phone", "totp"]
    assert json.loads(factors["totp"]) == {"secret": "JBSWY3DPEHPK3PXP"}
    assert await signs_in(people, "ada@example.com")


async def test_a_large_upload_is_imported_in_a_child_process(people: TenantUnderTest) -> None:
    rows = [{"email": f"u{number}@example.com", "password_hash": BCRYPT} for number in range(400)]

    job = await run(people, [*rows, {"email": "broken"}])

    assert job["summary"] == {"failed": 1, "updated": 0, "inserted": 400, "total": 401}
    assert len(await errors(people, job)) == 1
    assert await signs_in(people, "u399@example.com")


async def test_a_foreign_hash_signs_in_once_and_is_ours_then(people: TenantUnderTest) -> None:
    await run(people, [{"email": "ada@example.com", "user_id": "1", "custom_password_hash": SHA1}])

    assert not await signs_in(people, "ada@example.com", "wrong")
    assert await signs_in(people, "ada@example.com")

    stored = await vault.open_owned(people.store, people.tenant, "password_hashes", "auth0|1")
    assert [(name, value[:7]) for name, value in stored.items()] == [("", b"$2b$04$")]
    assert await signs_in(people, "ada@example.com")


@pytest.mark.parametrize(
    ("row", "code", "path"),
    [
        ({}, "OBJECT_REQUIRED", "email"),
        ({"email": 1}, "INVALID_TYPE", "email"),
        ({"email": "nobody"}, "FORMAT", "email"),
        ({"surprise": 1}, "NOT_PASSED", ""),
        ({"user_id": ""}, "MIN_LENGTH", "user_id"),
        ({"user_id": "x" * 256}, "MAX_LENGTH", "user_id"),
        ({"user_id": "a b"}, "PATTERN", "user_id"),
        ({"username": "a\u200bb"}, "FORMAT", "username"),
        ({"phone_number": "123"}, "PATTERN", "phone_number"),
        ({"blocked": None}, "INVALID_TYPE", "blocked"),
        ({"password_hash": "$2b$12$" + "a" * 53}, "PATTERN", "password_hash"),
        ({"password_hash": "plain"}, "PATTERN", "password_hash"),
        ({"password_hash": BCRYPT, "custom_password_hash": SHA1}, "NOT_PASSED", "custom_password_hash"),
        ({"custom_password_hash": {"hash": {"value": "x"}}}, "OBJECT_REQUIRED", "custom_password_hash"),
        ({"custom_password_hash": {"algorithm": "rot13", "hash": {"value": "x"}}}, "ENUM_MISMATCH",
         "custom_password_hash.algorithm"),
        ({"custom_password_hash": {"algorithm": "bcrypt", "hash": {"value": "$2b$31$" + "a" * 53}}}, "MAXIMUM",
         "custom_password_hash.hash.value"),
        ({"app_metadata": {"user_id": "x"}}, "NOT_PASSED", "app_metadata.user_id"),
        ({"user_metadata": {"a": "\0"}}, "FORMAT", ""),
        ({"user_metadata": json.loads('{"a":' * 150 + "1" + "}" * 150)}, "FORMAT", ""),
        ({"mfa_factors": []}, "ARRAY_LENGTH_SHORT", "mfa_factors"),
        ({"mfa_factors": [{"totp": {"secret": "AAAA"}}] * 11}, "ARRAY_LENGTH_LONG", "mfa_factors"),
        ({"mfa_factors": [{}]}, "ANY_OF_MISSING", "mfa_factors[0]"),
        ({"mfa_factors": [{"totp": {"secret": "A"}, "phone": {"value": "+1"}}]}, "NOT_PASSED", "mfa_factors[0]"),
        ({"mfa_factors": [{"totp": {"secret": "lower"}}]}, "PATTERN", "mfa_factors[0].totp.secret"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_by_code_and_path(row: dict[str, Any], code: str, path: str) -> None:
    from freehold.domain.users import Database
    from freehold.domain.users.import_schema import BadRow, arrival_of, read_row

    database = Database(id="con_1", name="db", strategy="auth0", options={})
    given = row if row == {} or "email" in row else {"email": "ada@example.com", **row}
    with pytest.raises(BadRow) as refusal:
        arrival_of(read_row(json.dumps(given).encode()), database, place=0, now="2026-01-01T00:00:00.000Z")
    assert (refusal.value.code, refusal.value.path) == (code, path)


async def test_bad_rows_do_not_keep_good_ones_out_and_show_no_secret(people: TenantUnderTest) -> None:
    bad = {
        "email": "bad@example.com",
        "custom_password_hash": {**SHA1, "algorithm": "hmac", "surprise": 1,
                                 "hash": {"value": "secret-1", "key": {"value": "secret-2"}}},
        "mfa_factors": [{"totp": {"secret": "JBSWY3DPEHPK3PXP"}}],
    }  # fmt: skip

    job = await run(people, [bad, {"email": "good@example.com"}, "text", 5])

    assert job["summary"] == {"failed": 3, "updated": 0, "inserted": 1, "total": 4}
    found = await errors(people, job)
    assert [(entry["user"]["email"] if isinstance(entry["user"], dict) else entry["user"]) for entry in found] == [
        "bad@example.com", "text", 5,
    ]  # fmt: skip
    assert found[0]["user"]["custom_password_hash"]["hash"] == {"value": "*****", "key": {"value": "*****"}}
    for secret in ("secret-1", "secret-2", "JBSWY3DPEHPK3PXP", "abc123"):
        assert secret not in json.dumps(found)


async def test_known_users_are_refused_without_upsert(people: TenantUnderTest) -> None:
    await people.with_usernames()
    await people.add_user("ada@example.com", username="ada", user_id="1")
    rows = [
        {"email": "ADA@example.com", "name": "Changed"},
        {"email": "other@example.com", "username": "ADA"},
        {"email": "third@example.com", "user_id": "1"},
    ]

    job = await run(people, rows)

    found = await errors(people, job)
    assert [entry["errors"] for entry in found] == [
        [{"code": "DUPLICATED_USER", "message": "The user already exist and upsert parameter is false"}]
    ] * 3
    assert (await people.api("GET", "users/auth0|1")).json()["name"] == "ada@example.com"


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_upsert_replaces_what_may_be_replaced(people: TenantUnderTest) -> None:
    await people.add_user(
        "ada@example.com", user_id="1", user_metadata={"a": 1}, app_metadata={"b": 1}, given_name="Ada", blocked=False
    )
    row = {
        "email": "ADA@example.com", "user_id": "2", "given_name": "Augusta", "email_verified": True, "blocked": True,
        "user_metadata": {"c": 2}, "app_metadata": {}, "mfa_factors": [{"totp": {"secret": "JBSWY3DPEHPK3PXP"}}],
    }  # fmt: skip

    job = await run(people, [row], upsert="true")

    assert job["summary"] == {"failed": 0, "updated": 1, "inserted": 0, "total": 1}
    user = (await people.api("GET", "users/auth0|1")).json()
    assert (user["given_name"], user["email_verified"], user["blocked"]) == ("Augusta", True, False)
    assert (user["user_metadata"], user["app_metadata"]) == ({"c": 2}, {})
    assert sorted(await vault.open_owned(people.store, people.tenant, "mfa_secrets", "auth0|1")) == ["totp"]
    assert await signs_in(people, "ada@example.com", PASSWORD)


async def test_upsert_matches_by_address_only(people: TenantUnderTest) -> None:
    await people.with_usernames()
    await people.add_user("ada@example.com", username="ada", user_id="1")
    rows = [{"email": "x@example.com", "username": "ada"}, {"email": "y@example.com", "user_id": "1"}]

    job = await run(people, rows, upsert="true")

    assert [entry["errors"][0]["code"] for entry in await errors(people, job)] == ["CONFLICT_USERNAME", "CONFLICT"]


async def test_a_foreign_hash_can_be_replaced_until_it_is_used(people: TenantUnderTest) -> None:
    other = {"algorithm": "md5", "hash": {"value": "42b0f8241d022b21f2783cc7961b2bf0", "encoding": "hex"}}
    await run(people, [{"email": "ada@example.com", "custom_password_hash": other}])
    replaced = await run(people, [{"email": "ada@example.com", "custom_password_hash": SHA1}], upsert="true")
    assert replaced["summary"]["updated"] == 1
    assert await signs_in(people, "ada@example.com")

    refused = await run(people, [{"email": "ada@example.com", "custom_password_hash": SHA1}], upsert="true")

    [entry] = await errors(people, refused)
    assert entry["errors"][0]["message"] == (
        "A custom_password_hash was provided, but the user already has password hash defined"
    )


async def test_a_user_twice_in_one_file_is_an_error_not_an_update(people: TenantUnderTest) -> None:
    rows = [{"email": "ada@example.com", "name": "first"}, {"email": "ADA@example.com", "name": "second"}]
    job = await run(people, rows, upsert="true")
    assert job["summary"] == {"failed": 1, "updated": 0, "inserted": 1, "total": 2}
    [user] = (await people.api("GET", "users")).json()
    assert user["name"] == "first"


@pytest.mark.parametrize("content", [b"{", b'{"email":"a@b.test"}', b"[1", b"\xff\xfe", b"[" * 100_000])
async def test_a_bad_file_fails_the_job(people: TenantUnderTest, content: bytes) -> None:
    job = await run(people, content)
    assert job["status"] == "failed"
    assert job["status_details"].startswith("Failed to parse users file JSON")
    shown = (await people.api("GET", f"jobs/{job['id']}/errors")).json()
    assert (shown["status"], shown["status_details"]) == ("failed", job["status_details"])
    assert "fui" in await people.log_types()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"users": None}, "Must provide 'users' file as multipart part."),
        ({"users": b" "}, "Users file must not be empty."),
        ({"connection_id": None}, "Must provide 'connection_id' as multipart part."),
        ({"connection_id": "x"}, "Payload validation error: 'String does not match pattern ^con_[A-Za-z0-9]{16}$' on "
         "property connection_id."),
        ({"connection_id": "con_0000000000000000"}, "The connection does not exist."),
        ({"upsert": "maybe"}, "Payload validation error: 'Expected type boolean but found type string' on property "
         "upsert."),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_the_request_is_said(
    people: TenantUnderTest, parts: dict[str, Any], message: str
) -> None:
    given = {"users": b"[]", "connection_id": (await people.database()).id, **parts}
    raw = multipart(**given)
    reply = await people.api(
        "POST", "jobs/users-imports", raw=raw, content_type=f"multipart/form-data; boundary={BOUNDARY}"
    )
    assert (reply.status, reply.json()["message"]) == (400, message)


async def test_only_databases_that_are_enabled_take_imports(people: TenantUnderTest) -> None:
    lonely = (await people.api("POST", "connections", {"name": "lonely", "strategy": "auth0"})).json()["id"]
    reply = await post(people, [], connection_id=lonely)
    assert (reply.status, reply.json()["message"]) == (400, "Connection must be enabled.")
    social = (await people.api("POST", "connections", {"name": "gh", "strategy": "github"})).json()["id"]
    reply = await post(people, [], connection_id=social)
    assert (reply.status, reply.json()["message"]) == (400, "Connection must be a database connection.")


async def test_what_is_no_multipart_form_is_refused(people: TenantUnderTest) -> None:
    for raw, content_type in ((b"{}", "application/json"), (b"junk", f"multipart/form-data; boundary={BOUNDARY}")):
        reply = await people.api("POST", "jobs/users-imports", raw=raw, content_type=content_type)
        message = "Payload validation error: 'Invalid multipart payload format'."
        assert (reply.status, reply.json()["message"]) == (400, message)


async def test_an_upload_over_the_limit_is_refused(people: TenantUnderTest) -> None:
    reply = await post(people, b"[" + b" " * 512_000 + b"]")
    assert reply.status == 413
    assert reply.json()["message"] == "Payload content length greater than maximum allowed: 512000."


async def test_a_third_import_waits_for_its_turn(people: TenantUnderTest) -> None:
    for _ in range(2):
        assert (await post(people, [])).status == 202
    third = await post(people, [])
    assert (third.status, third.json()["errorCode"]) == (429, "too_many_requests")
    assert third.json()["message"].startswith("There are 2 active import users jobs")
    await people.run_jobs()
    assert (await post(people, [])).status == 202


async def test_an_upload_waits_encrypted_and_is_gone_afterwards(people: TenantUnderTest) -> None:
    await post(people, [{"email": "ada@example.com", "password_hash": BCRYPT}])
    rows = await people.store.all("select content from job_files")
    assert rows
    assert not any(BCRYPT.encode() in bytes(row[0]) or b"ada@" in bytes(row[0]) for row in rows)
    await people.run_jobs()
    assert await people.store.all("select 1 from job_files where name = 'upload'") == []


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_a_job_that_was_cut_off_goes_on_where_it_stopped(
    people: TenantUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users_import, "BATCH_ROWS", 2)
    rows = [{"email": f"u{number}@example.com"} for number in range(5)]
    rows[1] = {"email": "broken"}
    job_id = (await post(people, rows)).json()["id"]
    job = await load_job(people.store, people.tenant, job_id)
    assert job is not None
    raws = users_import.read_upload(json.dumps(rows).encode())
    original = place_users
    calls = 0

    def cut_off(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("cut off")
        return original(*args, **kwargs)

    monkeypatch.setattr(users_import, "place_users", cut_off)

    def attempt(known: ApiJob) -> users_import.Progress:
        writer = open_bulk(people.store.url)
        try:
            return users_import.import_rows(writer, people.tenant, known, raws)
        finally:
            writer.close()

    with pytest.raises(RuntimeError, match="cut off"):
        await asyncio.to_thread(attempt, job)
    assert len(await people.store.all("select 1 from users")) == 1

    again = await load_job(people.store, people.tenant, job_id)
    assert again is not None
    progress = await asyncio.to_thread(attempt, again)

    assert (progress.inserted, progress.failed) == (4, 1)
    assert len(await people.store.all("select 1 from users")) == 4
    assert len(await errors(people, {"id": job_id})) == 1


async def test_a_job_that_takes_too_long_has_failed_and_blocks_no_other(people: TenantUnderTest) -> None:
    jobs = [(await post(people, [])).json()["id"] for _ in range(2)]
    people.clock.advance(seconds=2 * 3600)
    stuck = (await people.api("GET", f"jobs/{jobs[0]}")).json()
    assert (stuck["status"], stuck["status_details"]) == ("failed", "The job timed out.")
    assert (await post(people, [])).status == 202


async def test_jobs_are_forgotten_after_a_day(people: TenantUnderTest) -> None:
    job = await run(people, [{"email": "broken"}])
    people.clock.advance(seconds=24 * 3600)
    gone = await people.api("GET", f"jobs/{job['id']}")
    assert (gone.status, gone.json()["message"]) == (404, "Job not found.")
    gone = await people.api("GET", f"jobs/{job['id']}/errors")
    assert (gone.status, gone.json()["message"]) == (404, "The job does not exist")
    await people.run_jobs(rounds=True)
    assert await people.store.all("select 1 from jobs") == []
    assert await people.store.all("select 1 from job_files") == []


async def test_another_tenants_job_is_not_there(people: TenantUnderTest) -> None:
    job = await run(people, [])
    other = await people.services.tenants.create("other", "other.example.com")
    assert await load_job(people.store, other, job["id"]) is None


async def test_errors_are_answered_when_the_import_has_ended(people: TenantUnderTest) -> None:
    job = (await post(people, [{"email": "broken"}])).json()
    asked = asyncio.create_task(people.api("GET", f"jobs/{job['id']}/errors"))
    await asyncio.sleep(0)
    await people.run_jobs()
    assert len((await asked).json()) == 1
