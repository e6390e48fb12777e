"""Passwords that everybody tries first: the 30,000 most common ones, as zxcvbn's package keeps them by frequency.

They are read when a connection that refuses them first checks a password, and the rest of that package is not.
"""

import importlib.util
from functools import cache
from pathlib import Path

from freehold.kernel.errors import Unavailable

ALL = 30_000
# What software is delivered with, and what the list has no place for.
_DELIVERED = frozenset(
    {"admin", "changeme", "default", "guest", "pass1234", "password123", "root", "secret", "test", "test123", "toor"}
)


def is_common(password: str, *, most: int = ALL) -> bool:
    """Whether a password is among the most common ones, whatever its case."""
    folded = password.casefold()
    return folded in _DELIVERED or folded in _common(most)


@cache
def _common(most: int) -> frozenset[str]:
    package = importlib.util.find_spec("zxcvbn")
    if package is None or package.origin is None:
        raise Unavailable("The list of common passwords is not installed.")
    # The module alone: the package would keep a few megabytes more in memory, for what is not asked here.
    lists = importlib.util.spec_from_file_location(
        "freehold_guessed_passwords", Path(package.origin).with_name("frequency_lists.py")
    )
    assert lists is not None
    assert lists.loader is not None
    module = importlib.util.module_from_spec(lists)
    lists.loader.exec_module(module)
    return frozenset(password.casefold() for password in module.FREQUENCY_LISTS["passwords"][:most])
