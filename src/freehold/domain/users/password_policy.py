"""The refusal of a new password, in the shape that Auth0's login widgets read.

What the rules are is the connection's (`connections.password_policy`); here they become a list that says which were
met, and one of Auth0's error classes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from freehold.domain.connections.password_policy import PasswordPolicy, broken_rules
from freehold.kernel.crypto.passwords import check_password_length
from freehold.kernel.errors import BadRequest

_TYPES = {
    "lowercase": ("lowerCase", "lower case letters (a-z)", str.islower),
    "uppercase": ("upperCase", "upper case letters (A-Z)", str.isupper),
    "number": ("numbers", "numbers (i.e. 0-9)", str.isdigit),
    "special": ("specialCharacters", "special characters (e.g. !@#$%^&*)", lambda c: not c.isalnum()),
}


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
        self.description: Any = text if description is None else description
        self.policy = policy


def check_password(password: str, policy: PasswordPolicy, profile: Mapping[str, Any]) -> None:
    """Refuse a new password that breaks a rule. Raises PasswordRefused, PasswordTooLong, PasswordNotUsable."""
    check_password_length(password)
    broken = {rule.kind for rule in broken_rules(policy, password, dict(profile))}
    if broken & {"length", "types", "identical", "sequential"}:
        rules = [{**rule, "verified": kind not in broken} for kind, rule in _strength(password, policy)]
        raise PasswordRefused(
            "PasswordStrengthError",
            "Password is too weak",
            description={"rules": rules, "verified": False},
            policy=_as_text(rules),
        )
    if "dictionary" in broken:
        raise PasswordRefused("PasswordDictionaryError", "Password is too common")
    if "personal" in broken:
        raise PasswordRefused("PasswordNoUserInfoError", "Password contains user information")


def history_refused() -> PasswordRefused:
    """The refusal of a password that was used before."""
    return PasswordRefused("PasswordHistoryError", "Password has previously been used")


def _strength(password: str, policy: PasswordPolicy) -> Iterable[tuple[str, dict[str, Any]]]:
    if policy.min_length <= 1:
        yield "length", {"message": "Non-empty password required", "code": "nonEmpty"}
    else:
        yield (
            "length",
            {"message": "At least %d characters in length", "code": "lengthAtLeast", "format": [policy.min_length]},
        )
    if policy.types_needed:
        items = [
            {"message": message, "code": code, "verified": any(map(is_one, password))}
            for kind, (code, message, is_one) in _TYPES.items()
            if kind in policy.types
        ]
        if policy.types_needed < len(items):
            yield (
                "types",
                {
                    "message": "Contain at least %d of the following %d types of characters:",
                    "code": "containsAtLeast",
                    "format": [policy.types_needed, len(items)],
                    "items": items,
                },
            )
        else:
            yield "types", {"message": "Should contain:", "code": "shouldContain", "items": items}
    for kind, wanted, example in (
        ("identical", policy.identical_blocked, "aaa"),
        ("sequential", policy.sequential_blocked, "abc"),
    ):
        if wanted:
            yield (
                kind,
                {
                    "message": f'No more than %d {kind} characters in a row (e.g., "%s" not allowed)',
                    "code": f"{kind}Chars",
                    "format": [2, example],
                },
            )


def _as_text(rules: Iterable[Mapping[str, Any]]) -> str:
    lines = []
    for rule in rules:
        text = rule["message"] % tuple(rule["format"]) if "format" in rule else rule["message"]
        lines.append(f"* {text}")
        lines += [f" * {item['message']}" for item in rule.get("items", ())]
    return "\n".join(lines)
