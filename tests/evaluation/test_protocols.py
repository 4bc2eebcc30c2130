import numpy as np
import pytest
import torch
from evaluation.problems import digits
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.evaluation.l2svm import L2SVM
from ganpipe.evaluation.protocols import EXTRA_CANDIDATES, Choice, Probe, choose, probe, validation_split

TRAIN = 300


def labels_of(counts: list[int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


def parts() -> tuple[np.ndarray, np.ndarray, int, np.ndarray, np.ndarray]:
    """Training features and labels in the order of the split, how many are fitted to, test features and labels."""
    X, y = digits(500)
    fitting, validation = validation_split(y[:TRAIN], 0.3, 0)
    order = np.concatenate([fitting, validation])
    return X[order], y[order], len(fitting), X[TRAIN:], y[TRAIN:]


def on_digits(candidates: list[float], scale: float = 1.0) -> Choice:
    X, y, fitting, _, _ = parts()
    return choose(torch.from_numpy(X * np.float32(scale)), y, fitting, candidates, "test")


def probed(test: bool = True, shift: int = 0) -> Probe:
    X, y, fitting, other, labels = parts()
    choice = on_digits([0.01, 0.1])
    tested = torch.from_numpy(other) if test else None
    return probe(choice, torch.from_numpy(X), y, fitting, tested, np.roll(labels, shift), 1e-3, "test")


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


@given(st.integers(1, 30), st.integers(0, 5))
def test_a_number_is_of_images_whatever_their_classes(number: int, seed: int) -> None:
    labels = labels_of([20, 20], 0)
    fitting, validation = validation_split(labels, number, seed)
    assert len(validation) == number
    assert sorted([*fitting, *validation]) == list(range(40))


def test_a_number_of_images_is_drawn_from_all() -> None:
    held = {int(i) for seed in range(60) for i in validation_split(np.zeros(20, int), 4, seed)[1]}
    assert held == set(range(20))


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
    assert found.accuracies[1e-4] > found.accuracies[1e-5]
    assert list(found.accuracies)[:3] == pytest.approx([1e-5, 1e-4, 1e-3])


def test_candidates_too_small_to_differ_are_left_upwards() -> None:
    # With so little to gain every C gives the same machine but for its length: the best C lies above.
    found = on_digits([1e-7, 1e-6])
    assert found.accuracies[1e-7] == found.accuracies[1e-6] > 0.5
    assert found.C > 1e-4


def test_a_best_C_at_the_lower_end_is_continued() -> None:
    found = on_digits([1e4, 1e5])
    assert min(found.accuracies) < 1e4
    assert found.C < 1e4


@pytest.mark.parametrize("candidates", [[1e-6, 1e-5], [1e-2, 0.1, 1.0], [0.1]])
def test_the_best_C_is_no_end_unless_all_extra_candidates_are_used(candidates: list[float]) -> None:
    found = on_digits(candidates)
    tried = found.accuracies
    assert found.C in tried
    assert tried[found.C] == max(tried.values())
    assert set(candidates) <= set(tried)
    if len(tried) < len(candidates) + EXTRA_CANDIDATES:
        assert min(tried) < found.C < max(tried)
    else:
        assert len(tried) == len(candidates) + EXTRA_CANDIDATES


def test_the_machine_is_that_of_the_chosen_C() -> None:
    X, y, fitting, _, _ = parts()
    found = on_digits([1e-4, 0.01, 1e4])
    assert found.machine.C == found.C
    assert (
        found.machine.score(torch.from_numpy(X[fitting:]), y[fitting:])
        == found.accuracy
        == max(found.accuracies.values())
    )


def test_test_labels_have_no_say() -> None:
    honest, shuffled = probed(), probed(shift=7)
    assert shuffled.choice.accuracies == honest.choice.accuracies
    assert (shuffled.answers.predicted == honest.answers.predicted).all()
    assert shuffled.answers.accuracy < 0.3 < honest.answers.accuracy


def test_result_is_of_a_refit_on_the_whole_training_set() -> None:
    X, y, _, other, labels = parts()
    found = probed()
    assert found.answers.accuracy == (found.answers.predicted == labels).mean() > 0.85
    assert found.accuracy_train > 0.95
    assert found.answers.scores.shape == (200, 10)
    assert (found.answers.scores.argmax(1) == found.answers.predicted).all()
    assert found.duality_gap <= 1e-3
    whole = L2SVM(found.choice.C, tol=1e-6).fit(X, y)
    assert (whole.predict(other) == found.answers.predicted).mean() > 0.99
    assert whole.score(X, y) == pytest.approx(found.accuracy_train, abs=0.005)


def test_without_a_test_set_the_answers_are_of_the_validation_part() -> None:
    _, y, fitting, _, _ = parts()
    found = probed(test=False)
    assert (found.answers.truth == y[fitting:]).all()
    assert found.answers.accuracy == found.choice.accuracy
    assert found.accuracy_train > found.choice.accuracy


def test_answers_of_some_images() -> None:
    found, rows = probed().answers, np.array([3, 5, 8])
    assert found.of(rows).accuracy == (found.predicted[rows] == found.truth[rows]).mean()
    assert (found.of(rows).scores == found.scores[rows]).all()


def test_two_classes_have_one_column_of_scores() -> None:
    X, y = digits(500)
    two = y < 2
    features, labels = torch.from_numpy(X[two]), y[two]
    train, test = features[:60], features[60:]
    choice = choose(train, labels[:60], 42, [0.1, 1.0], "test")
    found = probe(choice, train, labels[:60], 42, test, labels[60:], 1e-3, "test").answers
    assert found.scores.shape == (len(labels) - 60, 1)
    assert ((found.scores[:, 0] > 0) == (found.predicted == 1)).all()
