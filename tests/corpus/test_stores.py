"""On fsspec's file system in memory, which stands for any that it opens, and on an object store that speaks S3."""

import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import fsspec
import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus.pictures import encode, fill, noise
from fsspec.implementations.memory import MemoryFile
from hypothesis import given, settings
from hypothesis import strategies as st

from ganpipe.corpus import http, stores
from ganpipe.corpus.download import download
from ganpipe.corpus.http import FetchError
from ganpipe.corpus.labelled import evaluation_set
from ganpipe.corpus.params import EvaluationSetsParams
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from support.bucket import bucket as s3
from support.flaky import FAULTS, Proxy, flaky
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


def files_below(folder: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}


def put(*names: str) -> dict[str, stores.Stored]:
    """A store's folder with files of exactly these names, and of these contents."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for name in names:  # not by `pipe`, which makes paths of them that file systems would know
        memory.store[f"/odd/{name}"] = MemoryFile(memory, f"/odd/{name}", name.encode("utf-8", "replace"))
    return stores.below("memory://odd")


ODD = ("..", "../a.png", "a/../../a.png", "a//b.png", "./a.png", "a/.", "a\0b.png", "\ud800.png", "\0/a.png")


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a_name_that_cannot_lie_in_the_copy_is_refused_before_anything_is_copied(name: str) -> None:
    with pytest.raises(FetchError, match=r"^it names a file '.*', which no folder here can hold: rename it there$"):
        stores.copied_folder(put("b.png", name), Path("to/set"))
    assert not Path("to").exists()


def test_a_file_below_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "WAIT_SECONDS", 0)
    with pytest.raises(FetchError, match="File exists|Not a directory|Is a directory"):
        stores.copied_folder(put("deep/b.png", "deep/b.png/a.png"), Path("to"))


def test_long_names_are_shortened_and_stay_apart() -> None:
    names = [
        f"{'n' * 300}/a.png",
        f"{'n' * 301}/a.png",
        f"{'m' * 250}.png",
        f"{'ä' * 120}.{'x' * 50}",
        f"{'k' * 196}.png",
    ]
    stores.copied_folder(put(*names), Path("to"))
    held = files_below("to")
    assert {Path("to", path).read_text() for path in held} == set(names)
    parts = [part for path in held for part in path.split("/")]
    assert max(len(part.encode()) for part in parts) <= stores.LONGEST_NAME
    assert {part[:3] for part in parts if part != "a.png"} == {"nnn", "mmm", "äää", "kkk"}
    assert sorted(path[-4:] for path in held)[:4] == [".png"] * 4
    assert names[-1] in held


def test_a_name_that_looks_like_a_shortened_one_is_refused() -> None:
    long = f"{'n' * 300}.png"
    with pytest.raises(FetchError, match="which would be one with another file here: rename it there"):
        stores.copied_folder(put(long, stores.short_name(long)), Path("to"))


def test_names_that_are_one_to_the_file_system_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "CONNECTIONS", 1)
    Path("to/a").mkdir(parents=True)
    Path("to/a/kept.png").write_bytes(b"")  # so that the folder stays until the link leads to it
    Path("to/A").symlink_to("a")  # as on a system that knows no capitals
    with pytest.raises(FetchError, match=r"a file 'A/x\.png', which would be one with another file here"):
        stores.copied_folder(put("A/x.png", "a/kept.png", "a/x.png"), Path("to"))


@pytest.mark.parametrize(("before", "now"), [("a/b.png", "a"), ("a", "a/b.png"), ("a/b/c", "a/b")])
def test_a_file_takes_the_place_of_a_folder_and_the_other_way_around(before: str, now: str) -> None:
    for name in (before, now):
        stores.copied_folder(put(name), Path("to"))
    assert files_below("to") == {now}


@given(st.lists(st.text(st.sampled_from("aA./\0\ud800é"), min_size=1, max_size=6), min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
def test_whatever_a_store_names_is_copied_whole_or_refused_in_a_sentence(names: list[str]) -> None:
    with TemporaryDirectory() as folder:
        to = f"{folder}/to"
        found = put(*names)
        try:
            stores.copied_folder(found, Path(to))
        except FetchError as error:
            assert "\n" not in str(error)
        else:
            assert files_below(to) == set(found)
            assert all(Path(to, name).read_text() == name for name in found)
        assert all(path.startswith(("to", "to/")) for path in files_below(folder))


def test_a_copy_is_made_once_and_again_where_it_is_not_whole(bucket: str) -> None:
    (stored,) = stores.find(f"{bucket}/set/a.png")
    path = stores.copied(stored, Path("to/b.png"))
    assert path.read_bytes() == b"set/a.png"
    os.utime(path, ns=(0, 0))
    assert stores.copied(stored, path).stat().st_mtime_ns == 0
    path.write_bytes(b"set/a")
    assert stores.copied(stored, path).read_bytes() == b"set/a.png"


def test_what_a_store_fails_with_is_told(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (stored,) = stores.find(f"{bucket}/set/a.png")

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the token has run out\nat line 3")

    monkeypatch.setattr(http, "WAIT_SECONDS", 0)
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


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Proxy]]:
    """A client of an object store with a bucket `images`, and the proxy that all but the client have before it."""
    monkeypatch.setattr(http, "WAIT_SECONDS", 0)
    monkeypatch.setattr(stores, "PATIENCE", {**stores.PATIENCE, "read_timeout": 1})
    with s3("images") as endpoint, flaky(endpoint) as proxy:
        client = boto3.client("s3", endpoint_url=endpoint)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.server_port}")
        yield client, proxy


def write(form: str) -> str:
    """Ten images in that form, in the folder `given`; their path from there."""
    held = {f"{kind}/{number}.png": encode(noise(1, 9, 9, number)[0]) for kind in "ab" for number in range(5)}
    if form == "folder":
        fill(Path("given/photos"), held)
        return "photos"
    Path("given").mkdir()
    if form == "parquet":
        for number, part in enumerate(np.array_split(sorted(held), 2)):
            column = [{"bytes": held[name], "path": name} for name in part]
            pq.write_table(pa.table({"image": column, "label": [0] * len(part)}), f"given/{number}.parquet")
        return "*.parquet"
    if form == "webdataset":
        for shard, part in enumerate(np.array_split(sorted(held), 2)):
            with tarfile.open(f"given/{shard:03}.tar", "w") as tar:
                for place, name in enumerate(part):
                    Path("one.png").write_bytes(held[name])
                    tar.add("one.png", f"{shard}{place}.png")
        return "{000..001}.tar"
    with zipfile.ZipFile("given/photos.zip", "w") as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    return "photos.zip"


@pytest.mark.parametrize("form", ["folder", "archive", "webdataset", "parquet"])
def test_every_form_gives_the_same_bytes_from_a_store_as_from_a_mounted_path(
    store: tuple[Any, Proxy], form: str
) -> None:
    path = write(form)
    for file in Path("given").rglob("*.*"):
        store[0].upload_file(str(file), "images", f"{form}/{file.relative_to('given').as_posix()}")
    assert download(download_params(form, f"given/{path}"), Path("here")) == {"images": 10, "rejected": 0}
    assert download(download_params(form, f"s3://images/{form}/{path}"), Path("there")) == {"images": 10, "rejected": 0}
    here, there = ({path.name: path.read_bytes() for path in Path(out).iterdir()} for out in ("here", "there"))
    assert here == there


SEGMENT = 5000
DATA = np.random.default_rng(0).bytes(4 * SEGMENT + 321)


def test_a_large_file_is_read_in_ranges_several_at_a_time(
    store: tuple[Any, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, proxy = store
    client.put_object(Bucket="images", Key="large.tar", Body=DATA)
    monkeypatch.setattr(stores, "SEGMENT", SEGMENT)
    together = threading.Barrier(3)

    def wait(method: str, path: str, count: int) -> str:
        if method == "GET" and len([each for each in proxy.requests if each[2]]) <= 3:
            together.wait(20)  # the first is answered once three are asked for
        return ""

    proxy.fault = wait
    (stored,) = stores.find("s3://images/large.tar")
    proxy.requests.clear()
    stores.copy(stored, Path("large.tar"))
    assert Path("large.tar").read_bytes() == DATA
    ends = [*range(0, len(DATA), SEGMENT), len(DATA)]
    expected = {f"bytes={start}-{stop - 1}" for start, stop in pairwise(ends)}
    assert {part for _, _, part in proxy.requests if part} == expected


@pytest.mark.parametrize("segment", [SEGMENT, stores.SEGMENT], ids=["in ranges", "whole"])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_store_spoils_in_passing_is_survived(
    store: tuple[Any, Proxy], monkeypatch: pytest.MonkeyPatch, fault: str, segment: int
) -> None:
    client, proxy = store
    client.put_object(Bucket="images", Key="set.tar", Body=DATA)
    monkeypatch.setattr(stores, "SEGMENT", segment)
    proxy.fault = lambda method, path, count: fault if method == "GET" and count == 1 and "set.tar" in path else ""
    (stored,) = stores.find("s3://images/set.tar")
    stores.copy(stored, Path("set.tar"))
    assert Path("set.tar").read_bytes() == DATA


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_fails_for_good_ends_in_a_sentence(
    store: tuple[Any, Proxy], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    client, proxy = store
    monkeypatch.setattr(http, "ATTEMPTS", 2)
    monkeypatch.setattr(fsspec.get_filesystem_class("s3"), "retries", 2)
    fill(Path("photos"), {f"{number}.png": encode(noise(1, 9, 9, number)[0]) for number in range(3)})
    for number in range(3):
        client.upload_file(f"photos/{number}.png", "images", f"{fault}/{number}.png")
    proxy.fault = lambda method, path, count: fault if method == "GET" and path.startswith(f"/images/{fault}/1") else ""
    with pytest.raises(UserError, match=rf"^download.path is s3://images/{fault}, which could not be read") as caught:
        download(download_params("folder", f"s3://images/{fault}"), Path("out"))
    assert "\n" not in str(caught.value)
    assert not Path("out").exists()
    proxy.fault = lambda method, path, count: ""
    assert download(download_params("folder", f"s3://images/{fault}"), Path("out"))["images"] == 3


def test_a_store_that_does_not_answer_is_no_empty_one(store: tuple[Any, Proxy]) -> None:
    client, proxy = store
    client.put_object(Bucket="images", Key="set.tar", Body=DATA)
    proxy.fault = lambda method, path, count: "busy"
    with pytest.raises(UserError, match="which could not be read: ") as caught:
        download(download_params("archive", "s3://images/set.tar"), Path("out"))
    assert "no such file" not in str(caught.value)


def test_a_file_that_changes_while_it_is_read_is_not_kept(
    store: tuple[Any, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, proxy = store
    client.put_object(Bucket="images", Key="set.tar", Body=DATA)
    monkeypatch.setattr(stores, "SEGMENT", SEGMENT)
    (stored,) = stores.find("s3://images/set.tar")

    def change(method: str, path: str, count: int) -> str:
        if len([each for each in proxy.requests if each[2]]) == 3:
            client.put_object(Bucket="images", Key="set.tar", Body=DATA[::-1])
        return ""

    proxy.fault = change
    with pytest.raises(FetchError, match="it changed while it was read"):
        stores.copy(stored, Path("set.tar"))
    assert not Path("set.tar").exists()
