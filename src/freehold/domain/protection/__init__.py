"""Protection against those who try and try again."""

from freehold.domain.protection.blocks import blocks_of, unblock
from freehold.domain.protection.brute_force import Attempt, LoginGuard, TooManyAttempts, purpose_of
from freehold.domain.protection.counters import ATTEMPTS, forget, take_place
from freehold.kernel.declare import Package

PACKAGE = Package(name="protection", declarations=(ATTEMPTS,))

__all__ = [
    "ATTEMPTS",
    "PACKAGE",
    "Attempt",
    "LoginGuard",
    "TooManyAttempts",
    "blocks_of",
    "forget",
    "purpose_of",
    "take_place",
    "unblock",
]
