"""Sign-ins against a database of the tenant's own, asked by scripts that really run."""

import contextlib
import json
import sqlite3
from typing import Any

import pytest

from tests.support.applications import Application, make_application
from tests.support.server import LiveServer

REALM = "http://auth0.com/oauth/grant-type/password-realm"
LOGIN = """function login(email, password, callback) {
    const known = JSON.parse(configuration.PEOPLE)[email];
    if (email === 'broken@example.com') throw new Error('connection refused by 10.0.0.7');
    if (email === 'stopped@example.com') return callback(new UnauthorizedError('Please call us.'));
    if (!known || known.password !== password) return callback(new WrongUsernameOrPasswordError(email, 'no'));
    callback(null, { user_id: known.id, email: email, name: known.name, app_metadata: { from: 'legacy' },
        mfa_factors: known.mfa_factors });
}"""
PASSWORD = "legacy-Password-1!"
PEOPLE = json.dumps({"ada@example.com": {"id": "legacy-1", "password": PASSWORD, "name": "Ada"}})


@pytest.fixture
def app(tenant: LiveServer) -> Application:
    return make_application(tenant)


def customise(app: Application, *, people: str = PEOPLE, **options: Any) -> None:
    app.change_connection(
        enabledDatabaseCustomization=True, customScripts={"login": LOGIN}, configuration={"PEOPLE": people}, **options
    )


def sign_in(app: Application, email: str = "ada@example.com", password: str = PASSWORD) -> Any:
    return app.token(REALM, username=email, password=password, realm=app.connection, scope="openid")


def test_the_database_is_asked_each_time_and_no_secret_stays_here(app: Application, tenant: LiveServer) -> None:
    customise(app)

    assert sign_in(app).status_code == 200
    user = app.manage("GET", "/users/auth0|legacy-1")
    assert (user["email"], user["name"], user["app_metadata"]) == ("ada@example.com", "Ada", {"from": "legacy"})
    customise(app, people=PEOPLE.replace(PASSWORD, "changed-Over-There-2").replace('"Ada"', '"Ada L"'))
    assert sign_in(app).status_code == 403
    assert sign_in(app, password="changed-Over-There-2").status_code == 200
    assert app.manage("GET", "/users/auth0|legacy-1")["name"] == "Ada L"
    with contextlib.closing(sqlite3.connect(tenant.data / "freehold.db")) as database:
        assert database.execute("select count(*) from vault where owner like '%legacy-1%'").fetchone() == (0,)
    for file in tenant.data.glob("freehold.db*"):
        assert PASSWORD.encode() not in file.read_bytes()


def test_with_import_mode_the_first_sign_in_brings_the_user_here_for_good(app: Application) -> None:
    customise(app, import_mode=True)

    assert sign_in(app, password="wrong").status_code == 403
    assert sign_in(app).status_code == 200
    customise(app, people="{}", import_mode=True)

    assert sign_in(app).status_code == 200
    assert sign_in(app, password="wrong").status_code == 403


def test_the_hosted_page_asks_too(app: Application) -> None:
    customise(app)
    browser = app.browser()

    page = browser.sign_in(app.authorize_url(), "ada@example.com", "wrong")
    assert page.alerts == ["Wrong email or password."]
    done = browser.submit(page, username="ada@example.com", password=PASSWORD)

    assert app.redeem(done).status_code == 200


@pytest.mark.parametrize(("email", "words"), [
    ("broken@example.com", "Something went wrong on our side. Please try again later."),
    ("stopped@example.com", "Please call us."),
])  # fmt: skip
def test_a_script_that_fails_says_nothing_of_itself(app: Application, email: str, words: str) -> None:
    customise(app)

    page = app.browser().sign_in(app.authorize_url(), email, "x")
    answer = sign_in(app, email, "x")

    assert page.alerts == [words]
    assert (answer.status_code, answer.json()["error_description"]) == (403, words)
    assert "10.0.0.7" not in page.text + answer.text


def test_factors_come_along(app: Application) -> None:
    people = PEOPLE.replace('"name"', '"mfa_factors": [{"totp": {"secret": "JBSWY3DPEHPK3PXP"}}], "name"')
    customise(app, people=people, import_mode=True)

    assert sign_in(app).status_code == 200
    found = app.manage("GET", "/users/auth0|legacy-1/authentication-methods")
    assert [method["type"] for method in found] == ["totp"]


def test_factors_that_are_none_are_left_out(app: Application) -> None:
    odd: list[Any] = [{"totp": 5}, {"totp": {"secret": {}}}, {"phone": {"value": "x"}}, {}, 7, {"email": {"value": []}}]
    factors = [*odd, {"totp": {"secret": "JBSWY3DPEHPK3PXP"}}, *odd * 50]
    known = {"id": "legacy-1", "password": PASSWORD, "name": "Ada", "mfa_factors": factors}
    customise(app, people=json.dumps({"ada@example.com": known}), import_mode=True)

    assert sign_in(app).status_code == 200
    found = app.manage("GET", "/users/auth0|legacy-1/authentication-methods")
    assert [method["type"] for method in found] == ["totp"]
    assert any(entry["type"] == "fu" for entry in app.manage("GET", "/logs"))
