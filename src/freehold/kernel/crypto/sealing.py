"""Encryption at rest: a master key in a file, data keys wrapped by it, values sealed with a data key.

The master key file lives outside the database and is never in an export. It holds one key or, after a rotation,
several: the last one seals, all of them open. A tenant's data key is random, stored only in wrapped form, and is what
seals that tenant's secrets; destroying the wrapped key destroys everything under it.

Everything is AES-256-GCM with a random 96-bit nonce (safe for 2^32 messages per key, NIST SP 800-38D section 8.3).
A sealed value is: one format byte, 8 bytes that name the key, 12 of nonce, then ciphertext and tag. The `context`
(table, column, row) is authenticated but not stored, so that a value copied to another place does not open there.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from freehold.kernel.errors import FreeholdError

KEY_BYTES = 32
_FORMAT = b"\x01"
_KEY_ID_BYTES = 8
_NONCE_BYTES = 12
_HEADER_BYTES = len(_FORMAT) + _KEY_ID_BYTES
_BODY_AT = _HEADER_BYTES + _NONCE_BYTES
_SHORTEST = _BODY_AT + 16
_FILE_HEADING = (
    "# Freehold master keys: without this file the secrets in the database cannot be read. Back it up, apart from it.\n"
)


class SealingError(FreeholdError):
    """A sealed value or a key cannot be used; the message says which of the ways it went wrong."""

    code = "sealing_error"


class CannotOpen(SealingError):
    """The value is damaged, belongs to another place, or was sealed with a key that is not here."""


class MasterKeyError(SealingError):
    """The master key file is missing, readable by others, or not in its form."""


class Sealer:
    """Seals and opens values with one data key."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(_checked_key(key))
        self._header = _FORMAT + key_id(key)
        self._hashing_key = hmac.digest(key, b"freehold lookup hash", "sha256")

    def seal(self, plain: bytes, *, context: str) -> bytes:
        """The value encrypted, to be opened only with this key and the same `context`."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._header + nonce + self._aead.encrypt(nonce, plain, self._header + context.encode())

    def seal_all(self, values: Sequence[bytes], contexts: Sequence[str]) -> list[bytes]:
        """Each value sealed for its context: the same as one at a time, at two thirds of the cost."""
        header, encrypt, size = self._header, self._aead.encrypt, _NONCE_BYTES
        # Asked for at once: the system call costs as much as the encryption.
        nonces = os.urandom(size * len(values))
        sealed = []
        for start, plain, context in zip(range(0, len(nonces), size), values, contexts, strict=True):
            nonce = nonces[start : start + size]
            sealed.append(header + nonce + encrypt(nonce, plain, header + context.encode()))
        return sealed

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """The value as it was sealed. Raises CannotOpen."""
        if len(sealed) < _SHORTEST or sealed[:1] != _FORMAT:
            raise CannotOpen("this is not a sealed value")
        if sealed[:_HEADER_BYTES] != self._header:
            raise CannotOpen(f"sealed with key {sealed[1:_HEADER_BYTES].hex()}, and this is {self._header[1:].hex()}")
        nonce, body = sealed[_HEADER_BYTES : _HEADER_BYTES + _NONCE_BYTES], sealed[_HEADER_BYTES + _NONCE_BYTES :]
        try:
            return self._aead.decrypt(nonce, body, self._header + context.encode())
        except InvalidTag:
            raise CannotOpen("the sealed value was changed, or belongs to another place") from None

    def open_all(self, values: Sequence[bytes], contexts: Sequence[str]) -> list[bytes]:
        """Each value opened in its context: the same as one at a time, at three quarters of the cost."""
        header, places = self._header, [self._header + context.encode() for context in contexts]
        for sealed, context in zip(values, contexts, strict=True):
            if not sealed.startswith(header) or len(sealed) < _SHORTEST:
                self.open(sealed, context=context)  # it says what is wrong
        nonces = [sealed[_HEADER_BYTES:_BODY_AT] for sealed in values]
        bodies = [sealed[_BODY_AT:] for sealed in values]
        try:
            return list(map(self._aead.decrypt, nonces, bodies, places))
        except InvalidTag:
            raise CannotOpen("the sealed value was changed, or belongs to another place") from None

    def lookup_hash(self, value: str | bytes, *, context: str) -> bytes:
        """32 bytes by which a secret can be found without being stored: equal for equal value, key and context."""
        secret = value.encode() if isinstance(value, str) else value
        # The context's length goes first, so that no two pairs of context and value make the same input.
        place = context.encode()
        return hmac.digest(self._hashing_key, len(place).to_bytes(4) + place + secret, "sha256")


class MasterKey:
    """The keys of the master key file, oldest first."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise MasterKeyError("the master key file holds no key")
        self.keys = tuple(_checked_key(key) for key in keys)

    @classmethod
    def load(cls, path: Path) -> Self:
        """The keys in the file. Raises MasterKeyError when it is missing, malformed, or open to group or others."""
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(1 << 16)
        except FileNotFoundError:
            raise MasterKeyError(f"there is no master key file at {path}") from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise MasterKeyError(f"{path} can be read by other users of this machine: set it to mode 600")
        return cls(_parse_key_file(text, path))

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """The keys in the file, which is made with one new key when there is none; two processes may do it at once."""
        if not path.exists():
            _write_key_file(path, [secrets.token_bytes(KEY_BYTES)], replace=False)
        return cls.load(path)

    def rotated(self, path: Path) -> "MasterKey":
        """The keys with a new one at the end, written to the file before this returns; old values still open."""
        keys = [*self.keys, secrets.token_bytes(KEY_BYTES)]
        _write_key_file(path, keys, replace=True)
        return MasterKey(keys)

    def retired(self, path: Path) -> "MasterKey":
        """The newest key alone, written to the file before this returns; what an older one wrapped is lost."""
        _write_key_file(path, self.keys[-1:], replace=True)
        return MasterKey(self.keys[-1:])


