"""The export as a tar that is written while it is made.

Each file is held until it is whole, because a tar says a file's size before its content. So large files come in parts.
"""

import tarfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from freehold.surfaces.transfer.archive import Member

LINES_PART_BYTES = 32 << 20
"""What others read: so large that nearly every tenant's hashes are one file."""
_BLOCK = 512


class ExportTar:
    """Writes files in the order in which they become whole. `write` may keep what it is given."""

    def __init__(self, write: Callable[[bytes | bytearray], None]) -> None:
        self._write = write
        self.members: list[Member] = []

    def add(self, path: str, content: bytes | bytearray, *, rows: int = 0) -> None:
        """Write one file."""
        self.add_unlisted(path, content)
        self.members.append(Member(path=path, bytes=len(content), rows=rows, sha256=sha256(content).hexdigest()))

    def add_unlisted(self, path: str, content: bytes | bytearray) -> None:
        """Write one file that is not among the members: the manifest."""
        header = tarfile.TarInfo(path)
        header.size = len(content)
        header.mode = 0o600
        self._write(header.tobuf(tarfile.PAX_FORMAT))
        self._write(content)
        self._write(bytes(-len(content) % _BLOCK))

    def finish(self) -> None:
        """Write the end of the tar."""
        self._write(bytes(2 * _BLOCK))


class Lines:
    """Collects the lines of a file and closes a part when it is large; `name_of` gives the name of a part's number."""

    __slots__ = ("_buffer", "_encode", "_name_of", "_part_bytes", "_parts", "_rows", "_tar", "rows")

    def __init__(self, tar: ExportTar, name_of: Callable[[int], str], *, part_bytes: int = LINES_PART_BYTES) -> None:
        self._tar = tar
        self._name_of = name_of
        self._part_bytes = part_bytes
        self._encode = msgspec.json.Encoder().encode_into
        self._buffer = bytearray()
        self._parts = 0
        self._rows = 0
        self.rows = 0

    def add(self, line: Any) -> None:
        """Append a value as a line of JSON."""
        buffer = self._buffer
        self._encode(line, buffer, -1)
        buffer += b"\n"
        self._rows += 1
        if len(buffer) >= self._part_bytes:
            self.flush()

    def add_texts(self, lines: Sequence[str]) -> None:
        """Append lines that are encoded, which are so few that a part may take them all; each ends in a line feed."""
        self._buffer += "".join(lines).encode()
        self._rows += len(lines)
        if len(self._buffer) >= self._part_bytes:
            self.flush()

    def add_text(self, line: bytes) -> None:
        """Append a line that is encoded; it ends in a line feed."""
        buffer = self._buffer
        buffer += line
        self._rows += 1
        if len(buffer) >= self._part_bytes:
            self.flush()

    def flush(self) -> None:
        """Close the part being filled, if there is anything in it."""
        if not self._rows:
            return
        self._parts += 1
        self._tar.add(self._name_of(self._parts), self._buffer, rows=self._rows)
        self.rows += self._rows
        self._buffer, self._rows = bytearray(), 0


def numbered(name: str) -> Callable[[int], str]:
    """`name.ndjson`, and from the second part on `name.2.ndjson`."""
    return lambda part: f"{name}.ndjson" if part == 1 else f"{name}.{part}.ndjson"
