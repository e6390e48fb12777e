"""Switching import mode on and off, and scripts that answer oddly."""

from collections.abc import Callable

import pytest

from tests.login.custom_databases.conftest import Custom
from tests.support.legacy_users import PASSWORD, script


def test_who_was_known_before_it_was_switched_on_comes_over(custom: Callable[..., Custom]) -> None:
    here = custom()
    email = here.legacy.add()
    assert here.sign_in(email).status_code == 200

    here.app.change_connection(import_mode=True)
    assert here.sign_in(email).status_code == 200
    here.legacy.forget()

    assert here.sign_in(email).status_code == 200
    assert here.legacy.asked == []


def test_switched_off_again_the_scripts_are_the_truth(custom: Callable[..., Custom]) -> None:
    here = custom(import_mode=True)
    email = here.legacy.add()
    here.sign_in(email)

    here.app.change_connection(import_mode=False)
    here.legacy.people[email]["password"] = "changed-Over-There-2"

    assert here.sign_in(email).status_code == 403
    assert here.sign_in(email, "changed-Over-There-2").status_code == 200


@pytest.mark.parametrize("import_mode", [False, True])
def test_nobody_there_is_a_wrong_password(custom: Callable[..., Custom], import_mode: bool) -> None:
    here = custom(import_mode=import_mode)
    email = here.legacy.add()
    here.legacy.answers["login"] = {"value": None}

    answer = here.sign_in(email)

    assert (answer.status_code, answer.json()["error"]) == (403, "invalid_grant")


@pytest.mark.parametrize("profile", [{"email": "a@example.com"}, {"user_id": ""}, {"user_id": {"a": 1}}, "text", [1]])
def test_an_answer_that_is_no_user_is_a_failure(custom: Callable[..., Custom], profile: object) -> None:
    here = custom()
    email = here.legacy.add()
    here.legacy.answers["login"] = {"value": profile}

    answer = here.sign_in(email)

    assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")
    assert here.user(email) is None


def test_an_id_that_changes_does_not_take_over_an_account(custom: Callable[..., Custom]) -> None:
    here = custom()
    email = here.legacy.add()
    assert here.sign_in(email).status_code == 200
    here.legacy.people[email]["profile"]["user_id"] += "-other"

    answer = here.sign_in(email)

    assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")


def test_an_id_of_another_connections_user_is_refused(custom: Callable[..., Custom]) -> None:
    one, other = custom(), custom()
    email = one.legacy.add()
    assert one.sign_in(email).status_code == 200

    assert other.sign_in(email).status_code == 403


@pytest.mark.slow  # Twenty seconds, as documented.
def test_a_script_that_never_answers_ends_after_its_time(custom: Callable[..., Custom]) -> None:
    here = custom()
    here.app.change_connection(customScripts={"login": "function login(a, b, callback) { for (;;) {} }"})

    answer = here.sign_in("ada@example.com")

    assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")


def test_scripts_get_a_context_for_ever_once_they_were_promised_one(custom: Callable[..., Custom]) -> None:
    here = custom(enable_script_context=True)
    email = here.legacy.add()
    here.app.change_connection(customScripts={"login": script("login", parameters="identifier, password, context")})
    here.legacy.answers["login"] = {"value": here.legacy.people[email]["profile"]}
    path = f"/connections/{here.app.connection_id}"
    options = here.app.manage("GET", path)["options"]

    assert here.sign_in(email).status_code == 200
    assert here.legacy.asked == [("login", [email, PASSWORD, {}])]
    refused = here.api("PATCH", path, {"options": {**options, "enable_script_context": False}})
    assert refused.status_code == 400
    del options["enable_script_context"]
    kept = here.app.manage("PATCH", path, {"options": options})
    assert kept["options"]["enable_script_context"] is True