class Keyring:
    """Wraps data keys with the master key, and unwraps them.

    One that knows the file reads it again when it changes, so that a rotation needs no restart.
    """

    def __init__(self, master: MasterKey, *, file: Path | None = None) -> None:
        self._file = file
        self._seen = None if file is None else _identity(file)
        self._use(master)

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """The keys in the file, which is made when there is none."""
        return cls(MasterKey.load_or_create(path), file=path)

    def new_data_key(self) -> bytes:
        """32 random bytes."""
        return secrets.token_bytes(KEY_BYTES)

    def wrap(self, data_key: bytes, *, context: str = "") -> bytes:
        """The data key encrypted with the newest master key; `context` names its owner, such as the tenant."""
        self._look()
        return self._sealers[self._newest].seal(_checked_key(data_key), context=f"data key {context}")

    def unwrap(self, wrapped: bytes, *, context: str = "") -> bytes:
        """The data key. Raises CannotOpen."""
        sealer = self._sealers.get(wrapped[1:_HEADER_BYTES])
        if sealer is None and self._look():
            sealer = self._sealers.get(wrapped[1:_HEADER_BYTES])
        if sealer is None:
            raise CannotOpen(
                f"the master key file lacks the key {wrapped[1:_HEADER_BYTES].hex()} that wrapped this data key"
            )
        return sealer.open(wrapped, context=f"data key {context}")

    def needs_rewrap(self, wrapped: bytes) -> bool:
        """Whether an older master key wrapped this data key."""
        return wrapped[1:_HEADER_BYTES] != self._newest

    def _look(self) -> bool:
        """Read the file again if it is another one by now; whether it was."""
        if self._file is None:
            return False
        identity = _identity(self._file)
        if identity == self._seen:
            return False
        self._use(MasterKey.load(self._file))
        self._seen = identity
        return True

    def _use(self, master: MasterKey) -> None:
        self._sealers = {key_id(key): Sealer(key) for key in master.keys}
        self._newest = key_id(master.keys[-1])


def _identity(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_ino, facts.st_mtime_ns


def key_id(key: bytes) -> bytes:
    """8 bytes that name a key and tell nothing about it."""
    return hashlib.sha256(b"freehold key id\0" + key).digest()[:_KEY_ID_BYTES]


def _checked_key(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise SealingError(f"a key is {KEY_BYTES} bytes long, not {len(key)}")
    return key


def _parse_key_file(text: bytes, path: Path) -> list[bytes]:
    """Each line is a key id in hex, a space, and the key in base64; `#` starts a remark."""
    keys = []
    for number, line in enumerate(text.decode("ascii", "replace").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            named_id, encoded = line.split()
            key = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            raise MasterKeyError(f"{path} line {number} is not a key id and a key") from None
        if len(key) != KEY_BYTES or key_id(key).hex() != named_id:
            raise MasterKeyError(f"{path} line {number}: the key does not fit its id, so one of them was changed")
        keys.append(key)
    return keys


def _write_key_file(path: Path, keys: Sequence[bytes], *, replace: bool) -> None:
    """Write to a new file beside it, durably, then move it into place; without `replace` an existing file stays."""
    text = _FILE_HEADING + "".join(f"{key_id(key).hex()} {base64.b64encode(key).decode()}\n" for key in keys)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            try:
                path.hardlink_to(draft)
            except FileExistsError:
                return  # another process was first: its key is the one
        _sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
