"""What a new password must be: the connection's strength, dictionary and personal-data rules.

A connection has either the older `passwordPolicy` levels, with their `password_complexity_options`,
`password_dictionary`, `password_history` and `password_no_personal_info`, or `password_options`, which replaces them.
A refusal names Auth0's error class and lists which rules were met, as its login widgets show them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from freehold.domain.users.databases import Database
from freehold.domain.users.password_dictionary import COMMON_PASSWORDS
from freehold.kernel.crypto.passwords import check_password_length
from freehold.kernel.errors import BadRequest

SHORTEST_PERSONAL_PART = 3
"""Shorter parts of a name stand in too many passwords by chance."""

_LEVELS: Mapping[str, tuple[int, str]] = {
    "none": (1, ""),
    "low": (6, ""),
    "fair": (8, "lower upper number"),
    "good": (8, "three of four"),
    "excellent": (10, "three of four, no repeats"),
}
_TYPES = {
    "lowercase": ("lowerCase", "lower case letters (a-z)"),
    "uppercase": ("upperCase", "upper case letters (A-Z)"),
    "number": ("numbers", "numbers (i.e. 0-9)"),
    "special": ("specialCharacters", "special characters (e.g. !@#$%^&*)"),
}
_PERSONAL_FIELDS = (
    "name", "username", "nickname", "email", "user_metadata.name", "user_metadata.first", "user_metadata.last",
)  # fmt: skip


class PasswordRefused(BadRequest):
    """A new password that breaks a rule.

    `name` is Auth0's error class, `description` what its widgets read (an object for strength, else a sentence),
    `policy` the rules as text.
    """

    code = "invalid_password"

    def __init__(self, name: str, text: str, *, description: Any = None, policy: str = "") -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text
        self.description = text if description is None else description
        self.policy = policy


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordRules:
    """The rules of one connection."""

    min_length: int = 1
    types: tuple[str, ...] = ()
    three_of_four: bool = False
    refuse_repeats: bool = False
    refuse_sequences: bool = False
    dictionary: bool = False
    own_words: tuple[str, ...] = ()
    personal_fields: tuple[str, ...] = ()
    history: int = 0
    """How many earlier passwords may not come again."""

    @classmethod
    def of(cls, database: Database) -> "PasswordRules":
        """The rules in force."""
        options = database.options
        flexible = options.get("password_options") or {}
        if flexible.get("complexity"):
            return cls._flexible(flexible)
        min_length, demands = _LEVELS[options.get("passwordPolicy") or "none"]
        complexity = options.get("password_complexity_options") or {}
        dictionary = options.get("password_dictionary") or {}
        history = options.get("password_history") or {}
        personal = options.get("password_no_personal_info") or {}
        return cls(
            min_length=int(complexity.get("min_length") or min_length),
            types=("lowercase", "uppercase", "number") if demands.startswith("lower") else (),
            three_of_four=demands.startswith("three"),
            refuse_repeats=demands.endswith("repeats"),
            dictionary=bool(dictionary.get("enable")),
            own_words=tuple(dictionary.get("dictionary") or ()),
            personal_fields=_PERSONAL_FIELDS if personal.get("enable") else (),
            history=int(history.get("size") or 5) if history.get("enable") else 0,
        )

    @classmethod
    def _flexible(cls, options: Mapping[str, Any]) -> "PasswordRules":
        complexity = options["complexity"]
        dictionary = options.get("dictionary") or {}
        history = options.get("history") or {}
        profile = options.get("profile_data") or {}
        three = complexity.get("character_type_rule") == "three_of_four"
        return cls(
            min_length=int(complexity.get("min_length") or 1),
            types=() if three else tuple(complexity.get("character_types") or ()),
            three_of_four=three,
            refuse_repeats=complexity.get("identical_characters") == "block",
            refuse_sequences=complexity.get("sequential_characters") == "block",
            dictionary=bool(dictionary.get("active")),
            own_words=tuple(dictionary.get("custom") or ()),
            personal_fields=tuple(profile.get("blocked_fields") or ()) if profile.get("active") else (),
            history=int(history.get("size") or 3) if history.get("active") else 0,
        )


def check_password(password: str, rules: PasswordRules, profile: Mapping[str, Any]) -> None:
    """Refuse a new password that breaks a rule. Raises PasswordRefused, PasswordTooLong, PasswordNotUsable."""
    check_password_length(password)
    strength = [rule for rule in _strength(password, rules) if rule]
    if not all(rule["verified"] for rule in strength):
        raise PasswordRefused(
            "PasswordStrengthError",
            "Password is too weak",
            description={"rules": strength, "verified": False},
            policy=_as_text(strength),
        )
    folded = password.casefold()
    if rules.dictionary and (folded in COMMON_PASSWORDS or folded in {word.casefold() for word in rules.own_words}):
        raise PasswordRefused("PasswordDictionaryError", "Password is too common")
    if any(part in folded for part in _personal_parts(rules.personal_fields, profile)):
        raise PasswordRefused("PasswordNoUserInfoError", "Password contains user information")


def history_refused() -> PasswordRefused:
    """The refusal of a password that was used before."""
    return PasswordRefused("PasswordHistoryError", "Password has previously been used")


def _strength(password: str, rules: PasswordRules) -> Iterable[dict[str, Any]]:
    if rules.min_length <= 1:
        yield {"message": "Non-empty password required", "code": "nonEmpty", "verified": bool(password)}
    else:
        yield {
            "message": "At least %d characters in length",
            "format": [rules.min_length],
            "code": "lengthAtLeast",
            "verified": len(password) >= rules.min_length,
        }
    if rules.three_of_four:
        items = [_item(kind, password) for kind in _TYPES]
        yield {
            "message": "Contain at least %d of the following %d types of characters:",
            "code": "containsAtLeast",
            "format": [3, 4],
            "items": items,
            "verified": sum(item["verified"] for item in items) >= 3,
        }
    elif rules.types:
        items = [_item(kind, password) for kind in _TYPES if kind in rules.types]
        yield {
            "message": "Should contain:",
            "code": "shouldContain",
            "items": items,
            "verified": all(item["verified"] for item in items),
        }
    if rules.refuse_repeats:
        yield {
            "message": 'No more than %d identical characters in a row (e.g., "%s" not allowed)',
            "code": "identicalChars",
            "format": [2, "aaa"],
            "verified": not any(a == b == c for a, b, c in zip(password, password[1:], password[2:], strict=False)),
        }
    if rules.refuse_sequences:
        codes = [ord(character) for character in password]
        steps = zip(codes, codes[1:], codes[2:], strict=False)
        yield {
            "message": 'No more than %d sequential characters in a row (e.g., "%s" not allowed)',
            "code": "sequentialChars",
            "format": [2, "abc"],
            "verified": not any(b - a == c - b and abs(b - a) == 1 for a, b, c in steps),
        }


def _item(kind: str, password: str) -> dict[str, Any]:
    code, message = _TYPES[kind]
    return {"message": message, "code": code, "verified": any(_is_of(kind, character) for character in password)}


def _is_of(kind: str, character: str) -> bool:
    match kind:
        case "lowercase":
            return character.islower()
        case "uppercase":
            return character.isupper()
        case "number":
            return character.isdigit()
    return not character.isalnum()


def _as_text(rules: Iterable[Mapping[str, Any]]) -> str:
    lines = []
    for rule in rules:
        text = rule["message"] % tuple(rule["format"]) if "format" in rule else rule["message"]
        lines.append(f"* {text}")
        lines += [f" * {item['message']}" for item in rule.get("items", ())]
    return "\n".join(lines)


def _personal_parts(fields: Iterable[str], profile: Mapping[str, Any]) -> Iterable[str]:
    for name in fields:
        value: Any = profile
        for step in name.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        if not isinstance(value, str):
            continue
        text = value.partition("@")[0] if name == "email" else value
        for part in {text, *text.split()}:
            if len(part) >= SHORTEST_PERSONAL_PART:
                yield part.casefold()
