"""The archive as a file: a gzip-compressed tar whose members are small enough to be held in memory, and a manifest.

Everything that could differ between two writings of the same content is fixed (times, owners, order), so an unchanged
tenant gives the same bytes. The manifest comes last, because it holds the digests of what stands before it; a reader
verifies the whole file before it uses any of it.
"""

import tarfile
from collections.abc import Iterator
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Literal, cast

import msgspec
from isal import igzip, isal_zlib
from msgspec import UNSET, UnsetType

from freehold.kernel.errors import BadRequest

VERSION = 1
PART_BYTES = 4 << 20
"""A part is closed when it is this large; a single row larger than this has a part of its own."""
MAX_MEMBER_BYTES = 64 << 20
MAX_MEMBERS = 200_000
MANIFEST = "manifest.json"
COMPRESSION_LEVEL = 2
COMPRESSED_AT_ONCE = 1 << 18


# The library ships no types.
_IGzipFile: Any = igzip.IGzipFile
_Damage: tuple[type[Exception], ...] = (tarfile.TarError, EOFError, OSError, cast(type[Exception], isal_zlib.error))


class BadArchive(BadRequest):
    """An archive that is damaged, incomplete, of an unknown version, or not an archive; the message names the place."""

    code = "bad_archive"


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One file in the archive, as the manifest lists it."""

    path: str
    bytes: int
    rows: int
    sha256: str


class TenantFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Which tenant an archive holds."""

    id: str
    name: str
    domain: str


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A table or kind of vault content that is not in this archive, and why."""

    name: str
    because: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the archive holds; its member `format` is the first thing a reader looks at."""

    format: Literal["freehold-tenant-archive", "freehold-vault-archive", "freehold-sealed-export"]
    version: int
    tenant: TenantFacts
    rows: dict[str, int]
    """Rows by declaration, or by vault kind."""
    members: list[Member]
    left_out: list[LeftOut] = []
    ceremony: dict[str, Any] | UnsetType = UNSET
    """In a sealed export: which request it answers, and what else is in it."""


