"""Forgotten and changed passwords: set where they are checked."""

from collections.abc import Callable

import pytest

from tests.login.custom_databases.conftest import Custom

NEW = "Another-horse-5-battery"


def test_without_import_mode_a_reset_sets_it_there(custom: Callable[..., Custom]) -> None:
    here = custom()
    email = here.legacy.add()
    assert here.sign_in(email).status_code == 200
    here.legacy.asked.clear()

    done = here.reset(email, NEW)

    assert (done.status, done.alerts) == (200, [])
    assert here.legacy.asked[-1] == ("change_password", [email, NEW])
    assert here.legacy.scripts_asked == ["get_user", "get_user", "change_password"]
    assert here.sign_in(email).status_code == 403
    assert here.sign_in(email, NEW).status_code == 200
    user = here.user(email)
    assert user is not None
    assert user["last_password_reset"]
    assert user["email_verified"] is False
    for file in here.server.data.glob("freehold.db*"):
        assert NEW.encode() not in file.read_bytes()


def test_without_import_mode_who_never_signed_in_can_reset_too(custom: Callable[..., Custom]) -> None:
    here = custom()
    email = here.legacy.add()

    here.reset(email, NEW)

    assert here.user(email) is None
    assert here.sign_in(email, NEW).status_code == 200


def test_with_import_mode_a_reset_brings_the_user_here(custom: Callable[..., Custom]) -> None:
    here = custom(import_mode=True)
    email = here.legacy.add(name="Ada", app_metadata={"plan": "gold"})

    done = here.reset(email, NEW)

    assert (done.status, done.alerts) == (200, [])
    assert set(here.legacy.scripts_asked) == {"get_user"}
    user = here.user(email)
    assert user is not None
    assert (user["user_id"], user["name"], user["app_metadata"], user["email_verified"]) == (
        here.legacy.id_of(email), "Ada", {"plan": "gold"}, True,
    )  # fmt: skip
    here.legacy.forget()
    assert here.sign_in(email, NEW).status_code == 200
    assert here.legacy.asked == []


def test_with_import_mode_a_user_who_came_over_is_reset_here(custom: Callable[..., Custom]) -> None:
    here = custom(import_mode=True)
    email = here.legacy.add()
    assert here.sign_in(email).status_code == 200
    here.legacy.forget()

    here.reset(email, NEW)

    assert here.sign_in(email, NEW).status_code == 200
    assert here.legacy.asked == []


@pytest.mark.parametrize("import_mode", [False, True])
def test_nobody_gets_no_mail(custom: Callable[..., Custom], newcomer: str, import_mode: bool) -> None:
    here = custom(import_mode=import_mode)
    known = here.legacy.add()

    here.ask_for_reset(newcomer)
    here.ask_for_reset(known)

    here.mailed(known, "reset_email")
    with here.app.http() as http:
        assert newcomer not in {mail["to"] for mail in http.get("/outbox.json").json()}


@pytest.mark.parametrize(("answer", "words"), [
    ({"value": False}, "The password was not changed."),
    ({"error": {"type": "plain", "message": "10.0.0.7 is gone"}},
     "Something went wrong on our side. Please try again later."),
])  # fmt: skip
def test_what_the_script_refuses_can_be_tried_again(
    custom: Callable[..., Custom], answer: dict[str, object], words: str
) -> None:
    here = custom()
    email = here.legacy.add()
    here.ask_for_reset(email)
    link, browser = here.mailed(email, "reset_email"), here.app.browser()
    here.legacy.answers["change_password"] = answer

    refused = browser.submit(browser.open(link), password_reset=NEW, re_enter_password=NEW)
    del here.legacy.answers["change_password"]
    done = browser.submit(refused, password_reset=NEW, re_enter_password=NEW)

    assert refused.alerts == [words]
    assert (done.alerts, here.sign_in(email, NEW).status_code) == ([], 200)


def test_an_administrator_sets_it_there(custom: Callable[..., Custom]) -> None:
    here = custom()
    email = here.legacy.add()
    here.sign_in(email)
    here.legacy.answers["change_password"] = {"value": {"last_password_reset": 1_600_000_000_000}}

    changed = here.app.manage("PATCH", f"/users/{here.legacy.id_of(email)}", {"password": NEW})

    assert changed["last_password_reset"] == "2020-09-13T12:26:40.000Z"
    assert here.legacy.asked[-1] == ("change_password", [email, NEW])


def test_a_refused_change_changes_nothing(custom: Callable[..., Custom]) -> None:
    here = custom()
    email = here.legacy.add()
    here.sign_in(email)
    here.legacy.answers["change_password"] = {"value": False}

    refused = here.api("PATCH", f"/users/{here.legacy.id_of(email)}", {"password": NEW})

    assert (refused.status_code, refused.json()["message"]) == (400, "The password was not changed.")
    assert here.sign_in(email).status_code == 200


def test_with_import_mode_an_administrator_sets_it_here(custom: Callable[..., Custom]) -> None:
    here = custom(import_mode=True)
    email = here.legacy.add()
    here.sign_in(email)
    here.legacy.asked.clear()

    here.app.manage("PATCH", f"/users/{here.legacy.id_of(email)}", {"password": NEW})

    assert here.sign_in(email, NEW).status_code == 200
    assert here.legacy.asked == []
