"""Users, password hashes and MFA factors out of Auth0's files."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freehold.demo.auth0_export import Export
from freehold.domain.users import MFA_SECRETS, USERS, credentials, find_profile
from freehold.domain.users.importing import write_users
from freehold.kernel import vault
from freehold.kernel.crypto.passwords import HashPolicy, hash_password
from freehold.kernel.crypto.passwords.pool import PasswordPool
from freehold.kernel.declare import documents
from freehold.surfaces.importers import auth0, lines
from freehold.surfaces.importers.lines import BadFile
from freehold.surfaces.importers.report import Report
from tests.surfaces.importers.conftest import Arriving

pytestmark = pytest.mark.quick_on("sqlite")

Write = Callable[[str, str | bytes], Path]
MAIN = "Username-Password-Authentication"
PASSWORD = "Correct-Horse-7"
HASH = hash_password(PASSWORD, HashPolicy("bcrypt", cost=4))


def profile(number: int, **more: Any) -> dict[str, Any]:
    own = f"{number:024x}"
    return {
        "user_id": f"auth0|{own}",
        "email": f"user{number}@example.com",
        "email_verified": True,
        "name": f"User {number}",
        "nickname": f"user{number}",
        "picture": "https://example.com/picture.png",
        "identities": [{"connection": MAIN, "user_id": own, "provider": "auth0", "isSocial": False}],
        "created_at": "2020-01-01T00:00:00.000Z",
        "updated_at": "2021-01-01T00:00:00.000Z",
        **more,
    }


def ndjson(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def findings(report: Report, kind: str) -> list[tuple[str, str]]:
    return [(finding["where"], finding["who"]) for finding in report.findings(kind)]


async def knows_password(arriving: Arriving, identity: str, password: str = PASSWORD) -> bool:
    pool = PasswordPool(1)
    try:
        found = await credentials.verify_password(
            arriving.store, arriving.tenant, pool, identity_id=identity, password=password
        )
        return found.ok
    finally:
        pool.close()


# --- the whole of it -----------------------------------------------------------------------------------------------


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_a_whole_export_arrives_and_the_report_says_what_did_not_join(arriving: Arriving, export: Export) -> None:
    report = await arriving.arrive(
        users=(export.users,), hashes=(export.hashes,), factors=(export.factors,), config=export.config
    )

    assert report.number("users", "inserted") == export.rows == await arriving.count("users")
    assert report.found()["user_without_hash"] == export.without_hash
    assert report.found()["hash_without_user"] == export.without_user
    assert "user_refused" not in report.found()
    assert report.number("factors", "joined") == 2 * export.with_factor
    person = await find_profile(arriving.store, arriving.tenant, export.person["user_id"])
    assert person is not None
    assert (person.email, person.name) == (export.person["email"], export.person["name"])
    assert person.created_at == export.person["created_at"]
    assert await knows_password(arriving, export.person["user_id"], export.password)


async def test_every_profile_is_what_it_was(arriving: Arriving, export: Export) -> None:
    await arriving.arrive(users=(export.users,), config=export.config)

    with gzip.open(export.users, "rt") as file:
        rows = [json.loads(line) for line in file]
    for row in random.Random(1).sample(rows, 100) + [row for row in rows if "locale" in row]:
        record = await documents.read(arriving.store, arriving.tenant, USERS, row["user_id"])
        assert record is not None
        kept = {**record.document, **record.document.pop("other_attributes", {})}
        expected = {name: value for name, value in row.items() if value is not None}
        expected["email"] = expected["email"].lower()
        assert expected.items() <= kept.items()


async def test_a_second_run_changes_nothing(arriving: Arriving, export: Export) -> None:
    pieces = {"users": (export.users,), "hashes": (export.hashes,), "factors": (export.factors,)}
    await arriving.arrive(**pieces, config=export.config)
    before = await arriving.store.all("select id, version, document from users order by id")
    sealed = await arriving.store.all("select owner, name, sealed from vault where kind = 'password_hashes'")

    report = await arriving.arrive(**pieces, config=export.config)

    assert report.number("users", "present") == export.rows
    assert await arriving.store.all("select id, version, document from users order by id") == before
    assert await arriving.store.all("select owner, name, sealed from vault where kind = 'password_hashes'") == sealed


async def test_a_dry_run_joins_everything_and_writes_nothing(arriving: Arriving, export: Export) -> None:
    tables = [table.name for table in arriving.tenant.registry.tables]
    before = {table: await arriving.store.all(f"select * from {table} order by 1, 2") for table in tables}

    report = await arriving.check(
        users=(export.users,), hashes=(export.hashes,), factors=(export.factors,), config=export.config
    )

    assert report.number("users", "to be inserted") == export.rows
    assert report.found()["hash_without_user"] == export.without_user
    assert {table: await arriving.store.all(f"select * from {table} order by 1, 2") for table in tables} == before


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_an_import_that_was_cut_off_is_completed_by_the_next(
    arriving: Arriving, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = {"users": (export.users,), "hashes": (export.hashes,), "config": export.config}
    monkeypatch.setattr(auth0, "BATCH_USERS", 300)
    written, write = 0, write_users

    def dies(*arguments: Any, **options: Any) -> Any:
        nonlocal written
        if written == 3:
            raise OSError("the plug is pulled")
        written += 1
        return write(*arguments, **options)

    monkeypatch.setattr(auth0, "write_users", dies)
    work = auth0.Auth0Import(arriving.store, arriving.tenant, auth0.Sources(**pieces))  # type: ignore[arg-type]
    await work.check()
    with pytest.raises(OSError, match="the plug"):
        await work.write()
    assert await arriving.count("users") == 900
    monkeypatch.setattr(auth0, "write_users", write)

    report = await arriving.arrive(**pieces)

    assert (report.number("users", "present"), report.number("users", "inserted")) == (900, export.rows - 900)
    assert await arriving.count("users") == export.rows


async def test_usual_and_other_users_arrive_side_by_side(
    arriving: Arriving, written: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth0, "BATCH_USERS", 7)
    rows = [profile(number, password_hash=HASH) for number in range(40)]
    rows[5]["phone_number"], rows[11]["username"], rows[23]["name"] = "+4930123456", "grace", None
    rows[30]["identities"].append({"connection": "github", "user_id": "1", "provider": "github", "isSocial": True})
    users = written("users.json", ndjson(*rows[:20]) + "\n\n" + ndjson(*rows[20:]))

    report = await arriving.arrive(users=(users,))

    assert report.number("users", "read") == report.number("users", "inserted") == await arriving.count("users") == 40
    owners = await arriving.store.all("select owner, name from vault where kind = 'password_hashes' order by owner")
    assert owners == [(row["user_id"], "imported") for row in rows]
    assert await knows_password(arriving, rows[0]["user_id"])


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_a_conflict_behind_many_new_users_is_found_and_named(arriving: Arriving, written: Write) -> None:
    await arriving.arrive(users=(written("first.json", ndjson(profile(99, email="user7@example.com"))),))
    users = written("users.json", ndjson(*(profile(number, password_hash=HASH) for number in range(10))))

    report = await arriving.arrive(users=(users,))

    assert (report.number("users", "inserted"), report.number("users", "conflicts")) == (9, 1)
    assert [(f["where"], f["who"], f["detail"]) for f in report.findings("user_conflict")] == [
        ("users.json line 8", f"auth0|{7:024x}", f"email belongs to auth0|{99:024x}")
    ]
    assert len(await arriving.store.all("select 1 from vault where kind = 'password_hashes'")) == 9


async def test_an_address_that_is_somebodys_user_name_is_a_conflict(arriving: Arriving, written: Write) -> None:
    await arriving.arrive(users=(written("first.json", ndjson(profile(1, username="user2@example.com"))),))

    report = await arriving.arrive(users=(written("second.json", ndjson(profile(2))),))

    assert [f["detail"] for f in report.findings("user_conflict")] == [f"username belongs to auth0|{1:024x}"]


# --- password hashes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "named",
    [
        {"_id": {"$oid": f"{1:024x}"}},
        {"_id": f"{1:024x}"},
        {"_ID": f"{1:024x}"},
        {"_id": {"$oid": "f" * 24}, "alt_id": f"{1:024x}"},
    ],
)
async def test_a_hash_finds_its_user_by_each_spelling_of_the_id(
    arriving: Arriving, written: Write, named: dict[str, Any]
) -> None:
    users = written("users.json", ndjson(profile(1)))
    hashes = written("hashes.json", ndjson({**named, "passwordHash": HASH, "connection": MAIN}))

    await arriving.arrive(users=(users,), hashes=(hashes,))

    assert await knows_password(arriving, f"auth0|{1:024x}")


async def test_hashes_that_come_later_complete_the_users_who_are_there(arriving: Arriving, written: Write) -> None:
    users = written("users.json", ndjson(profile(1), profile(2)))
    await arriving.arrive(users=(users,))
    hashes = written("hashes.json", ndjson({"_id": {"$oid": f"{2:024x}"}, "passwordHash": HASH}))

    report = await arriving.arrive(users=(users,), hashes=(hashes,))

    assert (report.number("users", "completed"), report.number("users", "present")) == (1, 1)
    assert await knows_password(arriving, f"auth0|{2:024x}")


async def test_a_password_that_was_changed_here_is_not_put_back(arriving: Arriving, written: Write) -> None:
    users = written("users.json", ndjson(profile(1)))
    hashes = written("hashes.json", ndjson({"_id": f"{1:024x}", "passwordHash": HASH}))
    await arriving.arrive(users=(users,), hashes=(hashes,))
    own = hash_password("Another-Horse-8", HashPolicy("bcrypt", cost=4))
    async with arriving.store.transaction() as tx:
        await credentials.store_hash(tx, arriving.tenant, f"auth0|{1:024x}", own)

    await arriving.arrive(users=(users,), hashes=(hashes,))

    assert await knows_password(arriving, f"auth0|{1:024x}", "Another-Horse-8")
    assert not await knows_password(arriving, f"auth0|{1:024x}")


async def test_hashes_that_cannot_be_used_are_named(arriving: Arriving, written: Write) -> None:
    users = written("users.json", ndjson(profile(1)))
    hashes = written(
        "hashes.json",
        ndjson(
            {"_id": f"{1:024x}", "passwordHash": "$unknown$kind"},
            {"passwordHash": HASH, "email": "nobody@example.com"},
            {"_id": f"{9:024x}", "passwordHash": HASH},
            {"_id": f"{9:024x}", "passwordHash": HASH},
        ),
    )

    report = await arriving.check(users=(users,), hashes=(hashes,))

    assert findings(report, "hash_refused") == [
        ("hashes.json line 1", f"auth0|{1:024x}"),
        ("hashes.json line 2", "nobody@example.com"),
    ]
    assert findings(report, "hash_without_user") == [("hashes.json line 3", f"auth0|{9:024x}")]
    assert findings(report, "duplicate_hash") == [("hashes.json line 4", f"auth0|{9:024x}")]
    assert findings(report, "user_without_hash") == [("users.json line 1", f"auth0|{1:024x}")]


async def test_factors_go_into_the_vault(arriving: Arriving, written: Write) -> None:
    users = written("users.json", ndjson(profile(1)))
    owner = f"auth0|{1:024x}"
    factors = written(
        "mfa.json",
        ndjson(
            {"user_id": owner, "type": "otp", "otp_secret": "PA6FWZ3EGU2DMZCSKU2DOQCNNY2X26L2"},
            {"user_id": owner, "type": "recovery-code", "recovery_code": HASH},
            {"user_id": "auth0|nobody", "type": "otp", "otp_secret": "PA6FWZ3E"},
            {"user_id": owner, "type": "carrier-pigeon"},
        ),
    )

    report = await arriving.arrive(users=(users,), factors=(factors,))

    kept = await vault.open_owned(arriving.store, arriving.tenant, MFA_SECRETS.name, owner)
    assert json.loads(kept["otp"])["secret"] == "PA6FWZ3EGU2DMZCSKU2DOQCNNY2X26L2"
    assert json.loads(kept["recovery-code"])["hash"] == HASH
    assert findings(report, "factor_without_user") == [("mfa.json line 3", "auth0|nobody")]
    assert findings(report, "factor_refused") == [("mfa.json line 4", owner)]


# --- rows that are odd -------------------------------------------------------------------------------------------


async def test_who_occurs_twice_is_named_with_both_places(arriving: Arriving, written: Write) -> None:
    users = written("users.json", ndjson(profile(1), profile(2), profile(1), profile(3, email="user2@example.com")))

    report = await arriving.check(users=(users,))

    assert [(f["where"], f["detail"]) for f in report.findings("duplicate_user")] == [
        ("users.json line 3", "also in users.json line 1, which counts"),
        ("users.json line 4", "the address is also in users.json line 2, which counts"),
    ]
    assert (await arriving.arrive(users=(users,))).number("users", "inserted") == 2
    assert await arriving.count("users") == 2


async def test_an_address_that_somebody_here_has_is_a_conflict(arriving: Arriving, written: Write) -> None:
    await arriving.arrive(users=(written("first.json", ndjson(profile(1))),))

    report = await arriving.arrive(users=(written("second.json", ndjson(profile(2, email="USER1@example.com"))),))

    assert report.number("users", "conflicts") == 1
    assert [f["detail"] for f in report.findings("user_conflict")] == [f"email belongs to auth0|{1:024x}"]
    assert await arriving.count("users") == 1


async def test_linked_identities_are_found_and_taken_only_once(arriving: Arriving, written: Write) -> None:
    linked = {"connection": "google-oauth2", "user_id": "77", "provider": "google-oauth2", "isSocial": True}
    first, second = profile(1), profile(2)
    first["identities"].append({**linked, "profileData": {"email": "one@gmail.example"}})
    second["identities"].append(dict(linked))
    users = written("users.json", ndjson(first, second))

    report = await arriving.arrive(users=(users,))

    assert report.number("users", "inserted") == 1
    assert [f["detail"] for f in report.findings("user_conflict")] == [f"user_id belongs to auth0|{1:024x}"]
    assert await arriving.count("linked_identities") == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"email_verified": "yes"}, "Expected `bool`"),
        ({"user_metadata": []}, "Expected `object`"),
        ({"created_at": "yesterday"}, "created_at is not an ISO 8601 time"),
        ({"user_id": "auth0|someone-else"}, "user_id is none of the identities"),
        ({"identities": [{"provider": "auth0"}]}, "an identity without user_id"),
        ({"email": 7}, "email is not text"),
        ({"username": "a\0b"}, "username holds a NUL character"),
        ({"identities": []}, None),
        ({"name": None}, None),
        ({"anything": {"else": 1}}, None),
    ],
)
async def test_an_odd_row_is_kept_or_refused_with_the_reason(
    arriving: Arriving, written: Write, change: dict[str, Any], reason: str | None
) -> None:
    users = written("users.json", ndjson(profile(1), profile(2, **change)))

    report = await arriving.arrive(users=(users,))

    refused = [finding["detail"] for finding in report.findings("user_refused")]
    assert await arriving.count("users") == (2 if reason is None else 1)
    assert len(refused) == (0 if reason is None else 1)
    assert all(reason is not None and reason in detail for detail in refused)


async def test_tokens_of_a_provider_are_left_behind_and_named(arriving: Arriving, written: Write) -> None:
    row = profile(1)
    row["identities"][0]["access_token"] = "not-for-us"
    report = await arriving.arrive(users=(written("users.json", ndjson(row)),))

    assert [f["detail"] for f in report.findings("field_without_place")] == [
        "identities[].access_token: a token of the provider"
    ]
    stored = await arriving.store.all("select document from users")
    assert "not-for-us" not in stored[0][0]


async def test_a_connection_that_nobody_has_is_named_and_can_be_renamed(arriving: Arriving, written: Write) -> None:
    row = profile(1)
    row["identities"][0]["connection"] = "old-users"
    users = written("users.json", ndjson(row))

    assert findings(await arriving.check(users=(users,)), "connection_unknown") == [("users.json line 1", "old-users")]
    report = await arriving.arrive(users=(users,), connections={"old-users": MAIN})

    assert report.number("users", "inserted") == 1


# --- other forms -------------------------------------------------------------------------------------------------


async def test_the_bulk_import_format_is_taken_too(arriving: Arriving, written: Write) -> None:
    rows = [
        {"user_id": "abc", "email": "abc@example.com", "password_hash": HASH},
        {
            "user_id": "def",
            "email": "def@example.com",
            "custom_password_hash": {
                "algorithm": "sha256",
                "hash": {
                    "value": "e94f153ec1dbcd83ed83c166ae53bf85d559a5a972e27f31db77d567d2e29841",
                    "encoding": "hex",
                },
                "salt": {"value": "abc123"},
            },
        },
    ]
    report = await arriving.arrive(users=(written("users.json", json.dumps(rows, indent=1)),))

    assert report.number("users", "inserted") == 2
    assert await knows_password(arriving, "auth0|abc")
    assert await knows_password(arriving, "auth0|def", "Freehold-Passw0rd!")


async def test_csv_is_read_with_its_quotation_marks_and_paths(arriving: Arriving, written: Write) -> None:
    text = (
        '"user_id","email","email_verified","logins_count","user_metadata.city","identities[0].connection",'
        '"identities[0].provider","identities[0].user_id"\n'
        f'"\'auth0|abc","\'jane@example.com","true","7","\'São Paulo","\'{MAIN}","\'auth0","\'abc"\n'
    )
    await arriving.arrive(users=(written("users.csv", text),))

    record = await documents.read(arriving.store, arriving.tenant, USERS, "auth0|abc")
    assert record is not None
    assert record.document["email_verified"] is True
    assert record.document["logins_count"] == 7
    assert record.document["user_metadata"] == {"city": "São Paulo"}


# --- damaged files -----------------------------------------------------------------------------------------------

GOOD = ndjson(profile(1)).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOOD + b'{"user_id": \n', "users.json line 2: not JSON"),
        (GOOD + b'\n\n{"email": "\xff"}\n', "users.json line 4: not"),
        (GOOD + b'"text"\n', "users.json line 2: Expected `object`"),
        (GOOD + b'{"app_metadata": ' + b"[" * 100_000, "users.json line 2: nested too deeply"),
        (GOOD + b'{"app_metadata": {"a": ' + b"[" * 300 + b"]" * 300 + b"}}", "users.json line 2: nested too deeply"),
        (GOOD.decode().encode("utf-16"), "users.json: UTF-16"),
        (b'[{"user_id": "a"}, {]', "users.json: JSON is malformed"),
        (gzip.compress(GOOD * 500)[:-900], "ends before its time"),
        (b"user_id,email\na,b,c\n", "users.json line 2: 3 cells under 2 titles"),
    ],
)
async def test_a_damaged_file_is_refused_by_name_and_line_and_nothing_is_written(
    arriving: Arriving, written: Write, content: bytes, words: str
) -> None:
    with pytest.raises(BadFile) as refusal:
        await arriving.arrive(users=(written("users.json", content),))

    assert words in str(refusal.value)
    assert await arriving.count("users") == 0


async def test_a_flipped_bit_in_gzip_is_found_wherever_it_is(arriving: Arriving, written: Write) -> None:
    whole = gzip.compress(ndjson(*(profile(number) for number in range(200))).encode())
    for position in random.Random(3).sample(range(18, len(whole)), 25):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        with pytest.raises(BadFile):
            await arriving.check(users=(written("users.json.gz", bytes(damaged)),))
    assert await arriving.count("users") == 0


async def test_an_endless_line_is_refused_before_it_fills_the_memory(
    arriving: Arriving, written: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LONGEST_LINE", 1 << 20)

    with pytest.raises(BadFile, match=r"users\.json line 2: longer than"):
        await arriving.check(users=(written("users.json", GOOD + b"x" * (1 << 22)),))


async def test_a_gzip_bomb_is_refused(arriving: Arriving, written: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "RATIO_COUNTS_FROM", 1 << 20)
    bomb = gzip.compress(b"\n" * (16 << 20))

    with pytest.raises(BadFile, match="times its size"):
        await arriving.check(users=(written("users.json.gz", bomb),))
