"""Second factors that arrive with a user: kept in the vault, also while no sign-in asks for them yet.

A factor is named for its kind, with a number where a user has several of one; its content is JSON.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

KINDS = ("totp", "phone", "email")


def stored_factors(factors: Iterable[Mapping[str, Mapping[str, Any]]]) -> tuple[tuple[str, bytes], ...]:
    """Names and contents for the vault, of factors such as `{"totp": {"secret": ...}}`."""
    counts: dict[str, int] = {}
    stored = []
    for factor in factors:
        for kind, content in factor.items():
            counts[kind] = counts.get(kind, 0) + 1
            name = kind if counts[kind] == 1 else f"{kind}/{counts[kind]}"
            stored.append((name, msgspec.json.encode(content)))
    return tuple(stored)
