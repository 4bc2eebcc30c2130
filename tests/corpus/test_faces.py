"""Faces are found where they are, and squares around them lie within the image."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from corpus import yunet
from corpus.pictures import encode, fill, noise
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ganpipe.corpus import pack as packing
from ganpipe.corpus.download import download
from ganpipe.corpus.faces import Face, about, find, region
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from support.settings import download_params

MIRROR = os.environ.get("GANPIPE_MIRROR")


def squares(wide: int, high: int, *corners: tuple[int, int], side: int = 8) -> Image.Image:
    """White squares on black: faces to the model of these tests."""
    pixels = np.zeros((high, wide, 3), np.uint8)
    for left, top in corners:
        pixels[top : top + side, left : left + side] = 255
    return Image.fromarray(pixels)


@pytest.fixture
def model() -> str:
    yunet.write(Path("yunet.onnx"))
    return "yunet.onnx"


def test_a_yunet_model_finds_faces_in_images_of_any_size(model: str) -> None:
    assert find(squares(96, 64, (16, 24), (80, 0)), model) == [Face(16, 24, 8, 8, 1.0), Face(80, 0, 8, 8, 1.0)]
    assert find(squares(200, 104, (192, 96)), model) == [Face(192, 96, 8, 8, 1.0)]
    assert find(squares(64, 64), model) == []
    assert find(squares(16, 16, (8, 8)), model) == []  # too small for any


def test_a_large_image_is_searched_reduced_and_its_boxes_are_of_the_whole(model: str) -> None:
    (face,) = find(squares(4096, 2048, (512, 1024), side=32), model)
    assert face[:4] == (512, 1024, 32, 32)


@pytest.mark.usefixtures("capfd")  # OpenCV writes to stderr of its own
def test_what_is_no_model_is_named() -> None:
    Path("text.onnx").write_bytes(b"Dear all")
    yunet.write(Path("other.onnx"), name_of_boxes="boxes")
    for detector, sentence in (
        ("nowhere.onnx", r"download\.faces is nowhere\.onnx: it is haar, or the file of a YuNet model"),
        ("text.onnx", r"download\.faces is text\.onnx, which is no YuNet model"),
        ("other.onnx", r"download\.faces is other\.onnx, which is no YuNet model"),
    ):
        with pytest.raises(UserError, match=sentence):
            about(detector)


def test_noise_has_no_face() -> None:
    assert find(Image.fromarray(noise(1, 200, 300)[0]), "haar") == []


@pytest.mark.skipif(MIRROR is None, reason="GANPIPE_MIRROR is not set: no real photographs of people at hand")
def test_real_faces_are_found_in_the_middle_of_their_photographs() -> None:
    paths = sorted((Path(MIRROR or "") / "lfw250").glob("*.jpg"))[:60]
    if not paths:
        pytest.skip(f"GANPIPE_MIRROR={MIRROR} has no lfw250")
    found = [find(Image.open(path).convert("RGB"), "haar") for path in paths]
    assert sum(map(bool, found)) >= 57
    middles = [(face[0].left + face[0].width / 2, face[0].top + face[0].height / 2) for face in found if face]
    assert np.abs(np.array(middles) - 125).mean() < 12


place, length = st.integers(0, 300), st.integers(1, 400)
boxes = st.builds(Face, place, place, length, length, st.just(1.0))


@given(boxes, st.integers(1, 700), st.integers(1, 700), st.floats(0, 2))
def test_a_region_is_a_square_within_the_image_around_the_face(face: Face, wide: int, high: int, margin: float) -> None:
    left, top, right, bottom = region(face, wide, high, margin)
    assert -1e-9 <= left < right <= 1 + 1e-9 and -1e-9 <= top < bottom <= 1 + 1e-9
    side = (right - left) * wide
    assert side == pytest.approx((bottom - top) * high)
    wanted = max(face.width, face.height) * (1 + 2 * margin)
    assert side == pytest.approx(min(wanted, wide, high))
    middle = face.left + face.width / 2
    if wanted / 2 <= middle <= wide - wanted / 2 and wanted <= high:
        assert (left + right) / 2 * wide == pytest.approx(middle)


def test_the_stage_keeps_the_boxes_beside_each_image_and_counts_them(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corners = {"a.png": ((8, 8),), "b.png": (), "c.png": ((0, 0), (40, 48)), "d.png": ((16, 0),)}
    fill(Path("people"), {name: encode(squares(64, 64, *at)) for name, at in corners.items()})
    fill(Path("people"), {"letter.txt": b"Dear all"})
    counts = download(download_params("folder", "people", faces=model), Path("out"))
    assert counts == {"images": 4, "rejected": 1, "faces": 4, "with_faces": 0.75}
    assert "faces: 4, in 75.0% of the images" in capsys.readouterr().out
    images = Images(Path("out"))
    found = {facts["name"]: facts["faces"] for facts in images.facts(np.arange(4))}
    assert {name: {(x, y) for x, y, *_ in faces} for name, faces in found.items()} == {
        name: set(at) for name, at in corners.items()
    }
    assert images.manifest["detector"]["name"] == "yunet.onnx"
    monkeypatch.setattr(packing, "BATCH", 1)
    monkeypatch.setattr("ganpipe.runtime.POOL_PAYS_FROM", 2)
    download(download_params("folder", "people", faces=model), Path("pool"))
    for path in Path("out").iterdir():
        assert path.read_bytes() == (Path("pool") / path.name).read_bytes()


@pytest.mark.parametrize("name", ["digits", "gaussian"])
def test_sets_of_pixels_and_of_numbers_have_no_faces_to_search(name: str) -> None:
    sentence = rf"download\.faces is haar, but {name} is no set of image files: set it to null"
    with pytest.raises(UserError, match=sentence):
        download(download_params(name, faces="haar"), Path("out"))


def test_no_faces_are_searched_unless_that_is_wanted() -> None:
    fill(Path("people"), {"a.png": encode(noise(1, 30, 30)[0])})
    assert Counter(download(download_params("folder", "people"), Path("out"))) == {"images": 1, "rejected": 0}
    assert "detector" not in Images(Path("out")).manifest
