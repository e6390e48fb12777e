"""The link that verifies an address: said to the database that keeps the users."""

from collections.abc import Callable
from typing import Any

from tests.login.custom_databases.conftest import Custom


def open_link(here: Custom, email: str, **ticket: Any) -> Any:
    made = here.app.manage("POST", "/tickets/email-verification", {"user_id": here.legacy.id_of(email), **ticket})
    browser = here.app.browser()
    return browser.submit(browser.open(made["ticket"]))


def test_without_import_mode_it_is_said_there_and_counts_from_the_next_sign_in(custom: Callable[..., Custom]) -> None:
    here = custom()
    email = here.legacy.add()
    here.sign_in(email)

    open_link(here, email)

    assert here.legacy.asked[-1] == ("verify", [email])
    before = here.user(email)
    here.sign_in(email)
    after = here.user(email)
    assert before is not None
    assert after is not None
    assert (before["email_verified"], after["email_verified"]) == (False, True)


def test_with_import_mode_it_counts_here(custom: Callable[..., Custom]) -> None:
    here = custom(import_mode=True)
    email = here.legacy.add()
    here.sign_in(email)

    open_link(here, email)

    user = here.user(email)
    assert user is not None
    assert user["email_verified"] is True
    assert "verify" not in here.legacy.scripts_asked


def test_what_the_script_refuses_is_told_to_the_result_page(custom: Callable[..., Custom]) -> None:
    here = custom()
    email = here.legacy.add()
    here.sign_in(email)
    here.legacy.answers["verify"] = {"value": False}

    done = open_link(here, email, result_url="https://app.example.com/verified")

    assert done.url.startswith("https://app.example.com/verified?")
    assert done.query == {"email": email, "message": "The address was not verified.", "success": "false"}
    user = here.user(email)
    assert user is not None
    assert user["email_verified"] is False
