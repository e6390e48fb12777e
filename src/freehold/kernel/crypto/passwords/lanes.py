"""The bcrypt accelerator: several passwords at once in one thread, in C (`lanes.c`), where a C compiler is at hand.

A batch of five costs about a third of five single hashes. It is optional in every way: compiled when the first queue of
sign-ins forms, kept in a folder of the installation, tried with known answers before it is used, and done without
when any of that fails.
"""

import ctypes
import hashlib
import os
import platform
import secrets
import shutil
import stat
import struct
import subprocess
from functools import lru_cache
from pathlib import Path

MOST_LANES = 5

_SOURCE = Path(__file__).with_name("lanes.c")
_COMPILERS = ("cc", "gcc", "clang")
_OPTIONS = ("-O3", "-shared", "-fPIC")
_KEY_WORDS, _SALT_WORDS, _HASH_WORDS = 18, 4, 6
_STATE_WORDS = 18 + 4 * 256
_COMPILE_TIMEOUT_S = 60
# The beginning of SHA-256 over the hashes of `_check_answers`, computed with the PyPI package.
_KNOWN_ANSWERS = ("b5de364b487090c6", "225a3cc8a0df9c26", "2d273cb309f81f45", "e449b217037f6c95", "5875351bff86c7b0")


class Lanes:
    """The compiled code."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._function = library.freehold_bcrypt
        words = ctypes.POINTER(ctypes.c_uint32)
        self._function.argtypes = (ctypes.c_int, words, words, words, ctypes.c_uint64, words)
        self._function.restype = ctypes.c_int
        self._pi = (ctypes.c_uint32 * _STATE_WORDS)(*_words_of_pi(_STATE_WORDS))

    def hash(self, passwords: list[bytes], salts: list[bytes], *, cost: int) -> list[bytes]:
        """The 23 bytes of bcrypt for 1 to 5 passwords, each with 16 bytes of salt; lets go of the GIL."""
        lanes = len(passwords)
        keys = (ctypes.c_uint32 * (lanes * _KEY_WORDS))()
        for lane, password in enumerate(passwords):
            for word, value in enumerate(_key_words(password), start=lane * _KEY_WORDS):
                keys[word] = value
        salt_words = (ctypes.c_uint32 * (lanes * _SALT_WORDS))(
            *struct.unpack(f">{lanes * _SALT_WORDS}I", b"".join(salts))
        )
        hashes = (ctypes.c_uint32 * (lanes * _HASH_WORDS))()
        if self._function(lanes, self._pi, keys, salt_words, 1 << cost, hashes) != 0:
            raise ValueError(f"there is no code for {lanes} lanes")
        ctypes.memset(keys, 0, ctypes.sizeof(keys))
        raw = struct.pack(f">{lanes * _HASH_WORDS}I", *hashes)
        return [raw[start : start + 23] for start in range(0, len(raw), 24)]


def load(folder: Path) -> Lanes | None:
    """The accelerator, compiled into the folder when it is not there yet; None where that cannot be done."""
    try:
        source = _SOURCE.read_bytes()
        library = folder / f"lanes-{hashlib.sha256(source).hexdigest()[:16]}-{platform.machine()}.so"
        if not library.exists():
            _compile(library)
        _check_ours(library)
        lanes = Lanes(ctypes.CDLL(str(library)))
        _check_answers(lanes)
        return lanes
    except (OSError, AttributeError, subprocess.SubprocessError):
        return None


def _compile(library: Path) -> None:
    compiler = next((found for name in _COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise FileNotFoundError("no C compiler")
    library.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = library.with_name(f".{library.name}.{secrets.token_hex(8)}")
    try:
        # Nothing in the command comes from a user.
        subprocess.run(  # noqa: S603
            [compiler, *_OPTIONS, "-o", str(draft), str(_SOURCE)],
            check=True,
            timeout=_COMPILE_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        draft.chmod(0o700)
        draft.replace(library)
    finally:
        draft.unlink(missing_ok=True)


def _check_ours(library: Path) -> None:
    """Refuse code that somebody else could have put there."""
    for path in (library, library.parent):
        status = path.stat()
        if status.st_uid not in (os.geteuid(), 0) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"{path} can be changed by others")


def _check_answers(lanes: Lanes) -> None:
    """Refuse code that computes wrongly, in any lane of any batch."""
    for count in range(1, MOST_LANES + 1):
        passwords = [bytes(range(1, 18 * lane + 1)) for lane in range(count)]
        salts = [bytes(range(lane, lane + 16)) for lane in range(count)]
        joined = b"".join(lanes.hash(passwords, salts, cost=4))
        if hashlib.sha256(joined).hexdigest()[:16] != _KNOWN_ANSWERS[count - 1]:
            raise OSError("the compiled code computes wrongly")


def _key_words(password: bytes) -> tuple[int, ...]:
    """The password and the NUL that ends it, over and over, as 18 big-endian words; a 73rd byte is never read."""
    text = (password + b"\0")[:72]
    return struct.unpack(">18I", (text * 72)[:72])


@lru_cache(maxsize=1)
def _words_of_pi(count: int) -> tuple[int, ...]:
    """The first 32-bit words of pi behind the point, by Machin's formula: pi = 16 arctan 1/5 - 4 arctan 1/239."""
    bits = count * 32
    guard = 64
    one = 1 << (bits + guard)

    def arctan_of_inverse(x: int) -> int:
        term, total, divisor, sign = one // x, 0, 1, 1
        while term:
            total += sign * (term // divisor)
            term //= x * x
            divisor, sign = divisor + 2, -sign
        return total

    fraction = (16 * arctan_of_inverse(5) - 4 * arctan_of_inverse(239) - 3 * one) >> guard
    return struct.unpack(f">{count}I", fraction.to_bytes(count * 4))
