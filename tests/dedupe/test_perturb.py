import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganpipe.dedupe.perturb import FAINTEST, MILD, PERTURBATIONS, STRONGEST
from support.scenes import scene

SIDES = st.integers(8, 80)
RANDOM = {"shift_1", "crop_0.95", "brightness", "contrast", "overlay"}
SMALLER = {"resize_0.8": 0.8, "resize_0.5": 0.5, "crop_0.95": 0.95}


def perturbed(name: str, image: np.ndarray, seed: int = 0) -> np.ndarray:
    made = PERTURBATIONS[name](Image.fromarray(image), np.random.default_rng(seed))
    assert made.mode == "RGB"
    return np.asarray(made)


def apart(name: str, image: np.ndarray) -> float:
    """Mean difference to the original's pixels, the copy enlarged where it is smaller."""
    copy = Image.fromarray(perturbed(name, image)).resize((image.shape[1], image.shape[0]))
    return float(np.abs(np.asarray(copy).astype(int) - image).mean())


@pytest.mark.parametrize("name", PERTURBATIONS)
@settings(deadline=None, max_examples=40)
@given(wide=SIDES, high=SIDES, seed=st.integers(0, 1000))
def test_any_image_stays_an_rgb_image_of_the_size_it_should_have(name: str, wide: int, high: int, seed: int) -> None:
    made = perturbed(name, scene(seed, wide, high), seed)
    assert made.dtype == np.uint8
    due = np.array([high, wide]) * SMALLER.get(name, 1)
    assert (np.abs(made.shape[:2] - due) < 1).all()
    if name in SMALLER:
        assert made.shape[0] < high
        assert made.shape[1] < wide


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize(("wide", "high"), [(8, 8), (32, 32), (61, 40)])
def test_each_changes_the_image_and_leaves_the_original_alone(name: str, wide: int, high: int) -> None:
    original = scene(1, wide, high)
    image = Image.fromarray(original)
    PERTURBATIONS[name](image, np.random.default_rng(0))
    assert (np.asarray(image) == original).all()
    assert apart(name, original) > 0.3


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_generator_alone_decides(name: str) -> None:
    image = scene(2)
    first = [perturbed(name, image, seed).tobytes() for seed in range(20)]
    again = [perturbed(name, image, seed).tobytes() for seed in range(20)]
    assert first == again
    assert (len(set(first)) > 1) == (name in RANDOM)


def test_the_mild_ones_are_among_all() -> None:
    assert set(MILD) < set(PERTURBATIONS)


def test_lower_qualities_are_farther_from_the_original() -> None:
    image = scene(3, 64, 64)
    distances = [apart(f"jpeg_{quality}", image) for quality in (90, 75, 50)]
    assert distances == sorted(distances)


@settings(deadline=None, max_examples=20)
@given(wide=SIDES, high=SIDES)
def test_a_shift_is_one_of_eight_by_a_thirty_second_that_repeat_the_edge(wide: int, high: int) -> None:
    image = scene(4, wide, high)
    right, down = max(1, round(wide / 32)), max(1, round(high / 32))
    framed = np.pad(image, ((down, down), (right, right), (0, 0)), mode="edge")
    due = {
        np.ascontiguousarray(framed[top : top + high, left : left + wide]).tobytes()
        for top in (0, down, 2 * down)
        for left in (0, right, 2 * right)
    } - {image.tobytes()}
    assert len(due) == 8
    assert {perturbed("shift_1", image, seed).tobytes() for seed in range(80)} == due


def test_a_crop_is_a_window_of_the_image_anywhere() -> None:
    image = scene(5, 40, 60)
    windows = {image[top : top + 57, left : left + 38].tobytes(): (top, left) for top in range(4) for left in range(3)}
    assert len(windows) == 12
    assert {windows[perturbed("crop_0.95", image, seed).tobytes()] for seed in range(120)} == set(windows.values())


@pytest.mark.parametrize("name", ["brightness", "contrast"])
def test_brightness_and_contrast_go_either_way_by_a_moderate_share(name: str) -> None:
    image = scene(6)
    measured = np.mean if name == "brightness" else np.std
    changes = np.array([measured(perturbed(name, image, seed)) / measured(image) for seed in range(60)]) - 1
    assert (np.abs(changes) > FAINTEST - 0.01).all()
    assert (np.abs(changes) < STRONGEST + 0.01).all()
    assert 15 < (changes > 0).sum() < 45
    assert len(set(changes)) > 50


def test_blur_takes_contrast_between_neighbours() -> None:
    image = scene(7, 64, 64)
    roughness = [np.abs(np.diff(pixels.astype(int), axis=1)).mean() for pixels in (image, perturbed("blur", image))]
    assert roughness[1] < 0.95 * roughness[0]


@pytest.mark.parametrize(("wide", "high"), [(32, 32), (96, 60)])
def test_an_overlay_covers_a_block_in_one_of_the_corners_with_dark_and_light(wide: int, high: int) -> None:
    image, side = scene(8, wide, high), min(wide, high)
    corners = set()
    for seed in range(40):
        made = perturbed("overlay", image, seed)
        rows, columns = np.nonzero((made != image).any(2))
        top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        assert (bottom - top, right - left) == (side // 6, side // 2)
        block = made[top:bottom, left:right]
        assert block.max() - block.min() > 100  # words on a ground
        corners.add((int(top), int(left)))
    assert corners == {(top, left) for top in (0, high - side // 6) for left in (0, wide - side // 2)}


def test_greyscale_has_equal_channels_and_the_brightness_of_the_original() -> None:
    image = scene(9)
    made = perturbed("greyscale", image)
    assert (made == made[:, :, :1]).all()
    assert np.abs(made[:, :, 0] - image @ [0.299, 0.587, 0.114]).max() < 1


def test_a_flip_mirrors_left_and_right() -> None:
    image = scene(10, 40, 30)
    assert (perturbed("flip", image) == image[:, ::-1]).all()
