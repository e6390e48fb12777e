"""Sealed exports in a bucket, through MinIO's client, which speaks to any S3-compatible service.

The client is synchronous, so each call goes to a thread. The bucket must not keep old versions: an export that is
destroyed must be gone, and `put` refuses a bucket with versioning.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from minio import Minio
from minio.error import MinioException
from urllib3.exceptions import HTTPError

from freehold.kernel.config import Settings
from freehold.surfaces.ceremony.delivery.stores import READ_BYTES, StoreUnavailable, remove_file

T = TypeVar("T")
GRACE_MS = 15 * 60 * 1000
"""So long an object may wait for its row."""
_SUFFIX = ".sealed"
_PART_BYTES = 16 << 20


class S3Store:
    """Objects under a prefix of one bucket."""

    name = "s3"

    def __init__(self, client: Minio, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The store that the settings describe."""
        parts = urlsplit(settings.ceremony_s3_url)
        bucket, _, prefix = parts.path.strip("/").partition("/")
        client = Minio(
            parts.netloc,
            access_key=settings.ceremony_s3_access_key or None,
            secret_key=settings.ceremony_s3_secret_key or None,
            secure=parts.scheme == "https",
            region=settings.ceremony_s3_region or None,
        )
        return cls(client, bucket, f"{prefix}/" if prefix else "")

    async def put(self, artefact_id: str, source: Path) -> None:
        def put() -> None:
            if self._client.get_bucket_versioning(self._bucket).status == "Enabled":
                raise StoreUnavailable("The bucket keeps old versions, so nothing in it can be destroyed.")
            size = source.stat().st_size
            self._client.fput_object(self._bucket, self._object(artefact_id), str(source), part_size=_PART_BYTES)
            found = self._client.stat_object(self._bucket, self._object(artefact_id)).size
            if found != size:
                raise StoreUnavailable("The bucket does not hold what was written to it.")

        await self._call(put)
        await asyncio.to_thread(remove_file, source)

    async def read(self, artefact_id: str, start: int, end: int) -> AsyncIterator[bytes]:
        if start >= end:
            return
        answer: Any = await self._call(
            lambda: self._client.get_object(
                self._bucket, self._object(artefact_id), offset=start, length=end - start
            )
        )  # fmt: skip
        try:
            left = end - start
            while left > 0:
                piece = await self._call(partial(answer.read, min(READ_BYTES, left)))
                if not piece:
                    raise StoreUnavailable("The export is shorter than it should be.")
                left -= len(piece)
                yield piece
        finally:
            answer.close()
            answer.release_conn()

    async def destroy(self, artefact_id: str) -> None:
        await self._call(lambda: self._client.remove_object(self._bucket, self._object(artefact_id)))

    def settle(self, artefact_id: str) -> None:
        pass

    async def held(self) -> dict[str, int]:
        def held() -> dict[str, int]:
            found = {}
            for item in self._client.list_objects(self._bucket, prefix=self._prefix):
                name = str(item.object_name).removeprefix(self._prefix)
                if name.endswith(_SUFFIX) and item.last_modified is not None:
                    found[name.removesuffix(_SUFFIX)] = int(item.last_modified.timestamp() * 1000) + GRACE_MS
            return found

        return await self._call(held)

    def _object(self, artefact_id: str) -> str:
        return f"{self._prefix}{artefact_id}{_SUFFIX}"

    @staticmethod
    async def _call(work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except (MinioException, HTTPError, OSError) as error:
            raise StoreUnavailable(f"The bucket does not answer as it should: {type(error).__name__}") from None
