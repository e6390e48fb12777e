"""Removing users: there first, where users are kept there."""

from collections.abc import Callable

import pytest

from tests.login.custom_databases.conftest import Custom


@pytest.mark.parametrize("by", ["id", "email"])
def test_without_import_mode_the_user_goes_there_and_here(custom: Callable[..., Custom], by: str) -> None:
    here = custom()
    email = here.legacy.add()
    here.sign_in(email)
    user_id = here.legacy.id_of(email)

    path = f"/users/{user_id}" if by == "id" else f"/connections/{here.app.connection_id}/users?email={email}"
    assert here.api("DELETE", path).status_code == 204

    assert here.legacy.asked[-1] == ("delete", [user_id.removeprefix("auth0|")])
    assert (here.user(email), here.legacy.people) == (None, {})


def test_with_import_mode_the_user_goes_here_and_comes_again(custom: Callable[..., Custom]) -> None:
    here = custom(import_mode=True)
    email = here.legacy.add()
    here.sign_in(email)

    assert here.api("DELETE", f"/users/{here.legacy.id_of(email)}").status_code == 204

    assert here.legacy.scripts_asked == ["login"]
    assert here.user(email) is None
    assert here.sign_in(email).status_code == 200


def test_without_the_script_nobody_goes(custom: Callable[..., Custom]) -> None:
    here = custom(without=("delete",))
    email = here.legacy.add()
    here.sign_in(email)

    refused = here.api("DELETE", f"/users/{here.legacy.id_of(email)}")

    assert (refused.status_code, refused.json()["message"]) == (
        400,
        "Please implement the delete script for this database connection.",
    )
    assert here.user(email) is not None


def test_a_script_that_fails_keeps_the_user(custom: Callable[..., Custom]) -> None:
    here = custom()
    email = here.legacy.add()
    here.sign_in(email)
    here.legacy.answers["delete"] = {"error": {"type": "plain", "message": "gone"}}

    assert here.api("DELETE", f"/users/{here.legacy.id_of(email)}").status_code == 400
    assert here.user(email) is not None
