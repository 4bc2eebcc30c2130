from typing import Any

import numpy as np
import pytest
import torch
from evaluation.problems import digits
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.evaluation.protocols import EXTRA_CANDIDATES, Probe, probe, validation_split

TRAIN = 300


def labels_of(counts: list[int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


def on_digits(candidates: list[float], scale: float = 1.0, **changes: Any) -> Probe:
    X, y = digits(500)
    features = torch.from_numpy(X * np.float32(scale))
    fitting, validation = validation_split(y[:TRAIN], 0.3, 0)
    order = np.concatenate([fitting, validation])
    values = {"fitting": len(fitting), "tolerance": 1e-3, "label": "test", "test_labels": y[TRAIN:]}
    return probe(features[order], y[order], features[TRAIN:], candidates=candidates, **{**values, **changes})


def result(accuracy: float) -> Probe:
    nothing = np.empty(0)
    return Probe(1.0, 1, accuracy, 1.0, {}, 0.0, nothing, nothing)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=6), st.floats(0.05, 0.5), st.integers(0, 5))
def test_split_is_disjoint_covers_and_is_stratified(counts: list[int], share: float, seed: int) -> None:
    labels = labels_of(counts, seed)
    fitting, validation = validation_split(labels, share, seed)
    assert sorted([*fitting, *validation]) == list(range(len(labels)))
    assert (np.diff(fitting) > 0).all()
    assert (np.diff(validation) > 0).all()
    for label, count in enumerate(counts):
        held = int((labels[validation] == label).sum())
        assert 1 <= held < count
        assert abs(held - share * count) <= max(0.5, 1 - share * count)


@given(st.lists(st.integers(2, 4), min_size=2, max_size=5), st.floats(0.01, 0.99))
def test_every_class_is_on_both_sides_of_the_split(counts: list[int], share: float) -> None:
    labels = labels_of(counts, 0)
    for side in validation_split(labels, share, 0):
        assert set(labels[side]) == set(labels)


def test_split_is_seeded() -> None:
    labels = labels_of([30, 50], 0)
    one, same, other = (validation_split(labels, 0.2, seed)[1].tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_split_is_drawn_from_all_of_a_class() -> None:
    held = {int(i) for seed in range(60) for i in validation_split(np.zeros(20, int), 0.2, seed)[1]}
    assert held == set(range(20))


def test_a_best_C_at_the_upper_end_is_continued() -> None:
    found = on_digits([1e-5, 1e-4], scale=0.5)
    assert found.accuracy_validation[1e-4] > found.accuracy_validation[1e-5]
    assert list(found.accuracy_validation)[:3] == pytest.approx([1e-5, 1e-4, 1e-3])


def test_candidates_too_small_to_learn_anything_are_left_upwards() -> None:
    # All of them predict one class, so that none is better: the best C lies above, where there is something to gain.
    found = on_digits([1e-6, 1e-5], scale=0.1)
    assert found.accuracy_validation[1e-6] == found.accuracy_validation[1e-5] < 0.2
    assert found.C > 1e-5


def test_a_best_C_at_the_lower_end_is_continued() -> None:
    found = on_digits([1e4, 1e5])
    assert min(found.accuracy_validation) < 1e4
    assert found.C < 1e4


@pytest.mark.parametrize("candidates", [[1e-6, 1e-5], [1e-2, 0.1, 1.0], [0.1]])
def test_the_best_C_is_no_end_unless_all_extra_candidates_are_used(candidates: list[float]) -> None:
    found = on_digits(candidates)
    tried = found.accuracy_validation
    assert found.C in tried
    assert tried[found.C] == max(tried.values())
    assert set(candidates) <= set(tried)
    if len(tried) < len(candidates) + EXTRA_CANDIDATES:
        assert min(tried) < found.C < max(tried)
    else:
        assert len(tried) == len(candidates) + EXTRA_CANDIDATES


def test_test_labels_have_no_say() -> None:
    _, y = digits(500)
    honest, shuffled = on_digits([0.01, 0.1]), on_digits([0.01, 0.1], test_labels=np.roll(y[TRAIN:], 7))
    assert shuffled.C == honest.C
    assert shuffled.accuracy_validation == honest.accuracy_validation
    assert (shuffled.predicted == honest.predicted).all()
    assert shuffled.accuracy < 0.3 < honest.accuracy


def test_result_is_of_a_refit_on_the_whole_training_set() -> None:
    X, y = digits(500)
    found = on_digits([0.01, 0.1])
    assert found.accuracy == (found.predicted == y[TRAIN:]).mean() > 0.85
    assert found.accuracy_train > 0.95
    assert (found.scores.shape, found.features) == ((200, 10), 64)
    assert (found.scores.argmax(1) == found.predicted).all()
    assert found.duality_gap <= 1e-3


def test_two_classes_have_one_column_of_scores() -> None:
    X, y = digits(500)
    two = y < 2
    features, labels = torch.from_numpy(X[two]), y[two]
    found = probe(features[:60], labels[:60], features[60:], labels[60:], 42, [0.1, 1.0], 1e-3, "test")
    assert found.scores.shape == (len(labels) - 60, 1)
    assert ((found.scores[:, 0] > 0) == (found.predicted == 1)).all()


def test_interval_is_wilsons() -> None:
    # 81 of 263: the worked example of Newcombe, Statistics in Medicine 17 (1998), method 3.
    assert result(81 / 263).interval(263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert result(0.0).interval(20) == pytest.approx((0.0, 0.1611), abs=5e-5)  # the same table: 0 of 20


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_interval_holds_the_accuracy_and_stays_a_share(count: int, accuracy: float) -> None:
    low, high = result(accuracy).interval(count)
    assert -1e-12 <= low <= accuracy + 1e-12
    assert accuracy - 1e-12 <= high <= 1 + 1e-12
