"""Protection against those who try and try again."""

from freehold.domain.protection.addresses import OPERATIONS, admit_sign_up
from freehold.domain.protection.blocks import blocks_of, unblock
from freehold.domain.protection.brute_force import (
    FIXED,
    AddressThrottled,
    Attempt,
    LoginGuard,
    TooManyAttempts,
    purpose_of,
)
from freehold.domain.protection.counters import ATTEMPTS, forget, take_place
from freehold.domain.protection.settings import (
    BOTS,
    BREACHED_PASSWORDS,
    BRUTE_FORCE,
    PROTECTIONS,
    SUSPICIOUS_ADDRESSES,
)
from freehold.kernel.declare import Package

PACKAGE = Package(
    name="protection",
    declarations=(ATTEMPTS, *PROTECTIONS.values()),
    operations=OPERATIONS,
)

__all__ = [
    "ATTEMPTS",
    "BOTS",
    "BREACHED_PASSWORDS",
    "BRUTE_FORCE",
    "FIXED",
    "PACKAGE",
    "PROTECTIONS",
    "SUSPICIOUS_ADDRESSES",
    "AddressThrottled",
    "Attempt",
    "LoginGuard",
    "TooManyAttempts",
    "admit_sign_up",
    "blocks_of",
    "forget",
    "purpose_of",
    "take_place",
    "unblock",
]
