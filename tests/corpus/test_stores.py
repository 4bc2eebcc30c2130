"""On fsspec's file system in memory, which stands for any that it opens, and on an object store that speaks S3."""

import os
import tarfile
from pathlib import Path

import boto3
import fsspec
import pytest
from corpus.pictures import encode, fill, noise

from ganpipe.corpus import stores
from ganpipe.corpus.download import download
from ganpipe.corpus.http import FetchError
from ganpipe.errors import UserError
from support.bucket import bucket as s3
from support.settings import download_params


@pytest.fixture
def bucket() -> str:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for name in ("set/a.png", "set/deep/b.png", "other/c.png"):
        memory.pipe(f"/bucket/{name}", name.encode())
    return "memory://bucket"


def test_files_are_found_by_name_and_by_pattern(bucket: str) -> None:
    assert [each.name for each in stores.find(f"{bucket}/set/a.png")] == ["a.png"]
    assert [each.name for each in stores.find(f"{bucket}/*/*.png")] == ["c.png", "a.png"]
    for nowhere in (f"{bucket}/set", f"{bucket}/x*", "gopher://x/y", "/nowhere"):
        with pytest.raises(FetchError):
            stores.find(nowhere)


def test_all_below_a_folder_are_found_by_their_way_there(bucket: str) -> None:
    found = stores.below(f"{bucket}/set/")
    assert {path: stored.size for path, stored in found.items()} == {"a.png": 9, "deep/b.png": 14}


def test_a_copy_is_made_once_and_again_where_it_is_not_whole(bucket: str) -> None:
    (stored,) = stores.find(f"{bucket}/set/a.png")
    path = stores.copied(stored, Path("to"))
    assert path.read_bytes() == b"set/a.png"
    os.utime(path, ns=(0, 0))
    assert stores.copied(stored, Path("to")).stat().st_mtime_ns == 0
    path.write_bytes(b"set/a")
    assert stores.copied(stored, Path("to")).read_bytes() == b"set/a.png"


def test_what_a_store_fails_with_is_told(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (stored,) = stores.find(f"{bucket}/set/a.png")

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the token has run out\nat line 3")

    monkeypatch.setattr(type(stored.system), "get_file", fail)
    with pytest.raises(FetchError, match="^the token has run out$"):
        stores.copy(stored, Path("to.png"))
    assert not Path("to.png").exists()


def test_images_come_from_an_object_store() -> None:
    fill(Path("set"), {f"{number}.jpg": encode(noise(1, 9, 9, number)[0], "JPEG") for number in range(5)})
    with s3("images") as endpoint:
        client = boto3.client("s3", endpoint_url=endpoint)
        for start in (0, 3):
            with tarfile.open("shard.tar", "w") as tar:
                for number in range(start, min(5, start + 3)):
                    tar.add(f"set/{number}.jpg", f"{number}.jpg")
            client.upload_file("shard.tar", "images", f"train/{start:04}.tar")
        counts = download(download_params("webdataset", "s3://images/train/*.tar"), Path("out"))
        assert counts == {"images": 5, "rejected": 0}
        with pytest.raises(UserError, match=r"s3://images/none/\*\.tar, which could not be read: no such file"):
            download(download_params("webdataset", "s3://images/none/*.tar"), Path("other"))
