"""Large content sealed in chunks, so that any part of it can be opened without the rest, and nothing can be left out.

This is the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizar 2015) with AES-256-GCM: a chunk's nonce is a
random prefix, its number, and whether it is the last. A chunk that was moved, repeated or dropped does not open, and an
end that was cut off shows. The key is used for one content only.

    8 bytes that name the form, 7 of nonce prefix, then chunks of 65536 bytes and a tag; the last one is shorter
"""

import os
from collections.abc import Callable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from freehold.kernel.crypto.sealing import CannotOpen

CHUNK_BYTES = 1 << 16
TAG_BYTES = 16
SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES
_FORM = b"FHCHUNK1"
_PREFIX_BYTES = 7
HEADER_BYTES = len(_FORM) + _PREFIX_BYTES
_MOST_CHUNKS = 1 << 32
_RUN_CHUNKS = 16


class ChunkSealer:
    """Seals what is written to it and hands it on; `finish` must be called, or the content has no end.

    `write` must be done with what it is given when it returns: the next run of chunks is sealed into the same memory.
    """

    def __init__(self, key: bytes, write: Callable[[memoryview], object], *, context: str) -> None:
        self._aead = AESGCM(key)
        self._write = write
        self._header = _FORM + os.urandom(_PREFIX_BYTES)
        self._context = self._header + context.encode()
        self._pending = bytearray()
        self._run = memoryview(bytearray(_RUN_CHUNKS * SEALED_CHUNK_BYTES))
        self._number = 0
        self.plain_bytes = 0
        self._write(memoryview(self._header))

    def write(self, content: bytes | bytearray | memoryview) -> None:
        """Seal more; the last chunk is held back until it is known whether it is the last."""
        left = memoryview(content)
        self.plain_bytes += len(left)
        missing = CHUNK_BYTES - len(self._pending)
        if len(left) <= missing:
            self._pending += left
            return
        self._pending += left[:missing]
        whole = missing + (len(left) - missing - 1) // CHUNK_BYTES * CHUNK_BYTES
        chunks: list[bytearray | memoryview] = [self._pending]
        chunks += [left[at : at + CHUNK_BYTES] for at in range(missing, whole, CHUNK_BYTES)]
        for first in range(0, len(chunks), _RUN_CHUNKS):
            end = 0
            for chunk in chunks[first : first + _RUN_CHUNKS]:
                end = self._seal(chunk, end)
            self._write(self._run[:end])
        self._pending[:] = left[whole:]

    def finish(self) -> int:
        """Seal the last chunk, which may be empty; how many sealed bytes there are."""
        self._write(self._run[: self._seal(self._pending, 0, last=True)])
        return sealed_size(self.plain_bytes)

    def _seal(self, chunk: bytearray | memoryview, at: int, *, last: bool = False) -> int:
        """Where the sealed chunk ends that begins there."""
        end = at + len(chunk) + TAG_BYTES
        self._aead.encrypt_into(_nonce(self._header, self._number, last=last), chunk, self._context, self._run[at:end])
        self._number += 1
        return end


class ChunkOpener:
    """Opens chunks in any order, given the header and how many sealed bytes there are in all."""

    def __init__(self, key: bytes, header: bytes, size: int, *, context: str) -> None:
        if len(header) != HEADER_BYTES or not header.startswith(_FORM):
            raise CannotOpen("this is not content sealed in chunks")
        self._aead = AESGCM(key)
        self._header = header
        self._context = header + context.encode()
        self._count = _chunk_count(size)
        self.plain_bytes = size - HEADER_BYTES - self._count * TAG_BYTES

    def place(self, start: int, end: int) -> tuple[int, int]:
        """From where to where to read, to get at these bytes of the content; `end` is the first not wanted."""
        first, last = start // CHUNK_BYTES, max(start, end - 1) // CHUNK_BYTES
        until = min(HEADER_BYTES + (last + 1) * SEALED_CHUNK_BYTES, self.plain_bytes + _overhead(self._count))
        return HEADER_BYTES + first * SEALED_CHUNK_BYTES, until

    def open(self, number: int, sealed: bytes | memoryview) -> bytes:
        """A chunk. Raises CannotOpen."""
        try:
            nonce = _nonce(self._header, number, last=number == self._count - 1)
            return self._aead.decrypt(nonce, sealed, self._context)
        except InvalidTag:
            raise CannotOpen(f"chunk {number} was changed, moved or cut off") from None

    def open_run(self, start: int, sealed: bytes | memoryview) -> Iterator[bytes]:
        """Chunks that follow each other; `start` is where they begin in the file, and each must be whole."""
        number = (start - HEADER_BYTES) // SEALED_CHUNK_BYTES
        for at in range(0, len(sealed), SEALED_CHUNK_BYTES):
            yield self.open(number, sealed[at : at + SEALED_CHUNK_BYTES])
            number += 1


def sealed_size(plain_bytes: int) -> int:
    """How large content of so many bytes becomes."""
    return plain_bytes + _overhead(max(1, -(-plain_bytes // CHUNK_BYTES)))


def _overhead(count: int) -> int:
    return HEADER_BYTES + count * TAG_BYTES


def _chunk_count(size: int) -> int:
    """Raises CannotOpen for a size that no content gives: an end that was cut off in a chunk's tag."""
    whole, rest = divmod(size - HEADER_BYTES, SEALED_CHUNK_BYTES)
    if size < HEADER_BYTES + TAG_BYTES or 0 < rest < TAG_BYTES:
        raise CannotOpen("the sealed content is cut off")
    return whole + (rest > 0)


def _nonce(header: bytes, number: int, *, last: bool) -> bytes:
    if number >= _MOST_CHUNKS:
        raise CannotOpen("the content has too many chunks")
    return header[-_PREFIX_BYTES:] + number.to_bytes(4) + (b"\x01" if last else b"\x00")
