from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganpipe.corpus.images import square
from ganpipe.corpus.shards import Images, write_pixels
from ganpipe.dedupe import copies as of_copies
from ganpipe.dedupe.copies import measure, plant
from ganpipe.dedupe.hashes import perceptual
from ganpipe.dedupe.perturb import MILD, PERTURBATIONS
from support.scenes import scene

COUNT, SKIPPED = 40, 3


def test_copies_come_by_perturbation_in_the_order_of_the_images() -> None:
    images = [scene(seed, 40, 30) for seed in range(3)]
    copies = plant(iter(images), ["flip", "resize_0.5"], 0)
    assert list(copies) == ["flip", "resize_0.5"]
    assert all((copy == image[:, ::-1]).all() for copy, image in zip(copies["flip"], images, strict=True))
    assert [copy.shape for copy in copies["resize_0.5"]] == [(15, 20, 3)] * 3
    assert {copy.dtype for held in copies.values() for copy in held} == {np.dtype(np.uint8)}


def test_a_copy_is_determined_by_seed_place_and_name_alone() -> None:
    images = [scene(0)] * 4
    copies = plant(images, PERTURBATIONS, 5)
    reordered = plant(images[:2], list(PERTURBATIONS)[::-1], 5)
    for name in PERTURBATIONS:
        assert all((a == b).all() for a, b in zip(copies[name], reordered[name], strict=False))
    for name in ("brightness", "contrast"):
        assert len({copy.tobytes() for copy in copies[name]}) == 4  # each place has its own
        assert {copy.tobytes() for copy in copies[name]}.isdisjoint(
            copy.tobytes() for copy in plant(images, [name], 6)[name]
        )


def test_only_what_shrink_leaves_is_held() -> None:
    copies = plant([scene(0)], ["flip"], 0, lambda copy: np.asarray(copy.resize((4, 4))))
    assert copies["flip"][0].shape == (4, 4, 3)


@pytest.fixture(scope="module", params=[32, 80])
def images(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Images:
    folder = tmp_path_factory.mktemp("images")
    write_pixels(
        folder, [np.stack([scene(seed, request.param, request.param) for seed in range(COUNT)])], COUNT, None, {}
    )
    return Images(folder)


def measured(images: Images, **changes: Any) -> of_copies.Measured:
    rows = np.arange(SKIPPED, COUNT)  # a place among them is no index
    squares = np.concatenate(list(images.squares(rows, 32, "antialias")))
    settings: dict[str, Any] = {"count": 10, "among": 30, "seed": 0, "most_false": 0.01, "radius": None, "verify": True}

    def hashing(pixels: np.ndarray) -> np.ndarray:
        return perceptual("phash", pixels)

    return measure(images, rows, hashing(squares), hashing, lambda places: squares[places], **settings | changes)


def test_the_radius_is_the_calibrations_unless_it_is_given(images: Images) -> None:
    found = measured(images)
    assert found.radius == found.calibration.radius
    assert measured(images, radius=3).radius == 3
    assert measured(images, radius=3).calibration == found.calibration
    assert found.calibration.images == COUNT - SKIPPED  # also where copies are planted among fewer


@pytest.mark.parametrize("radius", [2, 8])
def test_without_verification_recall_is_the_calibrations(images: Images, radius: int) -> None:
    found = measured(images, radius=radius, verify=False)
    rows = {row.perturbation: row for row in found.calibration.rows if row.radius == radius}
    assert found.figures == {
        "recall_mild": round(rows["mild"].recall, 4),
        "recall_all": round(rows["all"].recall, 4),
        "precision_planted": round(rows["all"].precision, 4),
    }


def test_a_copy_is_found_by_its_code_and_its_pixels(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = {"radius": 64, "verify": True}  # so that pixels decide alone
    assert measured(images, **everything).figures["recall_mild"] == 1.0
    assert "precision_planted" not in measured(images, **everything).figures  # beyond the table
    blurred = {"blur": PERTURBATIONS["blur"], **dict.fromkeys(MILD, PERTURBATIONS["flip"])}
    monkeypatch.setattr(of_copies, "PERTURBATIONS", blurred)
    assert measured(images, **everything).figures == {"recall_mild": 0.0, "recall_all": 0.25}
    assert measured(images, radius=64, verify=False).figures["recall_all"] == 1.0


@pytest.mark.parametrize(
    ("size", "expected"),
    [((40, 300), (32, 32)), ((64, 100), (100, 64)), ((1024, 512), (128, 256)), ((4096, 70), (32, 256))],
)
def test_what_is_perturbed_is_of_bounded_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    """And its square is that of the image, but for rounding."""
    image = Image.fromarray(scene(0, *size))
    reduced = of_copies._reduced(image)
    assert reduced.shape == (*expected, 3)
    if size != (4096, 70):
        squares = (square(each, 32, "antialias").astype(int) for each in (image, Image.fromarray(reduced)))
        assert np.abs(np.subtract(*squares)).mean() < 2
