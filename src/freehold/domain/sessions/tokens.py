"""How an opaque token is made and how it is kept."""

from hashlib import sha256
from typing import Any, Protocol

from freehold.kernel.crypto.ids import new_token
from freehold.kernel.crypto.jose import b64u_encode

LONGEST_TOKEN = 512


class Writer(Protocol):
    """A transaction, or a store for a change of one statement."""

    async def run(self, sql: str, /, **params: Any) -> int:
        """Execute a change; the number of rows it affected."""
        ...


def hashed(value: str) -> str:
    """What is stored of a token: SHA-256, as unpadded base64url."""
    return b64u_encode(sha256(value.encode()).digest()).decode()


def new_secret() -> tuple[str, str]:
    """A random token of 256 bits, and what is stored of it."""
    value = new_token(32)
    return value, hashed(value)


def plausible(value: str) -> bool:
    """Whether a string from outside can be a token of ours; anything else is not even hashed."""
    return 0 < len(value) <= LONGEST_TOKEN and value.isascii()
