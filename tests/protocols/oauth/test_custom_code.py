"""Rules and post-login actions in sign-ins and token grants of a live server."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.support.applications import Application, User, make_application, read_claims
from tests.support.second_factors import give_app
from tests.support.server import LiveServer


@pytest.fixture
def app(tenant: LiveServer) -> Application:
    return make_application(tenant)


@pytest.fixture
def ada(app: Application) -> User:
    return app.add_user()


REALM = "http://auth0.com/oauth/grant-type/password-realm"
OTP = "http://auth0.com/oauth/grant-type/mfa-otp"


def password_of(app: Application, user: User) -> dict[str, Any]:
    return {"username": user.email, "password": user.password, "realm": app.connection}


def rule(app: Application, body: str) -> None:
    script = f"function (user, context, callback) {{ {body} }}"
    app.manage("POST", "/rules", {"name": "a rule", "script": script})


def action(app: Application, code: str, *, name: str = "an action") -> None:
    given = {"name": name, "supported_triggers": [{"id": "post-login"}], "code": code, "deploy": True}
    app.manage("POST", "/actions/actions", given)
    bound = app.manage("GET", "/actions/triggers/post-login/bindings")["bindings"]
    refs = [*({"ref": {"type": "binding_id", "value": each["id"]}} for each in bound),
            {"ref": {"type": "action_name", "value": name}}]  # fmt: skip
    app.manage("PATCH", "/actions/triggers/post-login/bindings", {"bindings": refs})


CLAIMS = """exports.onExecutePostLogin = async (event, api) => {
    api.idToken.setCustomClaim('https://acme.example/protocol', event.transaction.protocol);
    api.accessToken.setCustomClaim('https://acme.example/plan', 'paid');
    api.idToken.setCustomClaim('sub', 'somebody else');
    api.user.setAppMetadata('seen', event.stats.logins_count);
};"""


def test_claims_and_metadata_by_the_hosted_sign_in(app: Application, ada: User) -> None:
    action(app, CLAIMS)

    tokens = app.log_in(ada, audience=app.audience)

    claims = read_claims(tokens["id_token"])
    assert claims["https://acme.example/protocol"] == "oidc-basic-profile"
    assert claims["sub"] == ada.user_id
    assert read_claims(tokens["access_token"])["https://acme.example/plan"] == "paid"
    assert app.manage("GET", f"/users/{ada.user_id}")["app_metadata"]["seen"] >= 1


def test_userinfo_tells_the_claims_of_the_id_token(app: Application, ada: User) -> None:
    """Libraries that never read an ID token (passport-auth0) take roles and the like from there."""
    action(
        app,
        """exports.onExecutePostLogin = async (e, api) => {
            api.idToken.setCustomClaim('https://acme.example/roles', ['admin']);
            api.idToken.setCustomClaim('sub', 'auth0|somebody-else');
            api.accessToken.setCustomClaim('https://acme.example/plan', 'paid');
        };""",
    )
    hosted, granted = app.log_in(ada), app.token(REALM, **password_of(app, ada), scope="openid").json()

    for tokens in (hosted, granted):
        with app.http() as http:
            told = http.get("/userinfo", headers={"authorization": f"Bearer {tokens['access_token']}"}).json()
        assert told["https://acme.example/roles"] == ["admin"]
        assert told["sub"] == ada.user_id
        assert "https://acme.example/plan" not in told


def test_code_is_told_what_the_application_asked_not_what_our_pages_did(app: Application, ada: User) -> None:
    rule(app, "context.idToken['https://acme.example/rule'] = context.request.query; callback(null, user, context);")
    action(
        app,
        """exports.onExecutePostLogin = async (event, api) => {
            api.idToken.setCustomClaim('https://acme.example/action', event.request.query);
        };""",
    )

    asked: dict[str, Any] = {"state": "of the app", "campaign": "spring", "ext-colour": "red"}
    claims = read_claims(app.log_in(ada, **asked)["id_token"])

    told = claims["https://acme.example/action"]
    assert told == claims["https://acme.example/rule"]
    assert told.items() >= {**asked, "client_id": app.client_id, "response_type": "code"}.items()
    assert "response_mode" not in told


def test_claims_that_are_too_many_for_a_header_stay_out_of_the_opaque_token(app: Application, ada: User) -> None:
    action(
        app,
        """exports.onExecutePostLogin = async (e, api) => {
            api.idToken.setCustomClaim('https://acme.example/much', 'x'.repeat(5000));
        };""",
    )

    tokens = app.log_in(ada)

    assert len(read_claims(tokens["id_token"])["https://acme.example/much"]) == 5000
    with app.http() as http:
        told = http.get("/userinfo", headers={"authorization": f"Bearer {tokens['access_token']}"})
    assert told.json()["sub"] == ada.user_id
    assert "https://acme.example/much" not in told.json()


def test_a_rule_speaks_first_and_refuses_with_its_own_words(app: Application, ada: User) -> None:
    rule(app, "callback(new UnauthorizedError('Not on Sundays.'))")
    action(app, CLAIMS)

    page = app.sign_in(ada, state="s")

    assert (page.query["error"], page.query["error_description"]) == ("unauthorized", "Not on Sundays.")
    assert "seen" not in app.manage("GET", f"/users/{ada.user_id}").get("app_metadata", {})


def test_password_and_refresh_grants_run_code_too(app: Application, ada: User) -> None:
    rule(
        app,
        """context.idToken['https://acme.example/protocol'] = context.protocol;
        context.accessToken['https://acme.example/n'] = 1; callback(null, user, context);""",
    )

    first = app.token(REALM, **password_of(app, ada), scope="openid offline_access", audience=app.audience).json()
    second = app.refresh(first["refresh_token"]).json()

    assert read_claims(first["id_token"])["https://acme.example/protocol"] == "oauth2-password"
    assert read_claims(second["id_token"])["https://acme.example/protocol"] == "oauth2-refresh-token"
    assert read_claims(second["access_token"])["https://acme.example/n"] == 1


def test_a_denied_password_grant(app: Application, ada: User) -> None:
    action(app, "exports.onExecutePostLogin = async (e, api) => { api.access.deny('Not you.'); };")

    answer = app.token(REALM, **password_of(app, ada), scope="openid")

    assert answer.status_code == 403
    assert answer.json() == {"error": "access_denied", "error_description": "Not you."}


def test_metadata_by_the_restricted_client_of_rules(app: Application, ada: User) -> None:
    rule(
        app,
        """auth0.users.updateAppMetadata(user.user_id, { by: 'rule' }).then(
        () => auth0.users.updateUserMetadata('auth0|somebody-else', { x: 1 })
    ).then(() => callback(null, user, context), (error) => {
        context.idToken['https://acme.example/refused'] = error.message; callback(null, user, context); });""",
    )

    tokens = app.log_in(ada)

    assert app.manage("GET", f"/users/{ada.user_id}")["app_metadata"] == {"by": "rule"}
    assert "who is signing in" in read_claims(tokens["id_token"])["https://acme.example/refused"]


REDIRECT = """
exports.onExecutePostLogin = async (event, api) => {
    const token = api.redirect.encodeToken({ secret: 'hush-hush', payload: { asked: true } });
    api.redirect.sendUserTo('https://ask.example/form?a=1', { query: { session_token: token } });
};
exports.onContinuePostLogin = async (event, api) => {
    const { asked } = api.redirect.validateToken({ secret: 'hush-hush' });
    api.idToken.setCustomClaim('https://acme.example/asked', asked && event.request.query.colour);
};"""


def test_an_action_sends_the_user_away_and_goes_on_when_they_come_back(app: Application, ada: User) -> None:
    action(app, "exports.onExecutePostLogin = async (e, a) => { a.idToken.setCustomClaim('https://x.example/1', 1); };")
    action(app, REDIRECT, name="redirecting")
    browser = app.browser()

    away = browser.sign_in(app.authorize_url(), ada.email, ada.password)
    assert urlsplit(away.url).netloc == "ask.example"
    back = {"state": away.query["state"], "session_token": away.query["session_token"], "colour": "red"}
    assert app.browser().open("/continue?" + urlencode(back)).status == 400  # another browser
    assert browser.open("/authorize/resume?" + urlencode({"state": away.query["state"]})).status == 400
    done = browser.open("/continue?" + urlencode(back))

    claims = read_claims(app.redeem(done).json()["id_token"])
    assert (claims["https://acme.example/asked"], claims["https://x.example/1"]) == ("red", 1)
    assert browser.open("/continue?" + urlencode(back)).status == 400  # once only


def test_a_rule_sends_the_user_away_also_from_a_session_and_never_silently(app: Application, ada: User) -> None:
    browser = app.browser()
    app.log_in(ada, browser=browser)
    rule(
        app,
        """if (context.protocol !== 'redirect-callback') context.redirect = { url: 'https://ask.example/' };
        context.idToken['https://x.example/p'] = context.protocol; callback(null, user, context);""",
    )

    silent = browser.open(app.authorize_url(prompt="none"))
    assert silent.query["error"] == "interaction_required"
    away = browser.open(app.authorize_url())
    assert urlsplit(away.url).netloc == "ask.example"
    done = browser.open("/continue?" + urlencode({"state": away.query["state"]}))

    assert read_claims(app.redeem(done).json()["id_token"])["https://x.example/p"] == "redirect-callback"


def test_code_that_wants_a_second_factor_gets_one_set_up(app: Application, ada: User) -> None:
    app.manage("PUT", "/guardian/factors/otp", {"enabled": True})
    action(app, "exports.onExecutePostLogin = async (e, api) => { api.multifactor.enable('any'); };")

    page = app.browser().sign_in(app.authorize_url(), ada.email, ada.password)

    assert page.path == "/u/mfa-otp-enrollment-qr"
    answer = app.token(REALM, **password_of(app, ada), scope="openid")
    assert (answer.status_code, answer.json()["error"]) == (403, "mfa_required")


def test_code_can_want_a_second_factor_of_a_refresh_token(app: Application, ada: User) -> None:
    """SDKs read the mfa_token out of the answer to a refresh and go on with the grants of the MFA API."""
    tokens = app.log_in(ada, scope="openid offline_access")
    app.manage("PUT", "/guardian/factors/otp", {"enabled": True})
    action(app, "exports.onExecutePostLogin = async (e, api) => { api.multifactor.enable('any'); };")
    held = give_app(app, ada)

    refused = app.refresh(tokens["refresh_token"])

    told = refused.json()
    assert (refused.status_code, told["error"]) == (403, "mfa_required")
    assert told["mfa_requirements"] == {"challenge": [{"type": "otp"}]}
    shown = app.token(OTP, mfa_token=told["mfa_token"], otp=held.code(datetime.now(UTC))).json()
    assert read_claims(shown["id_token"])["sid"] == read_claims(tokens["id_token"])["sid"]
    assert read_claims(app.refresh(shown["refresh_token"]).json()["id_token"])["amr"] == ["mfa"]
    assert app.refresh(tokens["refresh_token"]).json()["error"] == "mfa_required"


def test_a_consent_that_is_taken_back_ends_what_waits_for_a_second_factor(app: Application, ada: User) -> None:
    app.change(is_first_party=False)
    app.manage("PATCH", f"/connections/{app.connection_id}", {"is_domain_connection": True})
    browser = app.browser()
    page = app.sign_in(ada, browser=browser, scope="openid offline_access")
    tokens = app.redeem(browser.submit(page, button="accept")).json()
    app.manage("PUT", "/guardian/factors/otp", {"enabled": True})
    action(app, "exports.onExecutePostLogin = async (e, api) => { api.multifactor.enable('any'); };")
    held = give_app(app, ada)
    token = app.refresh(tokens["refresh_token"]).json()["mfa_token"]

    for grant in app.manage("GET", f"/grants?user_id={ada.user_id}"):
        app.manage("DELETE", f"/grants/{grant['id']}")

    answer = app.token(OTP, mfa_token=token, otp=held.code(datetime.now(UTC)))
    assert (answer.status_code, answer.json()["error"]) == (403, "invalid_grant")


def test_code_can_want_a_code_of_a_browser_that_is_remembered(app: Application, ada: User) -> None:
    app.manage("PUT", "/guardian/factors/otp", {"enabled": True})
    app.manage("PUT", "/guardian/policies", ["all-applications"])
    held, browser = give_app(app, ada), app.browser()
    page = browser.sign_in(app.authorize_url(), ada.email, ada.password)
    page.form.values["rememberBrowser"] = "true"
    assert "code" in browser.submit(page, code=held.code(datetime.now(UTC))).query
    action(
        app,
        "exports.onExecutePostLogin = async (e, api) => "
        "{ api.multifactor.enable('any', {allowRememberBrowser: false}); };",
    )

    page = browser.sign_in(app.authorize_url(prompt="login"), ada.email, ada.password)

    assert page.path == "/u/mfa-otp-challenge"
    assert "Do not ask again" not in page.text
    done = browser.submit(page, code=held.code(datetime.now(UTC) + timedelta(seconds=30)))
    assert read_claims(app.redeem(done).json()["id_token"])["amr"] == ["mfa"]


def test_what_ran_is_in_the_log(app: Application, ada: User) -> None:
    action(app, CLAIMS)
    assert app.token(REALM, **password_of(app, ada), scope="openid").status_code == 200

    entry = next(each for each in app.events() if each["type"] == "sepft")
    ran: dict[str, Any] = app.manage("GET", f"/actions/executions/{entry['details']['actions']['executions'][0]}")
    assert [result["action_name"] for result in ran["results"]] == ["an action"]
