"""Both containers give back what was put in, in any order, and say what they hold."""

import hashlib
import json
import tarfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from corpus.pictures import encode, noise
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganpipe.corpus import shards
from ganpipe.corpus.images import square
from ganpipe.corpus.shards import UNLABELLED, Images, write_encoded, write_pixels
from ganpipe.errors import UserError
from ganpipe.runtime import POOL_PAYS_FROM

LABELS = np.array([3, 0, 2, 1, 1, 0, 4])
ABOUT = {"classes": list("abcde"), "splits": {"train": [0, 5], "test": [5, 7]}}
Encoded = tuple[str, bytes, dict[str, Any], int | None]


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 4000)


def encoded(images: np.ndarray, labels: np.ndarray | None = None) -> Iterator[Encoded]:
    for number, image in enumerate(images):
        facts = {"name": f"Bäume/{number}.png", "width": image.shape[1], "height": image.shape[0]}
        yield "png", encode(image), facts, None if labels is None else int(labels[number])


def write_both(folder: Path, images: np.ndarray, labels: np.ndarray | None = None, **about: Any) -> list[Path]:
    pixels, tars = folder / "pixels", folder / "encoded"
    for made in (pixels, tars):
        made.mkdir(parents=True)
    write_pixels(pixels, [images], len(images), labels, about)
    write_encoded(tars, encoded(images, labels), about)
    return [pixels, tars]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6).filter(any), st.integers(1, 5), st.data())
