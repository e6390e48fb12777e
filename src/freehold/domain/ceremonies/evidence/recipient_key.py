"""The key that an export is encrypted to: whose it is, how strong it is, and whether it lasts long enough.

Two readers look at the same bytes, pysequoia and, where it is installed, GnuPG: what one program takes for the key and
another does not, is refused. Nothing of a secret key is kept, logged or repeated.
"""

import base64
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from freehold.domain.ceremonies.evidence.confined import Bounds, ask_worker, run_program
from freehold.kernel.errors import BadRequest

LONGEST_KEY = 35_000
_WORKER = Path(__file__).with_name("recipient_key_worker.py")
_BEGIN, _END = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,30}: [\x20-\x7e]{0,200}")
_CHECKSUM = re.compile(r"=[A-Za-z0-9+/]{4}")
_GPG_BOUNDS = Bounds(memory_bytes=512 << 20, cpu_s=10, file_bytes=16 << 20)
_NOT_USABLE = "idren"
ADVICE_TO_REVOKE = (
    "This is a secret key. It was not stored. It has left your machine, so revoke it, make a new one, "
    "and send only what `gpg --armor --export` prints."
)


@dataclass(frozen=True, kw_only=True)
class KeyPolicy:
    """How strong a recipient's key has to be. The defaults are the strict ones."""

    minimum_rsa_bits: int = 4096
    minimum_days: int = 7
    allow_modern: bool = False
    allow_no_expiry: bool = False
    two_readers: bool = False


class RecipientKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that may be encrypted to.

    `certificate` holds only what was verified: the primary key, the user id with the requester's e-mail, and the
    encryption subkeys. `sha256` is of the text that was sent. `readers` names the programs that agree on it.
    """

    fingerprint: str
    sha256: str
    encryption_subkeys: tuple[str, ...]
    user_ids: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    algorithm: str
    bits: int
    moduli: tuple[str, ...]
    certificate: str
    readers: tuple[str, ...]


class KeyRefused(BadRequest):
    """A key that is not encrypted to; the code is a word, the message says what to do."""

    code = "key_refused"
    subject = "key"
    """What the code is about; a form may be refused for a reason of the same name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code=code)


async def check_recipient_key(
    armored: str,
    *,
    email: str,
    now: datetime,
    retention_days: int,
    policy: KeyPolicy = KeyPolicy(),
    known_moduli: Mapping[str, Sequence[str]] | None = None,
) -> RecipientKey:
    """The key, if it may receive an export for the owner of this e-mail. Raises KeyRefused.

    `known_moduli` are those of other keys that this tenant knows, in hexadecimal, by fingerprint: one that shares a
    factor with them was made by a broken generator. A key's own earlier moduli may be among them.
    """
    raw = _one_block(armored)
    needed_until = now + timedelta(days=max(retention_days, policy.minimum_days))
    answer = await ask_worker(
        _WORKER,
        {
            "key": base64.b64encode(raw).decode(),
            "email": email,
            "now": int(now.timestamp()),
            "needed_until": int(needed_until.timestamp()),
            "minimum_rsa_bits": policy.minimum_rsa_bits,
            "allow_modern": policy.allow_modern,
            "allow_no_expiry": policy.allow_no_expiry,
            "known_moduli": {name: [*moduli] for name, moduli in (known_moduli or {}).items()},
        },
    )
    if "refused" in answer:
        code = answer["refused"]
        raise KeyRefused(code, ADVICE_TO_REVOKE if code == "secret_key" else answer["message"])
    readers = ["pysequoia"]
    gpg = shutil.which("gpg")
    if gpg is not None and answer["version"] == 4:
        readers.append(await _second_reader(gpg, raw, answer, now=now, needed_until=needed_until, email=email))
    elif policy.two_readers:
        raise KeyRefused(
            "one_reader", "This server has no GnuPG that reads this key, and its policy asks for two readers."
        )
    return RecipientKey(
        fingerprint=answer["fingerprint"],
        sha256=sha256(armored.encode()).hexdigest(),
        encryption_subkeys=tuple(answer["encryption_subkeys"]),
        user_ids=tuple(answer["user_ids"]),
        created_at=datetime.fromtimestamp(answer["created"], UTC),
        expires_at=datetime.fromtimestamp(answer["expires"], UTC) if answer["expires"] is not None else None,
        algorithm=answer["algorithm"],
        bits=answer["bits"],
        moduli=tuple(answer["moduli"]),
        certificate=answer["certificate"],
        readers=tuple(readers),
    )


def check_several(keys: Sequence[RecipientKey]) -> None:
    """Refuse recipients that are the same key twice, or whose keys share a factor. Raises KeyRefused."""
    fingerprints = [key.fingerprint for key in keys]
    if len(set(fingerprints)) != len(fingerprints):
        raise KeyRefused("key_twice", "The same key is named twice.")
    moduli = [modulus for key in keys for modulus in key.moduli]
    if len(set(moduli)) != len(moduli):
        raise KeyRefused("shared_modulus", "Two of these keys share a part: make new keys on another machine.")


