import numpy as np
import pytest
import torch
from evaluation.problems import Problem, gaps, objectives, problems, reference
from hypothesis import given, settings

from ganpipe.evaluation import newton, sample_space
from ganpipe.evaluation.design import Design
from ganpipe.evaluation.l2svm import L2SVM, one_against_the_rest

CPU = torch.device("cpu")


def draws(count: int, rows: int = 30, columns: int = 200) -> tuple[list[np.ndarray], np.ndarray]:
    y = np.arange(rows) % 3
    centres = np.random.default_rng(0).normal(size=(3, columns))
    return [centres[y] + np.random.default_rng(seed + 1).normal(size=(rows, columns)) * 4 for seed in range(count)], y


@settings(deadline=None, max_examples=30)
@given(problems())
def test_it_meets_the_primal_solver(problem: Problem) -> None:
    design = Design(problem.X.astype(np.float64))
    classes, codes = np.unique(problem.y, return_inverse=True)
    targets = one_against_the_rest(codes, len(classes), CPU)
    mine = sample_space.solve(design, targets, problem.C, 1e-8, 100)
    theirs = newton.solve(design, targets, problem.C, 1e-8, 100)
    reached = torch.maximum(mine.gap, theirs.gap) + 1e-7 * theirs.objective
    assert ((mine.objective - theirs.objective).abs() <= reached).all()


def test_a_stack_of_problems_is_solved_like_each_alone() -> None:
    X, y = draws(4)
    targets = one_against_the_rest(y, 3, CPU)
    found = sample_space.solve_many(list(map(Design, X)), targets.expand(4, -1, -1), 0.01, 1e-10, 50, [None] * 4)
    for one, each in zip(X, found, strict=True):
        assert each.relative_gap <= 1e-10
        alone = L2SVM(0.01, tol=1e-10).fit(one, y)
        np.testing.assert_allclose(each.weights[:-1].T.numpy(), alone.coef_, atol=1e-5)
        np.testing.assert_allclose(each.objective.numpy(), alone.objective_)


@pytest.mark.parametrize("C", [1e-8, 1e-4, 1.0, 1e4])
def test_more_features_than_rows_meet_liblinears_optimum(C: float) -> None:
    X, y = draws(1)
    problem = Problem(X[0].astype(np.float32), y, C)
    machine = L2SVM(C, tol=1e-6).fit(problem.X, y)
    assert machine.duality_gap_ <= 1e-6
    theirs = objectives(problem, reference(problem))  # at C = 1e4 liblinear stops short, and 8 % above ours
    assert (objectives(problem, machine) <= theirs * (1 + 1e-5)).all()
    assert (gaps(problem, machine) <= 2e-6 * theirs).all()


def test_it_serves_where_rows_are_fewer_than_columns_and_their_kernel_is_small() -> None:
    assert sample_space.fits(Design(np.zeros((10, 11))))
    assert sample_space.fits(Design(np.zeros((10, 10))))  # the constant is a column too
    assert not sample_space.fits(Design(np.zeros((11, 10))))
    assert not sample_space.fits(Design(torch.zeros(1, 1).expand(sample_space.LARGEST + 1, 10_000)))