def test_pixels_come_back_from_any_shards_in_any_order(sizes: list[int], rows: int, data: st.DataObject) -> None:
    """`sizes` of the batches given, `rows` that a shard holds."""
    images = noise(sum(sizes), 3, 5)
    indices = np.array(data.draw(st.lists(st.integers(0, len(images) - 1), max_size=12)), np.int64)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_BYTES", rows * images[0].nbytes)
        batches = np.split(images, np.cumsum(sizes)[:-1])
        write_pixels(Path(folder), batches, len(images), None, {})
        held = Images(Path(folder))
        assert len(held.manifest["shards"]) == -(-len(images) // rows)
        assert sum(shard["rows"] for shard in held.manifest["shards"]) == len(held) == len(images)
        assert (held.pixels(indices) == images[indices]).all()


def test_batches_are_written_as_they_come_and_not_held() -> None:
    given: list[weakref.ref[np.ndarray]] = []

    def batches() -> Iterator[np.ndarray]:
        for seed in range(5):
            batch = noise(4, 3, 5) + np.uint8(seed)
            given.append(weakref.ref(batch))
            assert [held() for held in given[:-2]] == [None] * len(given[:-2])  # the last may still be at hand
            yield batch

    write_pixels(Path(), batches(), 20, None, {})
    assert (Images(Path()).pixels(np.arange(16, 20)) == noise(4, 3, 5) + np.uint8(4)).all()


@pytest.mark.parametrize("other", [np.zeros((2, 2, 2, 3), np.int64), np.zeros((2, 3, 2, 3), np.uint8)])
def test_a_batch_of_another_form_is_an_error(other: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 of shape \(2, 2, 3\), given"):
        write_pixels(Path(), [noise(2, 2, 2), other], 4, None, {})


def test_too_few_pixels_are_an_error() -> None:
    with pytest.raises(ValueError, match="expected 5 images, given 4"):
        write_pixels(Path(), [noise(4, 2, 2)], 5, None, {})


@pytest.mark.usefixtures("small_shards")
def test_encoded_shards_are_plain_webdataset_tars_of_the_originals() -> None:
    images = noise(len(LABELS), 20, 30)
    given_images = list(encoded(images, LABELS))
    assert write_encoded(Path(), iter(given_images), {}) == len(images)
    names = sorted(path.name for path in Path().glob("*.tar"))
    assert len(names) > 2
    members: dict[str, bytes] = {}
    for name in names:
        with tarfile.open(name) as tar:
            for member in tar:
                assert (member.name not in members, member.isfile(), member.mtime) == (True, True, 0)
                members[member.name] = tar.extractfile(member).read()  # type: ignore[union-attr]
    assert len(members) == 3 * len(images)
    for number, (_, data, facts, label) in enumerate(given_images):
        assert members[f"{number:09}.png"] == data
        assert json.loads(members[f"{number:09}.json"]) == facts
        assert members[f"{number:09}.cls"] == str(label).encode()


@pytest.mark.parametrize("missing", [{0}, {2, 6}, set(range(7))], ids=["the first", "two", "all"])
def test_labels_stay_with_their_images_where_some_have_none(missing: set[int]) -> None:
    given_images = [
        (extension, data, facts, None if number in missing else label)
        for number, (extension, data, facts, label) in enumerate(encoded(noise(len(LABELS), 3, 3), LABELS))
    ]
    write_encoded(Path(), iter(given_images), {})
    held = Images(Path())
    if len(missing) == len(LABELS):
        with pytest.raises(UserError, match="has no labels"):
            held.labels("train")
        return
    expected = [UNLABELLED if number in missing else label for number, label in enumerate(LABELS.tolist())]
    assert held.labels("train").tolist() == expected


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize(
    ("batches", "resize"),
    [(POOL_PAYS_FROM - 1, "bilinear"), (POOL_PAYS_FROM - 1, "antialias"), (POOL_PAYS_FROM + 1, "bilinear")],
    ids=["here, bilinear", "here, antialias", "in a pool"],
)
def test_squares_follow_the_indices(batches: int, resize: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BATCH", 2)
    images = noise(2 * batches, 12, 10)
    order = np.random.default_rng(1).permutation(len(images))[: 2 * batches - 1]  # the last batch is not full
    expected = [square(Image.fromarray(images[index]), 8, resize) for index in order]
    for folder in write_both(Path(), images):
        got = list(Images(folder).squares(order, 8, resize))
        assert [len(batch) for batch in got] == [2] * (batches - 1) + [1]
        assert (np.concatenate(got) == expected).all()


@pytest.mark.usefixtures("small_shards")
def test_squares_of_the_right_size_are_the_images() -> None:
    images, order = noise(9, 8, 8), np.array([4, 8, 0, 4])
    for folder in write_both(Path(), images):
        assert (np.concatenate(list(Images(folder).squares(order, 8, "bilinear"))) == images[order]).all()


@pytest.mark.usefixtures("small_shards")
def test_manifest_names_every_file_with_its_checksum() -> None:
    for folder in write_both(Path(), noise(len(LABELS), 20, 30), LABELS, **ABOUT):
        manifest = Images(folder).manifest
        listed = {entry["file"]: entry["sha256"] for entry in manifest["shards"] + manifest["others"]}
        found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        found.pop("manifest.json")
        assert listed == found
        assert manifest["count"] == sum(shard["rows"] for shard in manifest["shards"]) == len(LABELS)


@pytest.mark.usefixtures("small_shards")
def test_equal_input_gives_equal_folders() -> None:
    images = noise(len(LABELS), 20, 30)
    first, second = (write_both(Path(name), images, LABELS, **ABOUT) for name in ("first", "second"))
    for one, other in zip(first, second, strict=True):
        assert {path.name: path.read_bytes() for path in one.iterdir()} == {
            path.name: path.read_bytes() for path in other.iterdir()
        }
        assert Images(one).digest == Images(other).digest


def test_digest_sees_one_pixel_and_one_label() -> None:
    images, other, labels = noise(len(LABELS), 6, 6), noise(len(LABELS), 6, 6), LABELS.copy()
    other[6, 5, 5, 2] ^= 1
    labels[6] ^= 1
    made = [
        *write_both(Path("one"), images, LABELS),
        *write_both(Path("pixel"), other, LABELS),
        *write_both(Path("label"), images, labels),
    ]
    assert len({Images(folder).digest for folder in made}) == len(made)


def test_splits_have_their_rows_and_labels() -> None:
    for folder in write_both(Path(), noise(len(LABELS), 4, 4), LABELS, **ABOUT):
        images = Images(folder)
        assert images.rows("train").tolist() == [0, 1, 2, 3, 4]
        assert images.rows("test").tolist() == [5, 6]
        assert images.labels("test").tolist() == [0, 4]
        assert images.labels("train").dtype == np.int64
        with pytest.raises(UserError, match="no split dev; it has train, test"):
            images.rows("dev")


def test_without_splits_every_row_counts() -> None:
    for folder in write_both(Path(), noise(len(LABELS), 4, 4), LABELS):
        assert Images(folder).rows("train").tolist() == list(range(len(LABELS)))
        assert (Images(folder).labels("train") == LABELS).all()


def test_without_labels_nothing_can_be_evaluated() -> None:
    for folder in write_both(Path(), noise(3, 4, 4)):
        with pytest.raises(UserError, match=f"{folder} has no labels"):
            Images(folder).labels("train")


def test_no_folder_and_another_schema_are_named() -> None:
    with pytest.raises(UserError, match=r"data/raw has no manifest\.json.*dvc repro"):
        Images(Path("data/raw"))
    (folder, _) = write_both(Path(), noise(3, 4, 4))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "schema": 0}))
    with pytest.raises(UserError, match="pixels is of schema 0, this reads 1"):
        Images(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a JSON value with every key or place in it."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def use(folder: Path) -> None:
    """What others ask of a folder of images."""
    held = Images(folder)
    assert len(held.digest) == 16
    for split in held.splits or ["train"]:
        rows = held.rows(split)
        held.labels(split)
        held.names(rows)
        for batch in held.squares(rows, 4, "bilinear"):
            assert batch.shape[1:] == (4, 4, 3)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(["pixels", "encoded"]), st.data())
