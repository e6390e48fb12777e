"""An administrator's passkey under a decision: what it signs, and how anybody checks it again later.

What is signed says which request, which decision, who decides, and a nonce of the server's, so that it counts for
nothing else. A NUL, which is in none of them, stands between the parts.
"""

import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from freehold.kernel.errors import BadRequest

PREFIX = b"freehold.approve.v1\0"
NONCE_BYTES = 32
LONGEST_PART = 8_000


class ApprovalRefused(BadRequest):
    """A stored approval that does not hold; the code is a word, the message says what is wrong."""

    code = "approval_refused"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code=code)


def approval_challenge(digest: bytes, decision: str, approver_id: str, nonce: bytes) -> bytes:
    """What a passkey is asked to sign. Raises ValueError for parts that could be taken for others."""
    if len(digest) != 32 or len(nonce) != NONCE_BYTES or "\0" in decision + approver_id:
        raise ValueError("an approval is made of a digest, a decision, an id and a nonce of 32 bytes")
    return sha256(PREFIX + digest + decision.encode() + b"\0" + approver_id.encode() + b"\0" + nonce).digest()


def verify_approval(digest: bytes, stored: Mapping[str, Any], *, domain: str) -> None:
    """Check an approval as it is stored, without the server that stored it. Raises ApprovalRefused.

    `stored` has the decision, the person's id, the nonce (hexadecimal), and the passkey's public key and answer
    (base64url); `domain` is the tenant's, on whose page the passkey was used.
    """
    # Here, because a receipt is checked now and then, and starts happen every day.
    from webauthn import verify_authentication_response
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        challenge = approval_challenge(
            digest, stored["decision"], stored["person"]["id"], bytes.fromhex(stored["nonce"])
        )
        answer = {
            name: stored[name] for name in ("credential_id", "authenticator_data", "client_data_json", "signature")
        }
        if any(not isinstance(value, str) or len(value) > LONGEST_PART for value in answer.values()):
            raise ValueError("a part is missing or too long")
        client_data = json.loads(decoded(answer["client_data_json"]))
        if client_data.get("crossOrigin") is True:
            raise ApprovalRefused("framed", "The approval was signed in a frame of another site.")
        if not hmac.compare_digest(decoded(str(client_data.get("challenge"))), challenge):
            raise ApprovalRefused("other_decision", "The approval is of another request, decision or person.")
        verify_authentication_response(
            credential={
                "id": answer["credential_id"],
                "rawId": answer["credential_id"],
                "type": "public-key",
                "response": {
                    "authenticatorData": answer["authenticator_data"],
                    "clientDataJSON": answer["client_data_json"],
                    "signature": answer["signature"],
                },
            },
            expected_challenge=challenge,
            expected_rp_id=domain.rpartition(":")[0] or domain,
            expected_origin=f"https://{domain}",
            credential_public_key=decoded(stored["public_key"]),
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError, AttributeError):
        raise ApprovalRefused("bad_signature", "The approval's signature does not hold.") from None


def decoded(text: str) -> bytes:
    """The bytes behind base64url, padded or not. Raises ValueError."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
