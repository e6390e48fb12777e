"""Who may sign a form, and what the rules for signatures are: the facts that a signature is compared with."""

from datetime import datetime
from typing import Literal

import msgspec

SignatureKind = Literal["pdf", "cms", "openpgp", "webauthn", "scan"]
Assurance = Literal["high", "substantial", "low"]


class ExecutivePasskey(msgspec.Struct, frozen=True, kw_only=True):
    """A passkey's public half, and what its maker said of it, if anything; base64url without padding."""

    credential_id: str
    public_key: str
    attestation: str = ""


class Executive(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who was enrolled to sign, with the public material by which a signature is recognized as theirs.

    `certificates` are SHA-256 fingerprints in hexadecimal. Where there are any, no other certificate is taken.
    """

    name: str
    title: str
    email: str
    certificates: tuple[str, ...] = ()
    openpgp_key: str = ""
    passkeys: tuple[ExecutivePasskey, ...] = ()


class TrustAnchor(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate authority whose certificates a tenant accepts, with its revocation lists; all in PEM."""

    name: str
    certificate: str
    crls: tuple[str, ...] = ()


class SignaturePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The rules. `rp_id` and `origins` are those of the pages on which a passkey signs.

    `minimum_rsa_bits` and `allow_modern_keys` are for OpenPGP keys, as for recipients'.
    """

    allow_scan: bool = False
    allow_scan_for_private_keys: bool = False
    minimum_rsa_bits: int = 4096
    allow_modern_keys: bool = False
    require_revocation: bool = False
    require_timestamp: bool = False
    rp_id: str = ""
    origins: tuple[str, ...] = ()
    clock_skew_s: int = 300


class FormSignature(msgspec.Struct, frozen=True, kw_only=True):
    """A signature that holds. `fingerprint` is that of the certificate, key or credential, or of the scanned file."""

    kind: SignatureKind
    signer: str
    fingerprint: str
    signed_at: datetime | None
    assurance: Assurance
    details: dict[str, str] = {}
