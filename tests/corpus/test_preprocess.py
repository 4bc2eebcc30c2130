"""The kept images, and no others, as squares in an order that the seed decides."""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from corpus.pictures import encode, noise
from PIL import Image

from ganpipe.corpus.images import square
from ganpipe.corpus.params import PreprocessParams
from ganpipe.corpus.preprocess import preprocess
from ganpipe.corpus.shards import Images, write_encoded, write_pixels

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
    params = PreprocessParams(side=8, resize=resize, seed=seed)
    figures = preprocess(params, held(container), KEPT, Path(out))
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
        preprocess(PreprocessParams(side=8, resize="bilinear", seed=0), held("pixels"), np.array([99]), Path("out"))
    assert np.load("out/order.npy").tolist() == order
    assert sorted(path.name for path in Path().iterdir()) == ["out", "pixels"]