class ArchiveWriter:
    """Writes members in order and the manifest at the end. Nothing is held but the part being filled."""

    def __init__(self, file: IO[bytes]) -> None:
        self._gzip: Any = _IGzipFile(filename="", mode="wb", compresslevel=COMPRESSION_LEVEL, fileobj=file, mtime=0)
        self._size = 0
        self.members: list[Member] = []
        self.rows: dict[str, int] = {}

    def add(self, path: str, content: bytes | memoryview, *, rows: int = 0) -> None:
        """Write one member."""
        self._write(path, content)
        self.members.append(Member(path=path, bytes=len(content), rows=rows, sha256=sha256(content).hexdigest()))

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest and close the archive; the file stays open."""
        self._write(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        self._put(bytes(2 * tarfile.BLOCKSIZE))
        self._put(bytes(-self._size % tarfile.RECORDSIZE))
        self._gzip.close()

    def _write(self, path: str, content: bytes | memoryview) -> None:
        header = tarfile.TarInfo(path)
        header.size = len(content)
        header.mode = 0o600
        self._put(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"))
        # What the compressor makes of it depends on the pieces it gets, so their size is fixed.
        with memoryview(content) as view:
            for start in range(0, len(content), COMPRESSED_AT_ONCE):
                self._put(view[start : start + COMPRESSED_AT_ONCE])
        self._put(bytes(-len(content) % tarfile.BLOCKSIZE))

    def _put(self, content: bytes | memoryview) -> None:
        if content:
            self._gzip.write(content)
            self._size += len(content)


class PartWriter:
    """Collects the rows of one declaration into numbered members of bounded size."""

    def __init__(self, archive: ArchiveWriter, folder: str, name: str) -> None:
        self._archive = archive
        self._folder = folder
        self._name = name
        # One buffer for all parts: new ones of this size would cost more than what is copied into them.
        self._part = bytearray()
        self._bytes = 0
        self._lines = 0
        self._parts = 0
        self.rows = 0

    def add(self, lines: bytes, count: int) -> None:
        """Append so many rows; each ends in a line feed. Where parts end does not depend on how rows come."""
        start = 0
        while self._bytes + len(lines) - start >= PART_BYTES:
            # The part ends with the row that fills it.
            end = lines.index(b"\n", start + PART_BYTES - self._bytes - 1) + 1
            piece = lines[start:end]
            whole = piece.count(b"\n")
            self._append(piece, whole)
            self.flush()
            start, count = end, count - whole
        self._append(lines[start:], count)

    def _append(self, piece: bytes, count: int) -> None:
        end = self._bytes + len(piece)
        self._part[self._bytes : end] = piece
        self._bytes = end
        self._lines += count

    def flush(self) -> None:
        """Close the part being filled."""
        if not self._lines:
            return
        self._parts += 1
        path = f"{self._folder}/{self._name}/{self._parts:06d}.ndjson"
        with memoryview(self._part) as view, view[: self._bytes] as content:
            self._archive.add(path, content, rows=self._lines)
        self.rows += self._lines
        self._bytes = self._lines = 0

    def finish(self) -> None:
        """Close the last part and count the rows, also when there are none."""
        self.flush()
        self._archive.rows[self._name] = self.rows


def verify(path: Path) -> Manifest:
    """Read the whole archive once and hold it against its manifest. Raises BadArchive before anything is used."""
    seen: dict[str, Member] = {}
    manifest: Manifest | None = None
    for name, content in members(path):
        if manifest is not None:
            raise BadArchive(f"{path.name}: {name[:80]} stands behind the manifest")
        if name == MANIFEST:
            manifest = _read_manifest(path, content)
        elif name in seen:
            raise BadArchive(f"{path.name}: {name[:80]} is there twice")
        else:
            digest = sha256(content).hexdigest()
            seen[name] = Member(path=name, bytes=len(content), rows=content.count(b"\n"), sha256=digest)
    if manifest is None:
        raise BadArchive(f"{path.name} has no manifest: it is incomplete, or not an archive of Freehold")
    for member in manifest.members:
        found = seen.pop(member.path, None)
        if found is None:
            raise BadArchive(f"{path.name}: {member.path[:80]} is missing")
        if (found.bytes, found.sha256) != (member.bytes, member.sha256):
            raise BadArchive(f"{path.name}: {member.path[:80]} is not what the manifest says")
        if member.path.endswith(".ndjson") and found.rows != member.rows:
            raise BadArchive(f"{path.name}: {member.path[:80]} has {found.rows} rows, the manifest says {member.rows}")
    if seen:
        raise BadArchive(f"{path.name}: {next(iter(seen))[:80]} is not in the manifest")
    counted: dict[str, int] = dict.fromkeys(manifest.rows, 0)
    for member in manifest.members:
        declaration = declaration_of(member.path)
        if declaration is not None:
            counted[declaration] = counted.get(declaration, 0) + member.rows
    if counted != manifest.rows:
        raise BadArchive(f"{path.name}: the manifest's counts do not add up")
    return manifest


def declaration_of(path: str) -> str | None:
    """Which declaration or vault kind a member's rows belong to; None for other members."""
    parts = path.split("/")
    return parts[1] if len(parts) == 3 and parts[0] in {"data", "vault"} and path.endswith(".ndjson") else None


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each member in order. Raises BadArchive for damage and for members over the limits."""
    try:
        with (
            path.open("rb") as raw,
            _unpacked(path, raw) as plain,
            tarfile.open(fileobj=plain, mode="r|") as tar,
        ):
            for count, header in enumerate(tar):
                if count >= MAX_MEMBERS:
                    raise BadArchive(f"{path.name} has more than {MAX_MEMBERS} members")
                if not header.isreg() or header.size > MAX_MEMBER_BYTES:
                    raise BadArchive(f"{path.name}: {header.name[:80]} is too large or not a plain file")
                file = tar.extractfile(header)
                content = file.read() if file is not None else b""
                if len(content) != header.size:
                    raise BadArchive(f"{path.name} is cut off in {header.name[:80]}")
                yield header.name, content
    except _Damage as error:
        raise BadArchive(f"{path.name} is damaged: {error}") from None


def _unpacked(path: Path, raw: IO[bytes]) -> Any:
    """The tar inside, compressed or, in a sealed export, as it is."""
    head = raw.read(512)
    raw.seek(0)
    if head[:2] == b"\x1f\x8b":
        return _IGzipFile(fileobj=raw, mode="rb")
    if head[257:262] == b"ustar":
        return nullcontext(raw)
    raise BadArchive(_not_gzip(path))


def _read_manifest(path: Path, content: bytes) -> Manifest:
    try:
        head: dict[str, Any] = msgspec.json.decode(content)
        if head.get("version") != VERSION:
            raise BadArchive(
                f"{path.name} has format version {str(head.get('version'))[:20]}; this Freehold reads version {VERSION}"
            )
        return msgspec.convert(head, Manifest)
    except (msgspec.MsgspecError, AttributeError) as error:
        raise BadArchive(f"{path.name}: the manifest cannot be read: {error}") from None


def _not_gzip(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(40)
    if head.startswith(b"-----BEGIN PGP") or (head and head[0] & 0x80):
        return f"{path.name} is encrypted; decrypt it first: gpg --output archive.tar.gz --decrypt {path.name}"
    return f"{path.name} is not an archive of Freehold"
