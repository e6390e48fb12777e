"""Actions where a forgotten password is set anew, and where mail is handed over."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.applications import Application, User
from tests.support.hosted_pages import BrowserSession, Page
from tests.support.in_process import Installation

NEW_PASSWORD = "Another-horse-5-battery"


@pytest.fixture
def ada(app: Application) -> User:
    return app.add_user()


@pytest.fixture(autouse=True)
def no_code(installation: Installation) -> Iterator[None]:
    yield
    with installation.management() as api:
        for action in api.get("/actions/actions").json()["actions"]:
            assert api.delete(f"/actions/actions/{action['id']}?force=true").status_code == 204
        assert api.delete("/emails/provider").status_code == 204


def action(app: Application, trigger: str, code: str) -> None:
    given = {"name": "an action", "supported_triggers": [{"id": trigger}], "code": code, "deploy": True}
    made = app.manage("POST", "/actions/actions", given)
    bound = [{"ref": {"type": "action_id", "value": made["id"]}}]
    app.manage("PATCH", f"/actions/triggers/{trigger}/bindings", {"bindings": bound})


def at_reset(app: Application, body: str) -> None:
    code = f"exports.onExecutePostChallenge = async (event, api) => {{ {body} }};"
    action(app, "password-reset-post-challenge", code)


def asked_for_reset(app: Application, user: User, installation: Installation) -> BrowserSession:
    browser = app.browser()
    browser.submit(browser.open(app.authorize_url(screen_hint="reset-password")), email=user.email)
    installation.work()
    return browser


def mailed(app: Application, to: str, template: str) -> str:
    """The link in the newest mail of this kind."""
    with app.http(ip="127.0.0.1") as http:
        for mail in http.get("/outbox.json").json():
            if (mail["to"], mail["template"]) == (to, template):
                return str(next(word for word in mail["text"].split() if "ticket=" in word))
    raise AssertionError(f"no {template} to {to}")


def set_password(app: Application, user: User, installation: Installation) -> Page:
    browser = asked_for_reset(app, user, installation)
    page = browser.open(mailed(app, user.email, "reset_email"))
    return browser.submit(page, password_reset=NEW_PASSWORD, re_enter_password=NEW_PASSWORD)


def test_code_refuses_a_new_password_with_its_own_words(
    app: Application, ada: User, installation: Installation
) -> None:
    at_reset(app, "if (event.user.email.length > 3) api.access.deny('Ask the help desk.');")

    page = set_password(app, ada, installation)

    assert "Ask the help desk." in page.text
    assert "code" in app.sign_in(ada).query
    installation.work()
    (entry,) = app.manage("GET", f'/logs?q=type:fcp AND user_id:"{ada.user_id}"')
    assert entry["description"] == "Ask the help desk."


def test_code_says_where_one_goes_on(app: Application, ada: User, installation: Installation) -> None:
    at_reset(app, "api.transaction.setResultUrl('https://help.example/done?' + event.authentication.methods[0].name);")

    page = set_password(app, ada, installation)

    assert page.link("https://help.example/done?email")
    assert "code" in app.sign_in(User(ada.user_id, ada.email, NEW_PASSWORD)).query


@pytest.mark.parametrize("body", [
    "api.authentication.challengeWith({ type: 'otp' });", "api.redirect.sendUserTo('https://ask.example/');",
    "throw new Error('secret of 10.0.0.7');",
])  # fmt: skip
def test_what_cannot_be_had_sets_no_password(
    app: Application, ada: User, installation: Installation, body: str
) -> None:
    at_reset(app, body)

    page = set_password(app, ada, installation)

    assert "10.0.0.7" not in page.text
    assert "code" in app.sign_in(ada).query


def provider(app: Application, body: str) -> None:
    code = f"exports.onExecuteCustomEmailProvider = async (event, api) => {{ {body} }};"
    action(app, "custom-email-provider", code)
    app.manage("POST", "/emails/provider", {
        "name": "custom", "default_from_address": "hello@acme.example", "credentials": {"api_key": "none"},
    })  # fmt: skip


def outbox(app: Application, user: User) -> bool:
    """Whether the mail to reset the user's password is still here."""
    with app.http(ip="127.0.0.1") as http:
        found = http.get("/outbox.json").json()
    return any((mail["to"], mail["template"]) == (user.email, "reset_email") for mail in found)


def recordings(app: Application, email: str) -> list[dict[str, Any]]:
    """What an action was given about somebody's mail to reset the password."""
    found = app.manage("GET", "/actions/executions?trigger_id=custom-email-provider")["executions"]
    whole = [app.manage("GET", f"/actions/executions/{each['id']}/recording")["results"][0] for each in found]
    told = [(each, each["given"][0]["notification"]) for each in whole]
    return [each for each, mail in told if (mail["to"], mail["message_type"]) == (email, "reset_email")]


def test_an_action_sends_mail_and_no_record_holds_its_links(
    app: Application, ada: User, installation: Installation
) -> None:
    provider(app, "console.log(event.notification.text.includes('https://'), event.notification.html.length > 100);")

    asked_for_reset(app, ada, installation)

    assert not outbox(app, ada)
    result = recordings(app, ada.email)[0]
    notification = result["given"][0]["notification"]
    assert result["logs"] == [{"level": "log", "text": "true true"}]
    assert (notification["message_type"], notification["from"]) == ("reset_email", "hello@acme.example")
    assert (notification["html"], notification["text"]) == ("[secret]", "[secret]")
    assert result["given"][0]["user"]["user_id"] == ada.user_id


def test_an_action_drops_a_mail(app: Application, ada: User, installation: Installation) -> None:
    provider(app, "api.notification.drop('No mail on Sundays.');")

    asked_for_reset(app, ada, installation)

    assert not outbox(app, ada)
    found = app.manage("GET", "/logs?q=type:fn")
    (entry,) = (each for each in found if each["details"] == {"template": "reset_email", "to": ada.email})
    assert entry["description"] == "No mail on Sundays."


def test_a_mail_that_could_not_be_sent_is_tried_again(app: Application, ada: User, installation: Installation) -> None:
    provider(app, "if (!global.tried) { global.tried = true; api.notification.retry('Busy.'); }")

    asked_for_reset(app, ada, installation)
    assert outbox(app, ada)
    installation.advance(3600)
    installation.work()

    assert not outbox(app, ada)
    assert len(recordings(app, ada.email)) == 2
