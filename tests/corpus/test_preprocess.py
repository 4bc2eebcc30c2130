"""The kept images, and no others, as squares in an order that the seed decides."""

import json
from pathlib import Path
from typing import Literal

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
