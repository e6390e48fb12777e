"""Signing up, and users that an administrator makes: asked whether they exist, made where users are kept."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.login.custom_databases.conftest import Custom
from tests.support.legacy_users import PASSWORD

Doors = pytest.mark.parametrize("door", ["sign_up", "create"])


@Doors
def test_without_import_mode_the_user_is_made_there(custom: Callable[..., Custom], newcomer: str, door: str) -> None:
    here = custom()

    made = getattr(here, door)(newcomer, user_metadata={"plan": "silver"})

    assert made.is_success, made.text
    assert here.legacy.scripts_asked == ["get_user", "create", "login"]
    told = here.legacy.asked[1][1][0]
    expected = {"tenant": "main", "connection": here.app.connection, "email": newcomer, "password": PASSWORD}
    assert {name: told[name] for name in expected} == expected
    assert told["user_metadata"] == {"plan": "silver"}
    assert bool(told["client_id"])
    user = here.user(newcomer)
    assert user is not None
    assert user["user_id"] == here.legacy.id_of(newcomer)
    assert user["user_metadata"] == {"plan": "silver"}
    for file in here.server.data.glob("freehold.db*"):
        assert PASSWORD.encode() not in file.read_bytes()


@Doors
def test_with_import_mode_the_user_is_made_here(custom: Callable[..., Custom], newcomer: str, door: str) -> None:
    here = custom(import_mode=True)

    assert getattr(here, door)(newcomer).is_success

    assert here.legacy.scripts_asked == ["get_user"]
    assert here.legacy.people == {}
    assert here.sign_in(newcomer).status_code == 200
    assert here.legacy.scripts_asked == ["get_user"]


@Doors
@pytest.mark.parametrize("import_mode", [False, True])
def test_who_is_known_there_cannot_be_made_again(custom: Callable[..., Custom], door: str, import_mode: bool) -> None:
    here = custom(import_mode=import_mode)
    email = here.legacy.add()

    refused = getattr(here, door)(email)

    assert here.legacy.scripts_asked == ["get_user"]
    body = refused.json()
    if door == "sign_up":
        assert (refused.status_code, body["code"]) == (400, "user_exists")
    else:
        assert (refused.status_code, body["errorCode"]) == (409, "auth0_idp_error")
    assert here.user(email) is None


@pytest.mark.parametrize(("error", "told"), [
    ({"type": "validation", "code": "user_exists", "message": "taken"}, ("user_exists", "The user already exists.")),
    ({"type": "validation", "code": "too_young", "message": "Come back later."}, ("too_young", "Come back later.")),
    ({"type": "plain", "message": "no route to 10.0.0.7"},
     ("custom_script_error", "Something went wrong on our side. Please try again later.")),
])  # fmt: skip
def test_what_the_create_script_refuses(
    custom: Callable[..., Custom], newcomer: str, error: dict[str, Any], told: tuple[str, str]
) -> None:
    here = custom()
    here.legacy.answers["create"] = {"error": error}

    refused = here.sign_up(newcomer)

    assert (refused.status_code, refused.json()["code"], refused.json()["description"]) == (400, *told)
    assert here.user(newcomer) is None
    assert here.events("fs")


def test_without_a_create_script_nobody_can_be_made(custom: Callable[..., Custom], newcomer: str) -> None:
    here = custom(without=("create",))

    refused = here.create(newcomer)

    assert (refused.status_code, refused.json()["message"]) == (
        400,
        "Please implement the create script for this database connection.",
    )


def test_a_user_that_cannot_sign_in_after_being_made_is_not_kept(custom: Callable[..., Custom], newcomer: str) -> None:
    here = custom()
    here.legacy.answers["create"] = {"value": None}

    assert here.sign_up(newcomer).status_code == 400
    assert here.user(newcomer) is None


@pytest.mark.parametrize("import_mode", [False, True])
def test_the_hosted_page(custom: Callable[..., Custom], newcomer: str, import_mode: bool) -> None:
    here = custom(import_mode=import_mode)
    browser = here.app.browser()
    taken = here.legacy.add()

    page = browser.open(here.app.authorize_url(screen_hint="signup"))
    again = browser.submit(page, email=taken, password=PASSWORD)
    done = browser.submit(again, email=newcomer, password=PASSWORD)

    assert len(again.alerts) == 1
    assert here.app.redeem(done).status_code == 200
    assert (newcomer in here.legacy.people) is not import_mode


def test_the_page_shows_what_a_script_says(custom: Callable[..., Custom], newcomer: str) -> None:
    here = custom()
    here.legacy.answers["create"] = {"error": {"type": "validation", "code": "too_young", "message": "Come back."}}
    browser = here.app.browser()

    page = browser.open(here.app.authorize_url(screen_hint="signup"))

    assert browser.submit(page, email=newcomer, password=PASSWORD).alerts == ["Come back."]
