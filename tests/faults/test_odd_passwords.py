"""Odd passwords at every door: longer than bcrypt reads, with NUL, in several Unicode forms, empty, huge, no text.

bcrypt reads 72 bytes, so a new password that is longer is refused, never cut; a NUL ends a password in some programs,
so it is refused too; what one keyboard composes and another does not is the same password.
"""

import unicodedata

import httpx
import pytest

from tests.support.applications import Application
from tests.support.in_process import Installation

REALM = "http://auth0.com/oauth/grant-type/password-realm"
LONGEST = "Aa1-" + "x" * 68
REFUSED = {
    "73 bytes": LONGEST + "x",
    "72 characters of more bytes": "Aa1-" + "é" * 68,
    "4097 bytes": "Aa1-" + "x" * 4093,
    "100 kB": "Aa1-" + "x" * 100_000,
    "NUL inside": "Aa1-before\x00after",
    "NUL at the end": "Aa1-password\x00",
    "empty": "",
}


def sign_in(app: Application, email: str, password: str) -> httpx.Response:
    return app.token(REALM, realm=app.connection, username=email, password=password, scope="openid")


def sign_up(app: Application, email: str, password: object) -> httpx.Response:
    with app.http() as http:
        body = {"client_id": app.client_id, "connection": app.connection, "email": email, "password": password}
        return http.post("/dbconnections/signup", json=body)


@pytest.mark.parametrize("kind", REFUSED)
def test_a_password_that_cannot_be_kept_whole_is_refused_at_every_door(
    app: Application, installation: Installation, kind: str
) -> None:
    password = REFUSED[kind]
    email = f"{kind.replace(' ', '-')}@example.com"
    body = {"connection": app.connection, "email": email, "password": password}
    with installation.management() as api:
        assert api.post("/users", json=body).status_code == 400
        assert api.get("/users-by-email", params={"email": email}).json() == []
        user = app.add_user()
        changed = api.patch(f"/users/{user.user_id}", json={"password": password, "connection": app.connection})
        assert changed.status_code == 400
    assert sign_up(app, email, password).status_code == 400
    assert sign_in(app, user.email, user.password).status_code == 200
    assert sign_in(app, user.email, password).status_code in {400, 403}


def test_a_password_of_72_bytes_is_kept_whole(app: Application) -> None:
    user = app.add_user(password=LONGEST)
    assert sign_in(app, user.email, LONGEST).status_code == 200
    assert sign_in(app, user.email, LONGEST[:-1]).status_code == 403
    assert sign_in(app, user.email, LONGEST[:-1] + "y").status_code == 403


def test_a_nul_ends_no_password(app: Application) -> None:
    user = app.add_user(password="Aa1-password-9")
    for typed in ("Aa1-password-9\x00", "Aa1-password-9\x00more", "\x00Aa1-password-9"):
        assert sign_in(app, user.email, typed).status_code in {400, 403}


@pytest.mark.parametrize("kept", ["NFC", "NFD", "NFKC"])
@pytest.mark.parametrize("typed", ["NFC", "NFD"])
def test_composed_and_decomposed_are_the_same_password(app: Application, kept: str, typed: str) -> None:
    password = "Grüße-Ångström-ﬁn-9"
    forms = {name: unicodedata.normalize(name, password) for name in ("NFC", "NFD", "NFKC")}
    user = app.add_user(password=unicodedata.normalize("NFC", password) if kept == "NFKC" else forms[kept])
    assert sign_in(app, user.email, forms[typed]).status_code == 200
    assert sign_in(app, user.email, forms[typed].swapcase()).status_code == 403


def test_a_password_of_other_scripts_and_of_blanks_inside_is_taken_as_typed(app: Application) -> None:
    for password in (
        "пароль-Ж9-дом",
        "密碼-Aa1-很長的",
        "🦊🦊🦊-Aa1-🔑",
        "  Aa1 with blanks  ",
        "Aa1-\u200bzero\u202ewidth",
    ):
        user = app.add_user(password=password)
        assert sign_in(app, user.email, password).status_code == 200
        assert sign_in(app, user.email, password.strip() + "!").status_code == 403


@pytest.mark.parametrize("password", [None, 1, True, ["Aa1-password"], {"$ne": ""}])
def test_a_password_that_is_no_text_is_refused(app: Application, installation: Installation, password: object) -> None:
    body = {"connection": app.connection, "email": "typed@example.com", "password": password}
    with installation.management() as api:
        assert api.post("/users", json=body).status_code == 400
    answer = sign_up(app, "typed@example.com", password)
    assert answer.status_code == 400, answer.text
    user = app.add_user()
    with app.http() as http:
        asked = {"grant_type": REALM, "realm": app.connection, "username": user.email, "password": password}
        assert http.post("/oauth/token", json={**asked, **app.credentials()}).status_code in {400, 403}


def test_a_lone_surrogate_is_no_text(app: Application, installation: Installation) -> None:
    raw = b'{"connection": "%s", "email": "s@example.com", "password": "Aa1-\\ud800-long"}' % app.connection.encode()
    with installation.management() as api:
        answer = api.post("/users", content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == 400
