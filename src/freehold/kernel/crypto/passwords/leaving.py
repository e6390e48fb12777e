"""A stored hash in the form in which others take it: the `custom_password_hash` of Auth0's user import.

The way back from `parse_custom_hash`: what this gives is read there as the same stored string.
"""

import base64
import re
from typing import Any

from freehold.kernel.crypto.passwords.preparation import split_preparation
from freehold.kernel.crypto.passwords.scheme import decode_base64, encode_base64

_BCRYPT = re.compile(r"\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}")
_IMPORTABLE_DIGESTS = frozenset({"md4", "md5", "sha1", "sha256", "sha512"})


def is_plain_bcrypt(stored: str) -> bool:
    """Whether the hash is one that everybody reads: bcrypt of the password as typed."""
    return _BCRYPT.fullmatch(stored) is not None


def custom_hash_of(stored: str) -> dict[str, Any]:
    """The import form of a stored hash. Raises ValueError for what is no stored hash."""
    preparation, own = split_preparation(stored)
    identifier = own.split("$", 2)[1]
    scheme, _, digest = identifier.partition("-")
    if scheme == "digest" and digest not in _IMPORTABLE_DIGESTS:
        # Only LDAP's schemes bring these, and their salt is in the value.
        raw = decode_base64(own.split("$")[2]) + preparation.suffix
        salted = "S" if preparation.suffix else ""
        form = _text("ldap", f"{{{salted}{digest.upper()}}}{base64.b64encode(raw).decode()}")
    else:
        form = _of_scheme(identifier, own)
        salt = preparation.prefix or preparation.suffix
        if salt:
            position = "prefix" if preparation.prefix else "suffix"
            form["salt"] = {"value": encode_base64(salt), "encoding": "base64", "position": position}
    if preparation.encoding != "utf8":
        form["password"] = {"encoding": preparation.encoding}
    return form


def _of_scheme(identifier: str, own: str) -> dict[str, Any]:
    if identifier.startswith("argon2"):
        return _text("argon2", own)
    if identifier.startswith("pbkdf2-"):
        return _text("pbkdf2", own)
    if _BCRYPT.fullmatch(own):
        return _text("bcrypt", own)
    if identifier == "scrypt":
        _, _, parameters, salt, raw = own.split("$")
        values = dict(part.split("=") for part in parameters.split(","))
        return {
            "algorithm": "scrypt",
            "hash": {"value": raw, "encoding": "base64"},
            "salt": {"value": salt, "encoding": "base64"},
            "keylen": len(raw) * 3 // 4,
            "cost": 1 << int(values["ln"]),
            "blockSize": int(values["r"]),
            "parallelization": int(values["p"]),
        }
    scheme, _, digest = identifier.partition("-")
    if scheme == "hmac":
        _, _, key, raw = own.split("$")
        hash_ = {"value": raw, "encoding": "base64", "digest": digest, "key": {"value": key, "encoding": "base64"}}
        return {"algorithm": "hmac", "hash": hash_}
    if scheme == "digest":
        return {"algorithm": digest, "hash": {"value": own.split("$")[2], "encoding": "base64"}}
    raise ValueError(f"no such scheme: {identifier}")


def _text(algorithm: str, own: str) -> dict[str, Any]:
    return {"algorithm": algorithm, "hash": {"value": own, "encoding": "utf8"}}