def _one_block(armored: str) -> bytes:
    """The bytes in the text, if it is one public key in armor and nothing else.

    Programs differ in what they skip in and around armor, so both readers get the bytes.
    """
    if len(armored) > LONGEST_KEY:
        raise KeyRefused(
            "key_too_long",
            f"The key has more than {LONGEST_KEY} characters. Export it without others' signatures: "
            "gpg --armor --export-options export-minimal --export YOUR-EMAIL",
        )
    if "PRIVATE KEY" in armored or "SECRET KEY" in armored:
        raise KeyRefused("secret_key", ADVICE_TO_REVOKE)
    text = armored.strip().replace("\r\n", "\n")
    if not text.isascii() or not text.startswith(_BEGIN):
        raise KeyRefused(
            "not_a_public_key",
            f"This is not an OpenPGP public key: the text has to begin with {_BEGIN} and be complete.",
        )
    if text.count("-----BEGIN ") != 1:
        raise KeyRefused("several_keys", "Send exactly one public key, in one block.")
    if not text.endswith(_END) or text.count("-----END ") != 1:
        raise KeyRefused("not_a_public_key", f"The key is not complete: its last line has to be {_END}.")
    head, _, body = text.removeprefix(_BEGIN).removesuffix(_END).partition("\n\n")
    lines = body.strip("\n").split("\n")
    if _CHECKSUM.fullmatch(lines[-1]):
        lines.pop()
    try:
        if any(line and not _HEADER.fullmatch(line) for line in head.strip("\n").split("\n")):
            raise ValueError
        return base64.b64decode("".join(lines), validate=True)
    except ValueError:
        raise KeyRefused(
            "not_a_public_key", "The key's text was changed on its way; export it again, and send the file."
        ) from None


async def _second_reader(
    gpg: str, raw: bytes, answer: Mapping[str, Any], *, now: datetime, needed_until: datetime, email: str
) -> str:
    """GnuPG's name and version, if it reads the same key from these bytes. Raises KeyRefused."""
    with TemporaryDirectory(prefix="freehold-key-") as home:
        base = [
            gpg, "--homedir", home, "--no-options", "--batch", "--no-tty", "--quiet", "--no-autostart",
            "--no-auto-key-retrieve", "--trust-model", "always", "--no-auto-check-trustdb",
            "--faked-system-time", f"{int(now.timestamp())}!",
        ]  # fmt: skip
        env = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": home}
        await run_program([*base, "--import"], raw, bounds=_GPG_BOUNDS, env=env)
        listing = await run_program(
            [*base, "--with-colons", "--fixed-list-mode", "--with-subkey-fingerprint", "--list-keys"],
            b"", bounds=_GPG_BOUNDS, env=env,
        )  # fmt: skip
        version = await run_program([gpg, "--version"], b"", bounds=_GPG_BOUNDS, env=env)
    seen = _read_listing(listing.output.decode("utf-8", "replace"))
    until = seen["expires"]
    agreed = (
        seen["primaries"] == [answer["fingerprint"]]
        and seen["usable"]
        and seen["bits"] == answer["bits"]
        and seen["primary_encrypts"] == answer["primary_encrypts"]
        and set(seen["encryption_subkeys"]) == set(answer["encryption_subkeys"])
        and any(_ends_with_email(user_id, email) for user_id in seen["user_ids"])
        and (until is None or until >= needed_until.timestamp())
    )
    if not agreed:
        raise KeyRefused(
            "readers_disagree",
            "Two OpenPGP programs read this key differently. Export it again with an up-to-date GnuPG: "
            "gpg --armor --export-options export-minimal --export YOUR-EMAIL",
        )
    return version.output.decode("utf-8", "replace").partition("\n")[0].strip()[:60]


def _ends_with_email(user_id: str, email: str) -> bool:
    return user_id in (email, f"<{email}>") or user_id.endswith(f" <{email}>")


def _read_listing(colons: str) -> dict[str, Any]:
    """What `gpg --list-keys --with-colons` says (GnuPG's doc/DETAILS), as far as it is compared."""
    seen: dict[str, Any] = {
        "primaries": [], "encryption_subkeys": [], "user_ids": [], "usable": False, "bits": 0, "expires": None,
        "primary_encrypts": False,
    }  # fmt: skip
    kind, usable, capabilities = "", False, ""
    for line in colons.splitlines():
        fields = line.split(":")
        if fields[0] in ("pub", "sub"):
            kind, usable, capabilities = fields[0], fields[1] not in _NOT_USABLE or not fields[1], fields[11]
            if kind == "pub":
                seen["usable"] = usable
                seen["bits"] = int(fields[2])
                seen["expires"] = int(fields[6]) if fields[6] else None
                seen["primary_encrypts"] = "e" in capabilities
        elif fields[0] == "fpr" and kind == "pub":
            seen["primaries"].append(fields[9])
        elif fields[0] == "fpr" and kind == "sub" and usable and "e" in capabilities:
            seen["encryption_subkeys"].append(fields[9])
        elif fields[0] == "uid" and fields[1] not in tuple(_NOT_USABLE):
            seen["user_ids"].append(re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), fields[9]))
    return seen
