"""A realistic Auth0 export of made-up people: what support sends, what the jobs give, what the deploy CLI writes.

The same seed gives the same people. About one row in a hundred is odd in a way that real exports are odd; which ones,
`Export` says, so that tests can hold an import's report to it.
"""

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from freehold.demo.people import FAMILIES, NAMES
from freehold.kernel.clock import iso
from freehold.kernel.crypto.passwords import HashPolicy, hash_password

TENANT = "acme"
MAIN = "Username-Password-Authentication"
STAFF = "staff-directory"
WEB_CLIENT = "k3T9mVqX2bR7wLpZ8cYd5nHs1fGj4aEu"
API_CLIENT = "Qw8zN4xK7vB2mT6yR1cP9sD5gH3jL0fA"
WEB_SECRET = "demo-secret-of-the-web-shop-that-is-not-a-real-one-0123456789abcd"  # noqa: S105 - made up
API_SECRET = "demo-secret-of-the-nightly-report-that-is-no-real-one-0123456789"  # noqa: S105 - made up
AUDIENCE = "https://api.acme.example/orders"
PASSWORDS = (
    "Correct-Horse-7", "tr0ub4dor&3-demo", "Пароль-пример-42", "密码-示例-42-Ab", "s3cret with spaces!",
    "Ünïcödé-Paß-1", "demo!Password#2026", "Lorem-Ipsum-d0lor",
)  # fmt: skip
CITIES = ("Lisboa", "Kyiv", "Nairobi", "大阪", "São Paulo", "Αθήνα", "Tbilisi", "Reykjavík")
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(slots=True)
class Export:
    """Where the pieces are, and what an import ought to find in them."""

    folder: Path
    users: Path
    hashes: Path
    factors: Path
    config: Path
    rows: int
    person: dict[str, Any] = field(default_factory=dict)
    """Somebody to sign in as."""
    password: str = ""
    without_hash: int = 0
    without_user: int = 0
    with_factor: int = 0
    by_strategy: dict[str, int] = field(default_factory=dict)


