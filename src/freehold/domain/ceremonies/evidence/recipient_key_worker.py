"""Reads one OpenPGP certificate in a confined process: packets by pysequoia, rules by this file.

The request and the answer are JSON on standard input and output. A refusal is `{"refused": code, "message": sentence}`.
Every signature that something rests on was verified by pysequoia, alone with what it binds: a signature that somebody
else appended to the certificate changes nothing.
"""

import base64
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pysequoia import ArmorKind, Cert, armor, encrypt
from pysequoia.packet import HashAlgorithm, Packet, PacketPile, PublicKeyAlgorithm, SignatureType, Tag

MOST_PACKETS = 400
MOST_SIGNATURES = 40
MOST_USER_IDS = 20
MOST_SUBKEYS = 20
LARGEST_RSA_BITS = 16_384
LARGEST_EXPONENT = 1 << 32
FERMAT_STEPS = 200

RSA = (PublicKeyAlgorithm.RSAEncryptSign, PublicKeyAlgorithm.RSASign, PublicKeyAlgorithm.RSAEncrypt)
MODERN_PRIMARY = (
    PublicKeyAlgorithm.EdDSA, PublicKeyAlgorithm.Ed25519, PublicKeyAlgorithm.Ed448,
    PublicKeyAlgorithm.MLDSA65_Ed25519, PublicKeyAlgorithm.MLDSA87_Ed448,
)  # fmt: skip
MODERN_ENCRYPTION = (
    PublicKeyAlgorithm.X25519, PublicKeyAlgorithm.X448, PublicKeyAlgorithm.MLKEM768_X25519,
    PublicKeyAlgorithm.MLKEM1024_X448,
)  # fmt: skip
ED25519_OID, CURVE25519_OID = bytes.fromhex("2b06010401da470f01"), bytes.fromhex("2b060104019755010501")
WEAK_HASHES = (HashAlgorithm.MD5, HashAlgorithm.SHA1, HashAlgorithm.RipeMD)
GOOD_HASHES = (
    HashAlgorithm.SHA256, HashAlgorithm.SHA384, HashAlgorithm.SHA512, HashAlgorithm.SHA3_256, HashAlgorithm.SHA3_512,
)  # fmt: skip
CERTIFICATIONS = (
    SignatureType.GenericCertification, SignatureType.PersonaCertification, SignatureType.CasualCertification,
    SignatureType.PositiveCertification,
)  # fmt: skip
SMALL_PRIMES = [
    number for number in range(2, 2000) if all(number % other for other in range(2, math.isqrt(number) + 1))
]
# Keys of the broken generator are powers of 65537 modulo each of these primes (CVE-2017-15361).
ROCA_PRIMES = [prime for prime in SMALL_PRIMES if 2 < prime <= 167]
ROCA_RESIDUES = {prime: {pow(65537, power, prime) for power in range(prime)} for prime in ROCA_PRIMES}


class Refusal(Exception):
    """A key that is not taken: a code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass
class Component:
    """A packet and the signatures after it."""

    packet: Packet
    signatures: list[Packet] = field(default_factory=list)


@dataclass
class Parts:
    """A certificate's packets in groups."""

    primary: Component
    user_ids: list[Component]
    subkeys: list[Component]


@dataclass
class Rsa:
    """The numbers of an RSA key."""

    modulus: int
    exponent: int

    @property
    def bits(self) -> int:
        """The length of the modulus."""
        return self.modulus.bit_length()


def main() -> None:
    """Answer the request on standard input."""
    request = json.load(sys.stdin)
    try:
        answer = check(request)
    except Refusal as refusal:
        answer = {"refused": refusal.code, "message": refusal.message}
    json.dump(answer, sys.stdout)


