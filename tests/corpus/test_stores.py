"""On fsspec's file system in memory, which stands for any that it opens, and on an object store that speaks S3."""

import os
import tarfile
import zipfile
from pathlib import Path

import boto3
import fsspec
import lmdb
import pytest
from corpus.pictures import encode, fill, noise

from ganpipe.corpus import stores
from ganpipe.corpus.download import download
from ganpipe.corpus.http import FetchError
from ganpipe.corpus.labelled import evaluation_set
from ganpipe.corpus.params import EvaluationSetsParams
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from support.bucket import bucket as s3
from support.settings import download_params


@pytest.fixture(autouse=True)
def _forget_servers() -> None:
    """fsspec keeps what it has opened, with the address of the last test's server."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()


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
    assert stores.below(f"{bucket}/set/a.png") == {}


def test_a_copy_of_a_folder_holds_what_the_folder_holds_now(bucket: str) -> None:
    assert stores.copied_folder(stores.below(f"{bucket}/set"), Path("to")) == Path("to")
    fsspec.filesystem("memory").rm("/bucket/set/a.png")
    stores.copied_folder(stores.below(f"{bucket}/set"), Path("to"))
    assert {path.as_posix() for path in Path("to").rglob("*") if path.is_file()} == {"to/deep/b.png"}
    with pytest.raises(FetchError, match="it holds no files"):
        stores.copied_folder({}, Path("to"))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("../a.png", "leads out of it"),
        ("a/../../a.png", "leads out of it"),
        ("deep/b.png/a.png", "File exists|Not a directory"),  # which is a file's name, too
        (f"{'n' * 300}/a.png", "File name too long"),
    ],
)
def test_a_name_that_cannot_lie_in_the_copy_is_refused(bucket: str, name: str, sentence: str) -> None:
    found = stores.below(f"{bucket}/set")
    with pytest.raises(FetchError, match=sentence):
        stores.copied_folder({"deep/b.png": found["deep/b.png"], name: found["a.png"]}, Path("to"))
    assert not Path("a.png").exists()


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


def test_folders_and_lmdbs_come_from_an_object_store() -> None:
    photos = {
        f"{split}/{kind}/{n}.png": encode(noise(1, 9, 9, n)[0])
        for split in ("train", "test")
        for kind in "ab"
        for n in (1, 2)
    }
    fill(Path("photos"), photos)
    with lmdb.open("bedrooms", map_size=1 << 20) as held, held.begin(write=True) as transaction:
        for name, data in photos.items():
            transaction.put(name.encode(), data)
    with s3("images") as endpoint:
        client = boto3.client("s3", endpoint_url=endpoint)
        client.put_object(Bucket="images", Key="photos/", Body=b"")  # as a console makes a folder
        for name in photos:
            client.upload_file(f"photos/{name}", "images", f"photos/{name}")
        client.upload_file("bedrooms/data.mdb", "images", "bedroom_lmdb/data.mdb")
        with zipfile.ZipFile("bedroom.zip", "w") as archive:
            archive.write("bedrooms/data.mdb", "bedroom_lmdb/data.mdb")
        client.upload_file("bedroom.zip", "images", "bedroom.zip")
        whole = {"images": 8, "rejected": 0}
        assert download(download_params("folder", "s3://images/photos"), Path("folder")) == whole
        assert Images(Path("folder")).manifest["title"] == "photos"
        assert Images(Path("folder")).classes == ["a", "b"]
        for number, path in enumerate(("bedroom_lmdb", "bedroom.zip", "bedroom_lmdb/data.mdb")):
            assert download(download_params("lmdb", f"s3://images/{path}"), Path(f"lmdb-{number}")) == whole
        params = EvaluationSetsParams(datasets=["folder"], path="s3://images/photos/")
        evaluation_set("folder", params, Path("labelled"))
        assert Images(Path("labelled")).splits == {"train": (0, 4), "test": (4, 8)}
        with pytest.raises(UserError, match="s3://images/none, which could not be read as a folder: it holds no files"):
            download(download_params("folder", "s3://images/none"), Path("other"))


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
