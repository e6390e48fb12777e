"""Proof Key for Code Exchange (RFC 7636)."""

import hmac
import re
from base64 import urlsafe_b64encode
from hashlib import sha256

from freehold.protocols.oauth.errors import InvalidGrant

_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")


def verify_code_challenge(verifier: str | None, *, challenge: str | None, method: str | None) -> None:
    """Check a code_verifier against the stored challenge (section 4.6).

    A verifier without a challenge is refused as well: it shows that the code was planted (RFC 9700 section 4.8.2).
    Raises InvalidGrant.
    """
    if challenge is None and verifier is None:
        return
    if challenge is None or verifier is None or not _VERIFIER.fullmatch(verifier):
        raise InvalidGrant("Failed to verify code verifier")
    if method == "S256":
        verifier = urlsafe_b64encode(sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode()
    if not hmac.compare_digest(verifier, challenge):
        raise InvalidGrant("Failed to verify code verifier")
