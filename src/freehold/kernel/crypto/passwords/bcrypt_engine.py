"""The one place that decides which bcrypt runs: the C library's when this machine has a good one, else PyPI's.

libxcrypt through ctypes takes about 50 CPU-ms at cost 10 where the PyPI package takes 60, and both let go of the GIL.
The library is tried once, at import, with answers known beforehand; one wrong answer and it is not used.
"""

import ctypes
import threading
from collections.abc import Callable

import bcrypt

LONGEST_PASSWORD_BYTES = 72

_SETTING = "$2b$04$abcdefghijklmnopqrstuu"
# A password, a setting and what they give, at the lowest cost; the second has bytes with the high bit set, which
# is where faulty implementations of `$2a$` and `$2x$` differ, and the third is as long as bcrypt reads.
_KNOWN_ANSWERS = (
    (b"", _SETTING, _SETTING + "byCG3zY1GIXMyxfivm.ClDiInHzxjiq"),
    (b"\xff\xff\xa3 high", _SETTING, _SETTING + "SkZ33nca0YQsBeBRveLQ8TTalJ7NriC"),
    (b"x" * 72, _SETTING, _SETTING + "bzadhGtS2zEF.gu0yd0opP6cVzb.e0i"),
)
_LIBRARIES = ("libcrypt.so.1", "libcrypt.so.2")
_CRYPT_DATA_BYTES = 32768  # sizeof(struct crypt_data), fixed by libxcrypt's interface

Hasher = Callable[[bytes, str], str]


def bcrypt_hash(password: bytes, setting: str) -> str:
    """The 60 characters of bcrypt for at most 72 bytes and a setting `$2b$NN$` + 22 canonical salt characters."""
    if b"\0" in password:  # a C string would end there; imported UTF-16 passwords are full of them
        return _hash_with_package(password, setting)
    return _hasher(password, setting)


def engine_name() -> str:
    """Which implementation runs, for the operator's status page."""
    return "bcrypt" if _hasher is _hash_with_package else "libxcrypt"


def _hash_with_package(password: bytes, setting: str) -> str:
    return bcrypt.hashpw(password[:LONGEST_PASSWORD_BYTES], setting.encode("ascii")).decode("ascii")


def _system_hasher(name: str) -> Hasher | None:
    """`crypt_r` of the named library, if it is there and answers rightly."""
    try:
        crypt_r = ctypes.CDLL(name).crypt_r
    except (OSError, AttributeError):
        return None
    crypt_r.restype = ctypes.c_char_p
    crypt_r.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
    local = threading.local()

    def hash_with_library(password: bytes, setting: str) -> str:
        try:
            scratch = local.scratch
        except AttributeError:
            scratch = local.scratch = ctypes.create_string_buffer(_CRYPT_DATA_BYTES)
        answer: bytes | None = crypt_r(password[:LONGEST_PASSWORD_BYTES], setting.encode("ascii"), scratch)
        ctypes.memset(scratch, 0, _CRYPT_DATA_BYTES)  # it held the password's key schedule
        return answer.decode("ascii") if answer else ""

    if all(hash_with_library(password, setting) == expected for password, setting, expected in _KNOWN_ANSWERS):
        return hash_with_library
    return None


_hasher: Hasher = next((hasher for hasher in map(_system_hasher, _LIBRARIES) if hasher), _hash_with_package)
