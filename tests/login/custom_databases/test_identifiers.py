"""New addresses: nobody else's there, and changed there first where users are kept there."""

from collections.abc import Callable

import pytest

from tests.login.custom_databases.conftest import Custom


def test_without_import_mode_the_address_changes_there_first(custom: Callable[..., Custom], newcomer: str) -> None:
    here = custom()
    email = here.legacy.add()
    here.sign_in(email)
    user_id = here.legacy.id_of(email)

    changed = here.app.manage("PATCH", f"/users/{user_id}", {"email": newcomer, "email_verified": True})

    assert (changed["email"], changed["email_verified"]) == (newcomer, True)
    assert here.legacy.asked[-2:] == [("get_user", [newcomer]), ("change_email", [email, newcomer, True])]
    assert here.sign_in(newcomer).status_code == 200


@pytest.mark.parametrize("import_mode", [False, True])
def test_an_address_of_somebody_there_is_taken(custom: Callable[..., Custom], import_mode: bool) -> None:
    here = custom(import_mode=import_mode)
    email, other = here.legacy.add(), here.legacy.add()
    here.sign_in(email)

    refused = here.api("PATCH", f"/users/{here.legacy.id_of(email)}", {"email": other})

    assert (refused.status_code, refused.json()["errorCode"]) == (409, "auth0_idp_error")
    assert "change_email" not in here.legacy.scripts_asked


def test_with_import_mode_it_changes_here_alone(custom: Callable[..., Custom], newcomer: str) -> None:
    here = custom(import_mode=True)
    email = here.legacy.add()
    here.sign_in(email)

    here.app.manage("PATCH", f"/users/{here.legacy.id_of(email)}", {"email": newcomer})

    assert here.legacy.scripts_asked == ["login", "get_user"]
    assert here.sign_in(newcomer).status_code == 200


def test_without_the_script_it_cannot_change(custom: Callable[..., Custom], newcomer: str) -> None:
    here = custom(without=("change_email",))
    email = here.legacy.add()
    here.sign_in(email)

    refused = here.api("PATCH", f"/users/{here.legacy.id_of(email)}", {"email": newcomer})

    assert (refused.status_code, refused.json()["message"]) == (400, "change_email script does not exist")


def test_a_script_that_says_no(custom: Callable[..., Custom], newcomer: str) -> None:
    here = custom()
    email = here.legacy.add()
    here.sign_in(email)
    here.legacy.answers["change_email"] = {"value": False}

    assert here.api("PATCH", f"/users/{here.legacy.id_of(email)}", {"email": newcomer}).status_code == 400
    assert here.user(newcomer) is None


def test_a_user_name_changes_there(custom: Callable[..., Custom]) -> None:
    here = custom(requires_username=True)
    email = here.legacy.add(username="ada")
    here.sign_in(email)

    changed = here.app.manage("PATCH", f"/users/{here.legacy.id_of(email)}", {"username": "lovelace"})

    assert changed["username"] == "lovelace"
    assert here.legacy.asked[-1] == ("change_username", ["ada", "lovelace"])
