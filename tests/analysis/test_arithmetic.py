import numpy as np
import pytest
import torch

from ganpipe.analysis.arithmetic import NOISE, NOISY, along, arithmetic, around, means, total
from ganpipe.analysis.concepts import Picked
from ganpipe.analysis.found import Analysis
from ganpipe.models.dcgan import Generator, initialise
from ganpipe.models.draws import drawn, noise

CPU = torch.device("cpu")
Z = noise(20, 6, "uniform", 0)
CONCEPTS = {"a": [1, 2, 3], "b": [4, 5, 6, 7], "c": [8]}
SIDE, GAP, TITLE = 2 * 32, 1, 18  # pixels of a picture's cell, enlarged, of what is between two, and of its title


@pytest.fixture(scope="module")
def generator() -> Generator:
    network = Generator(2, 6).eval()
    initialise(network, torch.Generator().manual_seed(0))
    for parameter in network.parameters():
        parameter.data.mul_(16 if parameter.ndim > 1 else 1)  # so that samples differ
    return network


def cell(picture: np.ndarray, row: int, column: int) -> np.ndarray:
    """The levels of one image of a picture, not enlarged."""
    top, left = TITLE + GAP + row * (SIDE + GAP), GAP + column * (SIDE + GAP)
    return picture[top : top + SIDE : 2, left : left + SIDE : 2].astype(int)


def levels(generator: Generator, z: torch.Tensor) -> np.ndarray:
    return drawn(generator, z, CPU).astype(int)


def test_sums_are_those_of_the_means() -> None:
    mean = means(Z, CONCEPTS)
    torch.testing.assert_close(mean["b"], (Z[4] + Z[5] + Z[6] + Z[7]) / 4)
    torch.testing.assert_close(total([(1, "a"), (-1, "b"), (1, "c")], mean), mean["a"] - mean["b"] + mean["c"])
    torch.testing.assert_close(total([(1, "a"), (-1, "b"), (1, "b")], mean), mean["a"])
    torch.testing.assert_close(total([(1, "a"), (-1, "a")], mean), torch.zeros(6))


def test_noise_is_uniform_and_as_wide_as_the_papers() -> None:
    near = around(Z[0], 4000, 1) - Z[0]
    assert 0.249 < near.abs().max() <= NOISE + 1e-6
    assert near.std() == pytest.approx(0.5 / 12**0.5, rel=0.02)
    torch.testing.assert_close(around(Z[0], 8, 1), around(Z[0], 8, 1))


def test_a_line_has_its_base_in_the_middle_and_is_as_long_as_its_direction() -> None:
    points = along(Z[:3], Z[9], 5)
    torch.testing.assert_close(points[:, 2], Z[:3])
    torch.testing.assert_close(points[:, 4] - points[:, 0], Z[9].expand(3, 6))
    torch.testing.assert_close(points.diff(dim=1), (Z[9] / 4).expand(3, 4, 6))


def test_a_sums_picture_shows_exemplars_means_the_result_and_the_sum_of_pixels(generator: Generator) -> None:
    picked = Picked({}, [[(1, "a"), (-1, "b"), (1, "c")], [(1, "a"), (-1, "a"), (1, "c")]], [])
    found = Analysis()
    arithmetic(found, generator, Z, Z[:0], picked, CONCEPTS, 5, 0, CPU)
    assert found.metrics == {"arithmetic_1": "a - b + c", "arithmetic_2": "a - a + c"}
    picture, mean = np.asarray(found.pictures["arithmetic_1"]), means(Z, CONCEPTS)
    assert picture.shape == (TITLE + 5 * (SIDE + GAP) + GAP, 7 * (SIDE + GAP) + GAP, 3)
    for column, name in enumerate(CONCEPTS):
        shown = [*levels(generator, Z[CONCEPTS[name]]), *levels(generator, mean[name][None])]
        for row, image in enumerate(reversed(shown)):
            np.testing.assert_allclose(cell(picture, 4 - row, column), image, atol=1)
    assert np.ptp(levels(generator, Z), axis=0).max() > 50
    (result,) = levels(generator, (mean["a"] - mean["b"] + mean["c"])[None])
    np.testing.assert_allclose(cell(picture, 2, 5), result, atol=1)
    assert all((cell(picture, row, column) != 255).any() for row in (1, 2, 3) for column in (4, 5, 6))
    assert (cell(picture, 0, 0) == 255).all() and (cell(picture, 4, 4) == 255).all()
    a, b, c = (levels(generator, Z[chosen]).mean(0) for chosen in CONCEPTS.values())
    np.testing.assert_allclose(cell(picture, 4, 5), (a - b + c).clip(0, 255), atol=0.51)
    # Of one that takes itself away nothing is left, in z as in pixels.
    picture = np.asarray(found.pictures["arithmetic_2"])
    for row in (1, 3):  # of four
        np.testing.assert_allclose(cell(picture, row, 4), levels(generator, Z[[8]])[0], atol=1)


def test_a_turn_goes_from_one_mean_to_the_other_and_the_same_way_through_other_z(generator: Generator) -> None:
    found = Analysis()
    arithmetic(found, generator, Z, Z[10:13], Picked({}, [], [("a", "b")]), CONCEPTS, 5, 0, CPU)
    assert found.metrics == {"turn_1": "a to b"}
    picture, mean = np.asarray(found.pictures["turn_1"]), means(Z, CONCEPTS)
    assert picture.shape == (TITLE + (1 + NOISY + 3) * (SIDE + GAP) + GAP, 5 * (SIDE + GAP) + GAP, 3)
    ends = levels(generator, torch.stack([mean["a"], mean["b"]]))
    for column, end in ((0, ends[0]), (4, ends[1])):
        np.testing.assert_allclose(cell(picture, 0, column), end, atol=1)
        assert (cell(picture, 1, column) != cell(picture, 0, column)).any()
    np.testing.assert_allclose(cell(picture, 1 + NOISY, 2), levels(generator, Z[[10]])[0], atol=1)
    (moved,) = levels(generator, (Z[12] + (mean["b"] - mean["a"]) / 2)[None])
    np.testing.assert_allclose(cell(picture, 3 + NOISY, 4), moved, atol=1)
