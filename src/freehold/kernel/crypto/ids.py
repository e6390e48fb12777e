"""Identifiers and random secrets in the forms Auth0 gives them.

Everything here comes from the operating system's random source. An identifier is never used again for another
object, so its randomness is its uniqueness: 16 base62 characters hold 95 bits, a client id 190, a client secret 384.
Ids that carry a time (`new_object_id`, `new_log_id`) sort by it, and within one process also by the order of making.
"""

import itertools
import os
import secrets
import time
from datetime import UTC, datetime
from functools import lru_cache

_BASE62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Random bytes become base62 characters by `translate`: 248 = 4 * 62 values are kept and the rest deleted, so that no
# character is likelier than another.
_BASE62_OF_BYTE = bytes(_BASE62[value % 62] for value in range(256))
_BIASED_BYTES = bytes(range(248, 256))

_object_counter = itertools.count(secrets.randbelow(1 << 23))
_log_counter = itertools.count(1)


_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id(prefix: str, length: int = 16) -> str:
    """`prefix` exactly as given (`rol_`, `con_` ...), then `length` base62 characters."""
    return prefix + _base62(length)


def new_object_id(now: datetime | None = None) -> str:
    """24 hexadecimal digits that sort by second of creation, as MongoDB's: the `abc…` of `auth0|abc…`.

    Uses the machine's clock unless told a time: the order is a convenience for indexes and nobody decides by it.
    """
    seconds = int(now.timestamp() if now else time.time()) & 0xFFFFFFFF
    return f"{seconds:08x}{_of_process[0]}{next(_object_counter) & 0xFFFFFF:06x}"


def new_ulid(now_ms: int | None = None) -> str:
    """26 characters of Crockford's Base32 that sort by millisecond of creation (ULID), as the ids of Auth0's hooks."""
    number = ((int(time.time() * 1000) if now_ms is None else now_ms) << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def new_client_id() -> str:
    """32 letters and digits."""
    return _base62(32)


def new_client_secret() -> str:
    """64 URL-safe characters (384 bits), enough to be an HS256 key as well."""
    return secrets.token_urlsafe(48)


def new_token(nbytes: int = 32) -> str:
    """An opaque token: `nbytes` random bytes as unpadded base64url."""
    return secrets.token_urlsafe(nbytes)


def new_kid() -> str:
    """21 URL-safe characters, the form of Auth0's `kid`."""
    return secrets.token_urlsafe(16)[:21]


def new_log_id(now_ms: int) -> str:
    """56 decimal digits that sort by time, as Auth0's `log_id`: `900`, the UTC time down to the millisecond, a tail.

    The tail counts within this process and ends in digits that are random for each process, so that ids of one
    millisecond keep their order here and never meet those of another process.
    """
    return f"{_log_second(now_ms // 1000)}{now_ms % 1000:03}{next(_log_counter) % 10**15:015}{_of_process[1]}"


@lru_cache(maxsize=64)
def _log_second(second: int) -> str:
    """What ids of one second begin with."""
    return "900" + datetime.fromtimestamp(second, UTC).strftime("%Y%m%d%H%M%S")


def _begin_process() -> None:
    _of_process[:] = [os.urandom(5).hex(), f"{secrets.randbelow(10**21):021}"]


# What is random once for each process, before or after its counter: in an object's id (as MongoDB makes them) and in a
# log entry's. A forked process goes on with its parent's counters, so it needs its own.
_of_process: list[str] = []
_begin_process()
os.register_at_fork(after_in_child=_begin_process)


def _base62(length: int) -> str:
    text = b""
    while len(text) < length:
        text += os.urandom(length + 8).translate(_BASE62_OF_BYTE, _BIASED_BYTES)
    return text[:length].decode("ascii")
