"""Password hashes: imported ones of every scheme Auth0 takes, checked as they are, and our own.

A hash is one string, from which everything needed to check a password can be read (its form is the PHC string format
or `$2b$`; what is done to a password beforehand stands in front, see `preparation.py`). These strings are vault
contents: they are never served, logged or exported outside the vault.

Checking takes as long as the hash wants, up to seconds: in a server go through `pool.py`.
Which password is the same as which (Unicode), and which input is never hashed, is decided in `policy.py`.
"""

from typing import Any

from freehold.kernel.crypto.passwords.argon2 import ARGON2, hash_argon2id, memory_and_passes
from freehold.kernel.crypto.passwords.bcrypt import (
    BCRYPT,
    Computation,
    are_bcrypt,
    check,
    cost_of,
    new_hash,
    parse_bcrypt,
)
from freehold.kernel.crypto.passwords.digest import DIGEST
from freehold.kernel.crypto.passwords.hmac import HMAC
from freehold.kernel.crypto.passwords.ldap import LDAP
from freehold.kernel.crypto.passwords.pbkdf2 import PBKDF2
from freehold.kernel.crypto.passwords.policy import (
    DEFAULT_POLICY,
    HashPolicy,
    PasswordNotUsable,
    PasswordTooLong,
    check_password_length,
    forms_to_try,
    new_password_bytes,
)
from freehold.kernel.crypto.passwords.preparation import Preparation, split_preparation
from freehold.kernel.crypto.passwords.scheme import BadHash, Scheme, read_custom_hash
from freehold.kernel.crypto.passwords.scrypt import SCRYPT

__all__ = [
    "DUMMY",
    "BadHash",
    "HashPolicy",
    "PasswordNotUsable",
    "PasswordTooLong",
    "are_bcrypt",
    "check_password_length",
    "dummy_of",
    "hash_password",
    "is_cheap",
    "needs_rehash",
    "parse_bcrypt",
    "parse_custom_hash",
    "verify",
]

# A new scheme is a file beside this one and its name here.
SCHEMES: tuple[Scheme, ...] = (ARGON2, BCRYPT, DIGEST, HMAC, LDAP, PBKDF2, SCRYPT)

_BY_ALGORITHM = {name: scheme for scheme in SCHEMES for name in scheme.algorithms}
_BY_IDENTIFIER = {name: scheme for scheme in SCHEMES for name in scheme.identifiers}

# The hash of a password nobody has: checked when there is no such user, so that the answer takes as long.
DUMMY = "$2b$10$VfOZ/IGZ./7qmQXqYe/q.ebI.b8ymdu9cIkanEhvy5R7VmUWas9rm"


def dummy_of(policy: HashPolicy) -> str:
    """The hash of a password nobody has, as dear to check as the policy's own."""
    return DUMMY.replace("$10$", f"${policy.cost:02}$", 1)


def parse_custom_hash(source: dict[str, Any]) -> str:
    """The storage string of an imported `custom_password_hash` object. Raises BadHash with the property at fault."""
    custom = read_custom_hash(source)
    scheme = _BY_ALGORITHM.get(custom.algorithm)
    if scheme is None:
        raise BadHash("algorithm", f"algorithm must be one of {', '.join(sorted(_BY_ALGORITHM))}", code="ENUM_MISMATCH")
    text, prefix, suffix = scheme.parse(custom)
    return Preparation(encoding=custom.password.encoding, prefix=prefix, suffix=suffix).mark(text)


def hash_password(password: str, policy: HashPolicy = DEFAULT_POLICY) -> str:
    """The storage string of a new password. Raises PasswordTooLong, PasswordNotUsable.

    A user who signed in with an imported hash may have a password that is too long here: keep the old hash then.
    """
    raw = new_password_bytes(password, policy)
    if policy.scheme == "argon2id":
        return hash_argon2id(raw, memory_kib=policy.memory_kib, passes=policy.passes)
    return new_hash(raw, cost=policy.cost).run()


def verify(stored: str, password: str) -> bool:
    """Whether this is the password: as typed or in its normal form. Over 4096 bytes, or with a NUL, it never is."""
    preparation, own = split_preparation(stored)
    scheme = _BY_IDENTIFIER[_identifier(own)]
    return any(scheme.verify(own, preparation.apply(form)) for form in forms_to_try(password))


def needs_rehash(stored: str, policy: HashPolicy = DEFAULT_POLICY) -> bool:
    """Whether the hash should be replaced at the next sign-in: another scheme than the policy's, or cheaper."""
    identifier = _identifier(stored)
    if policy.scheme == "argon2id":
        if identifier != "argon2id":
            return True
        memory_kib, passes = memory_and_passes(stored)
        return memory_kib < policy.memory_kib or passes < policy.passes
    return identifier not in BCRYPT.identifiers or cost_of(stored) < policy.cost


def is_cheap(stored: str, policy: HashPolicy = DEFAULT_POLICY) -> bool:
    """Whether a check against this hash takes clearly less time than one against a bcrypt of the policy's cost."""
    _, own = split_preparation(stored)
    scheme = _BY_IDENTIFIER[_identifier(own)]
    if scheme is BCRYPT:
        return cost_of(own) < policy.cost
    return policy.cost > DEFAULT_POLICY.cost or scheme.is_cheap(own)


def bcrypt_check(stored: str, password: str) -> tuple[str, Computation] | None:
    """A check that is one run of bcrypt: the scheme's own string and what to compute. None when it is more or less.

    For `pool.py`, which does several at once.
    """
    preparation, own = split_preparation(stored)
    forms = forms_to_try(password)
    if _identifier(own) not in BCRYPT.identifiers or len(forms) != 1:
        return None
    return own, check(own, preparation.apply(forms[0]))


def bcrypt_hash_of_new(password: str, policy: HashPolicy) -> Computation | None:
    """A new hash that is one run of bcrypt, or None. Raises PasswordTooLong, PasswordNotUsable."""
    return new_hash(new_password_bytes(password, policy), cost=policy.cost) if policy.scheme == "bcrypt" else None


def _identifier(stored: str) -> str:
    return stored.split("$", 2)[1]