def check(request: dict[str, Any]) -> dict[str, Any]:
    """What there is to know about the certificate. Raises Refusal."""
    parts = group(read_packets(base64.b64decode(request["key"])))
    now = datetime.fromtimestamp(request["now"], UTC)
    needed_until = datetime.fromtimestamp(request["needed_until"], UTC)
    primary = parts.primary.packet
    strong(primary, request, "primary key", MODERN_PRIMARY)
    if created(primary) > now:
        raise Refusal(
            "not_yet_valid", "The key's creation lies in the future: check the clock of the machine that made it."
        )
    if any(signature.signature_type == SignatureType.KeyRevocation for signature in parts.primary.signatures):
        raise Refusal("revoked", "The key has been revoked. Make a new one.")
    user_id, binding, direct = identity(parts, request["email"], now)
    expires = primary_end(parts, binding, direct)
    check_end(expires, now, needed_until, request, what="key")
    base = [primary, *([direct] if direct else []), user_id.packet, binding]
    subkeys = encryption_subkeys(parts, base, request, now, needed_until)
    moduli = unshared_moduli(parts, [subkey.packet for subkey, _ in subkeys], request)
    kept = [*base, *(packet for subkey, bound in subkeys for packet in (subkey.packet, bound))]
    rsa = rsa_numbers(primary)
    flags = (direct and direct.key_flags) or binding.key_flags
    ends = [end for end in (expires, *(end_of(subkey.packet, bound) for subkey, bound in subkeys)) if end is not None]
    return {
        "version": primary.body[0],
        "fingerprint": str(primary.fingerprint).upper(),
        "encryption_subkeys": [str(subkey.packet.fingerprint).upper() for subkey, _ in subkeys],
        "primary_encrypts": bool(flags and (flags.storage_encryption or flags.transport_encryption)),
        "user_ids": [str(user_id.packet.user_id)],
        "created": int(created(primary).timestamp()),
        "expires": int(min(ends).timestamp()) if ends else None,
        "algorithm": "RSA" if rsa else str(primary.key_algorithm).rpartition(".")[2],
        "bits": rsa.bits if rsa else 255,
        "moduli": [f"{modulus:x}" for modulus in moduli],
        "certificate": armor(b"".join(bytes(packet) for packet in kept), ArmorKind.PublicKey),
    }


def read_packets(key: bytes) -> list[Packet]:
    """The packets, none of which is secret or foreign to a public key."""
    try:
        packets = list(PacketPile.from_bytes(key))
    except RuntimeError:
        raise Refusal("not_a_public_key", "This is not an OpenPGP public key, or it was damaged on its way.") from None
    tags = [packet.tag for packet in packets]
    if Tag.SecretKey in tags or Tag.SecretSubkey in tags:
        raise Refusal("secret_key", "")
    if not packets or tags[0] != Tag.PublicKey:
        raise Refusal("not_a_public_key", "This is not an OpenPGP public key.")
    if tags.count(Tag.PublicKey) != 1:
        raise Refusal("several_keys", "Send exactly one public key; this block holds several.")
    if len(packets) > MOST_PACKETS:
        raise flooded()
    allowed = (Tag.PublicKey, Tag.PublicSubkey, Tag.UserID, Tag.UserAttribute, Tag.Signature, Tag.Trust, Tag.Padding)
    if any(tag not in allowed for tag in tags):
        raise Refusal("not_a_public_key", "The block holds something that does not belong to a public key.")
    return packets


def group(packets: list[Packet]) -> Parts:
    """Each component with its signatures, within bounds."""
    components: list[Component] = []
    for packet in packets:
        if packet.tag == Tag.Signature:
            components[-1].signatures.append(packet)
        elif packet.tag in (Tag.PublicKey, Tag.PublicSubkey, Tag.UserID, Tag.UserAttribute):
            components.append(Component(packet))
    user_ids = [component for component in components if component.packet.tag == Tag.UserID]
    subkeys = [component for component in components if component.packet.tag == Tag.PublicSubkey]
    own = [component for component in components if component.packet.tag != Tag.UserAttribute]
    if (
        len(user_ids) > MOST_USER_IDS
        or len(subkeys) > MOST_SUBKEYS
        or any(len(component.signatures) > MOST_SIGNATURES for component in own)
    ):
        raise flooded()
    return Parts(components[0], user_ids, subkeys)


def flooded() -> Refusal:
    """What to say of a certificate with too much on it."""
    return Refusal(
        "flooded",
        "The key carries too many signatures, names or subkeys. Export it without others' signatures: "
        "gpg --armor --export-options export-minimal --export YOUR-EMAIL",
    )


