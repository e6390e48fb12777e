"""The MFA API and its grants: what a password grant gets when a second factor is asked for, and what it takes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from freehold.domain.authenticators import MULTI_FACTOR
from tests.support.applications import Application, User, make_application, read_claims
from tests.support.in_process import Installation
from tests.support.second_factors import App, asked_for, enrol, give_app

REALM = "http://auth0.com/oauth/grant-type/password-realm"
OTP, RECOVERY, OOB = (f"http://auth0.com/oauth/grant-type/mfa-{kind}" for kind in ("otp", "recovery-code", "oob"))


@pytest.fixture(scope="module")
def app(installation: Installation) -> Application:
    return make_application(installation)


@pytest.fixture
def ada(app: Application) -> User:
    return app.add_user()


@pytest.fixture
def always(installation: Installation) -> Iterator[None]:
    with asked_for(installation, "all-applications"):
        yield


def password(app: Application, user: User, **params: Any) -> httpx.Response:
    return app.token(REALM, realm=app.connection, username=user.email, password=user.password, **params)


def mfa_token(app: Application, user: User, **params: Any) -> str:
    answer = password(app, user, **params)
    assert answer.status_code == 403, answer.text
    token: str = answer.json()["mfa_token"]
    return token


def call(app: Application, method: str, path: str, token: str, body: Any = None) -> httpx.Response:
    with app.http() as http:
        return http.request(method, f"/mfa/{path}", json=body, headers={"authorization": f"Bearer {token}"})


def challenge(app: Application, token: str, **params: Any) -> httpx.Response:
    with app.http() as http:
        return http.post("/mfa/challenge", json={"mfa_token": token, **app.credentials(), **params})


def associate(app: Application, token: str) -> httpx.Response:
    return call(app, "POST", "associate", token, {"authenticator_types": ["otp"], **app.credentials()})


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def code_of(installation: Installation, held: App) -> str:
    return held.code(installation.clock.now())


@pytest.mark.usefixtures("always")
def test_a_right_password_gets_an_mfa_token_and_no_more(app: Application, ada: User) -> None:
    answer = password(app, ada)
    body = answer.json()

    assert answer.status_code == 403
    assert body.pop("mfa_token")
    assert body == {
        "error": "mfa_required",
        "error_description": "Multifactor authentication required",
        "mfa_requirements": {"enroll": [{"type": "otp"}]},
    }
    wrong = app.token(REALM, realm=app.connection, username=ada.email, password="wrong")
    assert error(wrong) == (403, "invalid_grant")
    assert {event["type"] for event in app.events()} >= {"mfar", "fepft"}


@pytest.mark.usefixtures("always")
def test_the_code_gets_what_the_password_asked_for(installation: Installation, app: Application, ada: User) -> None:
    held = give_app(app, ada)
    token = mfa_token(app, ada, audience=app.audience, scope="openid read:orders offline_access")
    assert challenge(app, token).json() == {"challenge_type": "otp"}
    answer = app.token(OTP, mfa_token=token, otp=code_of(installation, held))

    tokens = answer.json()
    assert answer.status_code == 200, answer.text
    assert set(read_claims(tokens["access_token"])["scope"].split()) == {"openid", "read:orders", "offline_access"}
    claims = read_claims(tokens["id_token"])
    assert (claims["amr"], claims["acr"]) == (["mfa"], MULTI_FACTOR)
    refreshed = app.refresh(tokens["refresh_token"]).json()
    assert read_claims(refreshed["id_token"])["amr"] == ["mfa"]
    assert {event["type"] for event in app.events()} >= {"seotpft", "gd_auth_succeed"}


@pytest.mark.usefixtures("always")
def test_a_first_factor_is_enrolled_with_the_mfa_token(installation: Installation, app: Application, ada: User) -> None:
    token = mfa_token(app, ada)
    assert error(challenge(app, token)) == (403, "association_required")
    made = associate(app, token).json()
    held = App(made["secret"])
    assert made["authenticator_type"] == "otp"
    assert made["barcode_uri"].startswith(f"otpauth://totp/main:{ada.email}?secret={made['secret']}&issuer=main")
    assert len(made["recovery_codes"][0]) == 24
    listed = call(app, "GET", "authenticators", token).json()
    assert [(one["authenticator_type"], one["active"]) for one in listed] == [("recovery-code", False), ("otp", False)]
    assert app.token(OTP, mfa_token=token, otp="000000").json() == {
        "error": "invalid_grant",
        "error_description": "Invalid otp_code.",
    }
    assert app.token(OTP, mfa_token=token, otp=code_of(installation, held)).status_code == 200

    token = mfa_token(app, ada)
    listed = call(app, "GET", "authenticators", token).json()
    assert {(one["authenticator_type"], one["active"]) for one in listed} == {("otp", True), ("recovery-code", True)}
    answer = app.token(RECOVERY, mfa_token=token, recovery_code=made["recovery_codes"][0])
    assert answer.status_code == 200, answer.text


@pytest.mark.usefixtures("always")
def test_an_mfa_token_enrols_nothing_beside_a_factor_and_removes_none(
    installation: Installation, app: Application, ada: User
) -> None:
    early = mfa_token(app, ada)
    made = associate(app, early).json()
    give_app(app, ada)
    late = mfa_token(app, ada)
    for token in (early, late):
        assert error(associate(app, token)) == (403, "access_denied")
        assert error(app.token(OTP, mfa_token=token, otp=code_of(installation, App(made["secret"])))) == (
            403,
            "invalid_grant",
        )
    listed = call(app, "GET", "authenticators", late).json()
    for one in listed:
        assert call(app, "DELETE", f"authenticators/{one['id']}", late).status_code == 403
    assert len(call(app, "GET", "authenticators", late).json()) == len(listed)


def test_an_access_token_of_the_mfa_api_enrols_lists_and_removes(
    installation: Installation, app: Application, ada: User
) -> None:
    scope = "enroll read:authenticators remove:authenticators"
    audience = f"{installation.issuer}mfa/"
    with asked_for(installation):
        tokens = password(app, ada, audience=audience, scope=scope).json()
        assert tokens["expires_in"] == 600
        access = tokens["access_token"]
        held = App(associate(app, access).json()["secret"])
        assert app.token(OTP, mfa_token=access, otp=code_of(installation, held)).status_code == 200

        token = mfa_token(app, ada, audience=audience, scope=scope)
        installation.clock.advance(seconds=30)
        access = app.token(OTP, mfa_token=token, otp=code_of(installation, held)).json()["access_token"]
        second = App(associate(app, access).json()["secret"])
        assert app.token(OTP, mfa_token=access, otp=code_of(installation, second)).status_code == 200
        apps = [
            one["id"] for one in call(app, "GET", "authenticators", access).json() if one["authenticator_type"] == "otp"
        ]
        assert len(apps) == 2
        assert call(app, "DELETE", f"authenticators/{apps[0]}", access).status_code == 204
        assert call(app, "DELETE", f"authenticators/{apps[0]}", access).status_code == 404
        narrow = password(app, app.add_user(), audience=audience, scope="enroll").json()["access_token"]
        assert error(call(app, "GET", "authenticators", narrow)) == (403, "insufficient_scope")


@pytest.mark.usefixtures("always")
def test_a_recovery_code_works_once_and_brings_the_next(
    installation: Installation, app: Application, ada: User
) -> None:
    _, first, _ = enrol(installation, app, ada, app.browser())
    answer = app.token(RECOVERY, mfa_token=mfa_token(app, ada), recovery_code=first)
    second = answer.json()["recovery_code"]
    assert answer.status_code == 200

    again = app.token(RECOVERY, mfa_token=mfa_token(app, ada), recovery_code=first)
    assert again.json() == {"error": "invalid_grant", "error_description": "Invalid recovery code."}
    assert app.token(RECOVERY, mfa_token=mfa_token(app, ada), recovery_code=second).status_code == 200
    assert {event["type"] for event in app.events()} >= {"sercft", "fercft", "gd_recovery_succeed"}


@pytest.mark.usefixtures("always")
def test_an_mfa_token_is_for_one_client_one_use_and_ten_minutes(
    installation: Installation, app: Application, ada: User
) -> None:
    held = give_app(app, ada)
    other = make_application(installation)
    token = mfa_token(app, ada)
    assert error(other.token(OTP, mfa_token=token, otp=code_of(installation, held))) == (403, "invalid_grant")
    assert error(challenge(other, token)) == (403, "invalid_grant")
    assert app.token(OTP, mfa_token=token, otp=code_of(installation, held)).status_code == 200
    installation.clock.advance(seconds=30)
    assert error(app.token(OTP, mfa_token=token, otp=code_of(installation, held))) == (403, "invalid_grant")

    token = mfa_token(app, ada)
    installation.advance(601)
    assert error(app.token(OTP, mfa_token=token, otp=code_of(installation, held))) == (403, "expired_token")
    assert call(app, "GET", "authenticators", token).status_code == 401


@pytest.mark.usefixtures("always")
def test_mobile_sdks_know_a_bad_mfa_token_by_its_words(installation: Installation, app: Application, ada: User) -> None:
    """They compare code and text: `isMultifactorTokenInvalid` in Auth0.Android and Auth0.swift."""
    held = give_app(app, ada)
    token = mfa_token(app, ada)
    code = code_of(installation, held)

    malformed = app.token(OTP, mfa_token=token[:-4], otp=code).json()
    installation.advance(601)
    expired = [app.token(OTP, mfa_token=token, otp=code).json(), challenge(app, token).json()]

    assert malformed == {"error": "invalid_grant", "error_description": "Malformed mfa_token"}
    assert expired == [{"error": "expired_token", "error_description": "mfa_token is expired"}] * 2


@pytest.mark.usefixtures("always")
def test_an_mfa_token_is_nothing_else(installation: Installation, app: Application, ada: User) -> None:
    give_app(app, ada)
    token = mfa_token(app, ada)
    assert app.userinfo(token).status_code == 401
    assert app.browser().open(f"/authorize/resume?state={token}").status == 400
    assert app.browser().open(f"/u/mfa-otp-challenge?state={token}").status == 400
    assert app.token("refresh_token", refresh_token=token).status_code == 403
    page = app.browser().open(app.authorize_url())
    assert call(app, "GET", "authenticators", page.query["state"]).status_code == 401
    assert error(app.token(OTP, mfa_token=page.query["state"], otp="000000")) == (403, "invalid_grant")


@pytest.mark.usefixtures("always")
def test_what_the_server_cannot_ask_for_is_said_clearly(app: Application, ada: User) -> None:
    give_app(app, ada)
    token = mfa_token(app, ada)
    assert error(challenge(app, token, challenge_type="oob")) == (400, "unsupported_challenge_type")
    assert error(challenge(app, token, authenticator_id="totp|dev_other")) == (400, "unsupported_challenge_type")
    assert challenge(app, token, challenge_type="otp oob").json() == {"challenge_type": "otp"}
    assert error(app.token(OOB, mfa_token=token, oob_code="x")) == (403, "invalid_grant")
    other = mfa_token(app, app.add_user())
    refused = call(app, "POST", "associate", other, {"authenticator_types": ["oob"], "oob_channels": ["sms"]})
    assert error(refused) == (400, "unsupported_authenticator_type")


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("body", [{}, {"authenticator_types": []}, {"authenticator_types": "otp"}])
def test_a_malformed_association_is_refused(app: Application, ada: User, body: dict[str, Any]) -> None:
    assert error(call(app, "POST", "associate", mfa_token(app, ada), body)) == (400, "invalid_request")


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer made-up", "Basic eDp5", "Bearer a.b.c", "Bearer ü"])
def test_without_a_token_of_ours_nothing_is_told(app: Application, header: str) -> None:
    with app.http() as http:
        for method, path in (("GET", "authenticators"), ("POST", "associate"), ("DELETE", "authenticators/totp|dev_x")):
            answer = http.request(method, f"/mfa/{path}", headers=[(b"authorization", header.encode("latin-1"))])
            assert answer.status_code == 401, (method, path, answer.text)


@pytest.mark.usefixtures("always")
def test_guessing_in_parallel_gains_nothing(installation: Installation, app: Application, ada: User) -> None:
    held = give_app(app, ada)
    token_of = [mfa_token(app, ada) for _ in range(4)]

    def guess(number: int) -> int:
        return app.token(OTP, mfa_token=token_of[number % 4], otp=f"{number:06}").status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(guess, range(40)))
    assert answers.count(403) == 10
    assert answers.count(429) == 30
    blocked = app.token(OTP, mfa_token=mfa_token(app, ada), otp=code_of(installation, held))
    assert error(blocked) == (429, "too_many_attempts")
    browser = app.browser()
    page = browser.sign_in(app.authorize_url(), ada.email, ada.password)
    assert browser.submit(page, code=code_of(installation, held)).status == 429
    assert len(app.events(type="gd_otp_rate_limit_exceed")) == 1


@pytest.mark.usefixtures("always")
def test_of_many_requests_with_one_code_one_succeeds(installation: Installation, app: Application, ada: User) -> None:
    held = give_app(app, ada)
    tokens = [mfa_token(app, ada) for _ in range(6)]
    code = code_of(installation, held)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda token: app.token(OTP, mfa_token=token, otp=code).status_code, tokens))
    assert sorted(answers) == [200, 403, 403, 403, 403, 403]


@pytest.mark.usefixtures("always")
def test_of_many_requests_with_one_recovery_code_one_succeeds(
    installation: Installation, app: Application, ada: User
) -> None:
    _, code, _ = enrol(installation, app, ada, app.browser())
    tokens = [mfa_token(app, ada) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda token: app.token(RECOVERY, mfa_token=token, recovery_code=code).status_code, tokens)
        )
    assert sorted(answers) == [200, 403, 403, 403]


@pytest.mark.usefixtures("always")
def test_a_client_needs_the_grant(installation: Installation, app: Application, ada: User) -> None:
    held = give_app(app, ada)
    grants = app.manage("GET", f"/clients/{app.client_id}")["grant_types"]
    token = mfa_token(app, ada)
    app.change(grant_types=[grant for grant in grants if grant != OTP])
    try:
        answer = app.token(OTP, mfa_token=token, otp=code_of(installation, held))
        assert error(answer) == (403, "unauthorized_client")
    finally:
        app.change(grant_types=grants)


@pytest.mark.usefixtures("always")
def test_who_is_blocked_or_gone_meanwhile_gets_nothing(installation: Installation, app: Application, ada: User) -> None:
    held, bob = give_app(app, ada), app.add_user()
    token, other = mfa_token(app, ada), mfa_token(app, bob)
    app.manage("PATCH", f"/users/{ada.user_id}", {"blocked": True})
    app.manage("DELETE", f"/users/{bob.user_id}")
    assert error(app.token(OTP, mfa_token=token, otp=code_of(installation, held))) == (403, "unauthorized")
    assert error(app.token(OTP, mfa_token=other, otp="000000")) == (403, "invalid_grant")


def test_the_mfa_api_cannot_be_taken_over_by_another_api(installation: Installation, app: Application) -> None:
    body = {"name": "Mine", "identifier": f"{installation.issuer}mfa/"}
    with installation.management() as api:
        assert api.post("/resource-servers", json=body).status_code == 400
