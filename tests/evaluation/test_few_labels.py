import numpy as np
import pytest
import torch
from evaluation.problems import digits
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.evaluation import few_labels as module
from ganpipe.evaluation.few_labels import CANDIDATES, FewLabels, draw, few_labels
from ganpipe.evaluation.l2svm import L2SVM

FITTING, TRAIN, PER_CLASS = 700, 1000, 4


def on_digits(columns: int = 64, **changes: int) -> tuple[FewLabels, torch.Tensor, np.ndarray]:
    X, y = digits()
    features = torch.from_numpy(X[:, 64 - columns :])
    settings = {"per_class": PER_CLASS, "choosing": 3, "draws": 5, "seed": 0, **changes}
    found = few_labels(
        features[:TRAIN], y[:TRAIN], FITTING, features[TRAIN:], y[TRAIN:], **settings, label="t", candidates=(1e-3, 0.1)
    )
    return found, features, y


@given(st.integers(1, 5), st.integers(0, 3), st.integers(0, 30))
def test_a_draw_is_of_so_many_a_class_and_seeded(per_class: int, seed: int, number: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([3, 5, 9], [5, 8, 40]))
    drawn = draw(labels, per_class, seed, number)
    assert (np.diff(drawn) > 0).all()
    assert np.unique(labels[drawn], return_counts=True)[1].tolist() == [per_class] * 3
    np.testing.assert_array_equal(drawn, draw(labels, per_class, seed, number))


def test_draws_differ_by_number_and_seed() -> None:
    labels = np.zeros(1000, int)
    drawn = {draw(labels, 5, seed, number).tobytes() for seed in range(3) for number in range(10)}
    assert len(drawn) == 30


def test_a_class_with_too_few_images_is_named() -> None:
    with pytest.raises(ValueError, match="class 9 has 2 training images, too few to draw 3"):
        draw(np.array([1, 1, 1, 9, 9]), 3, 0, 0)


@pytest.mark.parametrize("columns", [64, 20])  # more columns than the 40 rows, and fewer
def test_each_accuracy_is_that_of_a_machine_on_its_draw(columns: int) -> None:
    found, features, y = on_digits(columns)
    rows = [draw(y[:FITTING], PER_CLASS, 0, number) for number in range(8)]
    for C, accuracy in found.validation.items():
        machines = [L2SVM(C, tol=1e-6).fit(features[each], y[each]) for each in rows[:3]]
        expected = np.mean([machine.score(features[FITTING:TRAIN], y[FITTING:TRAIN]) for machine in machines])
        assert accuracy == pytest.approx(expected, abs=0.01)
    assert max(found.validation, key=lambda C: found.validation[C]) == found.C
    tested = [
        L2SVM(found.C, tol=1e-6).fit(features[each], y[each]).score(features[TRAIN:], y[TRAIN:]) for each in rows[3:]
    ]
    np.testing.assert_allclose(found.accuracies, tested, atol=0.01)


def test_what_is_solved_at_a_time_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _, _ = on_digits()
    monkeypatch.setattr(module, "STACK", 1)
    parts, _, _ = on_digits()
    np.testing.assert_allclose(parts.accuracies, whole.accuracies, atol=2e-3)


def test_two_classes_are_told_by_one_score() -> None:
    X, y = digits()
    features, y = torch.from_numpy(X[y < 2]), y[y < 2]
    found = few_labels(features[:200], y[:200], 120, features[200:], y[200:], 5, 2, 3, 0, "t")
    assert found.accuracies.min() > 0.9


def test_metrics_are_mean_error_and_deviation() -> None:
    accuracies = np.array([0.5, 0.6, 0.7, 0.8])
    deviation = accuracies.std(ddof=1)
    assert FewLabels(0.1, accuracies, {0.1: 0.6, 1.0: 0.5}, 2e-4).metrics() == {
        "accuracy": pytest.approx(0.65),
        "accuracy_validation": 0.6,
        "accuracy_error": pytest.approx(1.96 * deviation / 2),
        "accuracy_deviation": pytest.approx(deviation),
        "C": 0.1,
        "duality_gap": 2e-4,
    }


def test_the_range_of_C_is_continued_only_where_that_is_wanted() -> None:
    X, y = digits(500)
    features, candidates = torch.from_numpy(X), (1.0, 10.0)
    given = (features[:300], y[:300], 200, features[300:], y[300:], 5, 2, 3, 0, "t")
    fixed, free = (few_labels(*given, further=further, candidates=candidates) for further in (0, 30))
    assert sorted(fixed.validation) == sorted(candidates)
    assert set(candidates) < set(free.validation)
    assert min(free.validation) < free.C < max(free.validation)
    assert free.validation[free.C] == max(free.validation.values())


def test_a_best_C_at_the_end_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = digits(500)
    features = torch.from_numpy(X)
    few_labels(features[:300], y[:300], 200, None, None, 5, 2, 3, 0, "t", candidates=(1e-4, 2e-4))
    assert "the best C, 0.0002, is at the end of those that were tried" in capsys.readouterr().out


def test_the_candidates_are_the_authors() -> None:
    assert [round(C * 1e4) for C in CANDIDATES] == [1, 2, 5, 10, 20, 50, 100]
