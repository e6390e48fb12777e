"""What post-login code asks for beyond claims: sessions and refresh tokens that end earlier, and another subject."""

from typing import Any

import pytest

from tests.support.applications import Application, User, read_claims
from tests.support.in_process import Installation

HOUR_MS = 3_600_000


@pytest.fixture
def ada(app: Application) -> User:
    return app.add_user()


@pytest.fixture(autouse=True)
def no_code(installation: Installation) -> Any:
    """Code of one test is not there in the next."""
    yield
    with installation.management() as api:
        for action in api.get("/actions/actions").json()["actions"]:
            assert api.delete(f"/actions/actions/{action['id']}?force=true").status_code == 204


def action(app: Application, body: str) -> None:
    code = f"exports.onExecutePostLogin = async (event, api) => {{ {body} }};"
    given = {"name": "an action", "supported_triggers": [{"id": "post-login"}], "code": code, "deploy": True}
    made = app.manage("POST", "/actions/actions", given)
    bound = [{"ref": {"type": "action_id", "value": made["id"]}}]
    app.manage("PATCH", "/actions/triggers/post-login/bindings", {"bindings": bound})


def session_of(app: Application, user: User) -> dict[str, Any]:
    (session,) = app.manage("GET", f"/users/{user.user_id}/sessions")["sessions"]
    found: dict[str, Any] = session
    return found


def tokens_of(app: Application, user: User) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = app.manage("GET", f"/users/{user.user_id}/refresh-tokens")["tokens"]
    return found


def now_ms(installation: Installation) -> int:
    return installation.clock.now_ms()


def test_a_session_ends_earlier_and_never_later(app: Application, ada: User, installation: Installation) -> None:
    soon, late = now_ms(installation) + HOUR_MS, now_ms(installation) + 10_000 * HOUR_MS
    action(
        app,
        f"api.session.setExpiresAt({late}); api.session.setExpiresAt({soon}); api.session.setMetadata('step', 'one');",
    )
    browser = app.browser()
    app.sign_in(ada, browser=browser)

    session = session_of(app, ada)
    assert session["expires_at"] == session["idle_expires_at"]
    assert session["session_metadata"] == {"step": "one"}
    installation.advance(3601)
    assert browser.open(app.authorize_url(prompt="none")).query["error"] == "login_required"


def test_a_cookie_that_ends_with_the_browser(app: Application, ada: User) -> None:
    action(app, "api.session.setCookieMode('non-persistent');")

    app.sign_in(ada)

    assert session_of(app, ada)["cookie"] == {"mode": "non-persistent"}


def test_code_sees_what_it_kept_with_a_session(app: Application, ada: User) -> None:
    action(
        app,
        """api.idToken.setCustomClaim('https://x.example/seen', event.session.metadata);
        api.session.setMetadata('visits', String(Number(event.session.metadata.visits || 0) + 1));
        if (event.session.metadata.visits === '2') api.session.evictMetadata();""",
    )
    browser = app.browser()
    seen: list[Any] = []
    for _ in range(4):
        page = browser.sign_in(app.authorize_url(), ada.email, ada.password) if not seen else browser.open(
            app.authorize_url()
        )  # fmt: skip
        seen.append(read_claims(app.redeem(page).json()["id_token"])["https://x.example/seen"])

    assert seen == [{}, {"visits": "1"}, {"visits": "2"}, {}]


@pytest.mark.parametrize("kept", [False, True])
def test_a_revoked_session_is_over_with_its_refresh_tokens(app: Application, ada: User, kept: bool) -> None:
    browser = app.browser()
    page = app.sign_in(ada, browser=browser, scope="openid offline_access", audience=app.audience)
    assert app.redeem(page).status_code == 200
    assert len(tokens_of(app, ada)) == 1
    options = "{ preserveRefreshTokens: true }" if kept else "{}"
    action(app, f"api.session.revoke('Stolen.', {options});")

    refused = browser.open(app.authorize_url())

    assert (refused.query["error"], refused.query["error_description"]) == ("access_denied", "Stolen.")
    assert app.manage("GET", f"/users/{ada.user_id}/sessions")["sessions"] == []
    assert len(tokens_of(app, ada)) == int(kept)


def test_a_refresh_token_gets_an_end_and_notes(app: Application, ada: User, installation: Installation) -> None:
    soon = now_ms(installation) + HOUR_MS
    action(
        app,
        f"""api.refreshToken.setIdleExpiresAt({soon}); api.refreshToken.setMetadata('device', 'phone');
        api.idToken.setCustomClaim('https://x.example/token', event.refresh_token && event.refresh_token.metadata);""",
    )
    first = app.log_in(ada, scope="openid offline_access", audience=app.audience)

    (token,) = tokens_of(app, ada)
    assert token["refresh_token_metadata"] == {"device": "phone"}
    second = app.refresh(first["refresh_token"]).json()
    assert read_claims(second["id_token"])["https://x.example/token"] == {"device": "phone"}
    installation.advance(3601)
    assert app.refresh(first["refresh_token"]).status_code == 403


def test_a_revoked_refresh_token_works_no_more(app: Application, ada: User) -> None:
    first = app.log_in(ada, scope="openid offline_access", audience=app.audience)
    action(app, "if (event.refresh_token) api.refreshToken.revoke('Lost phone.');")

    refused = app.refresh(first["refresh_token"])

    assert (refused.status_code, refused.json()["error_description"]) == (403, "Lost phone.")
    assert tokens_of(app, ada) == []


@pytest.mark.parametrize("call", [
    "api.session.setExpiresAt('tomorrow')", "api.session.setCookieMode('for ever')",
    "api.refreshToken.setIdleExpiresAt(-1)", "api.session.setMetadata('')",
])  # fmt: skip
def test_what_code_asks_for_wrongly_ends_the_sign_in(app: Application, ada: User, call: str) -> None:
    action(app, f"{call};")

    assert app.sign_in(ada).query["error"] == "access_denied"


def test_nobody_signs_in_as_a_user_who_has_not_got_their_identity(app: Application, ada: User) -> None:
    bob = app.add_user()
    action(app, f"api.authentication.setPrimaryUser('{bob.user_id}');")

    page = app.sign_in(ada)

    assert page.query["error"] == "access_denied"
    assert "identity" in page.query["error_description"]
    assert app.manage("GET", f"/users/{bob.user_id}/sessions")["sessions"] == []


def test_the_user_themselves_is_no_other(app: Application, ada: User) -> None:
    action(app, "api.authentication.setPrimaryUser(event.user.user_id);")

    assert read_claims(app.log_in(ada)["id_token"])["sub"] == ada.user_id
