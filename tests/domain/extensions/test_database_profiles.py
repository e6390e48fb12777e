"""A profile as a database script gave it: foreign input, of which is taken what a profile may have."""

from typing import Any

import pytest

from freehold.domain.extensions.databases import ScriptFailed, user_of

ODD: tuple[Any, ...] = (True, 1, 1.5, "x", [], [1], {"a": []}, [{}], "a\0b", "x" * 100_000)


@pytest.mark.parametrize(("id_", "taken"), [("u1", "u1"), ("auth0|u1", "u1"), (7, "7"), (0, "0")])
def test_an_id_may_come_with_its_prefix_and_as_a_number(id_: Any, taken: str) -> None:
    user = user_of({"user_id": id_})
    assert user is not None
    assert user.id == taken


@pytest.mark.parametrize(
    "id_", [None, "", "auth0|", True, 1.5, [], {}, ["u1"], "a\nb", "a\0b", "x" * 100_000, 10**4_000]
)
def test_a_profile_without_an_id_that_can_be_one_fails(id_: Any) -> None:
    with pytest.raises(ScriptFailed):
        user_of({"user_id": id_, "email": "ada@example.com"})


@pytest.mark.parametrize("answered", [True, 1, "x", [1]])
def test_what_is_no_profile_fails(answered: Any) -> None:
    with pytest.raises(ScriptFailed):
        user_of(answered)


def test_members_of_the_wrong_form_are_left_out() -> None:
    names = (
        "email",
        "name",
        "email_verified",
        "user_metadata",
        "app_metadata",
        "metadata",
        "mfa_factors",
        "access_token",
    )
    for odd in ODD:
        user = user_of({"user_id": "u1", **dict.fromkeys(names, odd)})
        assert user is not None
        texts = (user.profile.get("email"), user.profile.get("name"))
        assert set(texts) <= {None, "x"}
        assert isinstance(user.profile.get("email_verified", True), bool)
        assert isinstance(user.profile.get("app_metadata", {}), dict)
