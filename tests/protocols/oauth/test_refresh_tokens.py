"""Exchanging refresh tokens (RFC 6749 section 6; RFC 9700 section 4.14; threats: grants and tokens)."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.applications import Application, User, make_application, read_claims
from tests.support.in_process import Installation

UNKNOWN = {"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."}
SCOPE = "openid email offline_access"
ROTATING = {
    "rotation_type": "rotating",
    "expiration_type": "expiring",
    "leeway": 0,
    "token_lifetime": 3600,
    "idle_token_lifetime": 1800,
}


@pytest.fixture(scope="module")
def app(installation: Installation) -> Application:
    """Rotates, without leeway."""
    return make_application(installation, refresh_token=ROTATING)


@pytest.fixture
def ada(app: Application) -> User:
    return app.add_user()


@pytest.fixture
def tokens(app: Application, ada: User) -> dict[str, Any]:
    return app.log_in(ada, scope=SCOPE)


def test_each_exchange_gives_a_new_token_and_ends_the_old_one(app: Application, tokens: dict[str, Any]) -> None:
    second = app.refresh(tokens["refresh_token"]).json()
    third = app.refresh(second["refresh_token"])

    assert third.status_code == 200
    assert list(second) == ["access_token", "refresh_token", "id_token", "scope", "expires_in", "token_type"]
    assert len({tokens["refresh_token"], second["refresh_token"], third.json()["refresh_token"]}) == 3
    assert second["scope"] == SCOPE
    assert app.events(type="sertft")


def test_a_reused_token_revokes_its_family(app: Application, tokens: dict[str, Any], ada: User) -> None:
    """RFC 9700 section 4.14.2"""
    second = app.refresh(tokens["refresh_token"]).json()

    reused = app.refresh(tokens["refresh_token"])

    assert (reused.status_code, reused.json()) == (403, UNKNOWN)
    assert app.refresh(second["refresh_token"]).json() == UNKNOWN
    event = app.events(type="ferrt")[0]
    assert event["user_id"] == ada.user_id
    assert event["details"]["familyId"]
    assert app.manage("GET", f"/users/{ada.user_id}/refresh-tokens")["tokens"] == []


def test_of_many_exchanges_at_once_one_wins_and_the_family_ends(app: Application, tokens: dict[str, Any]) -> None:
    """Keycloak CVE-2026-1035"""
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: app.refresh(tokens["refresh_token"]), range(10)))

    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    assert app.refresh(won[0]["refresh_token"]).json() == UNKNOWN


def test_within_the_leeway_the_token_before_is_taken_again(installation: Installation) -> None:
    app = make_application(installation, refresh_token={**ROTATING, "leeway": 30})
    first = app.log_in(app.add_user(), scope=SCOPE)["refresh_token"]
    second = app.refresh(first).json()["refresh_token"]

    again = app.refresh(first)
    assert again.status_code == 200
    assert app.refresh(second).status_code == 200
    installation.advance(31)
    assert app.refresh(first).json() == UNKNOWN
    assert app.refresh(again.json()["refresh_token"]).json() == UNKNOWN


def test_a_token_that_does_not_rotate_works_on(installation: Installation) -> None:
    app = make_application(installation)
    tokens = app.log_in(app.add_user(), scope=SCOPE)
    for _ in range(3):
        answer = app.refresh(tokens["refresh_token"])
        assert answer.status_code == 200
        assert "refresh_token" not in answer.json()
        installation.advance(400 * 86_400)


def test_a_token_ends_when_it_is_idle_and_at_last_for_good(
    app: Application, tokens: dict[str, Any], installation: Installation
) -> None:
    """The lifetime does not grow with rotation."""
    other = app.log_in(app.add_user(), scope=SCOPE)
    installation.advance(1799)
    second = app.refresh(tokens["refresh_token"]).json()
    installation.advance(1)
    assert app.refresh(other["refresh_token"]).json() == UNKNOWN
    installation.advance(1700)
    third = app.refresh(second["refresh_token"]).json()
    installation.advance(100)
    assert app.refresh(third["refresh_token"]).json() == UNKNOWN


def test_scopes_can_be_narrowed_and_never_widened(app: Application, ada: User) -> None:
    """RFC 6749 section 6. What an application asks for beyond what it got is left out, as at Auth0."""
    tokens = app.log_in(ada, audience=app.audience, scope="openid offline_access read:orders")
    narrow = app.refresh(tokens["refresh_token"], scope="openid").json()
    assert narrow["scope"] == "openid"
    assert read_claims(narrow["access_token"])["scope"] == "openid"

    wide = app.refresh(narrow["refresh_token"], scope="openid offline_access read:orders write:orders email").json()

    assert wide["scope"] == "openid offline_access read:orders"
    assert "email" not in read_claims(wide["id_token"])


def test_a_token_serves_no_other_api(app: Application, ada: User, installation: Installation) -> None:
    other = make_application(installation)
    tokens = app.log_in(ada, audience=app.audience, scope="offline_access read:orders")

    assert app.refresh(tokens["refresh_token"], audience=other.audience).json() == UNKNOWN
    same = app.refresh(tokens["refresh_token"], audience=app.audience)
    assert read_claims(same.json()["access_token"])["aud"] == app.audience


def test_another_client_can_neither_use_nor_revoke_a_token(
    app: Application, tokens: dict[str, Any], installation: Installation
) -> None:
    other = make_application(installation)

    assert other.refresh(tokens["refresh_token"]).json() == UNKNOWN
    with other.http() as http:
        body = {**other.credentials(), "token": tokens["refresh_token"]}
        assert http.post("/oauth/revoke", json=body).status_code == 200
    assert app.refresh(tokens["refresh_token"]).status_code == 200


@pytest.mark.parametrize("value", ["x", "x" * 600, "ä" * 50, "a b"])
def test_what_is_no_refresh_token_is_refused(app: Application, value: str) -> None:
    answer = app.refresh(value)
    assert (answer.status_code, answer.json()) == (403, UNKNOWN)


@pytest.mark.parametrize("grant", ["access_token", "id_token"])
def test_no_other_token_passes_for_one(app: Application, tokens: dict[str, Any], grant: str) -> None:
    assert app.refresh(tokens[grant]).json() == UNKNOWN
    assert app.userinfo(tokens["refresh_token"]).status_code == 401


def test_without_a_token_the_request_is_bad(app: Application) -> None:
    answer = app.token("refresh_token")
    assert answer.json()["error_description"] == "Missing required parameter: refresh_token"


def test_a_blocked_user_is_told_so_in_the_words_that_clients_read(
    app: Application, tokens: dict[str, Any], ada: User
) -> None:
    app.manage("PATCH", f"/users/{ada.user_id}", {"blocked": True})
    answer = app.refresh(tokens["refresh_token"])
    assert (answer.status_code, answer.json()["error"]) == (403, "invalid_grant")
    assert "user is blocked" in answer.json()["error_description"]


def test_a_deleted_users_token_is_refused_in_the_words_that_clients_read(
    app: Application, tokens: dict[str, Any], ada: User
) -> None:
    app.manage("DELETE", f"/users/{ada.user_id}")
    answer = app.refresh(tokens["refresh_token"])
    assert answer.status_code == 403
    assert answer.json() == {
        "error": "invalid_grant",
        "error_description": "The refresh_token was generated for a user who doesn't exist anymore.",
    }


def test_a_new_password_ends_the_users_tokens_and_sessions(
    app: Application, ada: User, installation: Installation
) -> None:
    """Sudhodanan & Paverd 2022: no session outlives the victim's new password."""
    browser = app.browser()
    tokens = app.log_in(ada, browser=browser, scope=SCOPE)
    app.manage("PATCH", f"/users/{ada.user_id}", {"password": "Brand-new-6-battery"})

    assert app.refresh(tokens["refresh_token"]).json() == UNKNOWN
    assert browser.open(app.authorize_url(prompt="none")).query["error"] == "login_required"