def strong(key: Packet, request: dict[str, Any], what: str, modern: tuple[PublicKeyAlgorithm, ...]) -> None:
    """Refuse a key of the wrong kind, that is too short, or that is known to be breakable."""
    minimum, allow_modern = request["minimum_rsa_bits"], request["allow_modern"]
    version = key.body[0]
    if version != 4 and not (version == 6 and allow_modern):
        raise Refusal("key_version", f"The {what} is of version {version}; this server takes version 4.")
    rsa = rsa_numbers(key)
    if rsa is None:
        if allow_modern and is_modern(key, modern):
            return
        raise Refusal("not_rsa", f"The {what} is not RSA. Make a key of type RSA with {minimum} bits.")
    check_rsa(rsa, minimum, what)


def check_rsa(rsa: Rsa, minimum: int, what: str) -> None:
    """Refuse numbers that are too small, or that a broken generator made."""
    if rsa.bits < minimum:
        raise Refusal("too_short", f"The {what} has {rsa.bits} bits; it needs at least {minimum}. Make a new key.")
    if rsa.bits > LARGEST_RSA_BITS:
        raise Refusal("too_long", f"The {what} has {rsa.bits} bits, more than {LARGEST_RSA_BITS}.")
    if rsa.exponent < 65537 or rsa.exponent % 2 == 0 or rsa.exponent >= LARGEST_EXPONENT:
        raise Refusal("bad_exponent", f"The {what} has an unsafe public exponent. Make a new key with GnuPG.")
    if is_roca(rsa.modulus):
        raise Refusal("roca", f"The {what} was made by hardware whose keys can be computed (ROCA, CVE-2017-15361).")
    if any(rsa.modulus % prime == 0 for prime in SMALL_PRIMES) or has_close_factors(rsa.modulus):
        raise Refusal("breakable", f"The {what} can be factored: its generator was broken. Make a new key with GnuPG.")


def is_roca(modulus: int) -> bool:
    """Whether the modulus has the mark of CVE-2017-15361."""
    return all(modulus % prime in residues for prime, residues in ROCA_RESIDUES.items())


def has_close_factors(modulus: int) -> bool:
    """Whether Fermat's method finds the factors in a few steps."""
    root = math.isqrt(modulus)
    if root * root == modulus:
        return True
    for step in range(1, FERMAT_STEPS):
        square = (root + step) ** 2 - modulus
        if math.isqrt(square) ** 2 == square:
            return True
    return False


def rsa_numbers(key: Packet) -> Rsa | None:
    """The numbers in an RSA key's packet (RFC 9580 section 5.5.2 and 5.5.5.1)."""
    if key.key_algorithm not in RSA:
        return None
    body = key.body[6:] if key.body[0] == 4 else key.body[10:]
    modulus, rest = read_number(body)
    exponent, rest = read_number(rest)
    if rest:
        raise Refusal("not_a_public_key", "The key holds more than a public key has.")
    return Rsa(modulus, exponent)


def read_number(body: bytes) -> tuple[int, bytes]:
    """A multiprecision integer, and what follows it."""
    length = (int.from_bytes(body[:2], "big") + 7) // 8
    if len(body) < 2 + length:
        raise Refusal("not_a_public_key", "The key is damaged.")
    return int.from_bytes(body[2 : 2 + length], "big"), body[2 + length :]


def is_modern(key: Packet, algorithms: tuple[PublicKeyAlgorithm, ...]) -> bool:
    """Whether this is one of the curves that a policy may allow."""
    body = key.body
    oid = body[7 : 7 + body[6]] if len(body) > 7 else b""
    if key.key_algorithm == PublicKeyAlgorithm.EdDSA:
        return key.key_algorithm in algorithms and oid == ED25519_OID
    if key.key_algorithm == PublicKeyAlgorithm.ECDH:
        return algorithms is MODERN_ENCRYPTION and oid == CURVE25519_OID
    return key.key_algorithm in algorithms


def identity(parts: Parts, email: str, now: datetime) -> tuple[Component, Packet, Packet | None]:
    """The user id with the requester's e-mail, the newest signature that binds it, and the newest of the key itself."""
    primary = parts.primary.packet
    named = [component for component in parts.user_ids if has_email(component.packet, email)]
    if not named:
        raise Refusal("foreign_email", f"No user id of the key has the e-mail {email}, letter by letter.")
    refusal: Refusal | None = None
    for component in named:
        try:
            binding = newest_signature(
                component.signatures, CERTIFICATIONS, [primary, component.packet], now, "user id", proves
            )
        except Refusal as found:
            refusal = found
            continue
        if is_withdrawn(parts.primary.packet, component):
            refusal = Refusal(
                "revoked", "The user id with your e-mail was revoked. Export the key after adding it again."
            )
            continue
        direct = newest_or_none(parts.primary.signatures, (SignatureType.DirectKey,), [primary], now, proves)
        return component, binding, direct
    assert refusal is not None
    raise refusal


