from pathlib import Path

import numpy as np
import pytest
from corpus.pictures import encode, fill
from PIL import Image, ImageFilter

from ganpipe.corpus.download import download
from ganpipe.corpus.shards import Images, write_pixels
from ganpipe.dedupe.policies import order
from ganpipe.errors import UserError
from support.scenes import scene
from support.settings import download_params


@pytest.fixture
def images() -> Images:
    """One photograph four times: small, large, large and blurred, and another size in a folder."""
    large = scene(0, 96, 64)
    blurred = np.asarray(Image.fromarray(large).filter(ImageFilter.GaussianBlur(3)))
    contents = {"a.png": scene(0, 48, 32), "b.png": large, "c.png": blurred, "own/d.png": scene(0, 60, 40)}
    folder = fill(Path("pictures"), {name: encode(pixels) for name, pixels in contents.items()})
    download(download_params(name="folder", path=str(folder)), Path("raw"))
    return Images(Path("raw"))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("first", "abcd"), ("largest", "bcda"), ("prefer:own", "dabc"), ("prefer:own/", "dabc")],
)
def test_images_are_preferred_by_the_policys_name(images: Images, policy: str, expected: str) -> None:
    found = order(policy, images, np.arange(4))
    assert "".join(Path(name).stem for name in images.names(found)) == expected


def test_sharp_goes_before_blurred_and_reduced(tmp_path: Path) -> None:
    grain = np.random.default_rng(0).integers(-20, 20, (96, 96, 1))
    sharp = Image.fromarray((scene(0, 96, 96) + grain).clip(0, 255).astype(np.uint8))
    contents = {
        "a.png": sharp.filter(ImageFilter.GaussianBlur(1)),
        "b.png": sharp.resize((48, 48), Image.Resampling.BILINEAR),
        "c.png": sharp,
        "d.png": sharp.resize((192, 192), Image.Resampling.BICUBIC),
        "e.png": sharp.filter(ImageFilter.GaussianBlur(3)),
    }
    folder = fill(Path("pictures"), {name: encode(image) for name, image in contents.items()})
    download(download_params(name="folder", path=str(folder)), Path("raw"))
    names = [
        Path(name).stem for name in Images(Path("raw")).names(order("sharpest", Images(Path("raw")), np.arange(5)))
    ]
    assert names[0] == "c"
    assert names[-1] == "e"


def test_of_equally_large_images_the_larger_file_is_preferred(tmp_path: Path) -> None:
    contents = {f"{quality}.jpg": encode(scene(0, 64, 64), "JPEG", quality=quality) for quality in (30, 95, 60)}
    download(download_params(name="folder", path=str(fill(Path("pictures"), contents))), Path("raw"))
    images = Images(Path("raw"))
    assert images.bytes(np.arange(3)).tolist() == [len(contents[name]) for name in images.names(np.arange(3))]
    assert images.names(order("largest", images, np.arange(3))) == ["95.jpg", "60.jpg", "30.jpg"]


def test_places_are_those_within_the_rows(images: Images) -> None:
    assert order("largest", images, np.array([0, 3])).tolist() == [1, 0]


def test_a_folder_without_images_is_named(images: Images) -> None:
    with pytest.raises(UserError, match="keep is prefer:ow, but no image of raw lies in a folder ow"):
        order("prefer:ow", images, np.arange(4))


def test_pixels_are_all_of_one_size_and_have_no_folder() -> None:
    pixels = np.stack([scene(seed) for seed in range(3)])
    write_pixels(Path(), [pixels], 3, None, {"name": "set"})
    images = Images(Path())
    assert order("largest", images, np.arange(3)).tolist() == [0, 1, 2]
    assert images.names(np.array([2])) == ["set #2"]
    with pytest.raises(UserError, match="no image of . lies in a folder x"):
        order("prefer:x", images, np.arange(3))
