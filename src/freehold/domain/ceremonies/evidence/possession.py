"""The proof that a requester can decrypt, made before anybody signs: a random word, encrypted to the key.

Only the SHA-256 of a word is stored. People copy it from a terminal, so case, spaces and hyphens do not count.
"""

import hmac
import secrets
from hashlib import sha256
from pathlib import Path

from freehold.domain.ceremonies.evidence.confined import Bounds, ask_worker
from freehold.domain.ceremonies.evidence.recipient_key import KeyRefused

_WORKER = Path(__file__).with_name("possession_worker.py")
_BOUNDS = Bounds(memory_bytes=512 << 20, cpu_s=5)
# Without characters that are taken for others. 28 of 32 are 140 bits.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_GROUPS, _GROUP = 7, 4
_LONGEST_ANSWER = 200


async def seal_word(certificate: str) -> tuple[str, str]:
    """A new word, and an armored message with it that only the certificate's owner can read. Raises KeyRefused."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    word = "-".join(groups)
    answer = await ask_worker(_WORKER, {"certificate": certificate, "text": f"{word}\n"}, bounds=_BOUNDS)
    if "message" not in answer:
        raise KeyRefused(
            "cannot_encrypt", "A message cannot be encrypted to this key now: it may have expired meanwhile."
        )
    return word, answer["message"]


def word_digest(word: str) -> str:
    """What is stored of a word."""
    return sha256(_plain(word).encode()).hexdigest()


def is_word(given: str, digest: str) -> bool:
    """Whether somebody read the word."""
    return len(given) <= _LONGEST_ANSWER and hmac.compare_digest(word_digest(given), digest)


def _plain(word: str) -> str:
    return "".join(character for character in word.upper() if character.isalnum())