def has_email(user_id: Packet, email: str) -> bool:
    """Whether the user id names exactly this address, for every program that reads it."""
    text = user_id.user_id
    if text is None or not text.isprintable() or text.count("<") > 1 or text.count(">") > 1:
        return False
    return (text in (email, f"<{email}>") or text.endswith(f" <{email}>")) and user_id.user_id_email == email


def is_withdrawn(primary: Packet, component: Component) -> bool:
    """Whether the key's owner withdrew a user id, which pysequoia then no longer lists."""
    own = [
        signature
        for signature in component.signatures
        if signature.signature_type == SignatureType.CertificationRevocation and is_issued_by(signature, primary)
    ]
    return bool(own)


def is_issued_by(signature: Packet, primary: Packet) -> bool:
    """Whether a signature says that it is the key's own."""
    return primary.fingerprint == signature.issuer_fingerprint or primary.key_id == signature.issuer_key_id


def newest_signature(
    signatures: list[Packet],
    types: tuple[SignatureType, ...],
    before: list[Packet],
    now: datetime,
    what: str,
    holds: Callable[[list[Packet]], bool],
) -> Packet:
    """The newest of the key's own signatures that holds, alone after `before`, with a strong digest. Raises Refusal."""
    own = [
        signature
        for signature in signatures
        if signature.signature_type in types
        and is_issued_by(signature, before[0])
        and signature.signature_created is not None
    ]
    present = [
        signature for signature in own if (signature.signature_created or now) <= now and not has_ended(signature, now)
    ]
    weak = [signature for signature in own if signature.hash_algorithm in WEAK_HASHES]
    good = [
        signature for signature in present if signature.hash_algorithm in GOOD_HASHES and holds([*before, signature])
    ]
    newest = max(good, key=lambda signature: signature.signature_created or now, default=None)
    if newest is not None:
        return newest
    if weak:
        raise Refusal(
            "weak_digest",
            f"The {what} is signed with SHA-1 or MD5. Make a new key, or renew it with an up-to-date GnuPG.",
        )
    if own and not present:
        raise Refusal("not_yet_valid", f"The signature on the {what} is not valid now: check the clocks.")
    raise Refusal("not_bound", f"The {what} is not signed by the key itself.")


def newest_or_none(
    signatures: list[Packet],
    types: tuple[SignatureType, ...],
    before: list[Packet],
    now: datetime,
    holds: Callable[[list[Packet]], bool],
) -> Packet | None:
    """The same, where there need be none."""
    try:
        return newest_signature(signatures, types, before, now, "key", holds)
    except Refusal:
        return None


def has_ended(signature: Packet, now: datetime) -> bool:
    """Whether the signature itself, not what it binds, is over."""
    end = signature.signature_expiration_time
    return end is not None and end <= now


def proves(packets: list[Packet]) -> bool:
    """Whether pysequoia finds a key that is bound, with nothing but these packets."""
    try:
        _ = Cert.from_packets(packets).expiration
    except RuntimeError:
        return False
    return True


def created(key: Packet) -> datetime:
    """When a key was made."""
    assert key.key_created is not None
    return key.key_created


def end_of(key: Packet, binding: Packet) -> datetime | None:
    """When a key ends by a signature that binds it."""
    period = binding.key_validity_period
    return created(key) + period if period else None


def primary_end(parts: Parts, binding: Packet, direct: Packet | None) -> datetime | None:
    """When the primary key ends, by the earliest of what its signatures say."""
    primary = parts.primary.packet
    ends = [end_of(primary, signature) for signature in (binding, direct) if signature is not None]
    return min((end for end in ends if end is not None), default=None)


