"""Content sealed in chunks: every part opens by itself, and whatever was done to it shows."""

import os

import pytest

from freehold.kernel.crypto.chunks import (
    CHUNK_BYTES,
    HEADER_BYTES,
    SEALED_CHUNK_BYTES,
    ChunkOpener,
    ChunkSealer,
    sealed_size,
)
from freehold.kernel.crypto.sealing import CannotOpen

KEY = bytes(range(32))
SIZES = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 7)


def seal(content: bytes, *, step: int = 50_001, key: bytes = KEY, context: str = "place") -> bytes:
    sealed = bytearray()
    sealer = ChunkSealer(key, sealed.extend, context=context)
    for at in range(0, len(content), step):
        sealer.write(content[at : at + step])
    assert sealer.finish() == len(sealed)
    return bytes(sealed)


def open_part(sealed: bytes, start: int, end: int, *, key: bytes = KEY, context: str = "place") -> bytes:
    opener = ChunkOpener(key, sealed[:HEADER_BYTES], len(sealed), context=context)
    begin, until = opener.place(start, end)
    found = b"".join(opener.open_run(begin, sealed[begin:until]))
    skipped = start % CHUNK_BYTES
    return found[skipped : skipped + end - start]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [1000, CHUNK_BYTES, 1 << 20])
def test_what_was_sealed_opens_whatever_the_pieces_it_came_in(size: int, step: int) -> None:
    content = os.urandom(size)
    sealed = seal(content, step=step)
    assert len(sealed) == sealed_size(size)
    assert ChunkOpener(KEY, sealed[:HEADER_BYTES], len(sealed), context="place").plain_bytes == size
    assert open_part(sealed, 0, size) == content


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (5, 70_000), (CHUNK_BYTES, CHUNK_BYTES + 1), (CHUNK_BYTES - 1, CHUNK_BYTES + 1), (150_000, 196_615)],
)
def test_a_part_opens_without_the_rest(start: int, end: int) -> None:
    content = os.urandom(3 * CHUNK_BYTES + 7)
    assert open_part(seal(content), start, end) == content[start:end]


@pytest.mark.parametrize("cut", [1, 16, 17, 23, 24, SEALED_CHUNK_BYTES, SEALED_CHUNK_BYTES + 23])
def test_an_end_that_was_cut_off_shows(cut: int) -> None:
    sealed = seal(os.urandom(3 * CHUNK_BYTES + 7))[:-cut]
    with pytest.raises(CannotOpen):
        opener = ChunkOpener(KEY, sealed[:HEADER_BYTES], len(sealed), context="place")
        list(opener.open_run(HEADER_BYTES, sealed[HEADER_BYTES:]))


def test_chunks_that_were_changed_swapped_or_repeated_do_not_open() -> None:
    sealed = seal(os.urandom(3 * CHUNK_BYTES))
    first, second = (sealed[HEADER_BYTES + n * SEALED_CHUNK_BYTES :][:SEALED_CHUNK_BYTES] for n in (0, 1))
    rest = sealed[HEADER_BYTES + 2 * SEALED_CHUNK_BYTES :]
    flipped = bytes([first[0] ^ 1]) + first[1:]
    for chunks in (second + first, first + first, flipped + second):
        with pytest.raises(CannotOpen):
            open_part(sealed[:HEADER_BYTES] + chunks + rest, 0, 3 * CHUNK_BYTES)


def test_another_key_another_place_or_another_header_does_not_open_it() -> None:
    sealed = seal(b"content")
    with pytest.raises(CannotOpen):
        open_part(sealed, 0, 7, key=bytes(32))
    with pytest.raises(CannotOpen):
        open_part(sealed, 0, 7, context="elsewhere")
    with pytest.raises(CannotOpen):
        open_part(sealed[:14] + bytes([sealed[14] ^ 1]) + sealed[15:], 0, 7)
    with pytest.raises(CannotOpen):
        open_part(b"FHCHUNK2" + sealed[8:], 0, 7)


def test_two_sealings_of_one_content_share_no_bytes() -> None:
    one, other = seal(b"content"), seal(b"content")
    assert one[:8] == other[:8]
    assert one[8:] != other[8:]
