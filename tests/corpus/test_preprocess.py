"""The kept images, and no others, as squares in an order that the seed decides."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from corpus.pictures import encode, noise
from PIL import Image

from ganpipe.corpus.faces import Face, region
from ganpipe.corpus.images import square
from ganpipe.corpus.preprocess import preprocess
from ganpipe.corpus.shards import Images, write_encoded, write_pixels
from ganpipe.errors import UserError
from support.settings import preprocess_params

PIXELS = noise(30, 12, 16)
KEPT = np.array([1, 2, 5, 8, 13, 21, 28, 29])
Resize = Literal["bilinear", "antialias"]


def held(container: str) -> Images:
    folder = Path(container)
    folder.mkdir(exist_ok=True)
    about = {"name": "noise", "title": "Noise", "licence": "none"}
    if container == "pixels":
        write_pixels(folder, [PIXELS], len(PIXELS), None, about)
    else:
        write_encoded(folder, (("png", encode(image), {}, None) for image in PIXELS), about)
    return Images(folder)


def run(seed: int = 0, resize: Resize = "bilinear", container: str = "pixels", out: str = "out") -> np.ndarray:
    figures = preprocess(preprocess_params(side=8, resize=resize, seed=seed), held(container), KEPT, Path(out))
    assert figures == {"images": len(KEPT), "side": 8}
    return np.load(Path(out) / "order.npy")


@pytest.mark.parametrize("container", ["pixels", "encoded"])
@pytest.mark.parametrize("resize", ["bilinear", "antialias"])
def test_kept_images_stand_in_the_written_order(resize: Resize, container: str) -> None:
    order = run(resize=resize, container=container)
    assert sorted(order) == KEPT.tolist()
    expected = [square(Image.fromarray(PIXELS[index]), 8, resize) for index in order]
    assert (Images(Path("out")).pixels(np.arange(len(KEPT))) == expected).all()


def test_seed_decides_the_order() -> None:
    orders = [run(seed).tolist() for seed in (0, 0, 1, 2)]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in [*orders, sorted(KEPT)]}) == 4


def test_equal_settings_give_equal_folders() -> None:
    run(out="first")
    run(out="second")
    assert {path.name: path.read_bytes() for path in Path("first").iterdir()} == {
        path.name: path.read_bytes() for path in Path("second").iterdir()
    }


def test_manifest_says_what_it_was_made_from() -> None:
    run(seed=3, resize="antialias")
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert (manifest["side"], manifest["resize"], manifest["seed"]) == (8, "antialias", 3)
    corpus = {"name": "noise", "title": "Noise", "licence": "none", "digest": held("pixels").digest}
    assert manifest["corpus"] == corpus


def test_an_interrupted_run_leaves_the_old_output() -> None:
    order = run().tolist()
    with pytest.raises(IndexError):
        preprocess(preprocess_params(side=8), held("pixels"), np.array([99]), Path("out"))
    assert np.load("out/order.npy").tolist() == order
    assert sorted(path.name for path in Path().iterdir()) == ["out", "pixels"]


FACES = [[Face(2, 1, 8, 9, 1.5)], [], [Face(9, 5, 7, 7, 1.0), Face(0, 0, 3, 3, 0.5)], [Face(4, 4, 4, 4, 0.9)]]


def with_faces(detector: bool = True) -> Images:
    Path("faces").mkdir()
    facts = [{"width": 16, "height": 12, "faces": found} for found in FACES]
    images = zip(PIXELS, facts, strict=False)
    about = {"detector": {"name": "ours"}} if detector else {}
    write_encoded(Path("faces"), (("png", encode(image), known, None) for image, known in images), about)
    return Images(Path("faces"))


@pytest.mark.parametrize(("smallest", "taken"), [(1, 4), (4, 3), (5, 2)])
def test_each_face_that_is_large_enough_is_a_square_of_its_own(smallest: int, taken: int) -> None:
    params = preprocess_params(side=8, crop="faces", margin=0.1, smallest_face=smallest)
    assert preprocess(params, with_faces(), np.array([0, 1, 2, 3]), Path("out")) == {"images": taken, "side": 8}
    found = Images(Path("out"))
    expected = {
        square(Image.fromarray(PIXELS[row]), 8, "bilinear", region(face, 16, 12, 0.1)).tobytes(): row
        for row, faces in enumerate(FACES)
        for face in faces
        if min(face.width, face.height) >= smallest
    }
    assert len(expected) == taken
    rows = [expected.pop(pixels.tobytes()) for pixels in found.pixels(np.arange(taken))]
    assert np.load("out/order.npy").tolist() == rows
    assert found.manifest["crop"] == "faces"


def test_faces_that_are_not_there_get_a_sentence() -> None:
    images = with_faces()
    with pytest.raises(UserError, match="no image shows a face of 10 pixels or more: lower preprocess.smallest_face"):
        preprocess(preprocess_params(side=8, crop="faces", smallest_face=10), images, np.arange(4), Path("out"))
    with pytest.raises(UserError, match="nobody has searched for faces: set download.faces to haar"):
        preprocess(preprocess_params(side=8, crop="faces"), held("pixels"), KEPT, Path("out"))


@pytest.mark.parametrize("container", ["pixels", "encoded"])
def test_without_a_crop_all_of_an_image_is_squeezed(container: str) -> None:
    preprocess(preprocess_params(side=8, crop="none"), held(container), KEPT, Path("out"))
    order = np.load("out/order.npy")
    resized = [Image.fromarray(PIXELS[row]).resize((8, 8), Image.Resampling.NEAREST) for row in order]
    expected = [square(Image.fromarray(PIXELS[row]), 8, "bilinear", (0, 0, 1, 1)) for row in order]
    found = Images(Path("out")).pixels(np.arange(len(KEPT)))
    assert (found == expected).all()
    assert np.corrcoef(found.ravel(), np.stack([np.asarray(image) for image in resized]).ravel())[0, 1] > 0.5


CLASSES = ["car", "cat", "dog"]
LABELS = np.arange(30) % 3


def labelled(container: str = "pixels") -> Images:
    folder = Path(f"labelled-{container}")
    folder.mkdir()
    splits = {"train": [0, 20], "val": [20, 26], "test": [26, 30]}
    about = {"name": "noise", "title": "Noise", "licence": "none", "classes": CLASSES, "splits": splits}
    if container == "pixels":
        write_pixels(folder, [PIXELS], len(PIXELS), LABELS, about)
    else:
        numbered = zip(PIXELS, LABELS.tolist(), strict=True)
        write_encoded(folder, (("png", encode(image), {}, label) for image, label in numbered), about)
    return Images(folder)


def made(images: Images, **changes: Any) -> Images:
    preprocess(preprocess_params(**{"side": 8, **changes}), images, images.rows("train"), Path("out"))
    return Images(Path("out"))


def origin(images: Images, split: str) -> list[int]:
    rows: list[int] = np.load(images.folder / "order.npy")[images.rows(split)].tolist()
    return rows


def test_only_the_named_classes_are_taken() -> None:
    found = made(labelled(), classes=["cat", "dog"], held_out=["val"])
    assert sorted(origin(found, "train")) == [row for row in range(20) if row % 3]
    assert origin(found, "val") == [row for row in range(20, 26) if row % 3]
    assert found.manifest["trained_classes"] == ["cat", "dog"]
    with pytest.raises(UserError, match=r"preprocess.classes names cow, but the classes are car, cat, dog"):
        made(Images(Path("labelled-pixels")), classes=["cow"])


@pytest.mark.parametrize("count", [0, 1, 7])
def test_so_many_are_drawn_to_be_held_out(count: int) -> None:
    found = made(labelled(), held_out=count)
    assert len(origin(found, "train")) == 20 - count
    together = [row for split in found.splits for row in origin(found, split)]
    assert sorted(together) == list(range(20))
    assert ("held_out" in found.splits) == (count > 0)


def test_faces_of_one_image_are_on_one_side() -> None:
    images, drawn = with_faces(), set()
    for seed in (0, 2, 8):
        params = preprocess_params(side=8, crop="faces", smallest_face=1, held_out=1, seed=seed)
        figures = preprocess(params, images, np.arange(4), Path(f"out-{seed}"))
        found = Images(Path(f"out-{seed}"))
        shown, held = origin(found, "train"), origin(found, "held_out")
        assert figures == {"images": len(shown), "side": 8, "held_out": len(held)}
        assert len(set(held)) == 1 and not {*held} & {*shown}
        drawn |= {*held}
    assert drawn == {0, 2, 3}  # each that shows faces


def test_splits_of_the_set_are_held_out_in_their_order() -> None:
    found = made(labelled(), held_out=["val", "test"])
    assert origin(found, "val") == list(range(20, 26))
    assert origin(found, "test") == list(range(26, 30))
    assert list(found.splits) == ["train", "val", "test"]
    with pytest.raises(UserError, match="names valid, but the splits to hold out are val, test"):
        made(Images(Path("labelled-pixels")), held_out=["valid"])
    with pytest.raises(UserError, match="names train, but the splits to hold out are val, test"):
        made(Images(Path("labelled-pixels")), held_out=["train"])


def test_something_is_left_to_train_on() -> None:
    with pytest.raises(UserError, match="preprocess.held_out is 20, of 20 images"):
        made(labelled(), held_out=20)


@pytest.mark.parametrize("container", ["pixels", "encoded"])
def test_a_pair_is_its_left_half_and_then_its_right_one(container: str) -> None:
    found = made(labelled(container), crop="pairs")
    for row, image in zip(origin(found, "train"), found.pixels(found.rows("train")), strict=True):
        halves = [(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)]
        both = [square(Image.fromarray(PIXELS[row]), 8, "bilinear", half) for half in halves]
        np.testing.assert_array_equal(image, np.concatenate(both, axis=2))


def test_grey_is_pillows() -> None:
    found = made(labelled(), grey=True)
    assert found.manifest["shape"][1:] == [8, 8, 1]
    for row, image in zip(origin(found, "train"), found.pixels(found.rows("train")), strict=True):
        expected = Image.fromarray(square(Image.fromarray(PIXELS[row]), 8, "bilinear")).convert("L")
        np.testing.assert_array_equal(image[..., 0], expected)


def test_pairs_are_in_colour() -> None:
    with pytest.raises(ValueError, match="grey is true, but pairs are in colour"):
        preprocess_params(crop="pairs", grey=True)
