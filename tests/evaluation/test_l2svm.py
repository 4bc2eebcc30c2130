import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluation.problems import Problem, digits, gaps, objectives, problems, reference, weights
from hypothesis import example, given, settings
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import check_estimator

from ganpipe.evaluation import design as module
from ganpipe.evaluation import l2svm as solver
from ganpipe.evaluation.design import Design
from ganpipe.evaluation.l2svm import L2SVM, one_against_the_rest, solve_many

pytestmark = pytest.mark.filterwarnings("ignore:L2SVM stopped after")

CANDIDATES = [1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0]
TOLERANCE = 1e-5
ROUNDING = 1e-5  # of an objective whose scores are single-precision sums


def wrecking() -> Problem:
    """Weakly regularised, few rows, large features: beyond what single precision can invert."""
    X = np.random.default_rng(1).normal(size=(8, 20)) * 100
    return Problem(X.astype(np.float32), np.arange(8) % 2, 10.0)


@contextmanager
def single_precision() -> Iterator[None]:
    """Small problems solved as large ones are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SMALL", 0)
        yield


@pytest.fixture(scope="module", params=CANDIDATES)
def answered(request: pytest.FixtureRequest) -> tuple[Problem, LinearSVC]:
    problem = Problem(*digits(), request.param)
    return problem, reference(problem)


@pytest.fixture(params=[nullcontext, single_precision], ids=["double", "single"])
def solved(request: pytest.FixtureRequest, answered: tuple[Problem, LinearSVC]) -> tuple[Problem, L2SVM, LinearSVC]:
    problem, theirs = answered
    with request.param():
        return problem, L2SVM(problem.C, tol=1e-6).fit(problem.X, problem.y), theirs


def test_meets_liblinears_optimum_on_digits(solved: tuple[Problem, L2SVM, LinearSVC]) -> None:
    problem, ours, theirs = solved
    np.testing.assert_allclose(objectives(problem, ours), objectives(problem, theirs), rtol=1e-5)
    np.testing.assert_allclose(ours.objective_, objectives(problem, ours), rtol=1e-5)


def test_predicts_like_liblinear_on_digits(solved: tuple[Problem, L2SVM, LinearSVC]) -> None:
    problem, ours, theirs = solved
    predicted, expected = ours.predict(problem.X), theirs.predict(problem.X)
    assert predicted.dtype == problem.y.dtype
    best = np.sort(theirs.decision_function(problem.X), axis=1)
    assert (predicted == expected)[best[:, -1] - best[:, -2] > 0.01].all()  # but where two classes are level
    assert (predicted == expected).mean() > 0.998
    assert ours.score(problem.X, problem.y) == (predicted == problem.y).mean() > 0.85


@pytest.mark.parametrize("count", [40, 1797])
@pytest.mark.parametrize("tol", [0.3, 1e-2, 1e-3])
def test_gap_is_the_one_of_double_precision(count: int, tol: float) -> None:
    # Loosely solved, so that the gaps are far above rounding.
    problem = Problem(*digits(count), 0.1)
    machine = L2SVM(problem.C, tol=tol).fit(problem.X, problem.y)
    expected = (gaps(problem, machine) / objectives(problem, machine)).max()
    assert machine.duality_gap_ == pytest.approx(expected, rel=1e-2)
    assert machine.duality_gap_ <= tol


@pytest.mark.parametrize("tol", [1e-2, 1e-5])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
@pytest.mark.parametrize("count", [50, 1797])
@pytest.mark.parametrize("C", [1e-8, 1e-6])
def test_predicts_like_liblinear_where_there_is_little_to_gain(C: float, count: int, scale: float, tol: float) -> None:
    """There w = 0 is within any share of the objective, and predicts a single class."""
    X, y = digits(count)
    problem = Problem(X * np.float32(scale), y, C)
    ours = L2SVM(C, tol=tol).fit(problem.X, y)
    assert ours.duality_gap_ <= tol
    assert (ours.predict(problem.X) == reference(problem).predict(problem.X)).mean() > 0.99


@pytest.mark.parametrize("C", CANDIDATES)
def test_gap_bounds_the_distance_to_the_optimum(C: float) -> None:
    problem = Problem(*digits(300), C)
    optimum = objectives(problem, reference(problem))
    for steps in range(4):
        machine = L2SVM(C, tol=1e-9, max_iter=steps).fit(problem.X, problem.y)
        above = (objectives(problem, machine) - optimum) / objectives(problem, machine)
        assert above.max() <= machine.duality_gap_ + ROUNDING


@settings(deadline=None, max_examples=40)
@given(problems())
def test_every_problem_ends_at_the_tolerance(problem: Problem) -> None:
    machine = L2SVM(problem.C, tol=TOLERANCE).fit(problem.X, problem.y)
    assert machine.duality_gap_ <= TOLERANCE
    above = objectives(problem, machine) - objectives(problem, reference(problem))
    assert (above <= (TOLERANCE + ROUNDING) * objectives(problem, machine)).all()


@settings(deadline=None, max_examples=40)
@example(wrecking())
@given(problems())
def test_any_problem_ends_with_finite_weights_and_a_gap_that_does_not_flatter(problem: Problem) -> None:
    machine = L2SVM(problem.C, tol=TOLERANCE, max_iter=30).fit(problem.X, problem.y)
    assert np.isfinite(weights(machine)).all()
    assert np.isfinite(machine.objective_).all()
    above = objectives(problem, machine) - objectives(problem, reference(problem))
    assert (above <= (machine.duality_gap_ + ROUNDING) * objectives(problem, machine)).all()


@settings(deadline=None, max_examples=30)
@example(wrecking())
@given(problems())
def test_single_precision_may_not_get_far_but_says_so(problem: Problem) -> None:
    with single_precision():
        machine = L2SVM(problem.C, tol=TOLERANCE, max_iter=20).fit(problem.X, problem.y)
    assert np.isfinite(weights(machine)).all()
    assert machine.duality_gap_ <= TOLERANCE or machine.n_iter_ >= machine.max_iter
    above = objectives(problem, machine) - objectives(problem, reference(problem))
    assert (above <= (machine.duality_gap_ + 1e-4) * objectives(problem, machine)).all()


def hard() -> Problem:
    """Rows twice, under two labels each, and hardly regularised: too much for their own space."""
    X = np.random.default_rng(0).normal(size=(10, 34)) * 1000
    return Problem(np.concatenate([X, X]).astype(np.float32), np.r_[np.arange(10) % 3, np.arange(10) % 2], 1e3)


@pytest.mark.parametrize("count", [60, 300])
@pytest.mark.parametrize("steps", range(6))
def test_max_iter_is_the_most_there_will_be_and_a_short_one_is_warned_of(
    steps: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solver, "PATIENCE", 2)  # so that each way of solving it is tried
    X, y = digits(count)
    with pytest.warns(ConvergenceWarning, match=f"stopped after {steps} steps at a relative duality gap of"):
        machine = L2SVM(10.0, tol=1e-12, max_iter=steps).fit(X, y)
    assert machine.n_iter_ == steps


def test_what_arrives_is_not_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        L2SVM(0.1, tol=1e-3).fit(*digits(300))


def test_many_problems_end_at_the_tolerance_though_one_of_them_is_hard() -> None:
    difficult, easy = hard(), np.random.default_rng(0).normal(size=(20, 34)) * 1000
    targets = one_against_the_rest(difficult.y, 3, torch.device("cpu")).expand(2, -1, -1)
    found = solve_many([Design(easy), Design(difficult.X)], targets, difficult.C, 1e-6, 300, [None, None])
    for X, each in zip([easy, difficult.X], found, strict=True):
        assert each.relative_gap <= 1e-6
        alone = L2SVM(difficult.C, tol=1e-6).fit(X, difficult.y)
        np.testing.assert_allclose(each.objective.numpy(), alone.objective_, rtol=1e-5)


def test_a_gap_of_single_precision_is_made_sure_of_in_double() -> None:
    problem = Problem(*digits(600), 1.0)
    with single_precision():
        machine = L2SVM(problem.C, tol=1e-4).fit(problem.X, problem.y)
    exact = gaps(problem, machine) / objectives(problem, machine)
    assert machine.duality_gap_ == pytest.approx(exact.max(), rel=1e-6)


@pytest.mark.parametrize("C", [1e-3, 0.1, 1.0])
def test_more_positive_features_than_rows_are_solved_in_a_few_steps(C: float) -> None:
    """What a discriminator's features look like: all about 1.5, many, and hardly regularised at the larger C."""
    source = np.random.default_rng(0)
    y = np.arange(100) % 5
    X = np.abs(source.normal(size=(100, 1000)) + 1.5 + 0.2 * source.normal(size=(5, 1000))[y])
    problem = Problem(X.astype(np.float32), y, C)
    machine = L2SVM(C, tol=1e-3, max_iter=20).fit(problem.X, y)
    assert machine.duality_gap_ <= 1e-3


