"""Sealed exports in a bucket, against a server that speaks S3: moto, where it is installed."""

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from minio import Minio
from minio.commonconfig import ENABLED
from minio.versioningconfig import VersioningConfig

from freehold.kernel.config import InvalidSetting, Settings, load_settings
from freehold.surfaces.ceremony.delivery.s3 import S3Store
from freehold.surfaces.ceremony.delivery.stores import FolderStore, StoreUnavailable, store_of

pytest.importorskip("moto.server", reason="moto is not installed")

CONTENT = os.urandom(17 << 20)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    made: Any = import_module("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    made.start()
    host, port = made.get_host_and_port()
    yield f"http://{host}:{port}"
    made.stop()


@pytest.fixture
def settings(server: str, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    bucket = f"bucket-{abs(hash(request.node.name))}"[:40]
    client = Minio(server.removeprefix("http://"), access_key="a", secret_key="b", secure=False)
    client.make_bucket(bucket)
    return Settings(
        data_dir=tmp_path, ceremony_s3_url=f"{server}/{bucket}/exports", ceremony_s3_access_key="a",
        ceremony_s3_secret_key="b",
    )  # fmt: skip


@pytest.fixture
def place(settings: Settings) -> S3Store:
    place = store_of(settings)
    assert isinstance(place, S3Store)
    return place


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    path = tmp_path / "art_1.part"
    path.write_bytes(CONTENT)
    return path


async def read(place: S3Store | FolderStore, start: int, end: int) -> bytes:
    return b"".join([piece async for piece in place.read("art_1", start, end)])


async def test_what_was_put_is_read_in_any_part_and_destroyed_for_good(place: S3Store, draft: Path) -> None:
    await place.put("art_1", draft)
    assert not draft.exists()
    assert list(await place.held()) == ["art_1"]
    for start, end in ((0, 15), (0, len(CONTENT)), (3 << 20, (5 << 20) + 1), (len(CONTENT) - 1, len(CONTENT)), (7, 7)):
        assert await read(place, start, end) == CONTENT[start:end]
    await place.destroy("art_1")
    await place.destroy("art_1")
    assert await place.held() == {}
    with pytest.raises(StoreUnavailable):
        await read(place, 0, 1)


async def test_the_folder_does_the_same(tmp_path: Path, draft: Path) -> None:
    place = FolderStore(tmp_path / "exports")
    await place.put("art_1", draft)
    assert (tmp_path / "exports").stat().st_mode & 0o777 == 0o700
    assert await read(place, 3 << 20, (5 << 20) + 1) == CONTENT[3 << 20 : (5 << 20) + 1]
    assert await place.held() == {}, "its row is about to be written"
    place.settle("art_1")
    assert list(await place.held()) == ["art_1"]
    await place.destroy("art_1")
    await place.destroy("art_1")
    with pytest.raises(StoreUnavailable):
        await read(place, 0, 1)


async def test_a_bucket_that_keeps_old_versions_is_refused(place: S3Store, settings: Settings, draft: Path) -> None:
    host, bucket, _ = settings.ceremony_s3_url.removeprefix("http://").split("/")
    Minio(host, access_key="a", secret_key="b", secure=False).set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    with pytest.raises(StoreUnavailable, match="old versions"):
        await place.put("art_1", draft)
    assert draft.exists()


async def test_a_server_that_does_not_answer_is_said_to_be_unavailable(tmp_path: Path, draft: Path) -> None:
    nobody = Settings(data_dir=tmp_path, ceremony_s3_url="http://127.0.0.1:9/bucket", ceremony_s3_access_key="a",
                      ceremony_s3_secret_key="b", ceremony_s3_region="us-east-1")  # fmt: skip
    client = S3Store.of(nobody)
    client._client._http.connection_pool_kw["retries"] = False
    with pytest.raises(StoreUnavailable):
        await client.held()


@pytest.mark.parametrize(
    "url", ["http://store.example/bucket", "https://store.example", "s3://bucket", "https://u@h/b"]
)
def test_only_tls_leads_to_another_machine(url: str) -> None:
    with pytest.raises(InvalidSetting):
        load_settings({"ceremony_s3_url": url}, environ={})
