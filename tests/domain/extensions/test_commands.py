"""What actions and rules ask for is foreign input: whatever it is, it is taken or refused, and nothing breaks."""

from typing import Any

import pytest

from freehold.domain.extensions import post_login
from freehold.domain.extensions.commands import METHODS, BadCommand, checked
from freehold.domain.extensions.post_login import Verdict
from tests.domain.extensions.conftest import facts

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1e300, 10**400, "", "x", "a b", "a\0b", "http://[", "https://a.example/", "persistent", [], {},
    [[]], [None], [{}], ["x", 1], ["a", "b"], {"a": []}, {"type": []}, {"type": "otp"}, [{"type": []}], {"query": None},
    {"query": {"a": []}}, {"query": {"a": "b"}}, {"provider": []}, {"url": 1}, {"options": []}, {"scope": [{}]},
)  # fmt: skip


@pytest.mark.parametrize("trigger", METHODS)
def test_every_method_of_every_trigger_takes_or_refuses_whatever_it_is_given(trigger: str) -> None:
    taken = 0
    for method in METHODS[trigger]:
        for given in ([], *([one] for one in ODD), *([one, other] for one in ODD for other in ODD)):
            try:
                commands = checked(trigger, [[method, given]])
            except BadCommand:
                continue
            if trigger == "post-login":
                post_login._take_commands(commands, Verdict(), facts())
            taken += 1
    assert taken or not METHODS[trigger]


@pytest.mark.parametrize("answered", [*ODD, [["idToken.setCustomClaim"]], [[1, []]], [["nothing.there", []]]])
def test_an_answer_that_is_no_list_of_commands_is_refused(answered: Any) -> None:
    if answered == []:
        assert checked("post-login", answered) == []
        return
    with pytest.raises(BadCommand):
        checked("post-login", answered)


@pytest.mark.parametrize(
    "member", ["idToken", "accessToken", "multifactor", "primaryUser", "redirect", "samlConfiguration"]
)
def test_rules_may_leave_anything_in_their_context(member: str) -> None:
    for odd in ODD:
        verdict = Verdict(scopes=["openid"])
        post_login._take_context({member: odd}, verdict, facts(), came_back=False)
        assert verdict.scopes == ["openid"]


@pytest.mark.parametrize(
    ("scope", "kept"), [("read:things", True), ("", False), ("a b", False), ("a\0", False), ('"', False)]
)
def test_a_scope_is_of_the_characters_that_one_may_have(scope: str, kept: bool) -> None:
    """RFC 6749 section 3.3"""
    verdict = Verdict(scopes=["openid"])
    post_login._take_context({"accessToken": {"scope": [scope]}}, verdict, facts(), came_back=False)
    assert verdict.scopes == ([scope] if kept else ["openid"])

    if kept:
        assert checked("post-login", [["accessToken.addScope", [scope]]])
    else:
        with pytest.raises(BadCommand):
            checked("post-login", [["accessToken.addScope", [scope]]])


def test_a_redirect_takes_no_options_as_well_as_none() -> None:
    for given in (["https://a.example/"], ["https://a.example/", None], ["https://a.example/", {}]):
        verdict = Verdict()
        post_login._take_commands(checked("post-login", [["redirect.sendUserTo", given]]), verdict, facts())
        assert verdict.redirect == "https://a.example/?state=the-state"