@pytest.mark.parametrize("count", [40, 1797])
def test_blocks_of_rows_do_not_show(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = digits(count)
    whole = L2SVM(0.01, tol=1e-6).fit(X, y)
    monkeypatch.setattr(module, "BLOCK", 7 * X.shape[1])
    parts = L2SVM(0.01, tol=1e-6).fit(X, y)
    np.testing.assert_allclose(parts.objective_, whole.objective_, rtol=1e-5)
    np.testing.assert_allclose(parts.decision_function(X), whole.decision_function(X), atol=1e-2)


@pytest.mark.parametrize("count", [40, 300])
def test_a_warm_start_ends_at_the_same_optimum(count: int) -> None:
    X, y = digits(count)
    cold = L2SVM(0.1, tol=1e-6).fit(X, y)
    for C in (1e-4, 10.0):
        warm = L2SVM(0.1, tol=1e-6).fit(X, y, start=L2SVM(C).fit(X, y))
        np.testing.assert_allclose(warm.objective_, cold.objective_, rtol=1e-5)
    again = L2SVM(0.1, tol=1e-6).fit(X, y, start=cold)
    assert again.n_iter_ == 0 < cold.n_iter_


def test_a_design_may_be_shared_between_fits() -> None:
    X, y = digits(300)
    design = Design(torch.from_numpy(X))
    for C in (1.0, 1e-3):
        shared, alone = L2SVM(C).fit(design, y), L2SVM(C).fit(X, y)
        assert (shared.coef_ == alone.coef_).all()
        assert (shared.predict(design) == alone.predict(X)).all()


@pytest.mark.parametrize("count", [40, 300])
def test_half_precision_features_give_nearly_the_same(count: int) -> None:
    X, y = digits(count)
    half = X.astype(np.float16)
    problem = Problem(half.astype(np.float32), y, 0.1)
    machine = L2SVM(0.1, tol=1e-6).fit(half, y)
    np.testing.assert_allclose(objectives(problem, machine), objectives(problem, reference(problem)), rtol=1e-5)
    assert (machine.predict(half) == L2SVM(0.1, tol=1e-6).fit(problem.X, y).predict(problem.X)).all()


def test_bf16_features_have_the_optimum_of_their_own_numbers() -> None:
    """Though the directions to it are rough."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 2000)
    X = rng.normal(size=(2000, 1500)).astype(np.float32)  # enough that the preconditioner is of a sample
    X[np.arange(2000), labels] += 4
    rounded = torch.from_numpy(X).bfloat16()
    for C in (1e-4, 1e-3):
        wanted = L2SVM(C, tol=1e-5).fit(rounded.double(), labels)
        found = L2SVM(C, tol=1e-4).fit(rounded, labels)
        assert found.duality_gap_ <= 1e-4
        np.testing.assert_allclose(found.objective_, wanted.objective_, rtol=1e-4)
        assert (found.predict(rounded) == wanted.predict(rounded)).mean() > 0.995


def test_two_classes_have_one_row_of_weights_like_liblinear() -> None:
    X, y = digits()
    X, y = X[y < 2], np.array(["no", "yes"])[y[y < 2]]
    problem = Problem(X, y, 0.1)
    ours, theirs = L2SVM(0.1, tol=1e-6).fit(X, y), reference(problem)
    assert ours.coef_.shape == theirs.coef_.shape == (1, 64)
    assert ours.intercept_.shape == theirs.intercept_.shape
    assert ours.decision_function(X).shape == theirs.decision_function(X).shape
    assert ours.predict(X).tolist() == theirs.predict(X).tolist() == y.tolist()
    np.testing.assert_allclose(objectives(problem, ours), objectives(problem, theirs), rtol=1e-5)


def test_a_hundred_classes() -> None:
    source = np.random.default_rng(0)
    y = np.arange(1000) % 100
    X = (source.normal(size=(100, 20))[y] + 0.5 * source.normal(size=(1000, 20))).astype(np.float32)
    problem = Problem(X, y, 1.0)
    ours, theirs = L2SVM(1.0, tol=1e-6).fit(X, y), reference(problem)
    assert ours.coef_.shape == (100, 20)
    np.testing.assert_allclose(objectives(problem, ours), objectives(problem, theirs), rtol=1e-5)
    assert (ours.predict(X) == theirs.predict(X)).mean() > 0.999


@pytest.mark.parametrize("count", [40, 300])
def test_without_intercept_the_machine_is_liblinears_without(count: int) -> None:
    X, y = digits(count)
    ours = L2SVM(0.1, fit_intercept=False, tol=1e-7).fit(X, y)
    theirs = LinearSVC(C=0.1, dual=False, fit_intercept=False, tol=1e-10, max_iter=2000).fit(X.astype(np.float64), y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-3)
    assert (ours.intercept_ == 0).all()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_scikit_learn_finds_nothing_wrong_with_it() -> None:
    check_estimator(L2SVM())


def test_it_goes_into_scikit_learns_pipelines_and_searches() -> None:
    X, y = digits(300)
    search = GridSearchCV(make_pipeline(StandardScaler(), L2SVM()), {"l2svm__C": [1e-3, 1e-1]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.85


def test_it_works_where_scikit_learn_is_not_installed() -> None:
    program = """
import sys
sys.modules["sklearn"] = None
import numpy as np
from ganpipe.evaluation.l2svm import L2SVM
X = np.random.default_rng(0).normal(size=(20, 3))
y = X[:, 0] > 0
assert L2SVM(100.0).fit(X, y).score(X, y) == 1
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


@pytest.mark.parametrize("shape", [(6000, 40), (60, 400)])
def test_a_memory_map_in_half_precision_is_solved_without_a_copy(shape: tuple[int, int], tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    y = source.integers(0, 3, shape[0])
    X = (source.normal(size=(3, shape[1]))[y] + 2 * source.normal(size=shape)).astype(np.float16)
    np.save(tmp_path / "features.npy", X)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        machine = L2SVM(0.01, tol=1e-6).fit(mapped, y)
    problem = Problem(X.astype(np.float32), y, 0.01)
    np.testing.assert_allclose(objectives(problem, machine), objectives(problem, reference(problem)), rtol=1e-5)
    assert Design(mapped).features.data_ptr() == mapped.ctypes.data


def test_where_single_precision_stalls_it_goes_on_in_double() -> None:
    """Weakly regularised, and far from 0, so that sums of single precision hide the gap."""
    source = np.random.default_rng(0)
    y = np.arange(400) % 3
    X = (source.normal(size=(400, 30)) + 0.3 * source.normal(size=(3, 30))[y] + 100).astype(np.float32)
    with single_precision():
        machine = L2SVM(1e4, tol=1e-7).fit(X, y)
    assert machine.duality_gap_ <= 1e-7
    problem = Problem(X, y, 1e4)
    assert (gaps(problem, machine) <= 1e-6 * objectives(problem, machine)).all()


def test_labels_keep_their_own_values() -> None:
    X, y = digits(300)
    names = np.array([f"digit {value}" for value in range(10)])[y]
    machine = L2SVM(1.0).fit(X, names)
    assert machine.classes_.tolist() == sorted(set(names))
    assert machine.score(X, names) > 0.99


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_refuses_features_that_are_no_numbers(value: float, convert: Callable[[np.ndarray], Any]) -> None:
    X, y = digits(50)
    X[17, 3] = value
    with pytest.raises(ValueError, match="NaN|infinity"):
        L2SVM().fit(convert(X), y)


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (4,), (4, 2, 2)])
def test_refuses_features_that_are_no_matrix(shape: tuple[int, ...], convert: Callable[[np.ndarray], Any]) -> None:
    with pytest.raises(ValueError, match="matrix|sample|feature|1D array|dim 3"):
        L2SVM().fit(convert(np.zeros(shape, np.float32)), np.arange(4) % 2)


