"""Which passwords a database connection accepts.

`password_options` decides when `passwordPolicy` is not set; otherwise the older members do (recorded: a connection can
hold both). Length counts Unicode characters, and bytes where bcrypt would stop reading.
"""

import itertools
from typing import Any, Literal

import msgspec

from freehold.domain.connections.guessed_passwords import ALL, is_common

Kind = Literal["length", "truncation", "types", "identical", "sequential", "dictionary", "personal"]

MIN_LENGTHS = {"none": 1, "low": 6, "fair": 8, "good": 8, "excellent": 10}
BCRYPT_BYTES = 72
SHORTEST_PERSONAL = 4
SEQUENCE = 3
# Auth0's lists of these names are not public; ours has as many as it has.
_LISTS = {"en_10k": 10_000, "en_100k": ALL}


class PasswordPolicy(msgspec.Struct, frozen=True):
    """The rules of one connection."""

    min_length: int = 1
    types: frozenset[str] = frozenset()
    types_needed: int = 0
    identical_blocked: bool = False
    sequential_blocked: bool = False
    truncates: bool = False
    dictionary: frozenset[str] = frozenset()
    common_blocked: bool = False
    most_common: int = ALL
    """How many of the most common passwords `common_blocked` refuses."""
    personal_fields: tuple[str, ...] = ()
    history_size: int = 0


class Broken(msgspec.Struct, frozen=True):
    """One rule that a password breaks, with what its message needs."""

    kind: Kind
    figures: dict[str, int] = msgspec.field(default_factory=dict)


def password_policy(options: dict[str, Any] | None) -> PasswordPolicy:
    """The rules in a database connection's options."""
    options = options or {}
    level = options.get("passwordPolicy")
    newer = options.get("password_options")
    if level is None and newer:
        return _newer(newer)
    return _older(level or "none", options)


def broken_rules(policy: PasswordPolicy, password: str, profile: dict[str, Any] | None = None) -> list[Broken]:
    """The rules that the password breaks; empty when it is acceptable. `profile` is the user as far as it is known."""
    broken: list[Broken] = []
    if len(password) < policy.min_length:
        broken.append(Broken("length", {"min_length": policy.min_length, "length": len(password)}))
    if not policy.truncates and len(password.encode(errors="surrogatepass")) > BCRYPT_BYTES:
        broken.append(Broken("truncation", {"max_bytes": BCRYPT_BYTES}))
    if len(policy.types & _types_in(password)) < policy.types_needed:
        broken.append(Broken("types", {"needed": policy.types_needed, "of": len(policy.types)}))
    if policy.identical_blocked and _has_run(password, step=0, length=SEQUENCE):
        broken.append(Broken("identical"))
    if policy.sequential_blocked and (
        _has_run(password, step=1, length=SEQUENCE) or _has_run(password, step=-1, length=SEQUENCE)
    ):
        broken.append(Broken("sequential"))
    folded = password.casefold()
    if folded in policy.dictionary or (policy.common_blocked and is_common(folded, most=policy.most_common)):
        broken.append(Broken("dictionary"))
    if profile and any(part in folded for part in _personal_parts(profile, policy.personal_fields)):
        broken.append(Broken("personal"))
    return broken


def _older(level: str, options: dict[str, Any]) -> PasswordPolicy:
    length = (options.get("password_complexity_options") or {}).get("min_length", MIN_LENGTHS[level])
    types, needed = {
        "fair": (frozenset({"uppercase", "lowercase", "number"}), 3),
        "good": (frozenset({"uppercase", "lowercase", "number", "special"}), 3),
        "excellent": (frozenset({"uppercase", "lowercase", "number", "special"}), 3),
    }.get(level, (frozenset(), 0))
    words = options.get("password_dictionary") or {}
    history = options.get("password_history") or {}
    personal = (options.get("password_no_personal_info") or {}).get("enable", False)
    return PasswordPolicy(
        min_length=length,
        types=types,
        types_needed=needed,
        identical_blocked=level == "excellent",
        dictionary=frozenset(word.casefold() for word in words.get("dictionary", ()))
        if words.get("enable")
        else frozenset(),
        common_blocked=bool(words.get("enable")),
        personal_fields=PERSONAL_FIELDS if personal else (),
        history_size=history.get("size", 5) if history.get("enable") else 0,
    )


def _newer(options: dict[str, Any]) -> PasswordPolicy:
    complexity, words = options.get("complexity", {}), options.get("dictionary", {})
    history, personal = options.get("history", {}), options.get("profile_data", {})
    types = frozenset(complexity.get("character_types", ()))
    three_of_four = complexity.get("character_type_rule") == "three_of_four"
    return PasswordPolicy(
        min_length=complexity.get("min_length", 15),
        types=types,
        types_needed=min(3, len(types)) if three_of_four else len(types),
        identical_blocked=complexity.get("identical_characters") == "block",
        sequential_blocked=complexity.get("sequential_characters") == "block",
        truncates=complexity.get("max_length_exceeded") == "truncate",
        dictionary=frozenset(word.casefold() for word in words.get("custom", ()))
        if words.get("active")
        else frozenset(),
        common_blocked=bool(words.get("active")),
        most_common=_LISTS.get(words.get("default"), ALL),
        personal_fields=tuple(personal.get("blocked_fields", ())) if personal.get("active") else (),
        history_size=history.get("size", 3) if history.get("active") else 0,
    )


PERSONAL_FIELDS = (
    "name", "username", "nickname", "email", "user_metadata.name", "user_metadata.first", "user_metadata.last",
)  # fmt: skip


def _types_in(password: str) -> set[str]:
    found = set()
    for character in password:
        if character.islower():
            found.add("lowercase")
        elif character.isupper():
            found.add("uppercase")
        elif character.isdigit():
            found.add("number")
        elif not character.isalnum():
            found.add("special")
    return found


def _has_run(password: str, *, step: int, length: int) -> bool:
    """Whether `length` characters in a row differ each from the one before by `step`."""
    run = 1
    for before, after in itertools.pairwise(password):
        run = run + 1 if ord(after) - ord(before) == step else 1
        if run >= length:
            return True
    return False


def _personal_parts(profile: dict[str, Any], fields: tuple[str, ...]) -> set[str]:
    parts: set[str] = set()
    for name in fields:
        value: Any = profile
        for step in name.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, str):
            value = value.casefold()
            parts.update((value, value.partition("@")[0], *value.split()))
    return {part for part in parts if len(part) >= SHORTEST_PERSONAL}