def write_export(folder: Path, *, users: int = 10_000, seed: int = 2026, callback: str, cost: int = 10) -> Export:
    """Write a whole export; `callback` is where the web client's answers go, `cost` that of the bcrypt hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    export = Export(
        folder,
        folder / "acme-users.json.gz",
        folder / "acme-password-hashes.ndjson",
        folder / "acme-mfa.ndjson",
        folder / "acme-config",
        users,
    )
    pool = [(password, hash_password(password, HashPolicy("bcrypt", cost=cost))) for password in PASSWORDS]
    random_ = random.Random(seed)  # noqa: S311 - people, not keys
    with (
        gzip.open(export.users, "wb", compresslevel=1) as profiles,
        export.hashes.open("wb") as hashes,
        export.factors.open("wb") as factors,
    ):
        for number in range(users):
            _write_person(export, random_, number, pool, profiles, hashes, factors)
        for number in range(users // 2000 + 1):
            export.without_user += 1
            _line(hashes, _hash_row(_hex(random_), f"left{number}@acme.example", pool[0][1], random_))
    write_configuration(export.config, callback)
    return export


def _write_person(
    export: Export,
    random_: random.Random,
    number: int,
    pool: list[tuple[str, str]],
    profiles: IO[bytes] | gzip.GzipFile,
    hashes: IO[bytes],
    factors: IO[bytes],
) -> None:
    user, kind = _profile(random_, number)
    export.by_strategy[kind] = export.by_strategy.get(kind, 0) + 1
    _line(profiles, user)
    if kind == "auth0":
        if number and random_.random() < 0.003:
            export.without_hash += 1
            return
        password, stored = pool[number % len(pool)]
        row = _hash_row(user["user_id"].removeprefix("auth0|"), user.get("email"), stored, random_, user=user)
        _line(hashes, row)
        if not export.person:
            export.person, export.password = user, password
    if random_.random() < 0.04:
        export.with_factor += 1
        secret = "".join(random_.choice(_BASE32) for _ in range(32))
        _line(factors, {"user_id": user["user_id"], "tenant": TENANT, "type": "otp", "otp_secret": secret})
        recovery = {"user_id": user["user_id"], "tenant": TENANT, "type": "recovery-code"}
        _line(factors, {**recovery, "recovery_code": pool[0][1]})


def _profile(random_: random.Random, number: int) -> tuple[dict[str, Any], str]:
    """One user as the export job gives them, and the strategy of the first identity."""
    script = random_.choices(range(len(NAMES)), weights=(40, 25, 12, 8, 10, 5))[0]
    given, given_ascii = random_.choice(NAMES[script])
    family, family_ascii = random_.choice(FAMILIES[script])
    email = f"{given_ascii}.{family_ascii}.{number}@{random_.choice(('acme', 'mail', 'post'))}.example"
    created = datetime(2019, 1, 1, tzinfo=UTC) + timedelta(seconds=random_.randrange(200_000_000))
    seen = created + timedelta(seconds=random_.randrange(20_000_000))
    kind, identity = _identity(random_, number)
    user: dict[str, Any] = {
        "user_id": f"{identity['provider']}|{identity['user_id']}",
        "email": email,
        "email_verified": random_.random() < 0.8,
        "name": f"{given} {family}",
        "nickname": email.partition("@")[0],
        "given_name": given,
        "family_name": family,
        "picture": f"https://cdn.acme.example/avatars/{number}.png",
        "identities": [identity],
        "created_at": iso(created),
        "updated_at": iso(seen),
        "last_login": iso(seen),
        "last_ip": f"192.0.2.{random_.randrange(1, 255)}",
        "logins_count": random_.randrange(1, 400),
    }
    if random_.random() < 0.6:
        user["user_metadata"] = _user_metadata(random_)
    if random_.random() < 0.3:
        user["app_metadata"] = {"plan": random_.choice(("free", "team", "enterprise")), "crm": {"id": number}}
    if number and random_.random() < 0.01:
        user["blocked"] = True
    _make_odd(random_, user, kind, number)
    return user, kind


def _identity(random_: random.Random, number: int) -> tuple[str, dict[str, Any]]:
    share = random_.random() if number else 0.0
    if share < 0.8:
        own = _hex(random_) if share < 0.78 else f"legacy-{number}"
        connection = MAIN if share < 0.7 else STAFF
        return "auth0", {"connection": connection, "user_id": own, "provider": "auth0", "isSocial": False}
    if share < 0.92:
        own = str(random_.randrange(10**20, 10**21))
        return "google-oauth2", {
            "provider": "google-oauth2", "user_id": own, "connection": "google-oauth2", "isSocial": True,
        }  # fmt: skip
    own = f"acme-corp|{given_id(random_)}"
    return "samlp", {"provider": "samlp", "user_id": own, "connection": "acme-corp", "isSocial": False}


def given_id(random_: random.Random) -> str:
    """What an enterprise directory calls somebody."""
    return f"employee-{random_.randrange(10**9):09}"


def _user_metadata(random_: random.Random) -> dict[str, Any]:
    shapes: tuple[dict[str, Any], ...] = (
        {"city": random_.choice(CITIES), "newsletter": random_.random() < 0.5},
        {"theme": "dark", "shortcuts": ["new", "search"], "notes": 'a "quoted" line\nand another'},
        {"address": {"city": random_.choice(CITIES), "geo": [38.7, -9.1]}, "empty": {}, "nothing": None},
    )
    return random_.choice(shapes)


def _make_odd(random_: random.Random, user: dict[str, Any], kind: str, number: int) -> None:
    """About one in a hundred."""
    share = random_.random() if number else 1.0
    if share < 0.002 and kind == "auth0":
        user["identities"].append(
            {
                "connection": "google-oauth2", "user_id": str(random_.randrange(10**20, 10**21)),
                "provider": "google-oauth2", "isSocial": True,
                "profileData": {"email": f"linked.{user['email']}", "email_verified": True, "name": user["name"]},
            }
        )  # fmt: skip
    elif share < 0.004:
        user["locale"] = "pt-BR"
        user["https://acme.example/tier"] = "gold"
    elif share < 0.006:
        del user["picture"]
        user["given_name"] = None
    elif share < 0.008:
        user["email"] = user["email"].upper()
    elif share < 0.010:
        user["multifactor"] = ["guardian"]
        user["multifactor_last_modified"] = user["updated_at"]


def _hash_row(
    own_id: str, email: str | None, stored: str, random_: random.Random, *, user: dict[str, Any] | None = None
) -> dict[str, Any]:
    connection = user["identities"][0]["connection"] if user else MAIN
    row: dict[str, Any] = {"_id": {"$oid": own_id if len(own_id) == 24 else _hex(random_)}}
    if len(own_id) != 24:
        row["alt_id"] = own_id
    share = random_.random()
    if share < 0.01 and len(own_id) == 24:
        row["_id"] = own_id
    if share > 0.01:
        row["email"], row["email_verified"] = email, bool(user and user["email_verified"])
    row |= {
        "passwordHash": stored,
        "password_set_date": {"$date": "2021-03-04T05:06:07.089Z"},
        "tenant": TENANT,
        "connection": connection,
        "_tmp_is_unique": True,
        "identifiers": [{"type": "email", "value": email, "verified": True}],
    }
    return row


def _hex(random_: random.Random) -> str:
    return f"{random_.getrandbits(96):024x}"


def _line(file: Any, value: dict[str, Any]) -> None:
    file.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")


# --- the configuration -------------------------------------------------------------------------------------------


def write_configuration(folder: Path, callback: str) -> None:
    """A directory as the deploy CLI writes it: names for ids, masks for most secrets."""
    for path, content in _files(callback):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _files(callback: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "tenant.json", {
        "friendly_name": "Acme", "support_email": "help@acme.example", "default_audience": "",
        "session_lifetime": 72, "idle_session_lifetime": 24, "enabled_locales": ["en", "pt-PT"],
    }  # fmt: skip
    yield "resource-servers/Orders.json", {
        "name": "Orders", "identifier": AUDIENCE, "signing_alg": "RS256", "allow_offline_access": True,
        "token_lifetime": 86400, "token_lifetime_for_web": 7200,
        "skip_consent_for_verifiable_first_party_clients": True,
        "scopes": [
            {"value": "read:orders", "description": "See orders"},
            {"value": "write:orders", "description": "Place orders"},
        ],
    }  # fmt: skip
    yield "clients/Web shop.json", {
        "client_id": WEB_CLIENT, "client_secret": WEB_SECRET, "name": "Web shop", "app_type": "regular_web",
        "is_first_party": True, "oidc_conformant": True, "callbacks": [callback],
        "allowed_logout_urls": ["https://shop.acme.example/"], "token_endpoint_auth_method": "client_secret_post",
        "grant_types": ["authorization_code", "refresh_token"], "jwt_configuration": {"alg": "RS256"},
        "refresh_token": {
            "rotation_type": "non-rotating", "expiration_type": "non-expiring", "leeway": 0,
            "infinite_token_lifetime": True, "infinite_idle_token_lifetime": True, "token_lifetime": 31557600,
            "idle_token_lifetime": 2592000,
        },
    }  # fmt: skip
    yield "clients/Nightly report.json", {
        "client_id": API_CLIENT, "client_secret": API_SECRET, "name": "Nightly report",
        "app_type": "non_interactive", "grant_types": ["client_credentials"], "is_first_party": True,
        "jwt_configuration": {"alg": "RS256"},
    }  # fmt: skip
    yield f"database-connections/{MAIN}/database.json", _database(MAIN, ["Web shop"])
    yield f"database-connections/{STAFF}/database.json", _database(STAFF, ["Web shop"])
    yield "connections/google-oauth2.json", {
        "name": "google-oauth2", "strategy": "google-oauth2", "enabled_clients": ["Web shop"],
        "is_domain_connection": False,
        "options": {
            "client_id": "acme.apps.example", "client_secret": "##CONNECTIONS_GOOGLE_OAUTH2_SECRET##",
            "scope": ["email", "profile"], "email": True, "profile": True,
        },
    }  # fmt: skip
    yield "grants/Nightly report (Orders).json", {
        "client_id": "Nightly report", "audience": AUDIENCE, "scope": ["read:orders"], "subject_type": "client",
    }  # fmt: skip
    yield "roles/Clerk.json", {
        "name": "Clerk", "description": "Looks after orders",
        "permissions": [
            {"permission_name": "read:orders", "resource_server_identifier": AUDIENCE},
            {"permission_name": "write:orders", "resource_server_identifier": AUDIENCE},
        ],
    }  # fmt: skip


def _database(name: str, clients: list[str]) -> dict[str, Any]:
    return {
        "name": name, "strategy": "auth0", "enabled_clients": clients, "is_domain_connection": False,
        "options": {"passwordPolicy": "good", "brute_force_protection": True, "disable_signup": False},
    }  # fmt: skip