def check_end(
    end: datetime | None, now: datetime, needed_until: datetime, request: dict[str, Any], *, what: str
) -> None:
    """Refuse what is over, or ends before the export is removed."""
    if end is None:
        if not request["allow_no_expiry"]:
            raise Refusal("no_expiry", f"The {what} never expires; this server's policy asks for an end.")
        return
    if end <= now:
        raise Refusal("expired", f"The {what} has expired. Extend it: gpg --quick-set-expire FINGERPRINT 1y '*'")
    if end < needed_until:
        raise Refusal(
            "expires_too_soon",
            f"The {what} expires on {end:%Y-%m-%d}, before {needed_until:%Y-%m-%d}, until when the export is kept. "
            "Extend it: gpg --quick-set-expire FINGERPRINT 1y '*' (and once more without '*')",
        )


def encryption_subkeys(
    parts: Parts, base: list[Packet], request: dict[str, Any], now: datetime, needed_until: datetime
) -> list[tuple[Component, Packet]]:
    """The subkeys that would be encrypted to, each with its binding. Every one of them has to be good."""
    found: list[tuple[Component, Packet]] = []
    refusal: Refusal | None = None
    for component in parts.subkeys:
        key = component.packet
        if any(signature.signature_type == SignatureType.SubkeyRevocation for signature in component.signatures):
            refusal = refusal or Refusal("revoked", "The encryption subkey was revoked.")
            continue
        try:
            binding = newest_signature(
                [signature for signature in component.signatures if encrypts(signature)],
                (SignatureType.SubkeyBinding,), [*base, key], now, "encryption subkey", encryptable,
            )  # fmt: skip
            if created(key) > now or is_over(end_of(key, binding), now):
                raise subkey_ended(component, now)
        except Refusal as found_refusal:
            if any(encrypts(signature) for signature in component.signatures):
                refusal = refusal or (subkey_ended(component, now) if is_past(component, now) else found_refusal)
            continue
        strong(key, request, "encryption subkey", MODERN_ENCRYPTION)
        # A subkey ends with its primary key at the latest, so that it need not have an end of its own.
        if (end := end_of(key, binding)) is not None:
            check_end(end, now, needed_until, request, what="encryption subkey")
        found.append((component, binding))
    if not found:
        raise refusal or Refusal(
            "no_encryption_subkey",
            "The key has no encryption subkey. Add one: gpg --quick-add-key FINGERPRINT rsa4096 encrypt 1y",
        )
    return found


def is_past(component: Component, now: datetime) -> bool:
    """Whether a subkey's time is over by each of its bindings, or has not come."""
    ends = [end_of(component.packet, signature) for signature in component.signatures if encrypts(signature)]
    return created(component.packet) > now or all(is_over(end, now) for end in ends)


def is_over(end: datetime | None, now: datetime) -> bool:
    """Whether there is an end, and it has come."""
    return end is not None and end <= now


def subkey_ended(component: Component, now: datetime) -> Refusal:
    """What to say of a subkey at the wrong time."""
    if created(component.packet) > now:
        return Refusal("not_yet_valid", "The encryption subkey's creation lies in the future: check the clocks.")
    return Refusal("expired", "The encryption subkey has expired. Extend it: gpg --quick-set-expire FINGERPRINT 1y '*'")


def encrypts(signature: Packet) -> bool:
    """Whether a binding says that the subkey is for encryption."""
    flags = signature.key_flags
    return (
        signature.signature_type == SignatureType.SubkeyBinding
        and flags is not None
        and (flags.transport_encryption or flags.storage_encryption)
    )


def encryptable(packets: list[Packet]) -> bool:
    """Whether pysequoia encrypts to the subkey, bound by this one signature."""
    try:
        encrypt(b"", recipients=[Cert.from_packets(packets)])
    except RuntimeError:
        return False
    return True


def unshared_moduli(parts: Parts, subkeys: list[Packet], request: dict[str, Any]) -> list[int]:
    """The RSA moduli, none of which shares a factor with another, in this key or in those that are known."""
    numbers = [rsa_numbers(key) for key in (parts.primary.packet, *subkeys)]
    moduli = [rsa.modulus for rsa in numbers if rsa is not None]
    own = str(parts.primary.packet.fingerprint).upper()
    others = [
        int(modulus, 16) for name, known in request["known_moduli"].items() if name.upper() != own for modulus in known
    ]
    for index, modulus in enumerate(moduli):
        if any(math.gcd(modulus, other) != 1 for other in (*moduli[:index], *others)):
            raise Refusal(
                "shared_modulus", "The key shares a prime with another key: its generator was broken. Make a new key."
            )
    return moduli


if __name__ == "__main__":
    main()