def test_what_a_token_needs_is_looked_at_at_every_exchange(installation: Installation) -> None:
    """Keycloak CVE-2026-93999: blocked users, disabled clients, connections, APIs."""
    app = make_application(installation)
    ada = app.add_user()
    token = app.log_in(ada, audience=app.audience, scope="openid offline_access read:orders")["refresh_token"]
    [api] = [one for one in app.manage("GET", "/resource-servers") if one["identifier"] == app.audience]
    clients, api_path = f"/connections/{app.connection_id}/clients", f"/resource-servers/{api['id']}"

    app.manage("PATCH", clients, [{"client_id": app.client_id, "status": False}])
    assert app.refresh(token).json() == UNKNOWN
    app.manage("PATCH", clients, [{"client_id": app.client_id, "status": True}])
    assert app.refresh(token).status_code == 200

    app.manage("PATCH", api_path, {"allow_offline_access": False})
    assert app.refresh(token).json() == UNKNOWN
    app.manage("PATCH", api_path, {"allow_offline_access": True})

    app.manage("PATCH", api_path, {"scopes": []})
    assert app.refresh(token).json()["scope"] == "openid offline_access"

    app.change(grant_types=["authorization_code"])
    assert app.refresh(token).json()["error"] == "unauthorized_client"
    app.change(grant_types=["authorization_code", "refresh_token"])
    app.manage("DELETE", api_path)
    assert app.refresh(token).json()["error_description"] == f"Service not found: {app.audience}"


