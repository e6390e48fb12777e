"""What every password scheme supplies, and how an imported hash is read.

A scheme is a value in the list of `passwords/__init__.py`. It turns the import form (`custom_password_hash`) into a
storage string, and checks the bytes of a password against such a string. What is done to a password before a scheme
sees it (encoding, a salt before or after) is common to all and lives in `preparation.py`.
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from freehold.kernel.errors import BadRequest

# A hash shorter than this would match by chance: 8 bytes are one password in 2^64.
SHORTEST_HASH_BYTES = 8
LONGEST_HASH_BYTES = 1024
LONGEST_SALT_BYTES = 1024


class BadHash(BadRequest):
    """An imported hash that cannot be used; `path` is the property, such as `hash.encoding`.

    `code` is the row error's code of Auth0's import (`FORMAT`, `ENUM_MISMATCH`, `OBJECT_REQUIRED` ...).
    """

    def __init__(self, path: str, message: str, *, code: str = "FORMAT") -> None:
        super().__init__(message, code=code)
        self.path = path


TextEncoding = Literal["base64", "hex", "utf8"]
PasswordEncoding = Literal["ascii", "utf8", "utf16le", "ucs2", "latin1", "binary"]


class KeyPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`hash.key`: the key of an HMAC."""

    value: str
    encoding: TextEncoding = "utf8"


class HashPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`hash`: the output of the scheme. Published examples leave out `encoding` where only utf8 is possible."""

    value: str
    encoding: TextEncoding = "utf8"
    digest: str | None = None
    key: KeyPart | None = None


class SaltPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`salt`: what was put before or after the password, or scrypt's own salt."""

    value: str
    encoding: TextEncoding = "utf8"
    position: Literal["prefix", "suffix"] = "prefix"


class PasswordPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`password`: how the password was written down before it was hashed."""

    encoding: PasswordEncoding = "utf8"


class CustomHash(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`custom_password_hash` of Auth0's user import schema."""

    algorithm: str
    hash: HashPart
    salt: SaltPart | None = None
    password: PasswordPart = PasswordPart()
    keylen: int | None = None
    cost: int | None = None
    block_size: int | None = msgspec.field(name="blockSize", default=None)
    parallelization: int | None = None


class Imported(NamedTuple):
    """A hash in its scheme's storage form, and the salt that goes before or after the password outside the scheme."""

    text: str
    prefix: bytes = b""
    suffix: bytes = b""


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """One way of hashing passwords.

    `algorithms` are its names in the import form, `identifiers` the first words of its storage strings.
    `parse` raises BadHash. `verify` compares in constant time; the string comes from `parse` or from our own hashing.
    `is_cheap` says whether checking it takes clearly less time than our own default, which would show in the time of
    an answer; bcrypt is not asked, because its cost is compared.
    """

    algorithms: frozenset[str]
    identifiers: frozenset[str]
    parse: Callable[[CustomHash], Imported]
    verify: Callable[[str, bytes], bool]
    is_cheap: Callable[[str], bool] = lambda _stored: False


_AT_PATH = re.compile(r"(?P<message>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_CODES = {
    "Object missing required field": "OBJECT_REQUIRED",
    "Invalid enum value": "ENUM_MISMATCH",
    "Expected": "INVALID_TYPE",
}


def read_custom_hash(source: dict[str, Any]) -> CustomHash:
    """The import form with its types checked and unknown properties refused. Raises BadHash."""
    try:
        return msgspec.convert(source, CustomHash)
    except msgspec.ValidationError as error:
        match = _AT_PATH.fullmatch(str(error))
        message, path = (match["message"], match["path"] or "") if match else (str(error), "")
        code = next((code for start, code in _CODES.items() if message.startswith(start)), "FORMAT")
        raise BadHash(path, message, code=code) from None


def decode_text(value: str, encoding: TextEncoding, path: str) -> bytes:
    """The bytes behind a value: hex of any case, base64 of either alphabet with or without padding, or UTF-8."""
    try:
        if encoding == "hex":
            return binascii.unhexlify(value)
        if encoding == "base64":
            return decode_base64(value)
        return value.encode()
    except ValueError:
        raise BadHash(path, f"the value is not {encoding}") from None


def decode_digest(custom: CustomHash) -> bytes:
    """`hash.value` of the schemes whose output must be hex or base64."""
    if custom.hash.encoding == "utf8":
        raise BadHash(
            "hash.encoding", f"hash.encoding must be hex or base64 for {custom.algorithm}", code="ENUM_MISMATCH"
        )
    return decode_text(custom.hash.value, custom.hash.encoding, "hash.value")


def imported_with_salt(text: str, custom: CustomHash) -> Imported:
    """For schemes whose salt is put before or after the password."""
    salt = decode_salt(custom)
    if custom.salt is not None and custom.salt.position == "suffix":
        return Imported(text, suffix=salt)
    return Imported(text, prefix=salt)


def decode_salt(custom: CustomHash) -> bytes:
    """The salt's bytes; none is the empty salt."""
    if custom.salt is None:
        return b""
    raw = decode_text(custom.salt.value, custom.salt.encoding, "salt.value")
    check_salt_length(raw, "salt.value")
    return raw


def check_text_form(custom: CustomHash) -> None:
    """For schemes whose hash is one string that holds everything."""
    if custom.hash.encoding != "utf8":
        raise BadHash("hash.encoding", f"hash.encoding must be utf8 for {custom.algorithm}", code="ENUM_MISMATCH")


def check_no_salt(custom: CustomHash) -> None:
    """Refuse a `salt` beside a hash that has its own or takes none."""
    if custom.salt is not None:
        raise BadHash("salt", f"salt is not allowed for {custom.algorithm}", code="NOT_PASSED")


def check_hash_length(raw: bytes, path: str = "hash.value") -> None:
    """Refuse outputs so short that a wrong password would fit, or longer than anyone makes."""
    if len(raw) < SHORTEST_HASH_BYTES:
        raise BadHash(
            path, f"the hash has {len(raw)} bytes, and under {SHORTEST_HASH_BYTES} prove nothing", code="MIN_LENGTH"
        )
    if len(raw) > LONGEST_HASH_BYTES:
        raise BadHash(path, f"the hash is longer than {LONGEST_HASH_BYTES} bytes", code="MAX_LENGTH")


def check_salt_length(raw: bytes, path: str, *, shortest: int = 0) -> None:
    """Refuse a salt its scheme cannot take, or one that is no salt but a way to store files."""
    if len(raw) < shortest:
        raise BadHash(path, f"the salt has {len(raw)} bytes, and at least {shortest} are needed", code="MIN_LENGTH")
    if len(raw) > LONGEST_SALT_BYTES:
        raise BadHash(path, f"the salt is longer than {LONGEST_SALT_BYTES} bytes", code="MAX_LENGTH")


def check_range(value: int, path: str, *, low: int, high: int, what: str) -> None:
    """Refuse a cost that is meaningless, or that would let one login hold the server."""
    if value < low:
        raise BadHash(path, f"{what} is {value}; at least {low} is needed", code="MINIMUM")
    if value > high:
        raise BadHash(
            path, f"{what} is {value}; at most {high} is accepted, because every login pays it", code="MAXIMUM"
        )


def decode_base64(text: str) -> bytes:
    """Base64 of either alphabet, padded or not. Raises ValueError."""
    standard = text.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
    return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)


def encode_base64(raw: bytes) -> str:
    """Base64 without padding, the `B64` of the PHC string format."""
    return base64.b64encode(raw).rstrip(b"=").decode("ascii")
