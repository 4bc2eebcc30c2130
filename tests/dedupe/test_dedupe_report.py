import numpy as np
import pytest
from hypothesis import given
from scipy.stats import entropy

from ganpipe.dedupe import report
from ganpipe.dedupe.clusters import group
from support.codes import skewed_codes

SIDE, CELL, GAP = 32, 64, 2  # of a square, of its enlarged picture, between two of them


def squares(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def drawn(codes: list[int], images: np.ndarray) -> np.ndarray:
    clusters = group(np.array(codes, np.uint8)[:, None], 0)
    return np.asarray(report.picture(clusters, lambda indices: images[indices]))


def cell(picture: np.ndarray, row: int, column: int) -> np.ndarray:
    """The square at that place of the grid, at its own size."""
    top, left = (GAP + place * (CELL + GAP) for place in (row, column))
    return picture[top : top + CELL : 2, left : left + CELL : 2]


@given(skewed_codes(smallest=1))
def test_entropy_of_each_bit_is_scipys(codes: np.ndarray) -> None:
    share = np.unpackbits(codes, axis=1).mean(0)
    np.testing.assert_allclose(report.bit_entropies(codes), entropy([share, 1 - share], base=2), atol=1e-12)


def test_figures_count_images_groups_and_constant_bits() -> None:
    codes = np.array([5, 5, 7, 6, 5, 7], np.uint8)[:, None]
    assert report.figures(group(codes, 0), codes, {}) == {
        "images": 6,
        "kept": 3,
        "removed": 3,
        "duplicates": 3,
        "leaks": 0,
        "groups": 2,
        "largest_group": 3,
        "distinct_codes": 3,
        # Two bits vary: one set in 3 of 6 images, one in 5 of 6.
        "bit_entropy_mean": pytest.approx((entropy([3, 3], base=2) + entropy([5, 1], base=2)) / 8, abs=1e-4),
        "bit_entropy_min": 0.0,
        "constant_bits": 6,
        "dead_bits": 5,
    }


def test_figures_without_codes_hold_counts_only() -> None:
    codes = np.arange(3, dtype=np.uint8)[:, None]
    found = report.figures(group(codes, 0), None, {})
    assert found == {
        "images": 3,
        "kept": 3,
        "removed": 0,
        "duplicates": 0,
        "leaks": 0,
        "groups": 0,
        "largest_group": 1,
    }


def test_picture_shows_the_biggest_group_first_and_its_kept_image_first() -> None:
    images = squares(6)
    picture = drawn([1, 2, 9, 2, 1, 2], images)
    shown = [[cell(picture, row, column) for column in range(3)] for row in range(2)]
    for place, index in enumerate([1, 3, 5]):
        assert (shown[0][place] == images[index]).all()
    for place, index in enumerate([0, 4]):
        assert (shown[1][place] == images[index]).all()
    assert (shown[1][2] == 255).all()  # no third image in the second group


def test_picture_stays_small_for_many_and_large_groups() -> None:
    codes = np.repeat(np.arange(20), 15).tolist()
    high, wide, _ = drawn(codes, squares(300)).shape
    assert high <= report.GROUPS * (CELL + GAP) + GAP
    assert wide <= report.MEMBERS * (CELL + GAP) + GAP


def test_picture_without_groups_says_so() -> None:
    picture = drawn([1, 2, 3], squares(3))
    assert picture.min() < 128 < picture.max()  # dark words on a light ground


def test_leaks_are_counted_by_set_and_told() -> None:
    codes, tests = np.array([[1], [2], [2], [3], [9], [9]], np.uint8), np.array([[2], [3], [3], [8], [2]], np.uint8)
    found = report.figures(group(codes, 0, tests=tests), None, {"one": 3, "other": 2})
    assert found == {
        "images": 6,
        "kept": 2,
        "removed": 4,
        "duplicates": 1,
        "leaks": 3,
        "groups": 1,
        "largest_group": 2,
        "leaks_one": 3,
        "leaked_test_images_one": 2,
        "leaks_other": 0,
        "leaked_test_images_other": 0,
    }
    told = report.sentences({**found, "radius": 4, "constant_bits": 2}, {"one": 3, "other": 2})
    assert told == [
        "kept 2 of 6 images; groups of duplicates: 1 (codes within 4 bits)",
        "leakage: 3 images removed that are near-duplicates of 2 of the 3 test images of one",
        "warning: 2 bits of the hash are the same for every image",
    ]


def test_picture_shows_the_test_image_that_a_group_is_removed_for() -> None:
    images = squares(4)  # two of the corpus, then two test images
    clusters = group(np.array([[5], [6]], np.uint8), 0, tests=np.array([[7], [6]], np.uint8))
    picture = np.asarray(report.picture(clusters, lambda numbers: images[numbers]))
    assert (cell(picture, 0, 0) == images[3]).all()
    assert (cell(picture, 0, 1) == images[1]).all()