@pytest.mark.parametrize(
    ("settings", "api", "given"),
    [
        ({}, {}, True),
        ({"grant_types": ["authorization_code"]}, {}, False),
        ({}, {"allow_offline_access": False}, False),
    ],
)
def test_offline_access_needs_the_grant_and_the_api(
    installation: Installation, settings: dict[str, Any], api: dict[str, Any], given: bool
) -> None:
    app = make_application(installation, **settings)
    [known] = [one for one in app.manage("GET", "/resource-servers") if one["identifier"] == app.audience]
    if api:
        app.manage("PATCH", f"/resource-servers/{known['id']}", api)
    tokens = app.log_in(app.add_user(), audience=app.audience, scope="openid offline_access")

    assert ("refresh_token" in tokens) is given
    assert ("offline_access" in tokens["scope"]) is given


def test_later_id_tokens_say_what_the_first_one_said(app: Application, ada: User, installation: Installation) -> None:
    """OpenID Connect Core section 12.2"""
    first = app.log_in(ada, scope=SCOPE, max_age="600", nonce="n")
    before = read_claims(first["id_token"])
    installation.advance(60)
    after = read_claims(app.refresh(first["refresh_token"]).json()["id_token"])

    assert {name: after[name] for name in ("iss", "sub", "aud", "auth_time", "sid")} == {
        name: before[name] for name in ("iss", "sub", "aud", "auth_time", "sid")
    }
    assert after["iat"] == before["iat"] + 60
    assert "nonce" not in after


def test_revoking_a_token_ends_its_family_and_its_access_token(app: Application, tokens: dict[str, Any]) -> None:
    """RFC 7009"""
    second = app.refresh(tokens["refresh_token"]).json()
    with app.http() as http:
        answer = http.post("/oauth/revoke", json={**app.credentials(), "token": second["refresh_token"]})
        unknown = http.post("/oauth/revoke", data={**app.credentials(), "token": "whatever"})

    assert (answer.status_code, answer.content) == (200, b"")
    assert (unknown.status_code, unknown.content) == (200, b"")
    assert app.refresh(second["refresh_token"]).json() == UNKNOWN
    assert app.userinfo(second["access_token"]).status_code == 401


def test_revoking_needs_the_client_and_a_token(app: Application, tokens: dict[str, Any]) -> None:
    """Doorkeeper CVE-2018-1000211"""
    with app.http() as http:
        wrong = {"client_id": app.client_id, "client_secret": "wrong", "token": tokens["refresh_token"]}
        refused = http.post("/oauth/revoke", json=wrong)
        nothing = http.post("/oauth/revoke", json=app.credentials())

    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert nothing.status_code == 400
    assert app.refresh(tokens["refresh_token"]).status_code == 200


def test_a_tenant_may_revoke_all_of_a_users_tokens_of_the_application_at_once(
    app: Application, ada: User, installation: Installation
) -> None:
    one, two = (app.log_in(ada, scope=SCOPE) for _ in range(2))
    with installation.settings(flags={"revoke_refresh_token_grant": True}), app.http() as http:
        http.post("/oauth/revoke", json={**app.credentials(), "token": one["refresh_token"]})
    assert app.refresh(two["refresh_token"]).json() == UNKNOWN
