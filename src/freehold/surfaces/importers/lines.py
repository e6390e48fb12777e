"""Files that come from elsewhere, a line at a time in flat memory: NDJSON as it is, gzip-compressed or with a mark.

What is damaged, endless or a bomb is refused with the file's name and the line, before anything is done with it.
"""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import msgspec
from isal import igzip, isal_zlib

from freehold.kernel.errors import BadRequest

LONGEST_LINE = 16 * 1024 * 1024
MOST_RATIO = 300
RATIO_COUNTS_FROM = 64 * 1024 * 1024
MOST_BYTES = 1 << 40
CHUNK = 1 << 16
"""So little that what is made of it stays in the processor's cache."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_DAMAGE: tuple[Any, ...] = (EOFError, OSError, zlib.error, isal_zlib.IsalError)

T = TypeVar("T")


class BadFile(BadRequest):
    """A file that cannot be read as what it should be; the message names the place."""

    code = "bad_file"


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and content of each line that is not empty. Raises BadFile."""
    for block in read_blocks(path):
        yield from block.lines()


class Block(NamedTuple):
    """Some whole lines of a file; the last one has no line feed."""

    number: int
    """Of the first line."""
    length: int
    """In lines."""
    content: bytes

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Number and content of each line that is not empty."""
        for place, line in enumerate(self.content.split(b"\n"), start=self.number):
            stripped = line.strip()
            if stripped:
                yield place, stripped


def read_blocks(path: Path) -> Iterator[Block]:
    """A file, some lines at a time. Raises BadFile."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadFile(f"{path.name} cannot be opened: {error.strerror}") from error
    with file:
        compressed = file.read(2) == _GZIP
        file.seek(0)
        yield from _split(_chunks(file, path, compressed), path)


def first_byte(path: Path) -> bytes:
    """The first byte that is no space, by which an array is told from lines."""
    for _, line in read_lines(path):
        return line[:1]
    return b""


def decode(decoder: msgspec.json.Decoder[T], line: bytes, path: Path, number: int) -> T:
    """A line's value. Raises BadFile for what is no JSON, or not of this type."""
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_line(path, number, error) from None


def bad_line(path: Path, number: int, error: Exception) -> BadFile:
    """What is wrong with a line, without the line."""
    if isinstance(error, UnicodeDecodeError):
        return BadFile(f"{path.name} line {number}: not UTF-8 at byte {error.start + 1}")
    if isinstance(error, RecursionError):
        return BadFile(f"{path.name} line {number}: nested too deeply")
    if isinstance(error, msgspec.ValidationError):
        return BadFile(f"{path.name} line {number}: {error}")
    return BadFile(f"{path.name} line {number}: not JSON: {error}")


def _chunks(file: IO[bytes], path: Path, compressed: bool) -> Iterator[bytes]:
    unpacked: Callable[..., Any] = igzip.IGzipFile
    source: Any = unpacked(fileobj=file, mode="rb") if compressed else file
    total = 0
    while True:
        try:
            chunk = source.read(CHUNK)
        except _DAMAGE as error:
            short = isinstance(error, EOFError) or "end" in str(error).lower()
            how = "ends before its time" if short else "is damaged"
            raise BadFile(f"{path.name}: the compressed file {how}, {total:,} bytes in") from None
        if not chunk:
            return
        total += len(chunk)
        if total > MOST_BYTES:
            raise BadFile(f"{path.name}: more than {MOST_BYTES:,} bytes")
        if compressed and total > RATIO_COUNTS_FROM and total > MOST_RATIO * max(1, file.tell()):
            raise BadFile(f"{path.name}: unpacks to more than {MOST_RATIO} times its size, which no export does")
        yield chunk


def _split(chunks: Iterator[bytes], path: Path) -> Iterator[Block]:
    parts: list[bytes] = []
    number, length, first = 1, 0, True
    for piece in chunks:
        chunk = piece
        if first:
            first = False
            chunk = chunk.removeprefix(_BOM)
            if chunk[:2] in {b"\xff\xfe", b"\xfe\xff"}:
                raise BadFile(f"{path.name}: UTF-16; save it as UTF-8")
        end = chunk.rfind(b"\n")
        if end >= 0:
            content = b"".join([*parts, memoryview(chunk)[:end]])
            block = Block(number, content.count(b"\n") + 1, content)
            yield block
            number += block.length
            parts, length = [], 0
        parts.append(chunk[end + 1 :])
        length += len(parts[-1])
        if length > LONGEST_LINE:
            raise BadFile(f"{path.name} line {number}: longer than {LONGEST_LINE:,} bytes")
    if length:
        yield Block(number, 1, b"".join(parts))
