import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from ganpipe.analysis import neighbours
from ganpipe.analysis.neighbours import Near, Nearest, nearer_share, nearest


@pytest.mark.parametrize("rows", [3, 4096])
@pytest.mark.parametrize("half", [False, True])
def test_nearest_is_that_of_brute_force(rows: int, half: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ROWS", rows)
    source = torch.Generator().manual_seed(0)
    samples, training = torch.randn(20, 7, generator=source), torch.randn(31, 7, generator=source)
    training = training.half() if half else training
    found = nearest(samples, training)
    apart = torch.cdist(samples.double(), training.double())
    np.testing.assert_array_equal(found.row, apart.argmin(1))
    np.testing.assert_allclose(found.distance, apart.amin(1), rtol=1e-4)


def test_copies_lie_at_no_distance() -> None:
    training = torch.randn(50, 9, generator=torch.Generator().manual_seed(1))
    found = nearest(training[[4, 40]], training)
    assert found.row.tolist() == [4, 40]
    assert found.distance.max() < 1e-2


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_the_share_is_the_statistic_of_mann_and_whitney(samples: list[int], held_out: list[int]) -> None:
    a, b = np.array(samples, np.float32), np.array(held_out, np.float32)
    share, low, high = nearer_share(a, b, 0)
    assert share == pytest.approx(mannwhitneyu(b, a).statistic / (len(a) * len(b)))
    assert 0 <= low <= high <= 1
    assert nearer_share(b, a, 0)[0] == pytest.approx(1 - share)


def test_copies_are_told_from_new_images_and_the_interval_holds_what_is_true() -> None:
    source = np.random.default_rng(0)
    held_out = source.normal(10, 1, 400)
    assert nearer_share(source.normal(2, 1, 300), held_out, 0)[1] > 0.99
    share, low, high = nearer_share(source.normal(10, 1, 300), held_out, 0)
    assert low < 0.5 < high
    assert high - low < 0.1
    assert low < share < high


def test_samples_that_are_alike_speak_for_one_image() -> None:
    def near(training: list[int], distances: list[float], apart: list[int], others: list[float]) -> Near:
        return Near(
            Nearest(np.array(training), np.array(distances, np.float32)),
            Nearest(np.array(apart), np.array(others, np.float32)),
        )

    assert near([4, 4, 4, 4], [1, 1, 1, 1], [0, 1, 2, 3], [2, 2, 2, 2]).share_of_training() == (1.0, 1)
    assert near([0, 1, 2, 3], [1, 1, 3, 3], [0, 0, 0, 1], [2, 2, 2, 2]).share_of_training() == (0.5, 4)