def test_a_damaged_manifest_is_named_with_what_makes_it_anew(container: str, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        write_both(Path(folder), noise(len(LABELS), 4, 4), LABELS, **ABOUT)
        path = Path(folder, container, "manifest.json")
        manifest = json.loads(path.read_text())
        inside, key = data.draw(st.sampled_from(list(places(manifest))))
        if data.draw(st.booleans()):
            del inside[key]
        else:
            inside[key] = data.draw(JSON)
        path.write_text(json.dumps(manifest))
        try:
            use(path.parent)
        except UserError as error:
            assert f"{path.parent}" in str(error)
            assert "make it anew" in str(error) or "dvc repro" in str(error) or "has no labels" in str(error)
            assert "\n" not in str(error)


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(["images-00000.npy", "labels.npy", "index.npy", "shard-00000.tar"]),
    st.integers(0, 400) | st.none(),
    st.binary(max_size=4),
)
def test_a_file_that_is_damaged_or_gone_is_named(name: str, at: int | None, data: bytes) -> None:
    """`at` a byte of it stands `data`, and nothing after it if that is empty; None: it is gone."""
    with TemporaryDirectory() as folder:
        pixels, tars = write_both(Path(folder), noise(len(LABELS), 4, 4), LABELS, **ABOUT)
        path = next(each / name for each in (pixels, tars) if (each / name).exists())
        if at is None:
            path.unlink()
        else:
            held = path.read_bytes()
            path.write_bytes(held[:at] + data + (held[at + len(data) :] if data else b""))
        try:
            Images(path.parent).labels("train")
        except UserError as error:
            assert f"{path.parent}" in str(error)
            assert "make it anew" in str(error) or "dvc repro" in str(error) or "has no labels" in str(error)
            assert "\n" not in str(error)
        else:
            assert at is not None


@pytest.mark.parametrize(
    ("name", "damage", "sentence"),
    [
        (
            "pixels",
            {"count": -1},
            r"pixels/manifest\.json is damaged \(count: Input should be greater than or equal to 0\)",
        ),
        (
            "pixels",
            {"count": 8},
            r"pixels/manifest\.json is damaged \(its arrays are of another form, or not so many\)",
        ),
        ("pixels", {"shape": [7, 5, 4, 3]}, "its arrays are of another form"),
        ("encoded", {"count": 8}, r"encoded/index\.npy is damaged \(it is of another form\)"),
        ("encoded", {"splits": {"train": [5, 8]}}, "the split train has other rows than there are"),
        ("encoded", {"shards": []}, r"encoded/index\.npy is damaged"),
        (
            "encoded",
            {"shards": [{"file": "gone.tar", "sha256": ""}]},
            r"gone\.tar is damaged \(it is shorter than index.npy says, or not there\)",
        ),
        (
            "pixels",
            {"shards": [{"file": "gone.npy", "sha256": ""}]},
            r"gone\.npy is damaged \(No such file or directory\)",
        ),
        ("pixels", {"others": [{}]}, r"others\.0\.file: Field required\): make it anew"),
    ],
)
def test_what_is_wrong_is_said(name: str, damage: dict[str, Any], sentence: str) -> None:
    write_both(Path(), noise(len(LABELS), 4, 4), LABELS, **ABOUT)
    path = Path(name, "manifest.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    with pytest.raises(UserError, match=sentence):
        Images(Path(name))


def test_more_images_than_announced_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 5 images, given more"):
        write_pixels(Path(), [np.zeros((6, 2, 2, 3), np.uint8)], 5, None, {})
