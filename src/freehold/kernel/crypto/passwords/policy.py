"""How new passwords are hashed, and what a new password may be.

The one normalisation of the product is OpaqueString of RFC 8265 section 4.2: spaces of any width become U+0020, then
NFC. New passwords are hashed in that form. A password is checked as typed first, because an imported hash was made from
whatever its system took, and then in that form: so the same password typed as NFC and as NFD is one password.
NFKC was ruled out: it changes characters that people see as different, and a hash that leaves Freehold has to
verify elsewhere, where nobody normalises.
"""

import unicodedata
from typing import Literal

import msgspec

from freehold.kernel.crypto.passwords.bcrypt_engine import LONGEST_PASSWORD_BYTES as LONGEST_BCRYPT_BYTES
from freehold.kernel.errors import BadRequest

# Anything longer is never given to a hash function, neither when set nor when checked.
LONGEST_INPUT_BYTES = 4096


class PasswordTooLong(BadRequest):
    """A new password has more bytes than its scheme reads."""

    code = "password_too_long"


class PasswordNotUsable(BadRequest):
    """A new password holds a character that no scheme can be trusted with: NUL, or half of a surrogate pair."""

    code = "password_not_usable"


class HashPolicy(msgspec.Struct, frozen=True):
    """How a tenant hashes new passwords. `cost` is bcrypt's; memory and passes are Argon2id's (OWASP's figures)."""

    scheme: Literal["bcrypt", "argon2id"] = "bcrypt"
    cost: int = 10
    memory_kib: int = 19456
    passes: int = 2


DEFAULT_POLICY = HashPolicy()


def opaque_string(password: str) -> str:
    """The password in the form new ones are hashed in."""
    if password.isascii():
        return password
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in password)
    return unicodedata.normalize("NFC", spaced)


def check_password_length(password: str, policy: HashPolicy = DEFAULT_POLICY) -> None:
    """Refuse a new password its scheme could not read to the end. Raises PasswordTooLong, PasswordNotUsable."""
    new_password_bytes(password, policy)


def new_password_bytes(password: str, policy: HashPolicy) -> bytes:
    """The bytes of a new password. Raises PasswordTooLong, PasswordNotUsable."""
    longest = LONGEST_BCRYPT_BYTES if policy.scheme == "bcrypt" else LONGEST_INPUT_BYTES
    if len(password) > LONGEST_INPUT_BYTES:  # before normalising, which takes time of its own
        raise PasswordTooLong(f"the password is longer than {longest} bytes")
    if "\0" in password:
        raise PasswordNotUsable("a password cannot contain the character NUL")
    try:
        raw = opaque_string(password).encode()
    except UnicodeEncodeError:
        raise PasswordNotUsable("the password is not valid Unicode text") from None
    if len(raw) > longest:
        raise PasswordTooLong(f"the password is longer than {longest} bytes")
    return raw


def forms_to_try(password: str) -> list[str]:
    """As typed, then normalised if that differs; none for input that is never hashed."""
    if len(password) > LONGEST_INPUT_BYTES or "\0" in password:
        return []
    try:
        if len(password.encode()) > LONGEST_INPUT_BYTES:
            return []
    except UnicodeEncodeError:
        return []
    normalised = opaque_string(password)
    return [password] if normalised == password else [password, normalised]
