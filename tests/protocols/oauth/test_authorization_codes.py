"""Redeeming codes (RFC 6749 section 4.1.3; threats: authorization requests and codes)."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from freehold.protocols.oauth.errors import InvalidGrant
from freehold.protocols.oauth.pkce import verify_code_challenge
from tests.support.applications import Application, User, code_challenge, make_application, read_claims
from tests.support.hosted_pages import Page
from tests.support.in_process import Installation

WRONG_CODE = {"error": "invalid_grant", "error_description": "Invalid authorization code"}
WRONG_VERIFIER = {"error": "invalid_grant", "error_description": "Failed to verify code verifier"}
VERIFIER = "v" * 43


@pytest.fixture(scope="module")
def app(installation: Installation) -> Application:
    return make_application(installation)


@pytest.fixture(scope="module")
def ada(app: Application) -> User:
    return app.add_user()


@pytest.fixture
def callback(app: Application, ada: User) -> Page:
    return app.sign_in(ada)


def test_a_code_becomes_tokens_in_auth0s_order(app: Application, ada: User) -> None:
    callback = app.sign_in(ada, audience=app.audience, scope="openid offline_access read:orders other:scope")
    answer = app.redeem(callback)

    tokens = answer.json()
    assert list(tokens) == ["access_token", "refresh_token", "id_token", "scope", "expires_in", "token_type"]
    assert tokens["scope"] == "openid offline_access read:orders"
    assert (tokens["expires_in"], tokens["token_type"]) == (86_400, "Bearer")
    assert answer.headers["cache-control"] == "no-store"
    event = app.events(type="seacft")[0]
    assert (event["user_id"], event["client_id"]) == (ada.user_id, app.client_id)


def test_without_openid_there_is_no_id_token(app: Application, ada: User) -> None:
    tokens = app.redeem(app.sign_in(ada, scope=None)).json()
    assert list(tokens) == ["access_token", "expires_in", "token_type"]


def test_a_code_works_once_and_a_second_use_revokes_what_the_first_got(app: Application, ada: User) -> None:
    """RFC 6749 section 4.1.2"""
    callback = app.sign_in(ada, scope="openid offline_access")
    tokens = app.redeem(callback).json()
    assert app.userinfo(tokens["access_token"]).status_code == 200

    again = app.redeem(callback)

    assert (again.status_code, again.json()) == (403, WRONG_CODE)
    assert app.userinfo(tokens["access_token"]).status_code == 401
    assert app.refresh(tokens["refresh_token"]).status_code == 403
    assert app.events(type="feacft")[0]["description"] == "Invalid authorization code"


def test_a_second_use_also_revokes_a_jwt_at_userinfo(app: Application, ada: User) -> None:
    callback = app.sign_in(ada, audience=app.audience, scope="openid read:orders")
    token = app.redeem(callback).json()["access_token"]
    assert app.userinfo(token).status_code == 200
    app.redeem(callback)
    assert app.userinfo(token).status_code == 401


def test_of_many_redemptions_at_once_at_most_one_lasts(app: Application, ada: User) -> None:
    callback = app.sign_in(ada, scope="openid offline_access")
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: app.redeem(callback), range(10)))

    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    assert app.refresh(won[0]["refresh_token"]).status_code == 403


def test_a_code_lives_ten_minutes(app: Application, ada: User, installation: Installation) -> None:
    callback, late = app.sign_in(ada), app.sign_in(ada)
    installation.advance(599)
    assert app.redeem(callback).status_code == 200
    installation.advance(1)
    assert app.redeem(late).json() == WRONG_CODE


@pytest.mark.parametrize("code", ["wrong", "x" * 600, "ä", "a.b.c"])
def test_what_is_no_code_is_refused(app: Application, code: str) -> None:
    answer = app.token("authorization_code", code=code, redirect_uri=app.callback, code_verifier=VERIFIER)
    assert (answer.status_code, answer.json()) == (403, WRONG_CODE)


def test_a_cut_or_padded_code_is_refused(app: Application, callback: Page) -> None:
    """Zitadel CVE-2026-27840"""
    code = callback.query["code"]
    for changed in (code[:-1], code + "=", code + " ", " " + code, code.swapcase()):
        assert app.redeem(callback, code=changed).status_code == 403
    assert app.redeem(callback).status_code == 200


def test_a_missing_code_is_a_bad_request(app: Application) -> None:
    answer = app.token("authorization_code")
    assert answer.status_code == 400
    assert answer.json() == {"error": "invalid_request", "error_description": "Missing required parameter: code"}


def test_another_client_cannot_redeem_a_code_nor_burn_it(
    app: Application, callback: Page, installation: Installation
) -> None:
    other = make_application(installation)
    other.verifiers = app.verifiers

    assert other.redeem(callback).json() == WRONG_CODE
    assert app.redeem(callback).status_code == 200


@pytest.mark.parametrize("redirect_uri", [None, "https://app.example.com/callback/", "https://evil.test/"])
def test_the_redirect_uri_must_come_again(app: Application, callback: Page, redirect_uri: str | None) -> None:
    answer = app.redeem(callback, redirect_uri=redirect_uri)
    assert (answer.status_code, answer.json()["error"]) == (403, "invalid_grant")
    assert "redirect URI is wrong" in answer.json()["error_description"]


def test_a_redirect_uri_that_was_not_sent_need_not_come_again(app: Application, ada: User) -> None:
    callback = app.sign_in(ada, redirect_uri=None)
    assert app.redeem(callback, redirect_uri=None).status_code == 200


@pytest.mark.parametrize(
    "verifier", [None, "", "v" * 42, "v" * 129, "v" * 43, "ä" * 43, f"{'v' * 43}\n", "v" * 42 + " "]
)
def test_code_injection_fails_without_the_right_verifier(
    app: Application, callback: Page, verifier: str | None
) -> None:
    """RFC 9700 section 4.5; authentik CVE-2023-48228"""
    answer = app.redeem(callback, code_verifier=verifier)
    assert (answer.status_code, answer.json()) == (403, WRONG_VERIFIER)
    assert app.redeem(callback).status_code == 200


@pytest.mark.parametrize("verifier", [1, ["v" * 43], {"a": 1}, True])
def test_a_verifier_of_another_type_is_refused(app: Application, callback: Page, verifier: Any) -> None:
    body = {
        "grant_type": "authorization_code", "code": callback.query["code"], "redirect_uri": app.callback,
        "code_verifier": verifier, **app.credentials(),
    }  # fmt: skip
    with app.http() as http:
        answer = http.post("/oauth/token", json=body)
    assert answer.status_code in {400, 403}
    assert answer.json()["error"] in {"invalid_request", "invalid_grant"}


def test_a_verifier_without_a_challenge_is_refused(app: Application, ada: User) -> None:
    """RFC 9700 section 4.8.2: somebody took the challenge away on the way."""
    callback = app.sign_in(ada, pkce=False, state="s")
    assert app.redeem(callback, code_verifier=VERIFIER).json() == WRONG_VERIFIER
    assert app.redeem(callback, code_verifier=None).status_code == 200


def test_the_plain_method(app: Application, ada: User) -> None:
    for method in ("plain", None):
        callback = app.sign_in(ada, pkce=False, state="p", code_challenge=VERIFIER, code_challenge_method=method)
        assert app.redeem(callback, code_verifier=VERIFIER).status_code == 200


def test_a_public_client_needs_pkce(installation: Installation) -> None:
    """RFC 9700 section 2.1.1"""
    spa = make_application(installation, app_type="spa", token_endpoint_auth_method="none")
    ada = spa.add_user()

    assert spa.redeem(spa.sign_in(ada)).status_code == 200
    assert spa.redeem(spa.sign_in(ada, pkce=False, state="s"), code_verifier=None).json() == WRONG_VERIFIER


def test_the_user_is_looked_at_again(app: Application) -> None:
    bob, eve = app.add_user(), app.add_user()
    blocked, deleted = app.sign_in(bob), app.sign_in(eve)
    app.manage("PATCH", f"/users/{bob.user_id}", {"blocked": True})
    app.manage("DELETE", f"/users/{eve.user_id}")

    assert app.redeem(blocked).json() == {"error": "invalid_grant", "error_description": "user is blocked"}
    assert app.redeem(deleted).json() == WRONG_CODE


def test_the_clients_grant_and_connection_are_looked_at_again(installation: Installation) -> None:
    app = make_application(installation)
    ada = app.add_user()
    first, second = app.sign_in(ada), app.sign_in(ada)
    clients = f"/connections/{app.connection_id}/clients"

    app.change(grant_types=["client_credentials"])
    refused = app.redeem(first)
    assert (refused.status_code, refused.json()["error"]) == (403, "unauthorized_client")
    assert refused.json()["error_description"] == "Grant type 'authorization_code' not allowed for the client."
    app.change(grant_types=["authorization_code"])
    app.manage("PATCH", clients, [{"client_id": app.client_id, "status": False}])
    assert app.redeem(second).json() == WRONG_CODE


def test_a_role_that_was_taken_away_counts_when_the_code_is_redeemed(installation: Installation) -> None:
    app = make_application(installation)
    ada = app.add_user()
    [api] = [one for one in app.manage("GET", "/resource-servers") if one["identifier"] == app.audience]
    app.manage("PATCH", f"/resource-servers/{api['id']}", {"enforce_policies": True})
    permission = {"permissions": [{"resource_server_identifier": app.audience, "permission_name": "read:orders"}]}
    app.manage("POST", f"/users/{ada.user_id}/permissions", permission)
    kept, lost = (app.sign_in(ada, audience=app.audience, scope="openid read:orders") for _ in range(2))

    assert app.redeem(kept).json()["scope"] == "openid read:orders"
    app.manage("DELETE", f"/users/{ada.user_id}/permissions", permission)
    assert app.redeem(lost).json()["scope"] == "openid"


def test_an_api_that_is_gone_gets_no_tokens(installation: Installation) -> None:
    app = make_application(installation)
    callback = app.sign_in(app.add_user(), audience=app.audience, scope="openid read:orders")
    [api] = [one for one in app.manage("GET", "/resource-servers") if one["identifier"] == app.audience]
    app.manage("DELETE", f"/resource-servers/{api['id']}")

    answer = app.redeem(callback)

    assert answer.status_code == 403
    assert answer.json() == {"error": "access_denied", "error_description": f"Service not found: {app.audience}"}


# --- verify_code_challenge ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verifier", "challenge", "method", "right"),
    [
        ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "S256", True),
        (VERIFIER, code_challenge(VERIFIER), "S256", True),
        (VERIFIER, VERIFIER, "plain", True),
        (VERIFIER, VERIFIER, "S256", False),
        (VERIFIER, code_challenge(VERIFIER), "plain", False),
        (VERIFIER, code_challenge(VERIFIER) + "=", "S256", False),
        (None, None, None, True),
        (VERIFIER, None, None, False),
        (None, code_challenge(VERIFIER), "S256", False),
        ("", code_challenge(""), "S256", False),
    ],
)
def test_verifying_a_code_challenge(
    verifier: str | None, challenge: str | None, method: str | None, right: bool
) -> None:
    """RFC 7636 section 4.6 and appendix B"""
    if right:
        verify_code_challenge(verifier, challenge=challenge, method=method)
    else:
        with pytest.raises(InvalidGrant):
            verify_code_challenge(verifier, challenge=challenge, method=method)


def test_an_id_token_repeats_the_nonce_of_its_own_request(app: Application, ada: User) -> None:
    nonces = [secrets.token_urlsafe(8) for _ in range(2)]
    claims = [read_claims(app.log_in(ada, nonce=nonce)["id_token"]) for nonce in nonces]
    assert [one["nonce"] for one in claims] == nonces
