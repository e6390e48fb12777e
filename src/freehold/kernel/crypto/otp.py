"""One-time passwords (TOTP, RFC 6238) and recovery codes: making them, showing them to an app, comparing them.

The library computes HOTP values and this module decides which of them count: the step of now and `drift` steps on
either side, never a step at or before the last one that was used, so that a code works once. The caller keeps the
step that `match_totp` returns and must write it with a condition, so that of two requests with one code one wins.

A recovery code is hashed like a password by the caller; nothing here stores anything.
"""

import base64
import binascii
import secrets
import string
from datetime import datetime
from typing import Literal
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives import constant_time
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512
from cryptography.hazmat.primitives.twofactor.hotp import HOTP

Algorithm = Literal["SHA1", "SHA256", "SHA512"]

RECOVERY_CODE_LENGTH = 24
_SECRET_BYTES = 20  # RFC 4226 section 4 R6 recommends 160 bits
_RECOVERY_ALPHABET = string.ascii_uppercase + string.digits
# RFC 6238 section 1.2; authenticator apps know SHA-1, and HMAC does not need its collision resistance.
_HASHES: dict[Algorithm, SHA1 | SHA256 | SHA512] = {"SHA1": SHA1(), "SHA256": SHA256(), "SHA512": SHA512()}  # noqa: S303
# What people and password managers put between the groups of a code.
_SEPARATORS = dict.fromkeys(map(ord, " -\t\r\n\xa0\u2009\u2010\u2011\u202f"))


class BadTotpSecret(ValueError):
    """The text is not a Base32 secret; it is not part of the message."""


def new_totp_secret() -> str:
    """160 random bits as 32 Base32 characters."""
    return base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode("ascii")


def new_recovery_code() -> str:
    """24 upper-case letters and digits: 124 bits."""
    return "".join(secrets.choice(_RECOVERY_ALPHABET) for _ in range(RECOVERY_CODE_LENGTH))


def normalise_code(typed: str) -> str:
    """A code as it was meant: without spaces and dashes, in upper case."""
    return typed.translate(_SEPARATORS).upper()


def totp_key(secret: str) -> bytes:
    """The key that a Base32 secret stands for; spaces, dashes, case and padding do not matter. Raises BadTotpSecret.

    A last character that holds less than a byte is left out, as apps do with secrets of odd lengths.
    """
    text = normalise_code(secret).rstrip("=")
    if len(text) % 8 in {1, 3, 6}:
        text = text[:-1]
    try:
        key = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        raise BadTotpSecret("The secret is not Base32.") from None
    if not key:
        raise BadTotpSecret("The secret is empty.")
    return key


def totp_uri(secret: str, *, issuer: str, account: str) -> str:
    """What an authenticator app reads from the QR code (Google's key URI format), with the parameters all apps know."""
    label = f"{quote(issuer, safe='')}:{quote(account, safe='@')}"
    parameters = {"secret": normalise_code(secret).rstrip("="), "issuer": issuer}
    defaults = {"algorithm": "SHA1", "digits": "6", "period": "30"}
    return f"otpauth://totp/{label}?{urlencode(parameters | defaults, quote_via=quote)}"


def match_totp(
    secret_b32: str,
    code: str,
    *,
    now: datetime,
    last_step: int | None,
    digits: int = 6,
    period: int = 30,
    algorithm: Algorithm = "SHA1",
    drift: int = 1,
) -> int | None:
    """The time step that `code` belongs to, None if it belongs to none that may still be used. Raises BadTotpSecret.

    Every step of the window is computed and compared, so the time taken tells neither which one matched nor how much of
    the code was right.
    """
    hotp = HOTP(totp_key(secret_b32), digits, _HASHES[algorithm], enforce_key_length=False)
    typed = normalise_code(code).encode("utf-8", "replace")
    current = int(now.timestamp()) // period
    matched: int | None = None
    for step in range(max(current - drift, 0), current + drift + 1):
        is_equal = constant_time.bytes_eq(hotp.generate(step), typed)
        if is_equal and (last_step is None or step > last_step):
            matched = step
    return matched
