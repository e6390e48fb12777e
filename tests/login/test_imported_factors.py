"""Whoever comes with a second factor signs in with the app and the recovery code they have."""

import asyncio
import json
from typing import Any

import pytest

from freehold.domain.authenticators import factors_of
from freehold.kernel.crypto.passwords import hash_password
from freehold.surfaces.importers.auth0 import Auth0Import, Sources
from tests.support.applications import Application, User, make_application, read_claims
from tests.support.hosted_pages import Page
from tests.support.in_process import Installation
from tests.support.second_factors import App, asked_for, confirm_code, recovery_code_on

SECRET, SHORT = "PA6FWZ3EGU2DMZCSKU2DOQCNNY2X26L2", "GEZDGNBVGY3TQOJQ"
RECOVERY_CODE = "17EQHNZC2SZDYG7X4QXVX9SW"
PASSWORD = "Correct-horse-4-battery"


@pytest.fixture(scope="module")
def app(installation: Installation) -> Application:
    return make_application(installation)


def sign_in(installation: Installation, app: Application, email: str, held: App) -> dict[str, Any]:
    browser = app.browser()
    page = browser.sign_in(app.authorize_url(), email, PASSWORD)
    assert page.path == "/u/mfa-otp-challenge"
    answer = app.redeem(browser.submit(page, code=held.code(installation.clock.now())))
    assert answer.status_code == 200, answer.text
    return read_claims(answer.json()["id_token"])


def import_rows(installation: Installation, app: Application, *rows: dict[str, Any], upsert: bool = False) -> None:
    """Through the job that Auth0's customers know."""
    form = {"connection_id": app.connection_id, "upsert": str(upsert).lower()}
    with installation.management() as api:
        files = {"users": ("users.json", json.dumps(rows).encode(), "application/json")}
        made = api.post("/jobs/users-imports", data=form, files=files)
        assert made.status_code == 202, made.text
        for _ in range(200):
            installation.work()
            job = api.get(f"/jobs/{made.json()['id']}").json()
            if job["status"] != "pending":
                break
            installation.run(asyncio.sleep(0.05))
    assert job["summary"]["failed"] == 0, job


def test_factors_of_a_bulk_import_are_asked_for(installation: Installation, app: Application) -> None:
    row = {
        "email": "bulk@example.com",
        "user_id": "bulk-1",
        "password_hash": hash_password(PASSWORD),
        "mfa_factors": [{"totp": {"secret": SECRET}}, {"totp": {"secret": SHORT}}, {"phone": {"value": "+15550100"}}],
    }
    import_rows(installation, app, row)
    with asked_for(installation, "confidence-score"):
        for secret in (SECRET, SHORT):
            assert sign_in(installation, app, "bulk@example.com", App(secret))["amr"] == ["mfa"]
        browser = app.browser()
        page = browser.sign_in(app.authorize_url(), "bulk@example.com", PASSWORD)
        used = browser.submit(page, code=App(SECRET).code(installation.clock.now()))
        assert used.status == 400


def test_an_upsert_replaces_what_a_user_has(installation: Installation, app: Application) -> None:
    row = {"email": "again@example.com", "user_id": "again-1", "mfa_factors": [{"totp": {"secret": SECRET}}]}
    import_rows(installation, app, {**row, "password_hash": hash_password(PASSWORD)})
    app.manage("POST", "/users/auth0|again-1/recovery-code-regeneration", {})
    import_rows(installation, app, {**row, "mfa_factors": [{"totp": {"secret": SHORT}}]}, upsert=True)
    with asked_for(installation, "all-applications"):
        browser = app.browser()
        page = browser.sign_in(app.authorize_url(), "again@example.com", PASSWORD)
        assert browser.submit(page, code=App(SECRET).code(installation.clock.now())).status == 400
        assert sign_in(installation, app, "again@example.com", App(SHORT))["amr"] == ["mfa"]
    app.manage("POST", "/users/auth0|again-1/recovery-code-regeneration", {})
    kinds = [one["type"] for one in app.manage("GET", "/users/auth0|again-1/authentication-methods")]
    assert sorted(kinds) == ["recovery-code", "totp"]


@pytest.fixture(scope="module")
def arrived(installation: Installation, app: Application, tmp_path_factory: pytest.TempPathFactory) -> User:
    """A user of Auth0's three files: profile, password hash, second factors."""
    folder = tmp_path_factory.mktemp("auth0")
    own = f"{7:024x}"
    user_id, email = f"auth0|{own}", "arrived@example.com"
    identity = {"connection": app.connection, "user_id": own, "provider": "auth0", "isSocial": False}
    profile = {"user_id": user_id, "email": email, "email_verified": True, "identities": [identity]}
    factors = [
        {"user_id": user_id, "tenant": "acme", "type": "otp", "otp_secret": SECRET},
        {"user_id": user_id, "tenant": "acme", "type": "recovery-code", "recovery_code": hash_password(RECOVERY_CODE)},
    ]
    paths: dict[str, Any] = {}
    for name, lines in (
        ("users", [{**profile, "created_at": "2025-01-01T00:00:00.000Z", "updated_at": "2025-01-01T00:00:00.000Z"}]),
        ("hashes", [{"_id": {"$oid": own}, "email": email, "passwordHash": hash_password(PASSWORD)}]),
        ("factors", factors),
    ):
        path = folder / f"{name}.json"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        paths[name] = (path,)

    tenant = installation.tenant

    async def arrive() -> None:
        work = Auth0Import(installation.services.store, tenant, Sources(**paths))
        await work.check()
        await work.write()

    installation.run(arrive())
    return User(user_id, email, PASSWORD)


def test_the_app_from_auth0s_own_file_signs_in(installation: Installation, app: Application, arrived: User) -> None:
    with asked_for(installation, "all-applications"):
        assert sign_in(installation, app, arrived.email, App(SECRET))["amr"] == ["mfa"]


def test_the_recovery_code_from_auth0s_own_file_signs_in_once(
    installation: Installation, app: Application, arrived: User
) -> None:
    def recover(code: str) -> Page:
        browser = app.browser()
        page = browser.open(browser.sign_in(app.authorize_url(), arrived.email, PASSWORD).link("recovery-code"))
        shown = browser.submit(page, code=code)
        if shown.status != 200:
            return shown
        new.append(recovery_code_on(shown))
        return confirm_code(browser, shown)

    new: list[str] = []
    with asked_for(installation, "all-applications"):
        assert "code" in recover(RECOVERY_CODE).query
        assert recover(RECOVERY_CODE).status == 400
        assert "code" in recover(new[0]).query


def test_ids_of_arrived_factors_stay_when_they_are_used(
    installation: Installation, app: Application, arrived: User
) -> None:
    before = {one["id"] for one in app.manage("GET", f"/users/{arrived.user_id}/authentication-methods")}
    installation.clock.advance(seconds=60)
    with asked_for(installation, "all-applications"):
        sign_in(installation, app, arrived.email, App(SECRET))
    methods = app.manage("GET", f"/users/{arrived.user_id}/authentication-methods")
    assert {one["id"] for one in methods} == before
    assert any("last_auth_at" in one for one in methods)
    assert installation.run(factors_of(installation.services.store, installation.tenant, arrived.user_id)).totp
