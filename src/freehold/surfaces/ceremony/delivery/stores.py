"""Where sealed exports lie: a folder, or a bucket of any S3-compatible service. Only ciphertext ever goes there.

A name is an artefact's id. What is put is complete or absent, and durable when `put` returns.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from freehold.kernel.config import Settings
from freehold.kernel.errors import Unavailable
from freehold.surfaces.ceremony.build.builder import is_being_written, target_name

READ_BYTES = 1 << 20


class StoreUnavailable(Unavailable):
    """The place where exports lie does not answer, or does not have what it should."""

    code = "export_store_unavailable"


class ArtefactStore(Protocol):
    """One place."""

    name: str

    async def put(self, artefact_id: str, source: Path) -> None:
        """Take over a finished file; the source is gone afterwards. Raises StoreUnavailable."""
        ...

    def settle(self, artefact_id: str) -> None:
        """What was put has its row now, or was destroyed."""
        ...

    def read(self, artefact_id: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`. Raises StoreUnavailable."""
        ...

    async def destroy(self, artefact_id: str) -> None:
        """Remove it for good; nothing happens when it is not there. Raises StoreUnavailable."""
        ...

    async def held(self) -> dict[str, int]:
        """The ids of what lies there and of which no live process says that its row is about to be written.

        Each has a time in milliseconds, until which it may be that all the same. Raises StoreUnavailable.
        """
        ...


_NEW: dict[Path, int] = {}
"""Descriptors of files that have no row yet. Their locks end with this process, however it ends."""


class FolderStore:
    """Files in a folder of the server's own, open to nobody else."""

    name = "folder"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def put(self, artefact_id: str, source: Path) -> None:
        await asyncio.to_thread(self._put, artefact_id, source)

    async def read(self, artefact_id: str, start: int, end: int) -> AsyncIterator[bytes]:
        try:
            descriptor = os.open(self._path(artefact_id), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreUnavailable(f"The export cannot be read: {error.strerror}") from None
        try:
            while start < end:
                piece = await asyncio.to_thread(os.pread, descriptor, min(READ_BYTES, end - start), start)
                if not piece:
                    raise StoreUnavailable("The export is shorter than it should be.")
                start += len(piece)
                yield piece
        finally:
            os.close(descriptor)

    async def destroy(self, artefact_id: str) -> None:
        await asyncio.to_thread(remove_file, self._path(artefact_id))
        self.settle(artefact_id)

    def settle(self, artefact_id: str) -> None:
        descriptor = _NEW.pop(self._path(artefact_id), None)
        if descriptor is not None:
            os.close(descriptor)

    async def held(self) -> dict[str, int]:
        if not self.folder.exists():
            return {}
        return {path.stem: 0 for path in self.folder.glob("*.sealed") if not is_being_written(path)}

    def _path(self, artefact_id: str) -> Path:
        return self.folder / f"{artefact_id}.sealed"

    def _put(self, artefact_id: str, source: Path) -> None:
        try:
            prepare_folder(self.folder)
            descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _NEW[self._path(artefact_id)] = descriptor
            source.replace(self._path(artefact_id))
            sync_folder(self.folder)
            if source.parent != self.folder:
                sync_folder(source.parent)
        except OSError as error:
            raise StoreUnavailable(f"The export cannot be kept: {error.strerror}") from None


def store_named(settings: Settings, name: str) -> ArtefactStore:
    """The store of this name, as it is set up here. Raises StoreUnavailable when it no longer is."""
    if name == "folder":
        return FolderStore(folder_of(settings))
    if not settings.ceremony_s3_url:
        raise StoreUnavailable("The export lies in an S3 bucket, and no bucket is set up here any more.")
    from freehold.surfaces.ceremony.delivery.s3 import S3Store

    return S3Store.of(settings)


def store_of(settings: Settings) -> ArtefactStore:
    """Where new exports go."""
    return store_named(settings, "s3" if settings.ceremony_s3_url else "folder")


def folder_of(settings: Settings) -> Path:
    """The folder of sealed exports, also of those being written."""
    return settings.data.exports


def prepare_folder(folder: Path) -> None:
    """Make sure that it exists and is ours alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def abandoned_drafts(folder: Path) -> list[Path]:
    """Files whose writer is gone; whoever writes holds a lock."""
    if not folder.exists():
        return []
    return [path for path in folder.glob(target_name("*")) if not is_being_written(path)]


def remove_file(path: Path) -> None:
    """Remove a file durably."""
    path.unlink(missing_ok=True)
    if path.parent.exists():
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a change of names in the folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