@pytest.mark.parametrize("C", [0.0, -1.0, float("nan"), float("inf")])
def test_refuses_a_C_that_is_no_positive_number(C: float) -> None:
    with pytest.raises(ValueError, match="C must be"):
        L2SVM(C).fit(*digits(50))


def test_refuses_a_single_class() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        L2SVM().fit(digits(50)[0], np.zeros(50, int))


@pytest.mark.parametrize("count", [49, 51])
def test_refuses_another_number_of_labels(count: int) -> None:
    with pytest.raises(ValueError, match=f"50 rows of features but {count} labels"):
        L2SVM().fit(torch.from_numpy(digits(50)[0]), np.arange(count) % 2)


def test_refuses_to_predict_from_another_number_of_features() -> None:
    X, y = digits(50)
    for others in (X[:, 1:], torch.from_numpy(X[:, 1:])):
        with pytest.raises(ValueError, match="X has 63 features, but L2SVM is expecting 64 features"):
            L2SVM().fit(X, y).predict(others)


def test_a_design_without_the_intercept_it_should_have_is_refused() -> None:
    X, y = digits(50)
    with pytest.raises(ValueError, match=r"fit_intercept is False, but the Design's constant is 1.0"):
        L2SVM(fit_intercept=False).fit(Design(X), y)


def test_features_that_are_no_numbers_are_not_told_a_class() -> None:
    X, y = digits(50)
    machine = L2SVM().fit(X, y)
    others = torch.from_numpy(X.copy())
    others[3, 5] = torch.inf
    with pytest.raises(ValueError, match="NaN or infinity"):
        machine.predict(others)


def test_labels_may_be_a_tensor() -> None:
    X, y = (torch.from_numpy(array) for array in digits(100))
    machine = L2SVM().fit(X, y)
    assert machine.score(X, y) == L2SVM().fit(X.numpy(), y.numpy()).score(X.numpy(), y.numpy())
