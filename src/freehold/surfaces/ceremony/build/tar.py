"""The export as a tar that is written while it is made.

Each file is held until it is whole, because a tar says a file's size before its content. So large files come in parts.
"""

import tarfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from freehold.surfaces.ceremony.build.pipes import Buffer
from freehold.surfaces.transfer.archive import Member

_PIECE_BYTES = 1 << 18
LINES_PART_BYTES = 16 << 20
"""What others read: so large that nearly every tenant's hashes are one file."""
_BLOCK = 512


class ExportTar:
    """Writes files in the order in which they become whole. `write` may keep what it is given."""

    def __init__(self, write: Callable[[Buffer], None]) -> None:
        self._write = write
        self.members: list[Member] = []

    def add(self, path: str, content: bytes, *, rows: int = 0) -> None:
        """Write one file."""
        self.add_pieces(path, [content], rows=rows, digest=sha256(content).hexdigest())

    def add_pieces(self, path: str, pieces: Sequence[Buffer], *, rows: int, digest: str) -> None:
        """Write one file whose content comes in pieces; `digest` is its SHA-256."""
        size = self._write_file(path, pieces)
        self.members.append(Member(path=path, bytes=size, rows=rows, sha256=digest))

    def add_unlisted(self, path: str, content: bytes) -> None:
        """Write one file that is not among the members: the manifest."""
        self._write_file(path, [content])

    def _write_file(self, path: str, pieces: Sequence[Buffer]) -> int:
        header = tarfile.TarInfo(path)
        header.size = sum(map(len, pieces))
        header.mode = 0o600
        self._write(header.tobuf(tarfile.PAX_FORMAT))
        for piece in pieces:
            self._write(piece)
        self._write(bytes(-header.size % _BLOCK))
        return header.size

    def finish(self) -> None:
        """Write the end of the tar."""
        self._write(bytes(2 * _BLOCK))


class Lines:
    """Collects the lines of a file and closes a part when it is large; `name_of` gives the name of a part's number."""

    def __init__(self, tar: ExportTar, name_of: Callable[[int], str], *, part_bytes: int = LINES_PART_BYTES) -> None:
        self._tar = tar
        self._name_of = name_of
        self._part_bytes = part_bytes
        self._encode = msgspec.json.Encoder().encode
        self._parts = 0
        self.rows = 0
        self._open = bytearray()
        self._begin()

    def add(self, line: Any) -> None:
        """Append a value as a line of JSON."""
        self.add_text(self._encode(line) + b"\n")

    def add_text(self, lines: Buffer, rows: int = 1) -> None:
        """Append lines that are encoded, which are so few that a part may take them all; each ends in a line feed."""
        if len(lines) < _PIECE_BYTES:
            self._open += lines
            if len(self._open) >= _PIECE_BYTES:
                self._close_piece()
        else:
            self._close_piece()
            self._take(lines)
        self._size += len(lines)
        self._rows += rows
        if self._size >= self._part_bytes:
            self.flush()

    def flush(self) -> None:
        """Close the part being filled, if there is anything in it."""
        if not self._rows:
            return
        self._close_piece()
        self._parts += 1
        digest = self._digest.hexdigest()
        self._tar.add_pieces(self._name_of(self._parts), self._pieces, rows=self._rows, digest=digest)
        self.rows += self._rows
        self._begin()

    def _close_piece(self) -> None:
        if self._open:
            self._take(self._open)
            self._open = bytearray()

    def _take(self, piece: Buffer) -> None:
        self._digest.update(piece)
        self._pieces.append(piece)

    def _begin(self) -> None:
        self._pieces: list[Buffer] = []
        self._digest = sha256()
        self._size = self._rows = 0


def numbered(name: str) -> Callable[[int], str]:
    """`name.ndjson`, and from the second part on `name.2.ndjson`."""
    return lambda part: f"{name}.ndjson" if part == 1 else f"{name}.{part}.ndjson"
