"""Which passwords a connection accepts, by the older and by the newer form of its policy."""

from typing import Any

import pytest

from freehold.domain.connections import broken_rules, password_policy
from freehold.domain.connections.defaults import PASSWORD_OPTIONS


def broken(options: dict[str, Any], password: str, profile: dict[str, Any] | None = None) -> list[str]:
    return [rule.kind for rule in broken_rules(password_policy(options), password, profile)]


@pytest.mark.parametrize(
    ("level", "good", "bad"),
    [
        ("none", "x", ""),
        ("low", "abcdef", "abcde"),
        ("fair", "Abcdefg1", "abcdefg1"),
        ("good", "Abcdefg1", "abcdefg1"),
        ("good", "abcdef1!", "Ab1!"),
        ("excellent", "Abcdefgh1!", "Abbbcdef1!"),
    ],
)
def test_each_level_of_the_older_policy(level: str, good: str, bad: str) -> None:
    assert broken({"passwordPolicy": level}, good) == []
    assert broken({"passwordPolicy": level}, bad) != []


def test_the_older_policy_decides_where_both_are_set() -> None:
    """Recorded: a new database has `passwordPolicy: good` beside `password_options` with 15 characters."""
    options = {"passwordPolicy": "good", "password_options": PASSWORD_OPTIONS}

    assert broken(options, "Abcdef1!") == []
    assert broken({"password_options": PASSWORD_OPTIONS}, "Abcdef1!") == ["length"]


def test_the_length_can_be_set_apart_from_the_level() -> None:
    options = {"passwordPolicy": "low", "password_complexity_options": {"min_length": 12}}

    assert broken(options, "abcdefghijk") == ["length"]
    assert broken(options, "abcdefghijkl") == []


def test_known_and_personal_passwords_are_refused_where_asked() -> None:
    options = {
        "passwordPolicy": "low",
        "password_dictionary": {"enable": True, "dictionary": ["Freehold"]},
        "password_no_personal_info": {"enable": True},
    }
    ada = {"email": "lovelace@example.com", "name": "Ada Lovelace", "user_metadata": {"first": "Augusta"}}

    assert broken(options, "FREEHOLD", ada) == ["dictionary"]
    assert broken(options, "password", ada) == ["dictionary"]
    assert broken(options, "xxlovelacexx", ada) == ["personal"]
    assert broken(options, "augusta-x", ada) == ["personal"]
    assert broken(options, "something else", ada) == []


def test_history_has_the_recorded_sizes() -> None:
    older = password_policy({"passwordPolicy": "low", "password_history": {"enable": True}})
    newer = password_policy({"password_options": {"history": {"active": True}}})

    assert (older.history_size, newer.history_size, password_policy({}).history_size) == (5, 3, 0)


@pytest.mark.parametrize(
    ("complexity", "password", "kinds"),
    [
        ({"min_length": 8, "character_types": ["uppercase", "number"]}, "abcdefgh", ["types"]),
        ({"min_length": 8, "character_types": ["uppercase", "number"]}, "Abcdefg1", []),
        (
            {
                "min_length": 4,
                "character_types": ["uppercase", "lowercase", "number", "special"],
                "character_type_rule": "three_of_four",
            },
            "aB3x",
            [],
        ),
        ({"min_length": 4, "identical_characters": "block"}, "xaaay", ["identical"]),
        ({"min_length": 4, "sequential_characters": "block"}, "x321y", ["sequential"]),
        ({"min_length": 4, "sequential_characters": "block"}, "x3x2x1", []),
        ({"min_length": 4}, "ä" * 37, ["truncation"]),
        ({"min_length": 4, "max_length_exceeded": "truncate"}, "ä" * 37, []),
    ],
)
def test_each_rule_of_the_newer_policy(complexity: dict[str, Any], password: str, kinds: list[str]) -> None:
    assert broken({"password_options": {"complexity": complexity}}, password) == kinds


@pytest.mark.parametrize("password", ["password", "Qwertyuiop", "trustno1", "changeme", "iloveyou2", "FUCKYOU"])
def test_common_passwords_are_refused_where_the_dictionary_is_on(password: str) -> None:
    on = {"password_options": {"complexity": {"min_length": 1}, "dictionary": {"active": True}}}
    off = {"password_options": {"complexity": {"min_length": 1}, "dictionary": {"active": False}}}

    assert (broken(on, password), broken(off, password)) == (["dictionary"], [])
    assert broken(on, "a phrase nobody else has") == []


def test_the_shorter_list_is_the_beginning_of_the_longer() -> None:
    def refused(name: str) -> set[str]:
        options = {
            "password_options": {"complexity": {"min_length": 1}, "dictionary": {"active": True, "default": name}}
        }
        # Ranked about 100, 15,000 and 29,000.
        return {word for word in ("bigdog", "mark69", "zxcv4321") if broken(options, word)}

    assert refused("en_10k") == {"bigdog"}
    assert refused("en_100k") == {"bigdog", "mark69", "zxcv4321"}
