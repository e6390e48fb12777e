"""What an OpenPGP message says about itself before it is decrypted: to whom it is encrypted, and how.

A finished export is read again with this, independent of the library that wrote it (RFC 9580 sections 4.2, 5.1, 5.13).
"""

from collections.abc import Iterable

import msgspec

from freehold.kernel.errors import FreeholdError

PKESK, SEIPD = 1, 18
AES256 = 9
_KEPT_BYTES = 80


class BadMessage(FreeholdError):
    """The message is not the one that was asked for; the message of the error says in which way."""

    code = "bad_message"


class Message(msgspec.Struct, frozen=True):
    """The outside of a message: for each recipient the key id or, in newer messages, the fingerprint."""

    recipients: tuple[str, ...]
    version: int
    """1: integrity protected (RFC 4880); 2: authenticated encryption (RFC 9580)."""
    cipher: int | None
    """Known before decryption only in version 2."""


class MessageReader:
    """Takes a message in pieces. Raises BadMessage for anything but recipients' session keys and then the data."""

    def __init__(self) -> None:
        self._head = bytearray()
        """Bytes of a header that is not complete yet."""
        self._body = bytearray()
        """The first bytes of the packet's body."""
        self._left = 0
        self._tag = 0
        self._partial = False
        self._recipients: list[str] = []
        self._data: tuple[int, int | None] | None = None

    def feed(self, piece: bytes) -> None:
        """Read on."""
        at = 0
        while at < len(piece):
            if self._left:
                taken = min(self._left, len(piece) - at)
                if len(self._body) < _KEPT_BYTES:
                    self._body += piece[at : at + min(taken, _KEPT_BYTES)]
                self._left -= taken
                at += taken
            else:
                self._head.append(piece[at])
                at += 1
                self._read_head()
            if not self._left and not self._head and not self._partial and self._tag:
                self._end_packet()

    def finish(self) -> Message:
        """The message, when it was complete."""
        if self._left or self._head or self._partial or self._tag or self._data is None:
            raise BadMessage("the OpenPGP message is cut off")
        return Message(tuple(self._recipients), *self._data)

    def _read_head(self) -> None:
        head = self._head
        if not self._partial:
            if head[0] & 0xC0 != 0xC0:
                raise BadMessage("the OpenPGP message has a packet of the old format")
            if len(head) == 1:
                return
            lengths = head[1:]
        else:
            lengths = head
        first = lengths[0]
        needed = 5 if first == 255 else 2 if 192 <= first < 224 else 1
        if len(lengths) < needed:
            return
        if not self._partial:
            self._begin_packet(head[0] & 0x3F)
        self._partial = 224 <= first < 255
        if self._partial:
            self._left = 1 << (first & 0x1F)
        elif needed == 5:
            self._left = int.from_bytes(lengths[1:5])
        else:
            self._left = first if needed == 1 else ((first - 192) << 8) + lengths[1] + 192
        self._head = bytearray()

    def _begin_packet(self, tag: int) -> None:
        if tag not in (PKESK, SEIPD) or self._data is not None:
            raise BadMessage(f"the OpenPGP message has a packet {tag} where none belongs")
        self._tag = tag
        self._body = bytearray()

    def _end_packet(self) -> None:
        if self._tag == PKESK:
            self._recipients.append(_recipient(bytes(self._body)))
        else:
            self._data = _data(bytes(self._body))
        self._tag = 0


def check_recipients(message: Message, approved: Iterable[str]) -> None:
    """Hold the recipients against the fingerprints that were approved: these, all of them, and nobody else."""
    left = [fingerprint.upper() for fingerprint in approved]
    for recipient in message.recipients:
        match = next((fingerprint for fingerprint in left if recipient in _names(fingerprint)), None)
        if match is None:
            raise BadMessage(f"the export is encrypted to {recipient}, which nobody approved")
        left.remove(match)
    if left:
        raise BadMessage(f"the export is not encrypted to the approved key {left[0]}")


def _recipient(body: bytes) -> str:
    version = body[0] if body else 0
    if version == 3 and len(body) >= 9:
        return body[1:9].hex().upper()
    if version == 6 and len(body) > 2 and len(body) >= 2 + body[1] and body[1] > 1:
        return body[3 : 2 + body[1]].hex().upper()
    raise BadMessage("the OpenPGP message names a recipient in an unknown form, or hides one")


def _data(body: bytes) -> tuple[int, int | None]:
    if body[:1] == b"\x01":
        return 1, None
    if body[:1] == b"\x02" and len(body) >= 4:
        if body[1] != AES256:
            raise BadMessage(f"the OpenPGP message uses cipher {body[1]}, not AES-256")
        return 2, body[1]
    raise BadMessage("the OpenPGP message's data has no integrity protection")


def _names(fingerprint: str) -> tuple[str, str]:
    """The fingerprint and its key id, which is at the end in version 4 and at the start in version 6."""
    return fingerprint, fingerprint[-16:] if len(fingerprint) == 40 else fingerprint[:16]
